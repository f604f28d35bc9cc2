"""ONC RPC version 2 (RFC 5531): calls and replies, both ways, without a socket.

A server takes calls apart by L{decodeCall} and makes its answer by one of the
functions below it; a client uses L{encodeCall} and L{decodeReply}.  Nothing is ever to
be sent in answer to what raises a L{MessageError} without a reply.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from umbcmail.drac.xdr import Reader, XDRError, packOpaque, packUnsigned

RPC_VERSION = 2
CALL = 0
REPLY = 1
BODY_LIMIT = 400
"""Octets of a credential or a verifier (section 8.2)."""
LARGEST_CALL = 1024
"""Octets of a call that has both of them at their limits and short arguments."""

# accept_stat (section 9)
SUCCESS = 0
PROG_UNAVAIL = 1
PROG_MISMATCH = 2
PROC_UNAVAIL = 3
GARBAGE_ARGS = 4
SYSTEM_ERR = 5
# reject_stat
RPC_MISMATCH = 0
AUTH_ERROR = 1
# auth_stat
AUTH_BADCRED = 1
AUTH_REJECTEDCRED = 2
AUTH_TOOWEAK = 5
# auth_flavor (section 8.1)
AUTH_NONE = 0
AUTH_SYS = 1

_ACCEPTED = (
    "success",
    "program not available",
    "program of other versions",
    "no such procedure",
    "arguments are garbage",
    "system error",
)
_AUTH = (
    "ok",
    "bad credential",
    "credential rejected",
    "bad verifier",
    "verifier rejected",
    "credential is too weak",
    "bad response verifier",
    "authentication failed",
)


class MessageError(ValueError):
    """Octets that are no call, or no reply.

    @ivar reply: what to answer, in most cases nothing.
    """

    def __init__(self, why: str, reply: bytes = b"") -> None:
        ValueError.__init__(self, why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Call:
    """A call (section 9).

    @ivar xid: by which the reply is known, 32 bits.
    @ivar flavour: of the credential.
    @ivar credential: its body.
    @ivar arguments: and all that stands behind them.
    """

    xid: int
    program: int
    version: int
    procedure: int
    flavour: int
    credential: bytes
    arguments: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply (section 9).

    @ivar isAccepted: else it has been denied.
    @ivar status: C{accept_stat} or C{reject_stat}.
    @ivar results: of a success, and all that stands behind them.
    @ivar low: with a mismatch: the lowest version that there is.
    @ivar high: and the highest.
    @ivar authStatus: of an C{AUTH_ERROR}.
    """

    xid: int
    isAccepted: bool
    status: int
    results: bytes = b""
    low: int = 0
    high: int = 0
    authStatus: int = 0

    @property
    def isSuccess(self) -> bool:
        """The procedure has been called, and there are results."""
        return self.isAccepted and self.status == SUCCESS

    @property
    def problem(self) -> str:
        """What it says in words; C{""} for a success."""
        if self.isSuccess:
            return ""
        if self.isAccepted:
            text = _ACCEPTED[self.status]
            return f"{text}: {self.low} to {self.high}" if self.status == PROG_MISMATCH else text
        if self.status == RPC_MISMATCH:
            return f"other versions of RPC: {self.low} to {self.high}"
        if self.authStatus < len(_AUTH):
            return _AUTH[self.authStatus]
        return f"authentication failed ({self.authStatus})"


# Calls

_HEAD = struct.Struct(">8I")
_TWO = struct.Struct(">2I")


def encodeCall(
    xid: int,
    program: int,
    version: int,
    procedure: int,
    arguments: bytes = b"",
    flavour: int = AUTH_NONE,
    credential: bytes = b"",
) -> bytes:
    """A call.

    @param xid: 32 bits; the same when the call is sent again.
    """
    head = packUnsigned(xid, CALL, RPC_VERSION, program, version, procedure, flavour)
    return head + packOpaque(credential) + packUnsigned(AUTH_NONE, 0) + arguments


