"""The same calls to the genuine rpc.dracd and to ours, side by side: the same replies, octet for octet.

Where they differ, L{known} says why, and the tests below it show that it is so.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from itertools import pairwise, product

import pytest

from tests.system.dracprograms import DRAC, OTHER, PORT, PROGRAM, Genuine, Machine, Rpcbind, ours, tcp, udp
from tests.system.programs import HOST
from umbcmail.clientaddress import AddressSet
from umbcmail.drac import rpc
from umbcmail.drac.admission import Admission
from umbcmail.drac.program import ADD, decodeAddress, encodeAddress
from umbcmail.drac.record import mark
from umbcmail.drac.rpc import encodeCall, systemCredential
from umbcmail.drac.xdr import XDRError, packOpaque, packUnsigned

NUMBER = int(PROGRAM)
XID = 0x1122_3344
V4, V6 = (encodeAddress(text)[1] for text in ("198.51.100.7", "2001:db8::80ff"))
PLAIN = encodeCall(XID, NUMBER, 1, ADD, V4)
HOST_CREDENTIAL = systemCredential(1, b"host", 0, 0)
CREDENTIALS = [
    (0, b""),
    (0, b"abc"),
    (0, bytes(400)),
    (0, bytes(401)),
    (1, HOST_CREDENTIAL),
    (1, HOST_CREDENTIAL + b"more"),
    (1, HOST_CREDENTIAL[:-1]),
    (1, systemCredential(1, b"h" * 255, 0, 0, tuple(range(16)))),
    (1, systemCredential(1, b"h" * 256, 0, 0)),
    (1, systemCredential(1, b"h", 0, 0, tuple(range(17)))),
    (1, b""),
    (1, b"garbage of twenty oct"),
    *((flavour, body) for flavour in (2, 4, 5, 6, 99, 0xFFFF_FFFF) for body in (b"", b"body")),
]

# Where the two differ
VERSION = "RFC 5531 wants RPC_MISMATCH for another version of RPC; the genuine server is silent"
STALE = "the genuine server reads on behind the end of a short datagram, in what is left of earlier ones"
NEVER = "the genuine server adds any address, that of no host and of loopback too"
SIZE = "we take records of 1024 octets at the most; the genuine server any, so anybody can fill its memory"
ECHO = "glibc gives an AUTH_SYS client the verifier back that it has sent, which nobody knows (RFC 5531 appendix A)"
DH = "glibc knows Diffie-Hellman and finds the credential bad; we reject what we don't know"

_ADMISSION = Admission(AddressSet([(4, 0, 0)]), [])
"""Everybody may add anything that may be added."""
_ADMISSION.own = frozenset([OTHER])


def known(message: bytes, isDatagram: bool) -> str:
    """Why the replies to a message differ, or C{""}."""
    if len(message) >= 12 and message[4:8] == bytes(4) and message[8:12] != b"\0\0\0\2":
        return VERSION
    if not isDatagram and len(message) > rpc.LARGEST_CALL:
        return SIZE
    try:
        call = rpc.decodeCall(message)
    except rpc.MessageError:
        # Bodies that are too long are too long for both.
        return STALE if isDatagram and message[4:12] == b"\0\0\0\0\0\0\0\2" else ""
    if call.flavour == 3:
        return DH
    if call.flavour == 1 and 40 + len(call.credential) + -len(call.credential) % 4 + len(call.arguments) < len(message):
        return ECHO
    if (call.program, call.procedure) != (NUMBER, ADD) or call.version not in (1, 2):
        return ""
    try:
        address = decodeAddress(call.version, call.arguments)
    except XDRError:
        return STALE if isDatagram else ""
    return NEVER if _ADMISSION.refusal(address, HOST, 1, True) else ""


class Pair:
    """The two servers."""

    def __init__(self, machine: Machine, genuine: Genuine) -> None:
        self._machine = machine
        self._ports = (PORT, genuine.ports["udp"]), (PORT, genuine.ports["tcp"])
        self._pings = 0

    def datagrams(self, *messages: bytes, host: str = HOST) -> list[list[bytes]]:
        """What each of them sends back, ours first: until it answers a ping behind the
        messages, so that nobody has to wait for what never comes."""
        found = []
        for port in self._ports[0]:
            with self._machine.inside(), udp((host, port)) as s:
                found.append([self._datagram(s, message) for message in messages])
        return [[reply for replies in each for reply in replies] for each in found]

    def compare(self, messages: list[bytes], host: str = HOST) -> int:
        """Send them to both by UDP, and compare what comes.  @return: how many could be compared."""
        with self._machine.inside():
            sockets = [udp((host, port)) for port in self._ports[0]]
        count = 0
        for message in messages:
            one, other = (self._datagram(s, message) for s in sockets)
            if not known(message, True):
                assert one == other, message.hex()
                count += 1
        for s in sockets:
            s.close()
        return count

    def _datagram(self, s: socket.socket, message: bytes) -> list[bytes]:
        self._pings += 1
        xid = 0x7F00_0000 + self._pings
        s.send(message)
        s.send(encodeCall(xid, NUMBER, 1, 0))
        replies = []
        while not (reply := s.recv(9000)).startswith(xid.to_bytes(4, "big")):
            replies.append(reply)
        return replies

    def streams(self, *pieces: bytes, host: str = HOST) -> list[bytes]:
        """What each sends back by TCP until it closes, which the client does first."""
        found = []
        for port in self._ports[1]:
            with self._machine.inside():
                s = tcp((host, port))
            with s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(OSError):
                    for piece in pieces:
                        s.sendall(piece)
                    s.shutdown(socket.SHUT_WR)
                octets = b""
                with contextlib.suppress(ConnectionResetError):  # it has closed before it had read all
                    while more := s.recv(9000):
                        octets += more
                found.append(octets)
        return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both of them on one machine; loopback may add."""
    machine = Machine(tmp_path_factory.mktemp("pair"))
    try:
        Rpcbind(machine)
        genuine = Genuine(machine)
        # In memory, so that replies come in the order of their calls.
        with ours(machine, DRAC + "rpcbind = false\n", sets=["state.url=memory:"]):
            yield Pair(machine, genuine)
    finally:
        machine.stop()


