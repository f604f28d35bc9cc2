"""What a filter says in a session: L{umbcmail.filter.chain} and all below it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.fuzz.cuts import Input, seed
from tests.milters import ScriptedFilter
from tests.unit.filter.filtercase import BODY, RECEIVED, FilterCase
from umbcmail.filter import answers
from umbcmail.filter.message import splitContent
from umbcmail.filter.negotiation import HDR_LEADSPC, NR_HDR, Negotiation
from umbcmail.reply import Reply

_YES = answers.CONTINUE
_AGREED = Negotiation(6, 0x1FF, 0).packet()
_QUICK = Negotiation(6, 0x1FF, 0xFF000 | NR_HDR | HDR_LEADSPC).packet()
_EDITS = answers.insertHeader(0, b"X", b"y\n\nz") + answers.changeHeader(1, b"x-a", b"") + answers.replaceBody(b"new")
_MORE = (
    answers.addRecipient(b"<a@b.c>") + answers.deleteRecipient(b"<x@y.test>") + answers.changeSender(b"<>", b"RET=FULL")
)
SEEDS = [
    seed(_AGREED + _YES * 14, 0, b"\x19" + b"\5" * 14),
    seed(_AGREED + _YES * 13 + _EDITS + _MORE + answers.ACCEPT, 0, b"\x19" + b"\5" * 13 + b"\xff"),
    seed(_QUICK + _EDITS + answers.quarantine(b"odd") + answers.ACCEPT, 1, b"\x19\xff"),
    seed(_QUICK + answers.PROGRESS + answers.replyCode(b"550-5.7.1 a\r\n550 5.7.1 b"), 2, b"\x19\xff"),
    seed(_AGREED + _YES * 3 + answers.REJECT + answers.TEMPFAIL, 3, b"\x19\5\5\5\5\5"),
    seed(_AGREED + _YES * 13 + _EDITS + answers.ACCEPT, 4, b"\x19" + b"\5" * 6 + b"\xff"),
    seed(_AGREED + answers.DISCARD * 14, 3, b"\x19" + b"\5" * 14),
    seed(b"UNKNOWN COMMAND\n", 1, b"\xff"),
]


class _Garbage(ScriptedFilter):
    """Says a piece to whatever it hears, and goes when there are no more."""

    def __init__(self, given: Input) -> None:
        ScriptedFilter.__init__(self)
        self._pieces = given.pieces()

    def feed(self, octets: bytes) -> bytes:
        """See L{ScriptedFilter.feed}."""
        piece = next(self._pieces, b"")
        self.isClosed = not piece
        return piece


class Case(FilterCase):
    """A session."""

    def runTest(self) -> None:
        """For the constructor."""

    def answer(self, asked: Any) -> Any:
        """In the end there is one: who says nothing more is slow."""
        if isinstance(asked, Deferred):
            self.pump()
            if not asked.called:
                self.clock.advance(1000)
        return FilterCase.answer(self, asked)


def check(data: bytes) -> None:
    """A message has one result, whatever a filter says; a header in which every field is
    one; and the session goes on with another filter.  Never a bug."""
    given = Input(data)
    case = Case()
    case.setUp()
    policy = ("delay", "accept", "refuse", "quarantine")[given.flags % 4]
    case.begin([_Garbage(given), ScriptedFilter()], down=policy, broken=policy, slow=policy, pipelining=given.isSet(2))
    result = case.whole()
    case.clock.advance(1000)
    if isinstance(result, Reply):
        assert result.code >= 400 or result.text.startswith("OK, queued"), result
        assert all(" " <= c <= "~" for line in result.lines for c in line)
    else:
        envelope, octets = result
        fields, at, hasBlank = splitContent(octets, True)
        assert hasBlank and RECEIVED in octets and envelope.size == len(octets)
        assert len(fields) >= 2 and b"\n" not in octets[:at].replace(b"\r\n", b"")
        assert envelope.recipients
    second = case.whole()
    if not isinstance(second, Reply):
        assert second[1].endswith(BODY) or case.wires[-1].filter is case.wires[0].filter
    case.log.flush()
    log = b"".join(case.lines)
    assert b" bug " not in log, log
