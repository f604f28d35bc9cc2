"""The rule C{drac}: whose address a POP or IMAP host has seen a login from may relay.

The roster (`state`) holds such addresses until they expire; `drac` fills it.  While it
can't be asked the client is to try again: a refusal would be for good, and mail for our
own domains never comes here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from umbcmail.envelope import Client, Recipient
from umbcmail.interfaces import IRelayRule, IRoster
from umbcmail.options import Option
from umbcmail.reply import LOGINS_YET
from umbcmail.sighting import Sighting, StateError
from umbcmail.verdict import Verdict, delay, noOpinion, permit

OPTIONS: tuple[Option, ...] = ()

_UNSEEN = noOpinion("no login was seen there")


@implementer(IRelayRule)
class DracRule:
    """Permits clients whose address is in the roster; has no opinion on others."""

    def __init__(self, roster: IRoster, now: Callable[[], float]) -> None:
        """
        @param now: seconds since 1970.
        """
        self._roster = roster
        self._now = now

    def judge(self, client: Client, sender: str, recipient: Recipient) -> Verdict | Deferred[Verdict]:
        """See L{IRelayRule.judge}; at once where the roster answers at once."""
        if not client.address:
            return _UNSEEN
        try:
            found = self._roster.find(client.address, self._now())
        except StateError as why:
            return _unknown(why)
        if isinstance(found, Deferred):
            return found.addCallbacks(self._judged, _failed)
        return self._judged(found)

    def _judged(self, found: Sighting | None) -> Verdict:
        # An answer that took long, or comes from a copy, may be about the past.
        if found is None or found.expires <= self._now():
            return _UNSEEN
        return permit(f"a login was seen there by {found.reporter}" if found.reporter else "a login was seen there")


def _failed(failure: Failure) -> Verdict:
    failure.trap(StateError)
    return _unknown(failure.value)


def _unknown(why: BaseException | None) -> Verdict:
    return delay(LOGINS_YET, f"the roster: {why}")


def make(settings: Mapping[str, Any], tools: Any) -> DracRule:
    """The rule; see L{umbcmail.interfaces.IPart.make}."""
    # Without a state its url is wrong, and that has been told.
    return DracRule(tools.state.roster if tools.state else None, tools.reactor.seconds)  # type: ignore[arg-type]
