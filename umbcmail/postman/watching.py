"""How it stands with the ticket, for the status page of another process: from the record
that the role puts down."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zope.interface import implementer

from umbcmail import credentials
from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched


@implementer(IWatched)
class KeptTicket:
    """The ticket as this process sees it."""

    name = "postman"

    def __init__(self, cache: str, now: Callable[[], float]) -> None:
        """
        @param cache: path.
        """
        self._cache = cache
        self._now = now

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        path, now = credentials.recordAt(self._cache), self._now()
        try:
            known = credentials.read(self._cache)
        except OSError as why:
            return f"{path}: {why.strerror}"
        if known is None:
            return f"there is no {path}, the role postman does not run: local mail waits"
        trouble = known.trouble(now)
        return f"{trouble}: local mail waits" if trouble else known.warning(now)

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        try:
            known = credentials.read(self._cache)
        except OSError:
            known = None
        left = max(0.0, known.expires - self._now()) if known is not None else 0.0
        yield Figure("postman_ticket_seconds", round(left), "Seconds until the ticket for local deliveries ends, or 0.")
        tries = "Tries of the role postman to get a ticket, since it has begun."
        counts = (("ok", known.renewals), ("failed", known.failures)) if known is not None else ()
        for result, count in counts:
            yield Figure("postman_tries_total", count, tries, (("result", result),), True)
