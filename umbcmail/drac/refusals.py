"""Tells the log of refusals without letting anybody fill the disk.

The first of a kind from a client gets a line at once; those that follow are counted,
and told once a minute.  Where there are very many clients, as with forged addresses,
the rest is counted for all of them together.
"""

from __future__ import annotations

from typing import Any

from umbcmail.maillog import MailLog

INTERVAL = 60.0
KINDS = 200
"""Pairs of client and reason that are told apart in a minute."""


class Refusals:
    """Counts and tells."""

    def __init__(self, log: MailLog, clock: Any) -> None:
        """
        @param clock: L{twisted.internet.interfaces.IReactorTime}.
        """
        self._log = log
        self._clock = clock
        self._more: dict[tuple[str, str], int] = {}
        self._timer: Any = None

    def tell(self, client: str, why: str, address: str = "") -> None:
        """A client has been refused.

        @param why: one word.
        @param address: that it wanted to add.
        """
        key = (client, why)
        if key in self._more:
            self._more[key] += 1
            return
        if len(self._more) >= KINDS:
            key = ("others", why)
            self._more[key] = self._more.get(key, 0) + 1
        else:
            self._more[key] = 0
            self._log.event("drac-refused", "-", client=client, address=address, why=why)
        if self._timer is None:
            self._timer = self._clock.callLater(INTERVAL, self._sum)

    def _sum(self) -> None:
        """Tell what came since; who is silent is forgotten."""
        self._timer = None
        before, self._more = self._more, {}
        for (client, why), count in before.items():
            if count:
                self._log.event("drac-refused", "-", client=client, why=why, more=count, seconds=int(INTERVAL))
                self._more[client, why] = 0
        if self._more:
            self._timer = self._clock.callLater(INTERVAL, self._sum)

    def stop(self) -> None:
        """Tell what has not been told."""
        if self._timer is not None:
            self._timer.cancel()
            self._sum()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
