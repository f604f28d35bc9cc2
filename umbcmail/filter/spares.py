"""Connections to a filter that no session has at the moment: the next one takes one of them,
in place of a new one.

Made by `chain` for each filter.  The milter protocol has a command for this, QUIT_NC, but
libmilter does not answer what follows it.  So only filters get such connections of which it is
known that they can do with them: our own multiplexer says so when it negotiates, and of
others the configuration may.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from umbcmail.filter.connection import MilterConnection, Trouble

LIMIT = 20
"""How many are kept."""
KEPT = 30.0
"""Seconds after which one that nobody has taken is closed, or up to twice that."""


class Spares:
    """The connections to one filter.  They are given away in the reverse order, so that those
    that are too many grow old."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._idle: list[tuple[float, MilterConnection]] = []
        self._timer: IDelayedCall | None = None

    def take(self) -> MilterConnection | None:
        """One that is open, which the caller owns from here on; L{None}: there is none."""
        return self._idle.pop()[1] if self._idle else None

    def give(self, connection: MilterConnection) -> bool:
        """A session does not need it any more.  @return: it is kept."""
        if len(self._idle) >= LIMIT:
            return False
        connection.asker = self
        self._idle.append((self._clock.seconds(), connection))
        if self._timer is None:
            self._timer = self._clock.callLater(KEPT, self._look)
        return True

    def _look(self) -> None:
        before = self._clock.seconds() - KEPT
        old = [connection for since, connection in self._idle if since <= before]
        self._idle = [(since, connection) for since, connection in self._idle if since > before]
        self._timer = self._clock.callLater(KEPT, self._look) if self._idle else None
        for connection in old:
            connection.quit()

    # What comes of them meanwhile

    def failed(self, trouble: Trouble) -> None:
        """The filter has closed one, or said what nobody has asked for."""
        self._idle = [(since, connection) for since, connection in self._idle if connection.isOpen]

    def emptied(self) -> None:
        """Nobody waits for that."""

    def agreed(self) -> None:
        """That was before."""

    def answered(self, answer: object) -> None:
        """Never, as nothing is asked."""

    def said(self, answer: object) -> None:
        """Likewise."""
