"""Files of aliases, as Sendmail and Postfix have them (aliases(5)): read, and looked through
for what would lead nowhere.

An entry is C{name: target, target}; lines that begin with a blank go on with the one before;
C{#} begins a comment where a line begins.  A target is an address, a name, C{\\user} (who
is looked up no further), C{|program}, C{/file} or C{:include:/file}.  What is wrong is
gathered, all of it.  Pure, but that the files are asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from umbcmail.address import AddressError, parseAddress

MISTAKES = 100
"""After so many nothing more is looked at."""
TURN = 100
"""Entries after which other threads get a turn."""
LINE_LIMIT = 1 << 20
"""Characters of an entry with all of its lines."""
INCLUDES = 10_000
"""Included files, at most."""
THROWN_AWAY = "/dev/null"
"""The file that is nobody."""
_INCLUDE = ":include:"
_ANGLE = re.compile(r"[^<>]*<([^<>]*)>")
_PAIR = re.compile(r"\\(.)")

Read = Callable[[str], Iterable[str]]
"""Gives the lines of a file.  @raise OSError, UnicodeDecodeError: they can't be had."""


class DontKnow(Exception):
    """What an address stands for can't be told at present; says why."""


class Kind(Enum):
    """What a target is."""

    ADDRESS = "address"
    NAME = "name"
    MAILBOX = "mailbox"
    PROGRAM = "program"
    FILE = "file"
    INCLUDE = "include"


@dataclass(frozen=True, slots=True)
class Target:
    """Where mail for an alias goes.

    @ivar text: the address, the name, the command line, or the path.
    """

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Alias:
    """An entry.

    @ivar name: as it was written.
    @ivar place: C{file:line}.
    """

    name: str
    place: str
    targets: tuple[Target, ...]


def targetOf(text: str) -> Target:
    """What a text behind the colon means.

    @param text: without the quotes around it.
    @raise ValueError: nothing.
    """
    if not text.isprintable():
        raise ValueError("there are characters that can't be printed")
    if text.startswith("|"):
        if not text[1:].strip():
            raise ValueError("a program is missing behind |")
        return Target(Kind.PROGRAM, text[1:].strip())
    if text.lower().startswith(":include:"):
        path = text[9:].strip()
        if not path.startswith("/"):
            raise ValueError(":include: needs an absolute path")
        return Target(Kind.INCLUDE, path)
    if text.startswith("/") and "@" not in text:
        return Target(Kind.FILE, text)
    angle = _ANGLE.fullmatch(text)
    text = (angle[1] if angle else text).strip()
    try:
        if text.startswith("\\"):
            parseAddress(f"{text[1:]}@x")
            return Target(Kind.MAILBOX, text[1:])
        if "@" in text:
            return Target(Kind.ADDRESS, parseAddress(text))
        return Target(Kind.NAME, parseAddress(f"{text}@x").rpartition("@")[0])
    except AddressError:
        raise ValueError(f"{text[:80]!r} is no address, name, |program, /file or :include:") from None


def split(text: str) -> list[str]:
    """Texts between commas; commas in quotes separate nothing, and the quotes around a whole text
    are taken away.

    @raise ValueError: a quote has no end.
    """
    words: list[str] = []
    pieces: list[str] = []
    isQuoted = False
    for found in re.finditer(r'"((?:[^"\\]|\\.)*)"|([^",]+)|([",])', text):
        quoted, plain, mark = found.groups()
        if mark == '"':
            raise ValueError("a quote has no end")
        if mark == ",":
            words.append(_joined(pieces, isQuoted))
            pieces, isQuoted = [], False
        elif plain is not None:
            pieces.append(plain)
        else:
            pieces.append(f'"{quoted}"')
            isQuoted = True
    words.append(_joined(pieces, isQuoted))
    return [word for word in words if word]


def _joined(pieces: list[str], isQuoted: bool) -> str:
    pieces = [piece for piece in pieces if piece.strip()] if isQuoted else pieces
    if isQuoted and len(pieces) == 1:
        return _PAIR.sub(r"\1", pieces[0][1:-1])
    return "".join(pieces).strip()


