"""What recipients stand for, and whether they are there: aliases, virtual addresses, C{.forward}.

The queue asks L{Expander.expand} before it attempts anything, the ports ask L{Expander.check}
at RCPT, and C{umbcmail explain} has the steps told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from umbcmail import reply
from umbcmail.aliases import DontKnow
from umbcmail.envelope import Recipient
from umbcmail.interfaces import IExpander, IRecipientCheck
from umbcmail.reply import Reply
from umbcmail.route.meaning import Meaning, Step, Way
from umbcmail.route.walk import Bounds, Note, Walk


@implementer(IExpander, IRecipientCheck)
class Expander:
    """See the module."""

    name = "aliases"

    def __init__(self, meaning: Meaning, bounds: Bounds, home: str = "") -> None:
        """
        @param home: domain of the bare postmaster, C{""}: there is none.
        """
        self._meaning = meaning
        self._bounds = bounds
        self._home = home

    def expand(self, sender: str, recipient: Recipient, note: Note | None = None) -> Any:
        """See L{IExpander.expand}.

        @param note: told of each step.
        """
        origin = recipient.origin
        if origin is not None and origin.depth is None:
            return None
        if "@" not in recipient.address and self._home:
            recipient = replace(recipient, address=f"{recipient.address}@{self._home}")
        way = Way.VIRTUAL if origin is None else Way.FORWARD
        if self._meaning.isPlain(Step(recipient.address, way)):
            return None
        walk = Walk(self._meaning, self._bounds, sender, recipient, note or _untold)
        return walk.run()

    def check(self, sender: str, recipient: Recipient) -> Reply | Deferred[Reply | None] | None:
        """See L{IRecipientCheck.check}: who stands for others is there, whatever others know."""
        try:
            known = self._meaning.knows(recipient.address)
        except DontKnow:
            return reply.RECIPIENT_YET
        return None if known is None else reply.RECIPIENT_OK if known else reply.UNKNOWN_USER


def _untold(depth: int, text: str) -> None:
    """Nobody wants to know."""
