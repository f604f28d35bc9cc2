"""Files of aliases, as Sendmail and Postfix have them (aliases(5)): read, and looked through
for what would lead nowhere.

An entry is C{name: target, target}; lines that begin with a blank go on with the one before;
C{#} begins a comment where a line begins.  A target is an address, a name, C{\\user} (who
is looked up no further), C{|program}, C{/file} or C{:include:/file}.  What is wrong is
gathered, all of it.  Pure, but that the files are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from umbcmail.address import AddressError, parseAddress

MISTAKES = 100
"""After so many nothing more is looked at."""
LINE_LIMIT = 1 << 20
"""Characters of an entry with all of its lines."""
_ANGLE = re.compile(r"[^<>]*<([^<>]*)>")
_PAIR = re.compile(r"\\(.)")

Read = Callable[[str], Iterable[str]]
"""Gives the lines of a file.  @raise OSError, UnicodeDecodeError: they can't be had."""


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
    @ivar mistakes: what is wrong, C{place: reason} each.
    """

    def __init__(self, read: Read) -> None:
        self.entries: dict[str, Alias] = {}
        self.mistakes: list[str] = []
        self._read = read
        self._included: dict[str, tuple[Target, ...]] = {}

    # Reading

    def addFile(self, path: str) -> None:
        """Add the entries of a file."""
        for number, text in self._logical(path):
            place = f"{path}:{number}"
            try:
                self._add(text, place)
            except ValueError as why:
                self._wrong(place, str(why))

    def _logical(self, path: str) -> Iterator[tuple[int, str]]:
        """Entries with the number of their first line."""
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
                yield start, "".join(parts)
            start, parts = number, [line]
        if start:
            yield start, "".join(parts)

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

    # Looking through

    def check(self) -> None:
        """Follow all of them: included files, and aliases that lead back to themselves."""
        done: set[str] = set()
        for name in self.entries:
            self._follow(name, done)

    def _follow(self, first: str, done: set[str]) -> None:
        """Depth first, without recursion: chains may be long."""
        way: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []

        def enter(name: str) -> None:
            way.append(name)
            stack.append((name, iter(self._names(self.entries[name]))))

        if first not in done:
            enter(first)
        while stack:
            name, rest = stack[-1]
            next_ = next(rest, None)
            if next_ is None:
                stack.pop()
                done.add(way.pop())
            elif next_ == name or next_ in done or next_ not in self.entries:
                continue  # an alias that has itself among its targets means the mailbox
            elif next_ in way:
                circle = " -> ".join([*way[way.index(next_) :], next_])
                self._wrong(self.entries[name].place, f"these lead back to themselves: {circle}")
            else:
                enter(next_)

    def _names(self, alias: Alias) -> list[str]:
        """Aliases that one may lead to, those of included files too."""
        found = []
        for target in alias.targets:
            inner = self._include(target.text, alias.place) if target.kind is Kind.INCLUDE else (target,)
            found += [each.text.lower() for each in inner if each.kind in (Kind.NAME, Kind.ADDRESS)]
        return found

    def _include(self, path: str, place: str) -> tuple[Target, ...]:
        """The targets in an included file."""
        if path in self._included:
            return self._included[path]
        found: list[Target] = []
        self._included[path] = ()
        try:
            lines = list(self._read(path))
        except UnicodeDecodeError:
            self._wrong(path, "this is not UTF-8")
            return ()
        except OSError as why:
            self._wrong(place, f":include:{path}: {why.strerror or why}")
            return ()
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if line and not line.startswith("#"):
                try:
                    found += [self._member(word) for word in split(line)]
                except ValueError as why:
                    self._wrong(f"{path}:{number}", str(why))
        self._included[path] = tuple(found)
        return self._included[path]

    @staticmethod
    def _member(word: str) -> Target:
        target = targetOf(word)
        if target.kind is Kind.INCLUDE:
            raise ValueError("an included file may not include others")
        return target


def _nameOf(text: str) -> tuple[str, str, str]:
    """What stands before the colon, the colon, and the rest; the name may be in quotes."""
    if text.startswith('"'):
        found = re.match(r'("(?:[^"\\]|\\.)*"[^:"]*)(:?)', text)
        if found is None:
            raise ValueError("a quote has no end")
        return found[1].strip(), found[2], text[found.end() :]
    name, colon, rest = text.partition(":")
    return name.strip(), colon, rest
