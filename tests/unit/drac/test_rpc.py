"""Tests of L{umbcmail.drac.rpc} and L{umbcmail.drac.program}: octets of genuine programs, and any others."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.drac import rpc
from umbcmail.drac.program import PROGRAM, decodeAddress, encodeAddress
from umbcmail.drac.rpc import Call, MessageError, Reply, decodeCall, decodeReply, encodeCall
from umbcmail.drac.xdr import XDRError, packOpaque, packUnsigned

V1 = bytes.fromhex("6b0e7f39 00000000 00000002 000dbc05 00000001 00000001 00000000 00000000 00000000 00000000 c00002c8")
"""What a genuine client sends for 192.0.2.200."""
V2 = bytes.fromhex(
    "6b0e7f39 00000000 00000002 000dbc05 00000002 00000001 00000000 00000000 00000000 00000000"
    "00000020 00000001 0000000d ffffffb8" + "00000000" * 10 + "ffffff80 ffffffff"
)
"""And for 2001:db8::80ff."""
_u32 = st.integers(0, 2**32 - 1)


class CallTests(SynchronousTestCase):
    """Calls."""

    def test_golden(self) -> None:
        """The calls of genuine clients are understood, and ours are the same."""
        for octets, version, address in ((V1, 1, "192.0.2.200"), (V2, 2, "2001:db8::80ff")):
            call = decodeCall(octets)
            self.assertEqual((call.program, call.version, call.procedure, call.flavour), (PROGRAM, version, 1, 0))
            self.assertEqual(decodeAddress(version, call.arguments), address)
            self.assertEqual(encodeCall(0x6B0E7F39, PROGRAM, *self.arguments(address)), octets)

    def arguments(self, address: str) -> tuple[int, int, bytes]:
        """Version, procedure, arguments."""
        version, arguments = encodeAddress(address)
        return version, 1, arguments

    @given(_u32, _u32, _u32, _u32, st.binary(max_size=70), _u32, st.binary(max_size=400))
    def test_roundTrip(
        self, xid: int, program: int, version: int, procedure: int, arguments: bytes, flavour: int, body: bytes
    ) -> None:
        """A call is taken apart into what it was made of."""
        octets = encodeCall(xid, program, version, procedure, arguments, flavour, body)
        self.assertEqual(decodeCall(octets), Call(xid, program, version, procedure, flavour, body, arguments))

    @given(st.binary(max_size=60), st.integers(0, 44))
    def test_anything(self, octets: bytes, keep: int) -> None:
        """Any octets are a call or an error; a reply to an error is shorter than the call that it answers."""
        for data in (octets, V1[:keep] + octets):
            try:
                call = decodeCall(data)
            except MessageError as error:
                self.assertTrue(not error.reply or (error.reply[:4] == data[:4] and len(error.reply) == 24))
            else:
                self.assertEqual(data[:4], call.xid.to_bytes(4, "big"))

    def error(self, octets: bytes) -> MessageError:
        """What is wrong."""
        return self.assertRaises(MessageError, decodeCall, octets)

    def test_cut(self) -> None:
        """A call whose header is cut is none; without arguments it is one."""
        for end in range(40):
            self.assertEqual(self.error(V1[:end]).reply, b"")
        self.assertEqual(decodeCall(V1[:40]).arguments, b"")

    def test_reply(self) -> None:
        """Nothing is ever said to a reply, nor to any other kind of message."""
        for kind in (b"\0\0\0\1", b"\0\0\0\2", b"\1\0\0\0"):
            self.assertEqual(self.error(V1[:4] + kind + V1[8:]).reply, b"")

    def test_otherRPC(self) -> None:
        """Other versions of RPC get RPC_MISMATCH, which says 2 to 2; nothing else of such a call is read."""
        for version in (b"\0\0\0\0", b"\0\0\0\1", b"\0\0\0\3", b"\xff\0\0\2"):
            reply = self.error(V1[:8] + version).reply
            self.assertEqual(reply, V1[:4] + packUnsigned(1, 1, 0, 2, 2))

    def test_sizes(self) -> None:
        """Credentials and verifiers of 400 octets are taken, longer ones and cut ones are not."""
        head = V1[:24] + packUnsigned(7)
        for length, isCall in ((0, True), (1, True), (399, True), (400, True), (401, False), (2**32 - 1, False)):
            body = packOpaque(bytes(min(length, 404)))[4:]
            sized = packUnsigned(length) + body
            for octets in (head + sized + packUnsigned(0, 0) + b"abcd", head + packUnsigned(0, 9) + sized + b"abcd"):
                if isCall:
                    self.assertEqual(decodeCall(octets).arguments, b"abcd")
                    self.error(octets[: -5 - len(body) % 2])
                else:
                    self.assertEqual(self.error(octets).reply, b"")

    def test_systemCredential(self) -> None:
        """AUTH_SYS has a name of up to 255 octets and up to 16 groups; more behind them does not matter."""
        good = rpc.systemCredential(1, b"host.example", 0, 0, (0, 1, 2))
        for end in range(len(good)):
            self.assertFalse(rpc.isSystemCredential(good[:end]))
        self.assertTrue(rpc.isSystemCredential(good))
        self.assertTrue(rpc.isSystemCredential(good + b"more"))
        self.assertTrue(rpc.isSystemCredential(rpc.systemCredential(1, b"h" * 255, 0, 0, (0,) * 16)))
        self.assertFalse(rpc.isSystemCredential(rpc.systemCredential(1, b"h" * 256, 0, 0)))
        self.assertFalse(rpc.isSystemCredential(rpc.systemCredential(1, b"h", 0, 0, (0,) * 17)))
        self.assertTrue(rpc.isSystemCredential(rpc.systemCredential(1, b"", 0, 0)))


class ReplyTests(SynchronousTestCase):
    """Replies."""

    def test_golden(self) -> None:
        """The replies are those that genuine clients know."""
        xid = 0x6B0E7F39
        head = "6b0e7f39 00000001 "
        for octets, expected in (
            (rpc.success(xid), "00000000 00000000 00000000 00000000"),
            (rpc.success(xid, packUnsigned(1)), "00000000 00000000 00000000 00000000 00000001"),
            (rpc.failure(xid, rpc.PROG_UNAVAIL), "00000000 00000000 00000000 00000001"),
            (rpc.programMismatch(xid, 1, 2), "00000000 00000000 00000000 00000002 00000001 00000002"),
            (rpc.failure(xid, rpc.GARBAGE_ARGS), "00000000 00000000 00000000 00000004"),
            (rpc.rpcMismatch(xid), "00000001 00000000 00000002 00000002"),
            (rpc.authError(xid, rpc.AUTH_BADCRED), "00000001 00000001 00000001"),
        ):
            self.assertEqual(octets.hex(), bytes.fromhex(head + expected).hex())

    def test_decoded(self) -> None:
        """A client can read each of them, also behind a verifier."""
        for octets, reply, problem in (
            (rpc.success(7, b"abcd"), Reply(7, True, 0, b"abcd"), ""),
            (rpc.failure(7, 3), Reply(7, True, 3), "no such procedure"),
            (rpc.programMismatch(7, 1, 2), Reply(7, True, 2, b"", 1, 2), "program of other versions: 1 to 2"),
            (rpc.rpcMismatch(7), Reply(7, False, 0, b"", 2, 2), "other versions of RPC: 2 to 2"),
            (rpc.authError(7, 1), Reply(7, False, 1, authStatus=1), "bad credential"),
            (rpc.authError(7, 99), Reply(7, False, 1, authStatus=99), "authentication failed (99)"),
            (
                packUnsigned(7, 1, 0, 6) + packOpaque(b"verif") + packUnsigned(0, 2),
                Reply(7, True, 0, packUnsigned(2)),
                "",
            ),
        ):
            self.assertEqual(decodeReply(octets), reply)
            self.assertEqual(decodeReply(octets).problem, problem)
            for end in range(len(octets) - len(reply.results)):
                self.assertRaises(MessageError, decodeReply, octets[:end])

    def test_others(self) -> None:
        """A call, and numbers that no reply has, are errors."""
        for octets in (V1, packUnsigned(1, 1, 2, 0), packUnsigned(1, 1, 0, 0, 0, 6), packUnsigned(1, 1, 1, 2)):
            self.assertRaises(MessageError, decodeReply, octets)

    @given(st.binary(max_size=60), st.lists(st.integers(0, 6), max_size=8))
    def test_anything(self, octets: bytes, numbers: list[int]) -> None:
        """Any octets are a reply, with words for it, or an error."""
        for data in (octets, packUnsigned(*numbers) + octets, packUnsigned(1, 1, *numbers)):
            try:
                reply = decodeReply(data)
            except MessageError as error:
                self.assertEqual(error.reply, b"")
            else:
                self.assertEqual(reply.isSuccess, not reply.problem)


class AddressTests(SynchronousTestCase):
    """The arguments."""

    @given(st.ip_addresses())
    def test_roundTrip(self, address: object) -> None:
        """Every address comes through as it is written, and IPv4-mapped ones as IPv4."""
        version, arguments = encodeAddress(str(address))
        mapped = getattr(address, "ipv4_mapped", None)
        self.assertEqual(decodeAddress(version, arguments + b"more"), str(mapped or address))
        self.assertEqual(version, 1 if mapped or "." in str(address) else 2)
        self.assertEqual(len(arguments), 4 if version == 1 else 64)

    def test_mapped(self) -> None:
        """An IPv4-mapped address that comes by version 2 is the IPv4 address."""
        words = packUnsigned(*[0] * 10, 255, 255, 192, 0, 2, 9)
        self.assertEqual(decodeAddress(2, words), "192.0.2.9")

    @given(st.lists(_u32, min_size=16, max_size=16))
    def test_words(self, words: list[int]) -> None:
        """Of each word the lowest eight bits count."""
        octets = bytes(word & 0xFF for word in words)
        expected = ip_address(octets)
        self.assertEqual(
            decodeAddress(2, packUnsigned(*words)), str(getattr(expected, "ipv4_mapped", None) or expected)
        )

    @given(st.integers(0, 63))
    def test_short(self, length: int) -> None:
        """Less than all is nothing: no octets of an earlier call are taken."""
        self.assertRaises(XDRError, decodeAddress, 2, bytes(length))
        self.assertRaises(XDRError, decodeAddress, 1, bytes(length % 4))

    def test_none(self) -> None:
        """What is no address can't be sent."""
        for text in ("", "localhost", "1.2.3", "1.2.3.4.5", "g::1", "::1::"):
            self.assertRaises(ValueError, encodeAddress, text)
        self.assertEqual(encodeAddress("fe80::1%eth0")[0], 2)