def calls() -> list[bytes]:
    """All programs, versions, procedures, arguments and credentials that matter, with each other."""
    edge = 0xFFFF_FFFF
    programs, numbers = (NUMBER, 0, NUMBER - 1, NUMBER + 1, 100000, edge), (0, 1, 2, 3, edge)
    arguments = (V4, V6, b"", V4 + b"xy", V6 + bytes(100), bytes([0, 0, 2, 200]))
    every = [
        encodeCall(XID, program, version, procedure, argument, *credential)
        for program, version, procedure, argument in product(programs, numbers, numbers, arguments)
        for credential in (CREDENTIALS if program == NUMBER and version in (1, 2) else CREDENTIALS[::4])
    ]
    verifiers = [bytes(400), b"abc", bytes(401)]
    return every + [PLAIN[:32] + packUnsigned(0) + packOpaque(each) + V4 for each in verifiers]


def words() -> list[bytes]:
    """Each word of a call changed, and all beginnings of one."""
    values = (*range(8), 99, 399, 400, 401, 0x8000_0000, 0xFFFF_FFFF)
    changed = [PLAIN[:at] + packUnsigned(value) + PLAIN[at + 4 :] for at in range(0, 44, 4) for value in values]
    return changed + [PLAIN[:length] for length in range(len(PLAIN))]


def garbage(count: int) -> list[bytes]:
    """Calls with octets changed, left out, doubled, and put in; the same at each run."""
    chance = random.Random(900101)
    seeds = [PLAIN, encodeCall(XID, NUMBER, 2, ADD, V6), encodeCall(XID, NUMBER, 1, 0, b"", 1, HOST_CREDENTIAL)]
    found = []
    for _ in range(count):
        message = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(message) + 1)
            how = chance.randrange(4)
            if how == 0 and at < len(message):
                message[at] = chance.choice((0, 1, 2, 3, 127, 128, 255, chance.randrange(256)))
            elif how == 1:
                del message[at : at + chance.randint(1, 8)]
            elif how == 2:
                message[at:at] = chance.randbytes(chance.randint(1, 8))
            else:
                message[at:at] = message[at : at + 4 * chance.randint(1, 8)]
        found.append(bytes(message))
    return found


@pytest.mark.parametrize("host", [HOST, OTHER])
def test_calls(pair: Pair, host: str) -> None:
    """By UDP, of a client that may add and of one that may not."""
    messages = calls()
    assert pair.compare(messages, host) > len(messages) * 0.9


def test_words(pair: Pair) -> None:
    """What is wrong with one word, or ends too soon."""
    assert pair.compare(words()) > 70


def test_garbage(pair: Pair) -> None:
    """What is not meant to be a call at all."""
    chance = random.Random(1)
    noise = [chance.randbytes(chance.choice((0, 1, 4, 12, 40, 44, 104, 500, 8800, 8801))) for _ in range(200)]
    messages = garbage(3000) + noise
    assert pair.compare(messages) > len(messages) * 0.2


