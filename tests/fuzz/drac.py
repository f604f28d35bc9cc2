"""ONC RPC as DRAC and rpcbind use it: L{umbcmail.drac.rpc}, L{umbcmail.drac.record}, L{umbcmail.drac.program}."""

from __future__ import annotations

from ipaddress import ip_address

from tests.fuzz.cuts import Input, seed
from umbcmail.drac import rpc
from umbcmail.drac.program import decodeAddress, encodeAddress
from umbcmail.drac.record import Records, mark
from umbcmail.drac.xdr import XDRError, packUnsigned

_CALLS = [
    rpc.encodeCall(1, 900101, version, 1, arguments) for version, arguments in map(encodeAddress, ("1.2.3.4", "::1"))
]
_SYS = rpc.encodeCall(2, 900101, 1, 0, b"", rpc.AUTH_SYS, rpc.systemCredential(1, b"host", 0, 0, (1, 2)))
_REPLIES = [rpc.success(1, packUnsigned(0)), rpc.programMismatch(1, 1, 2), rpc.authError(1, 1), rpc.rpcMismatch(1)]
SEEDS = [
    *(seed(mark(message)) for message in (*_CALLS, _SYS, *_REPLIES)),
    seed(b"".join(map(mark, _CALLS)) + b"\0\0\0\2ab\x80\0\0\1c", 0, b"\1\2\3\0\5"),
    seed(b"\x7f\xff\xff\xffabc"),
]
LIMIT = 512


def check(data: bytes) -> None:
    """Records are the same however the stream is cut; a message is a call, a reply or
    an error, what is answered is never longer than what was asked, and an address is one."""
    given = Input(data)
    records, whole = Records(LIMIT), Records(LIMIT)
    found = [message for piece in given.pieces() for message in records.feed(piece)]
    assert found == whole.feed(given.stream)
    assert records.problem == whole.problem and records.isInside == whole.isInside
    for message in [*found, given.stream]:
        assert message is given.stream or len(message) <= LIMIT
        _call(message)
        _reply(message)


def _call(message: bytes) -> None:
    try:
        call = rpc.decodeCall(message)
    except rpc.MessageError as error:
        assert not error.reply or error.reply[:4] == message[:4]
        return
    assert message.endswith(call.arguments) and len(call.credential) <= rpc.BODY_LIMIT
    rpc.isSystemCredential(call.credential)
    again = rpc.encodeCall(
        call.xid, call.program, call.version, call.procedure, call.arguments, call.flavour, call.credential
    )
    assert rpc.decodeCall(again) == call
    for version, least in ((1, 4), (2, 64)):
        try:
            address = decodeAddress(version, call.arguments)
        except XDRError:
            assert len(call.arguments) < least
            continue
        assert len(call.arguments) >= least
        assert str(ip_address(address)) == address
        assert decodeAddress(*encodeAddress(address)) == address


def _reply(message: bytes) -> None:
    try:
        reply = rpc.decodeReply(message)
    except rpc.MessageError as error:
        assert not error.reply, "nothing is said to a reply"
        return
    assert reply.isSuccess == (not reply.problem)
    assert message[4:8] == b"\0\0\0\1" and message.endswith(reply.results)
