"""What the demonstration prints: ASCII, at most 96 columns, plain text when it
does not go to a terminal."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 96


def say(text: str = "") -> None:
    """One or more lines; whoever reads a pipe sees them at once."""
    print(plain(text), flush=True)


def title(text: str) -> None:
    """A heading."""
    say(f"\n== {text} " + "=" * (WIDTH - 4 - len(text)))


def plain(text: str) -> str:
    """In ASCII, and with nothing that a terminal might obey."""
    return "".join(c if c == "\n" or " " <= c <= "~" else f"\\x{ord(c):x}" for c in text)


def shortened(text: str, width: int) -> str:
    """At most so many characters."""
    return text if len(text) <= width else text[: width - 2] + ".."


def sizeText(octets: int) -> str:
    """C{312 B}, C{29.3 KiB}, C{12.0 MiB}."""
    if octets < 1024:
        return f"{octets} B"
    return f"{octets / 1024:.1f} KiB" if octets < 1 << 20 else f"{octets / (1 << 20):.1f} MiB"


class Progress:
    """A bar that is drawn over itself on a terminal, and is not there otherwise."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._isTerminal = sys.stdout.isatty()

    def show(self, done: int, what: str) -> None:
        """So much is done, and this is under way."""
        if self._isTerminal:
            bar = "#" * (30 * done // self._total)
            line = f"[{bar:<30}] {done:>2}/{self._total} {what}"
            print("\r" + shortened(line, WIDTH - 20).ljust(WIDTH - 20), end="", flush=True)

    def end(self, text: str) -> None:
        """All is done: a line that stays."""
        print("\r" + " " * (WIDTH - 20) + "\r" if self._isTerminal else "", end="")
        say(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they must be."""
    lines = [head, *rows]
    wide = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for number, line in enumerate(lines):
        say("  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip())
        if number == 0:
            say("  ".join("-" * width for width in wide))


def wrapped(lines: Iterable[str]) -> None:
    """Long lines, folded between words."""
    for line in lines:
        say(textwrap.fill(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