class Aliases:
    """The entries of files.

    @ivar entries: by name, in lower case.
    @ivar included: by path what is in included files; L{None}: it can't be read, or is not
        all right.  Known after L{check}.
    @ivar mistakes: what is wrong with the files, C{place: reason} each.
    @ivar doubts: what is wrong beside them: included files, and circles.
    """

    def __init__(self, read: Read, isTrusted: Callable[[str], bool] = lambda path: True) -> None:
        """
        @param isTrusted: asked of an included file, when it has been read: whether programs
            and files may stand in it.
        """
        self.entries: dict[str, Alias] = {}
        self.included: dict[str, tuple[Target, ...] | None] = {}
        self.mistakes: list[str] = []
        self.doubts: list[str] = []
        self._read = read
        self._isTrusted = isTrusted

    # Reading

    def addFile(self, path: str) -> None:
        """Add the entries of a file."""
        for number, (place, text) in enumerate(self.entriesOf(path), 1):
            if number % TURN == 0:
                time.sleep(0)  # the reactor's thread would get its turn every few milliseconds only
            try:
                self._add(text, place)
            except ValueError as why:
                self._wrong(place, str(why))

    def entriesOf(self, path: str) -> Iterator[tuple[str, str]]:
        """Entries of a file as they stand there, each with the place of its first line."""
        start, parts = 0, [""]
        for number, line in enumerate(self._lines(path), 1):
            line = line.rstrip("\r\n")
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if line[0] in " \t" and start:
                parts.append(line)
                continue
            if line[0] in " \t":
                self._wrong(f"{path}:{number}", "a line goes on, and there is none before it")
                continue
            if start:
                yield f"{path}:{start}", "".join(parts)
            start, parts = number, [line]
        if start:
            yield f"{path}:{start}", "".join(parts)

    def _lines(self, path: str) -> Iterable[str]:
        try:
            return list(self._read(path))
        except UnicodeDecodeError:
            self._wrong(path, "this is not UTF-8")
        except OSError as why:
            self._wrong(path, why.strerror or str(why))
        return []

    def _add(self, text: str, place: str) -> None:
        if len(text) > LINE_LIMIT:
            raise ValueError("this is too long")
        name, colon, rest = _nameOf(text)
        if not colon or not name:
            raise ValueError("name: target, target is needed")
        try:
            name = parseAddress(name) if "@" in name else parseAddress(f"{name}@x").removesuffix("@x")
        except AddressError:
            raise ValueError(f"{name[:80]!r} is no name") from None
        targets = tuple(targetOf(word) for word in split(rest))
        if not targets:
            raise ValueError(f"{name} leads to nobody")
        known = self.entries.get(name.lower())
        if known is not None:
            raise ValueError(f"{name} is there already ({known.place})")
        self.entries[name.lower()] = Alias(name, place, targets)

    def _wrong(self, place: str, why: str) -> None:
        if len(self.mistakes) < MISTAKES:
            self.mistakes.append(f"{place}: {why}")

    def _doubt(self, place: str, why: str) -> None:
        if len(self.doubts) < MISTAKES:
            self.doubts.append(f"{place}: {why}")

    # Looking through

    def check(self) -> None:
        """Follow all of them: included files, and what leads back to itself."""
        for alias in self.entries.values():
            for target in alias.targets:
                if target.kind is Kind.INCLUDE:
                    self._include(target.text, alias.place)
        done: set[str] = set()
        for name in self.entries:
            self._follow(name, done)

    def _follow(self, first: str, done: set[str]) -> None:
        """Depth first, without recursion: chains may be long."""
        way: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []

        def enter(name: str) -> None:
            way.append(name)
            stack.append((name, iter(self._nodes(name))))

        if first not in done:
            enter(first)
        while stack:
            name, rest = stack[-1]
            next_ = next(rest, None)
            if next_ is None:
                stack.pop()
                done.add(way.pop())
            elif next_ in done or not self._isKnown(next_) or (next_ == name and name in self.entries):
                continue  # an alias that has itself among its targets means the mailbox
            elif next_ in way:
                circle = " -> ".join([*way[way.index(next_) :], next_])
                place = self.entries[name].place if name in self.entries else name.removeprefix(_INCLUDE)
                self._doubt(place, f"these lead back to themselves: {circle}")
            else:
                enter(next_)

    def _isKnown(self, node: str) -> bool:
        return node in self.entries or bool(self.included.get(node.removeprefix(_INCLUDE)))

    def _nodes(self, node: str) -> list[str]:
        """What an alias or an included file may lead to: aliases, included files."""
        targets = self.entries[node].targets if node in self.entries else self.included[node.removeprefix(_INCLUDE)]
        followed = (Kind.NAME, Kind.ADDRESS, Kind.INCLUDE)
        found = [target for target in targets or () if target.kind in followed]
        return [f"{_INCLUDE}{t.text}" if t.kind is Kind.INCLUDE else t.text.lower() for t in found]

    def _include(self, path: str, place: str) -> None:
        """Read an included file, and those that it includes."""
        waiting = [(path, place)]
        while waiting and len(self.included) < INCLUDES:
            path, place = waiting.pop()
            if path not in self.included:
                self.included[path] = found = self._members(path, place)
                waiting += [(target.text, path) for target in found or () if target.kind is Kind.INCLUDE]

    def _members(self, path: str, place: str) -> tuple[Target, ...] | None:
        """The targets in an included file, L{None}: it can't be read, or is not all right."""
        try:
            lines = list(self._read(path))
        except UnicodeDecodeError:
            self._doubt(path, "this is not UTF-8")
            return None
        except OSError as why:
            self._doubt(place, f":include:{path}: {why.strerror or why}")
            return None
        found, wrong = membersOf(lines, () if self._isTrusted(path) else (Kind.PROGRAM, Kind.FILE))
        for number, reason in wrong:
            self._doubt(f"{path}:{number}", reason)
        return None if wrong else found


def membersOf(lines: Iterable[str], refused: Collection[Kind] = ()) -> tuple[tuple[Target, ...], list[tuple[int, str]]]:
    """The targets of a file that has nothing but targets: an included one, or a C{.forward}.

    @param refused: kinds that may not stand in it.
    @return: the targets, and what is wrong: pairs of the line's number and the reason.
    """
    found: list[Target] = []
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            targets = [targetOf(word) for word in split(line)]
            for target in targets:
                if target.kind in refused:
                    raise ValueError(f"{target.kind.value}s may not stand in this file: {target.text[:80]}")
            found += targets
        except ValueError as why:
            wrong.append((number, str(why)))
    return tuple(found), wrong


def _nameOf(text: str) -> tuple[str, str, str]:
    """What stands before the colon, the colon, and the rest; the name may be in quotes."""
    if text.startswith('"'):
        found = re.match(r'("(?:[^"\\]|\\.)*"[^:"]*)(:?)', text)
        if found is None:
            raise ValueError("a quote has no end")
        return found[1].strip(), found[2], text[found.end() :]
    name, colon, rest = text.partition(":")
    return name.strip(), colon, rest