@pytest.mark.parametrize("host", [HOST, OTHER])
def test_streams(pair: Pair, host: str) -> None:
    """The same by TCP, as records on one connection; what ends a stream ends both."""
    messages = [each for each in calls()[::7] + words() if not known(each, False)]
    messages.sort(key=lambda each: _isCall(each))
    spoilt = sum(not _isCall(each) for each in messages)
    for message in messages[:spoilt]:
        one, other = pair.streams(mark(message), mark(PLAIN), host=host)
        assert one == other, message.hex()
    one, other = pair.streams(*map(mark, messages[spoilt:]), host=host)
    assert one == other and len(one) > 20 * (len(messages) - spoilt)


def _isCall(message: bytes) -> bool:
    try:
        rpc.decodeCall(message)
    except rpc.MessageError:
        return False
    return True


def fragments(*parts: bytes) -> bytes:
    """A record of several fragments."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts[:-1]) + mark(parts[-1])


MANY = mark(PLAIN) * 500
PING = mark(encodeCall(5, NUMBER, 1, 0))


@pytest.mark.parametrize(
    "pieces",
    [
        [mark(PLAIN)],
        [octet.to_bytes() for octet in mark(PLAIN)],
        [MANY],
        [MANY[at:end] for at, end in pairwise(range(0, len(MANY) + 1, 1000))],
        [fragments(*(octet.to_bytes() for octet in PLAIN)), PING],
        [fragments(PLAIN[:7], PLAIN[7:20], PLAIN[20:]), PING],
        [fragments(PLAIN, b""), PING],
        [mark(b""), PING],
        [b"\0\0\0\0", PING],
        [fragments(b"", PLAIN), PING],
        [mark(PLAIN)[:20]],
        [mark(PLAIN), mark(PLAIN)[:3]],
        [b"\0\0\0\x10" + PLAIN[:16]],
        [mark(PLAIN + bytes(900)), PING],
        [b""],
    ],
)
def test_records(pair: Pair, pieces: list[bytes]) -> None:
    """Record marks in pieces, records in fragments, whole and not."""
    one, other = pair.streams(*pieces)
    assert one == other


def test_duplicates(pair: Pair) -> None:
    """The same datagram again is answered again, once for each."""
    one, other = pair.datagrams(PLAIN, PLAIN, PLAIN)
    assert one == other == [rpc.success(XID, bytes(4))] * 3
    one, other = pair.streams(mark(PLAIN) * 3)
    assert one == other == mark(rpc.success(XID, bytes(4))) * 3


# What is not the same


def test_otherVersionOfRPC(pair: Pair) -> None:
    """See L{VERSION}."""
    message = PLAIN[:11] + b"\3" + PLAIN[12:]
    assert pair.datagrams(message) == [[rpc.rpcMismatch(XID)], []]
    assert pair.streams(mark(message), PING)[0].startswith(mark(rpc.rpcMismatch(XID)))


def test_stale(pair: Pair) -> None:
    """See L{STALE}; by TCP, where it can't, it says what we say."""
    short = PLAIN[:42]
    added, wrong = rpc.success(XID, bytes(4)), rpc.failure(XID, rpc.GARBAGE_ARGS)
    assert pair.datagrams(PLAIN, short) == [[added, wrong], [added, added]]
    assert pair.datagrams(PLAIN, PLAIN[:30]) == [[added], [added, added]]
    assert pair.streams(mark(short)) == [mark(wrong)] * 2


def test_anyAddress(pair: Pair) -> None:
    """See L{NEVER}."""
    added, denied = (rpc.success(XID, bytes([0, 0, 0, status])) for status in (0, 1))
    for address in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", OTHER, "::", "::1", "ff02::1"):
        version, arguments = encodeAddress(address)
        assert pair.datagrams(encodeCall(XID, NUMBER, version, ADD, arguments)) == [[denied], [added]], address


def test_size(pair: Pair) -> None:
    """See L{SIZE}."""
    one, other = pair.streams(mark(PLAIN + bytes(rpc.LARGEST_CALL)))
    assert one == b"" and other == mark(rpc.success(XID, bytes(4)))


def test_diffieHellman(pair: Pair) -> None:
    """See L{DH}."""
    expected = [[rpc.authError(XID, status)] for status in (rpc.AUTH_REJECTEDCRED, rpc.AUTH_BADCRED)]
    assert pair.datagrams(encodeCall(XID, NUMBER, 1, ADD, V4, 3, b"body")) == expected


def test_verifier(pair: Pair) -> None:
    """See L{ECHO}."""
    head = encodeCall(XID, NUMBER, 1, 0, b"", 1, HOST_CREDENTIAL)
    one, other = pair.datagrams(head[:-8] + packUnsigned(0) + packOpaque(b"body"))
    assert one == [rpc.success(XID)]
    assert other == [packUnsigned(XID, 1, 0, 0) + packOpaque(b"body") + bytes(4)]
