"""What real senders write wrong and we may take all the same, each by its name.

Used by `dialogue`.  The grammar is strict; when it refuses a command, it is asked
again with the command as it should have been written, and is as strict with that.
So nothing is taken that could not have been written right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from umbcmail.accept.grammar import CommandError

SPACE_AFTER_COLON = "space-after-colon"
"""C{MAIL FROM: <a@b.test>}: RFC 5321 section 3.3 asks servers to refuse or take it."""
DOTS_IN_LOCAL_PART = "dots-in-local-part"
"""C{<.a.@b.test>}, C{<a..b@c.test>}: goes on quoted, as it should have been."""
NO_BRACKETS = "no-brackets"
"""C{MAIL FROM:a@b.test}."""

LENIENCIES = (SPACE_AFTER_COLON, DOTS_IN_LOCAL_PART, NO_BRACKETS)

_KEYWORD = re.compile(r"(?:FROM|TO):", re.IGNORECASE | re.ASCII)
_BARE = re.compile(r"[^ <>\t]+")
_LOCAL = re.compile(r'<([^ <>@"\\,;:()\[\]\t]+)@')

_Parsed = TypeVar("_Parsed")


class Leniency:
    """The leniencies of one session."""

    def __init__(self, allowed: frozenset[str], use: Callable[[str], None]) -> None:
        """
        @param allowed: of L{LENIENCIES}.
        @param use: told the name of each leniency when it is first needed.
        """
        self._allowed = allowed
        self._use = use
        self._used: set[str] = set()

    def parsed(self, argument: str, parse: Callable[[str], _Parsed], why: CommandError) -> _Parsed:
        """What a function of the grammar makes of an argument that it has refused,
        when it is mended.

        @param why: what was wrong.
        @raise CommandError: the same, if nothing can be mended, or another.
        """
        right, used = mended(argument, self._allowed)
        if not used:
            raise why
        found = parse(right)
        for name in used:
            if name not in self._used:
                self._used.add(name)
                self._use(name)
        return found


def mended(argument: str, allowed: frozenset[str]) -> tuple[str, tuple[str, ...]]:
    """The argument of MAIL or RCPT as it should have been written.  Pure.

    @param allowed: names of leniencies.
    @return: the argument, and the names of the leniencies that it needed.
    """
    keyword = _KEYWORD.match(argument)
    if keyword is None:
        return argument, ()
    used = []
    path = argument[keyword.end() :]
    if path[:1] == " " and SPACE_AFTER_COLON in allowed:
        used.append(SPACE_AFTER_COLON)
        path = path.lstrip(" ")
    if NO_BRACKETS in allowed and (bare := _BARE.match(path)):
        used.append(NO_BRACKETS)
        path = f"<{bare[0]}>{path[bare.end() :]}"
    if DOTS_IN_LOCAL_PART in allowed and (found := _LOCAL.match(path)) and _hasOddDots(found[1]):
        used.append(DOTS_IN_LOCAL_PART)
        path = f'<"{found[1]}"{path[found.end() - 1 :]}'
    return keyword[0] + path, tuple(used)


def _hasOddDots(local: str) -> bool:
    return local[0] == "." or local[-1] == "." or ".." in local