def decodeCall(octets: bytes) -> Call:
    """A call from a datagram or record.

    @raise MessageError: it is none; with a reply only for a call of another version
        of RPC.
    """
    if len(octets) < 12:
        raise MessageError("too short for a call")
    if octets[4:8] != b"\0\0\0\0":
        raise MessageError("not a call")
    if octets[8:12] != b"\0\0\0\2":
        raise MessageError("another version of RPC", rpcMismatch(int.from_bytes(octets[:4], "big")))
    if len(octets) < 40:
        raise MessageError("too short for a call")
    xid, _, _, program, version, procedure, flavour, length = _HEAD.unpack_from(octets)
    at = 32 + length + -length % 4
    if length > BODY_LIMIT or len(octets) < at + 8:
        raise MessageError("the credential is too long")
    credential = octets[32 : 32 + length]
    length = _TWO.unpack_from(octets, at)[1]
    at += 8 + length + -length % 4
    if length > BODY_LIMIT or len(octets) < at:
        raise MessageError("the verifier is too long")
    return Call(xid, program, version, procedure, flavour, credential, octets[at:])


def systemCredential(stamp: int, machine: bytes, user: int, group: int, groups: tuple[int, ...] = ()) -> bytes:
    """The body of an AUTH_SYS credential (appendix A)."""
    return packUnsigned(stamp) + packOpaque(machine) + packUnsigned(user, group, len(groups), *groups)


def isSystemCredential(body: bytes) -> bool:
    """Whether the body of an AUTH_SYS credential has the form of one (appendix A);
    what stands behind it does not matter."""
    reader = Reader(body)
    try:
        reader.unsigned()
        reader.opaque(255)
        reader.unsigned()
        reader.unsigned()
        count = reader.unsigned()
    except XDRError:
        return False
    return count <= 16 and len(body) - reader.at >= 4 * count


# Replies; the verifier is that of AUTH_NONE

_SUCCESS = packUnsigned(REPLY, 0, AUTH_NONE, 0, SUCCESS)


def success(xid: int, results: bytes = b"") -> bytes:
    """The procedure has been called."""
    return xid.to_bytes(4, "big") + _SUCCESS + results


def failure(xid: int, status: int) -> bytes:
    """It has not.

    @param status: C{PROG_UNAVAIL}, C{PROC_UNAVAIL}, C{GARBAGE_ARGS} or C{SYSTEM_ERR}.
    """
    return packUnsigned(xid, REPLY, 0, AUTH_NONE, 0, status)


def programMismatch(xid: int, low: int, high: int) -> bytes:
    """There are other versions of the program."""
    return packUnsigned(xid, REPLY, 0, AUTH_NONE, 0, PROG_MISMATCH, low, high)


def rpcMismatch(xid: int) -> bytes:
    """Another version of RPC than ours was wanted."""
    return packUnsigned(xid, REPLY, 1, RPC_MISMATCH, RPC_VERSION, RPC_VERSION)


def authError(xid: int, status: int) -> bytes:
    """The credential is no good.

    @param status: C{auth_stat}.
    """
    return packUnsigned(xid, REPLY, 1, AUTH_ERROR, status)


def decodeReply(octets: bytes) -> Reply:
    """A reply from a datagram or record.  Whether it is the one that is waited for
    is to be seen from its xid, and from where it came.

    @raise MessageError: it is none.
    """
    reader = Reader(octets)
    try:
        xid, kind, how = reader.unsigned(), reader.unsigned(), reader.unsigned()
        if kind != REPLY or how > 1:
            raise MessageError("not a reply")
        return _denied(xid, reader) if how else _accepted(xid, reader)
    except XDRError:
        raise MessageError("not a whole reply") from None


def _accepted(xid: int, reader: Reader) -> Reply:
    reader.unsigned()
    reader.opaque(BODY_LIMIT)
    status = reader.unsigned()
    if status > SYSTEM_ERR:
        raise MessageError("no such status")
    if status == PROG_MISMATCH:
        return Reply(xid, True, status, low=reader.unsigned(), high=reader.unsigned())
    return Reply(xid, True, status, reader.rest() if status == SUCCESS else b"")


def _denied(xid: int, reader: Reader) -> Reply:
    status = reader.unsigned()
    if status == RPC_MISMATCH:
        return Reply(xid, False, status, low=reader.unsigned(), high=reader.unsigned())
    if status == AUTH_ERROR:
        return Reply(xid, False, status, authStatus=reader.unsigned())
    raise MessageError("no such status")
