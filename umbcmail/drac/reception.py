"""Takes calls, and says what is to be answered: the server of DRAC without a socket.

The doors (L{umbcmail.drac.doors}) give it datagrams and records.  An add is answered when
the roster has it (what is acknowledged survives what the store survives), or when the
deadline is over, so that a client never waits until it gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure

from umbcmail.drac import rpc
from umbcmail.drac.admission import FULL, UNLISTED, Admission
from umbcmail.drac.program import ADD, ADDED, DENIED, NULL, PROGRAM, SYSTEM_ERROR, VERSIONS, decodeAddress
from umbcmail.drac.refusals import Refusals
from umbcmail.drac.rpc import Call, MessageError, decodeCall
from umbcmail.drac.xdr import XDRError, packUnsigned
from umbcmail.interfaces import IRoster
from umbcmail.maillog import MailLog
from umbcmail.sighting import Sighting, StateError

BUSY = "busy"
"""Too many adds at the same time."""
LATE = "deadline"
STATE = "state"
"""The roster can't be written."""
BUG = "bug"

WAITING = 10_000
"""Adds that may wait for the roster at the same time."""
LOOK = 0.25
"""Seconds between two looks for adds that wait for too long."""

_ADDED = packUnsigned(ADDED)
_DENIED = packUnsigned(DENIED)
_SYSTEM_ERROR = packUnsigned(SYSTEM_ERROR)

Answer = Callable[[bytes], None]


@dataclass(slots=True, eq=False)
class _Add:
    """An add under way.

    @ivar key: by which a repetition is known.
    @ivar began: when it began.
    @ivar answer: called once; L{None} when that has been done.
    @ivar isCounted: as a new address, see L{Admission.take}.
    """

    key: Hashable
    xid: int
    client: str
    address: str
    began: float
    answer: Answer | None
    isCounted: bool = True


RECENT = 60.0
"""Seconds for which an add that failed shows."""


