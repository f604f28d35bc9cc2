"""Which settings exist: sections by their dotted names, with C{*} for names that
the operator chooses.

`config.py` asks it for every table and key that it meets.  It is made from the
declarations of the parts (L{umbcmail.options.Section}); a wrong declaration is a
bug of ours and raises C{ValueError} when the schema is made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from umbcmail.options import Option, Section

Path = tuple[str, ...]
"""The parts of a dotted name."""

NAME = re.compile(r"[a-z0-9-]+")
"""What may stand in place of a C{*}."""


def normal(name: str) -> str:
    """A key as it is declared: C{_} and C{-} mean the same."""
    return name.replace("_", "-")


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that was probably meant, or C{""}."""
    found = difflib.get_close_matches(normal(word.lower())[:100], sorted(set(candidates)), 1, 0.6)
    return found[0] if found else ""


def fill(pattern: Path, names: Sequence[str]) -> Path:
    """A pattern with its stars replaced, in order."""
    left = iter(names)
    return tuple(next(left) if part == "*" else part for part in pattern)


def starsOf(pattern: Path, path: Path) -> str:
    """What stands in place of a pattern's stars, joined by dots."""
    return ".".join(part for star, part in zip(pattern, path, strict=True) if star == "*")


class Schema:
    """All sections.

    @param sections: as declared; their order is kept.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        self.tables: dict[Path, Section] = {}
        self.arrays: dict[Path, Section] = {}
        for section in sections:
            path = tuple(section.name.removesuffix("[]").split("."))
            if path in self.tables or path in self.arrays:
                raise ValueError(f"section {section.name} is declared twice")
            (self.arrays if section.name.endswith("[]") else self.tables)[path] = section
            self._check(section)

    def _check(self, section: Section) -> None:
        """Whether a declaration makes sense, its defaults too."""
        known: dict[str, Option] = {}
        for option in section.options:
            if option.name in known or not NAME.fullmatch(option.name):
                raise ValueError(f"option {section.name}.{option.name} is declared twice or has an odd name")
            known[option.name] = option
            if option.required and option.default is not None:
                raise ValueError(f"option {section.name}.{option.name} is required and has a default")
            parseDefault(section, option, option.default)
        for _name, defaults in section.defaults:
            for key, value in defaults:
                if key not in known:
                    raise ValueError(f"section {section.name} has a default for {key}, which it does not have")
                parseDefault(section, known[key], value)

    def table(self, path: Path) -> Section | None:
        """The section of a table, or L{None}."""
        return _match(self.tables, path)

    def array(self, path: Path) -> Section | None:
        """The section of an array of tables, or L{None}."""
        return _match(self.arrays, path)

    def pattern(self, section: Section) -> Path:
        """The parts of a section's declared name."""
        return tuple(section.name.removesuffix("[]").split("."))

    def leads(self, path: Path) -> bool:
        """Whether there is a section of this name, or below it."""
        return any(_fits(pattern[: len(path)], path) for pattern in (*self.tables, *self.arrays))

    def isChosen(self, path: Path) -> bool:
        """Whether the last part of a path that leads somewhere is a name that
        the operator has chosen."""
        patterns = [p for p in (*self.tables, *self.arrays) if _fits(p[: len(path)], path)]
        return all(pattern[len(path) - 1] == "*" for pattern in patterns)

    def below(self, path: Path) -> list[str]:
        """What may stand in a table: names of options and of tables."""
        section = self.table(path)
        options = [option.name for option in section.options] if section is not None else []
        depth = len(path)
        fitting = [p for p in (*self.tables, *self.arrays) if len(p) > depth and _fits(p[:depth], path)]
        return options + [pattern[depth] for pattern in fitting if pattern[depth] != "*"]


def optionOf(section: Section | None, name: str) -> Option | None:
    """The option of that name, or L{None}."""
    return next((o for o in section.options if o.name == name), None) if section is not None else None


def parseDefault(section: Section, option: Option, raw: Any) -> Any:
    """The value of a default.

    @raise ValueError: the declaration is wrong.
    """
    if raw is None:
        return None
    try:
        return option.kind.parse(raw)
    except ValueError as why:
        raise ValueError(f"default of {section.name}.{option.name}: {why}") from None


def _fits(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(p in ("*", part) for p, part in zip(pattern, path, strict=True))


def _match(patterns: dict[Path, Section], path: Path) -> Section | None:
    """Plain names go before stars."""
    if path in patterns:
        return patterns[path]
    fitting = [pattern for pattern in patterns if _fits(pattern, path)]
    return patterns[min(fitting, key=lambda p: [part == "*" for part in p])] if fitting else None
