"""What has been logged, counted: the log is where all stages tell what happens."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import implementer

from umbcmail.figure import Figure
from umbcmail.interfaces import IWatched
from umbcmail.maillog import LogFile, MailLog

ALWAYS = ("accepted", "rejected", "queued", "delivered", "delayed", "failed", "bounced", "expired", "trouble", "bug")
"""Events that are told also when there was none: so that the first one is a change."""


@implementer(IWatched)
class LogWatch:
    """The mail log.

    @param file: where it goes to.
    """

    name = "log"

    def __init__(self, log: MailLog, file: LogFile) -> None:
        self._log = log
        self._file = file

    def condition(self) -> str:
        """See L{IWatched.condition}."""
        return f"can't be written: {self._file.problem}" if self._file.problem else ""

    def figures(self) -> Iterable[Figure]:
        """See L{IWatched.figures}."""
        counts = dict.fromkeys(ALWAYS, 0) | self._log.counts
        for event, number in counts.items():
            yield Figure("log_events_total", number, "Events in the mail log, by kind.", (("event", event),), True)
        meaning = "Log-ins by result: ok, no (535), later (454: the checker can't tell, or too many failures)."
        for result, number in self._log.logins.items():
            yield Figure("auth_logins_total", number, meaning, (("result", result),), True)
