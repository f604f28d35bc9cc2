"""Layers of configuration: tables of files and of C{--set}, laid over one another.

`config.py` makes one L{Layers}, adds what there is to read, and takes the result
with defaults filled in.  Whatever is wrong is noted as a L{Problem} and left out,
so that the rest is looked at too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from umbcmail.config.mistakes import DEFAULT, SET, Problem
from umbcmail.config.schema import NAME, Path, Schema, fill, nearest, normal, optionOf, parseDefault, starsOf
from umbcmail.config.tomltext import TomlError, parseValue, readToml, tomlKey, tomlValue
from umbcmail.options import Option, Section


@dataclass(frozen=True, slots=True)
class Setting:
    """One value: typed, as it was written, and where."""

    value: Any
    raw: Any
    source: str


@dataclass(slots=True)
class Table:
    """The settings of one section, or of one table of an array.

    @ivar settings: by option name.
    @ivar source: where it was first given.
    @ivar number: in an array, which one of its file, from 1.
    @ivar bad: options that were given, but not rightly.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    source: str = DEFAULT
    number: int = 0
    bad: set[str] = field(default_factory=set)

    def values(self) -> Mapping[str, Any]:
        """The typed values, by option name."""
        return MappingProxyType({name: setting.value for name, setting in self.settings.items()})


Tables = dict[Path, Table]
Arrays = dict[Path, list[Table]]