class Reception:
    """Where calls come in.

    @ivar counts: how often what has happened: C{null}, C{added}, C{renewed},
        C{refused.unlisted} and so on, C{error.program} and so on, C{garbage},
        C{duplicate}.
    """

    def __init__(
        self,
        roster: IRoster,
        admission: Admission,
        lifetime: float,
        deadline: float,
        clock: Any,
        log: MailLog,
        added: Callable[[str, str], None] | None = None,
    ) -> None:
        """
        @param lifetime: seconds that an entry lives.
        @param deadline: seconds after which an add is answered in any case.
        @param added: called with address and client for each add that the roster took.
        """
        self.counts: dict[str, int] = {}
        self._trouble = ("", 0.0)
        self._roster = roster
        self._admission = admission
        self._lifetime = lifetime
        self._deadline = deadline
        self._clock = clock
        self._log = log
        self._added = added
        self._refusals = Refusals(log, clock)
        self._waiting: dict[Hashable, _Add] = {}
        self._underWay = 0  # also those that have been answered before the roster did
        self._timer: Any = None
        self._empty: Deferred[None] | None = None

    @property
    def waiting(self) -> int:
        """Adds that wait for the roster."""
        return len(self._waiting)

    def take(
        self, octets: bytes, client: str, port: int, origin: Hashable, answer: Answer, isDatagram: bool = False
    ) -> bool:
        """A message has come in; it is answered once, now or later, or never.

        @param client: address, as L{clientAddress} writes it.
        @param origin: where it comes from; the same origin and xid mean the same call
            sent again, while it is under way.
        @param answer: called with the reply, at most once.
        @return: whether it was a call, and a stream may go on.
        """
        try:
            call = decodeCall(octets)
        except MessageError as error:
            self._count("garbage")
            if error.reply:
                answer(error.reply)
            return bool(error.reply)
        try:
            self._call(call, client, port, origin, answer, isDatagram)
        except Exception:
            self._log.bug("-", "drac", Failure())
            return False
        return True

    def _call(self, call: Call, client: str, port: int, origin: Hashable, answer: Answer, isDatagram: bool) -> None:
        reply = self._withoutRoster(call)
        if reply is not None:
            answer(reply)
            return
        try:
            address = decodeAddress(call.version, call.arguments)
        except XDRError:
            self._count("error.arguments")
            answer(rpc.failure(call.xid, rpc.GARBAGE_ARGS))
            return
        key = (origin, call.xid)
        if key in self._waiting:
            self._count("duplicate")
            return
        add = _Add(key, call.xid, client, address, self._clock.seconds(), answer)
        why = self._admission.refusal(address, client, port, isDatagram)
        if why:
            self._refuse(add, why, _DENIED)
        elif self._underWay >= WAITING:
            self._refuse(add, BUSY, _SYSTEM_ERROR)
        else:
            self._add(add)

    def mayAdd(self, client: str) -> bool:
        """Whether a client is one that may add something."""
        return self._admission.clients.holds(client)

    def ignore(self) -> None:
        """A client that is not listed is not answered at all."""
        self._count(f"refused.{UNLISTED}")

    def _withoutRoster(self, call: Call) -> bytes | None:
        """The reply to all but an add.  What is wrong is looked for in the order of the
        genuine server (RFC 5531 has none): credential, program, version, procedure."""
        if call.flavour != rpc.AUTH_NONE:
            isSystem = call.flavour == rpc.AUTH_SYS
            if not isSystem or not rpc.isSystemCredential(call.credential):
                self._count("error.credential")
                return rpc.authError(call.xid, rpc.AUTH_BADCRED if isSystem else rpc.AUTH_REJECTEDCRED)
        if call.program != PROGRAM:
            self._count("error.program")
            return rpc.failure(call.xid, rpc.PROG_UNAVAIL)
        if call.version not in VERSIONS:
            self._count("error.version")
            return rpc.programMismatch(call.xid, VERSIONS[0], VERSIONS[-1])
        if call.procedure == ADD:
            return None
        if call.procedure == NULL:
            self._count("null")
            return rpc.success(call.xid)
        self._count("error.procedure")
        return rpc.failure(call.xid, rpc.PROC_UNAVAIL)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    # Adds

    def _add(self, add: _Add) -> None:
        self._underWay += 1
        try:
            if self._admission.take(add.client, add.began):
                done = self._intoRoster(add)
            else:
                # It may renew what is there.
                add.isCounted = False
                found: Deferred[Any] = maybeDeferred(self._roster.find, add.address, add.began)
                done = found.addCallback(self._found, add)
        except Exception:
            done = fail()
        done.addCallbacks(self._took, self._failed, callbackArgs=(add,), errbackArgs=(add,))
        done.addErrback(self._bug)
        if add.answer is not None:
            self._waiting[add.key] = add
            if self._timer is None:
                self._timer = self._clock.callLater(LOOK, self._look)

    def _intoRoster(self, add: _Add) -> Deferred[Any]:
        return self._roster.add(Sighting(add.address, add.began + self._lifetime, add.client), add.began)

    def _found(self, known: Sighting | None, add: _Add) -> Any:
        return None if known is None else self._intoRoster(add)

    def _took(self, isNew: bool | None, add: _Add) -> None:
        self._underWay -= 1
        if isNew is None:
            self._refuse(add, FULL, _SYSTEM_ERROR)
            return
        self._trouble = ("", 0.0)
        if isNew:
            self._count("added")
            self._log.event("drac-added", "-", address=add.address, client=add.client, seconds=int(self._lifetime))
        else:
            self._count("renewed")
            if add.isCounted:
                self._admission.giveBack(add.client)
        self._answer(add, _ADDED)
        if self._added is not None:
            self._added(add.address, add.client)

    def _failed(self, failure: Failure, add: _Add) -> None:
        """The roster can't be written; or a bug, for which the client can do nothing."""
        self._underWay -= 1
        if add.isCounted:
            self._admission.giveBack(add.client)
        if failure.check(StateError):
            self._trouble = (failure.getErrorMessage() or "the roster can't be written", self._clock.seconds())
            self._refuse(add, STATE, _SYSTEM_ERROR)
        else:
            self._bug(failure)
            self._refuse(add, BUG, _SYSTEM_ERROR)

    def _bug(self, failure: Failure) -> None:
        self._log.bug("-", "drac", failure)

    def _refuse(self, add: _Add, why: str, result: bytes) -> None:
        self._count(f"refused.{why}")
        self._refusals.tell(add.client, why, add.address)
        self._answer(add, result)

    def _answer(self, add: _Add, result: bytes) -> None:
        """Answer, if that has not been done."""
        if self._waiting and self._waiting.get(add.key) is add:
            del self._waiting[add.key]
        answer, add.answer = add.answer, None
        if answer is not None:
            answer(rpc.success(add.xid, result))
        if self._empty is not None and not self._waiting:
            empty, self._empty = self._empty, None
            empty.callback(None)

    @property
    def trouble(self) -> str:
        """Why the last add did not come into the roster, C{""} when it did, or when that
        was a while ago: the state says for itself how it is."""
        why, when = self._trouble
        return why if self._clock.seconds() - when < RECENT else ""

    def _look(self) -> None:
        """Answer what waits for too long; they stand in the order in which they began."""
        self._timer = None
        last = self._clock.seconds() - self._deadline
        for add in list(self._waiting.values()):
            if add.began > last:
                break
            self._trouble = ("the roster does not answer in time", self._clock.seconds())
            self._refuse(add, LATE, _SYSTEM_ERROR)
        if self._waiting:
            self._timer = self._clock.callLater(LOOK, self._look)

    def stop(self) -> Deferred[None]:
        """No more calls come.  @return: fires when all adds have been answered."""
        empty: Deferred[None] = succeed(None)
        if self._waiting:
            empty = self._empty = Deferred()
        return empty.addCallback(self._stopped)

    def _stopped(self, _: None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._refusals.stop()
