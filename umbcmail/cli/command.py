"""What all commands have: where they print, how they end, and how they open a store.

A command that can't be done ends with a L{Refusal}: lines for the operator and an
exit status for the shell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TextIO

from twisted.internet.defer import Deferred, inlineCallbacks

NOTHING, USAGE, UNAVAILABLE, CONFIGURATION = 1, 2, 75, 78
"""Exit status: nothing matched, a wrong command, and C{EX_TEMPFAIL} and
C{EX_CONFIG} of C{sysexits.h}."""


class Refusal(Exception):
    """The command ends with an error.

    @ivar status: for the shell.
    @ivar lines: for the operator, one for each mistake; none: nothing is to be said.
    """

    def __init__(self, status: int, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.status = status
        self.lines = lines


class Command:
    """A command and what it needs besides its store.

    @param out: takes the text.
    @param now: seconds since 1970.
    @param asJSON: print JSON, one value a line.
    @param note: told what belongs beside the output.
    """

    def __init__(
        self,
        out: TextIO,
        now: Callable[[], float],
        asJSON: bool = False,
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._out = out
        self._now = now
        self._asJSON = asJSON
        self._note = note

    def _print(self, lines: Iterable[str]) -> None:
        self._out.writelines(line + "\n" for line in lines)


@inlineCallbacks
def withStore(
    what: str, trouble: type[Exception], opener: Callable[[], Any], action: Callable[[Any], Deferred[Any]]
) -> Any:
    """Open a store, do something with it, and stop it whatever comes of that.

    @param what: C{"spool"} or C{"state"}.
    @param trouble: what it fails with when it can't do something.
    @return: L{Deferred} of what C{action} gives; fails with L{Refusal}.
    """
    try:
        store = opener()
        yield store.start()
        try:
            result = yield action(store)
        finally:
            yield store.stop()
    except trouble as why:
        raise Refusal(UNAVAILABLE, f"the {what}: {why}") from why
    return result
