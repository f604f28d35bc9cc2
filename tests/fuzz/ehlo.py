"""What a next hop offers, and how a session with it begins:
L{umbcmail.send.commands.parseExtensions} and L{umbcmail.send.opening}."""

from __future__ import annotations

from tests.fuzz.cuts import Input, seed
from umbcmail.outcome import Outcome
from umbcmail.send.commands import Extensions, parseExtensions
from umbcmail.send.opening import Opening
from umbcmail.send.replies import ReplyReader
from umbcmail.send.session import LMTP, SMTP, Limits

SEEDS = [
    seed(b"220 x\r\n250-x\r\n250-SIZE 100\r\n250-pipelining\r\n250 STARTTLS\r\n220 go\r\n250-x\r\n250 SIZE\r\n", 2),
    seed(b"220 x\r\n502 no\r\n250 x\r\n", 0),
    seed(b"220 x\r\n250-x\r\n250-\r\n250-SIZE 99999999999999999999999\r\n250 SIZE -1\r\n", 4),
]


class Link:
    """Notes what the opening wants.

    @ivar ended: how often it has said that it is over.
    @ivar due: replies that it waits for.
    """

    def __init__(self) -> None:
        self.ended = 0
        self.due = 1
        self.securing = False

    def write(self, data: bytes, limit: float) -> None:
        """See L{OpeningLink}."""
        assert data.endswith(b"\r\n") and data.count(b"\r\n") == 1 and limit > 0 and not self.ended
        self.due += 1

    def secure(self) -> None:
        """See L{OpeningLink}."""
        self.securing = True

    def opened(self, extensions: Extensions) -> None:
        """See L{OpeningLink}."""
        self.ended += 1

    def notOpened(self, outcome: Outcome, tlsFault: bool) -> None:
        """See L{OpeningLink}."""
        assert not outcome.isSent
        self.ended += 1


def check(data: bytes) -> None:
    """Any lines are some extensions; any replies open the session or not, once."""
    given = Input(data)
    lines = given.stream.split(b"\n")
    offered = parseExtensions(lines)
    assert offered.sizeLimit >= 0 and (offered.size or not offered.sizeLimit)
    assert parseExtensions([line.lower() for line in lines]) == offered
    link = Link()
    tls = ("none", "may", "encrypt", "verify")[given.flags & 3]
    opening = Opening(link, LMTP if given.isSet(2) else SMTP, "us.test", "mx", tls, Limits())
    for remote in ReplyReader().feed(given.stream):
        link.due -= 1
        opening.replied(remote)
        if link.securing:
            link.securing = False
            opening.secured()
            opening.shookHands()
        if link.ended:
            break
    if not link.ended:
        assert link.due == 1
        (opening.lost, opening.timedOut, opening.nonsense, opening.lost)[given.flags >> 3 & 3]()
    assert link.ended == 1
