"""Watches the files of certificates and keys, and puts new ones in place.

Started by `application`.  Every minute or so the files are looked at, in a thread; when
one has changed, both are read and checked as a pair.  A pair that is no good (half
of it may not be there yet) is told in the log, and what was in use stays.  Once a
day the log says how many days are left of each certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from umbcmail.accept.tls import Files, Pair, ServerTLS, readPair
from umbcmail.figure import Figure
from umbcmail.filestamp import Stamp, stampAt
from umbcmail.interfaces import IWatched
from umbcmail.maillog import MailLog

DAY = 86400.0
SOON = 21
"""Days before the end from which on the log warns."""
ALMOST = 7
"""Days before the end from which on it is a condition: somebody must do something."""

Stamps = tuple[Stamp, Stamp]


def _stampsOf(files: Files) -> Stamps:
    """Those of certificate and key.  Blocks."""
    return stampAt(files.certificate), stampAt(files.key)


@implementer(IWatched)
class CertificateWatch:
    """Watches the files of one L{ServerTLS}."""

    name = "certificates"

    def __init__(
        self,
        tls: ServerTLS,
        clock: IReactorTime,
        log: MailLog,
        inThread: Callable[..., Deferred[Any]],
        poll: float = 60.0,
    ) -> None:
        """
        @param poll: seconds between two looks.
        """
        self._tls = tls
        self._log = log
        self._clock = clock
        self._inThread = inThread
        self._poll = poll
        self._stamps = {files: _stampsOf(files) for files in tls.pairs}
        self._told = 0.0
        self._refused: dict[Files, str] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin, with a line for each certificate."""
        self._tell("in use")
        self._loop.start(self._poll, now=False)

    def stop(self) -> None:
        """Watch no more."""
        if self._loop.running:
            self._loop.stop()

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        now = self._clock.seconds()
        found = [
            f"{files.certificate} has expired" if pair.expires <= now else f"{files.certificate} ends in {days} days"
            for files, pair in self._tls.pairs.items()
            if (days := daysLeft(pair, now)) < ALMOST
        ]
        found += [f"{files.certificate}: the new one is not taken: {why}" for files, why in self._refused.items()]
        return "; ".join(found)

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        now = self._clock.seconds()
        meaning = "Days that are left of a certificate, negative when it has expired."
        for files, pair in self._tls.pairs.items():
            yield Figure("certificate_days", daysLeft(pair, now), meaning, (("file", files.certificate),))

    def _look(self) -> Deferred[None]:
        found = self._inThread(self._changes, dict(self._stamps))
        return found.addCallback(self._take).addErrback(lambda why: self._log.bug("-", "certificates", why))

    @staticmethod
    def _changes(stamps: dict[Files, Stamps]) -> list[tuple[Files, Stamps, Pair | None, str]]:
        """What has changed, and what is there now.  In a thread."""
        changes: list[tuple[Files, Stamps, Pair | None, str]] = []
        for files, before in stamps.items():
            # The stamp is taken first: what changes while we read is seen next time.
            stamp = _stampsOf(files)
            if stamp != before:
                try:
                    changes.append((files, stamp, readPair(files), ""))
                except ValueError as why:
                    changes.append((files, stamp, None, str(why)))
        return changes

    def _take(self, changes: list[tuple[Files, Stamps, Pair | None, str]]) -> None:
        for files, stamp, pair, why in changes:
            self._stamps[files] = stamp
            self._refused.pop(files, None)
            if pair is None:
                self._refused[files] = why
                self._log.certificateRefused(files.certificate, why)
            else:
                self._tls.use(files, pair)
                self._tellOf(files, "new")
        if self._clock.seconds() - self._told >= DAY:
            self._tell("in use")

    def _tell(self, why: str) -> None:
        self._told = self._clock.seconds()
        for files in self._tls.pairs:
            self._tellOf(files, why)

    def _tellOf(self, files: Files, why: str) -> None:
        days = daysLeft(self._tls.pairs[files], self._clock.seconds())
        self._log.certificate(files.certificate, days, why)
        if days < SOON:
            self._log.certificateExpires(files.certificate, days)


def daysLeft(pair: Pair, now: float) -> int:
    """Whole days until a certificate expires, negative when it has."""
    return int((pair.expires - now) // DAY)