class Layers:
    """Lays tables over one another and notes what is wrong with them.

    @ivar problems: what was wrong so far.
    """

    def __init__(self, schema: Schema, isPart: bool = False) -> None:
        """
        @param isPart: tables that the schema does not know are passed over.
        """
        self.schema = schema
        self._isPart = isPart
        self.problems: list[Problem] = []
        self._tables: Tables = {}
        self._arrays: Arrays = {}
        self._unread = False

    def _note(self, file: str, key: str, value: Any, reason: str, suggestion: str = "") -> None:
        self.problems.append(Problem(file, key, value, reason, suggestion))

    # What is read

    def pieces(self, file: str | None, confD: str | None) -> list[str]:
        """The files of C{conf.d}, in order."""
        folder = confD
        if folder is None:
            folder = os.path.join(os.path.dirname(file), "conf.d") if file is not None else None
        if folder is None or (confD is None and not os.path.lexists(folder)):
            return []
        try:
            names = os.listdir(folder)
        except OSError as why:
            self._note(folder, "", None, f"can't be read: {why.strerror}")
            return []
        return [os.path.join(folder, n) for n in sorted(names) if n.endswith(".toml") and not n.startswith(".")]

    def addFile(self, path: str) -> None:
        """Lay a file over what there is."""
        try:
            tables = readToml(path)
        except TomlError as why:
            self._unread = True
            self._note(path, "", None, str(why))
            return
        self._add(path, (), tables)

    def addSet(self, text: str) -> None:
        """Lay one C{section.key=value} over what there is."""
        key, equals, value = text.partition("=")
        path = tuple(normal(part.strip()) for part in key.split("."))
        if not equals or len(path) < 2 or not all(path):
            self._note(SET, "", None, f"section.key=value is needed, not {tomlValue(text)}")
            return
        for depth in range(1, len(path) + 1):
            if self.schema.array((*path[: depth - 1], path[depth - 1].partition("[")[0])) is not None:
                self._note(SET, tomlKey(*path), None, "arrays of tables can't be set here, but in a file of conf.d")
                return
        nested: Any = parseValue(value.strip())
        for part in reversed(path):
            nested = {part: nested}
        self._add(SET, (), nested)

    # What is in it

    def _add(self, source: str, path: Path, given: Mapping[str, Any]) -> None:
        """One table of a file, and those in it."""
        if path and self.schema.table(path) is not None:
            self._tables.setdefault(path, Table(source=source))
        for key, value in self._distinct(source, tomlKey(*path), given):
            at = (*path, key)
            if self._isPart and not path and not self.schema.leads(at):
                continue
            option = optionOf(self.schema.table(path), key)
            if self.schema.array(at) is not None:
                self._addArray(source, at, value)
            elif isinstance(value, dict) and self.schema.leads(at):
                if self._isNameRight(source, at):
                    self._add(source, at, value)
            elif option is not None:
                self._put(source, self._tables[path], option, tomlKey(*at), value)
            elif self.schema.leads(at):
                self._notATable(source, path, at, value)
            else:
                self._unknown(source, tomlKey(*at), value, self.schema.below(path))

    def _notATable(self, source: str, path: Path, at: Path, value: Any) -> None:
        """A value stands where a section belongs."""
        name = tomlKey(*at)
        if _isArray(value):
            self._note(source, name, None, f"one table [{name}] is needed, not an array of them")
        elif not self.schema.isChosen(at):
            self._note(source, name, value, f"a table [{name}] is needed")
        elif self.schema.table(path) is None:
            self._note(source, name, value, f"a table [{tomlKey(*path)}.NAME] is needed here")
        else:
            self._unknown(source, name, value, self.schema.below(path))

    def _distinct(self, source: str, where: str, given: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """The members of a table with normal keys, each once."""
        seen: dict[str, Any] = {}
        for key, value in given.items():
            if normal(key) in seen:
                shown = None if isinstance(value, dict) else value
                self._note(source, _join(where, key), shown, "is given twice (_ and - mean the same)", "")
            else:
                seen[normal(key)] = value
        return list(seen.items())

    def _unknown(self, source: str, key: str, value: Any, candidates: Sequence[str]) -> None:
        what, shown = ("section", None) if isinstance(value, dict) or _isArray(value) else ("key", value)
        self._note(source, key, shown, f"unknown {what}", nearest(key.rpartition(".")[2], candidates))

    def _isNameRight(self, source: str, path: Path) -> bool:
        if not self.schema.isChosen(path) or NAME.fullmatch(path[-1]):
            return True
        lower = path[-1].lower()
        self._note(
            source,
            tomlKey(*path),
            None,
            "a name may have a-z, 0-9 and hyphens only",
            lower if NAME.fullmatch(lower) else "",
        )
        return False

    def _addArray(self, source: str, path: Path, value: Any) -> None:
        """The tables of an array, behind those of earlier files."""
        section, name = self.schema.array(path), tomlKey(*path)
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            shown = None if isinstance(value, dict) else value
            self._note(source, name, shown, f"an array of tables [[{name}]] is needed")
            return
        assert section is not None
        for number, row in enumerate(value, 1):
            table = Table(source=source, number=number)
            self._arrays.setdefault(path, []).append(table)
            where = f"{name}[{number}]"
            for key, member in self._distinct(source, where, row):
                option = optionOf(section, key)
                if option is not None:
                    self._put(source, table, option, f"{where}.{key}", member)
                else:
                    self._unknown(source, _join(where, key), member, [o.name for o in section.options])

    def _put(self, source: str, table: Table, option: Option, key: str, raw: Any) -> None:
        """One value, if it is right."""
        try:
            value = option.kind.parse(raw)
        except ValueError as why:
            table.bad.add(option.name)
            words = raw if isinstance(raw, list) else [raw]
            wrong = [word for word in words if isinstance(word, str) and word not in option.kind.words]
            self._note(source, key, raw, str(why), nearest(wrong[0], option.kind.words) if wrong else "")
        else:
            table.settings[option.name] = Setting(value, raw, source)

    # What comes of it

    def finished(self, file: str | None) -> tuple[Tables, Arrays]:
        """All tables with their defaults, in the order of declaration."""
        tables: Tables = {}
        for pattern, section in self.schema.tables.items():
            for path in self._pathsOf(pattern, section):
                table = self._tables.get(path) or Table()
                tables[path] = self._filled(section, starsOf(pattern, path), table, tomlKey(*path), file)
        arrays: Arrays = {}
        for path in sorted(self._arrays):
            array = self.schema.array(path)
            assert array is not None
            name = tomlKey(*path)
            arrays[path] = [self._filled(array, "", row, f"{name}[{row.number}]", file) for row in self._arrays[path]]
        return tables, arrays

    def _pathsOf(self, pattern: Path, section: Section) -> list[Path]:
        """The tables of a section: declared ones, then configured ones."""
        if "*" not in pattern:
            return [pattern]
        found = [fill(pattern, name.split(".")) for name in section.names]
        for other, deeper in self.schema.tables.items():
            if len(other) > len(pattern):
                inside = [fill(other, name.split("."))[: len(pattern)] for name in deeper.names]
                found += [path for path in inside if self.schema.table(path) is section]
        found += [path for path in self._tables if self.schema.table(path) is section]
        return list(dict.fromkeys(found))

    def _filled(self, section: Section, name: str, table: Table, key: str, file: str | None) -> Table:
        """A table with defaults where nothing was given."""
        own = section.defaultsFor(name, {key: setting.value for key, setting in table.settings.items()})
        full = Table({}, table.source, table.number)
        for option in section.options:
            setting = table.settings.get(option.name)
            if setting is None:
                raw = own.get(option.name, option.default)
                setting = Setting(parseDefault(section, option, raw), raw, DEFAULT)
                isMissing = option.required and raw is None and option.name not in table.bad
                if isMissing and not self._unread:
                    where = table.source if table.source != DEFAULT else file or DEFAULT
                    self._note(where, f"{key}.{option.name}", None, f"must be set: {option.kind.name}")
            full.settings[option.name] = setting
        return full


def _isArray(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _join(where: str, key: str) -> str:
    return f"{where}.{tomlKey(key)}" if where else tomlKey(key)
