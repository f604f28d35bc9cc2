"""The configuration: one TOML file, pieces in C{conf.d}, and C{--set}.

L{load} is called by the composition (`service.py`, `cli.py`) with the sections
that the parts declare.  Later layers go over earlier ones: declared defaults,
a section's defaults for a name, the file, C{conf.d/*.toml} in the order of their
names, C{--set}.  Tables of an array (C{[[route]]}) are added to those of earlier
files.  An operator's mistakes are gathered and raised at once as L{ConfigError};
the same class serves for those that only the composition can see
(L{Config.problem}).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from umbcmail.config.layers import Layers, Table
from umbcmail.config.mistakes import DEFAULT, SET, ConfigError, Problem
from umbcmail.config.schema import Path, Schema, nearest, starsOf
from umbcmail.config.tomltext import comment, tomlValue
from umbcmail.options import Section

__all__ = ["Config", "ConfigError", "Problem", "load"]


class Config:
    """The effective configuration; made by L{load}.

    Two are equal when all of their values are, wherever these come from.
    """

    def __init__(
        self, schema: Schema, tables: dict[Path, Table], arrays: dict[Path, list[Table]], file: str | None
    ) -> None:
        self._schema = schema
        self._tables = tables
        self._arrays = arrays
        self._file = file

    def section(self, name: str) -> Mapping[str, Any]:
        """The values of a section, by option name with hyphens.

        @param name: C{"spool"}, C{"queue.remote"}.
        @raise KeyError: there is none.
        """
        return self._tables[tuple(name.split("."))].values()

    def names(self, pattern: str) -> list[str]:
        """The names that exist for the C{*} of a section, declared ones first.

        @param pattern: C{"queue.*"}, C{"agent.delivery.port.*"}; with several
            stars the names are joined by dots (C{"delivery.mx"}).
        @raise KeyError: there can't be such a section.
        """
        parts = tuple(pattern.split("."))
        patterns = [declared for declared in self._schema.tables if _isOf(parts, declared)]
        if not patterns:
            raise KeyError(pattern)
        sections = [self._schema.tables[declared] for declared in patterns]
        return [starsOf(parts, p) for p in self._tables if _isOf(parts, p, False) and self._schema.table(p) in sections]

    def array(self, name: str) -> list[Mapping[str, Any]]:
        """The values of each table of an array (C{"route"} for C{[[route]]}), in
        the order of the files.

        @raise KeyError: it is not declared.
        """
        path = tuple(name.split("."))
        if self._schema.array(path) is None:
            raise KeyError(name)
        return [table.values() for table in self._arrays.get(path, ())]

    def source(self, key: str) -> str:
        """Where a value comes from: C{"default"}, the path of a file, C{"--set"}.

        @param key: C{"spool.url"}; C{"route[1].courier"} counts over all files.
        @raise KeyError: there is no such key.
        """
        table, _, option = self._find(key)
        return table.settings[option].source

    def problem(self, key: str, reason: str, among: Iterable[str] = (), value: Any = None) -> Problem:
        """A mistake that L{load} could not see, for a L{ConfigError}.

        @param key: of a setting or a section; C{"route[1].courier"} counts over
            all files.
        @param among: what would be right, for the suggestion.
        @param value: what is wrong, where that is not the whole value.
        """
        table, name, option = self._find(key)
        setting = table.settings.get(option)
        file = setting.source if setting is not None else table.source
        if file == DEFAULT and setting is not None:
            reason += " (this is the default)"
        if value is None and setting is not None:
            value = setting.raw
        words = [w for w in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(w, str)]
        candidates = list(among)
        wrong = next((word for word in words if word not in candidates), "")
        return Problem(
            self._file or file if file == DEFAULT else file,
            name,
            value,
            reason,
            nearest(wrong, candidates) if wrong else "",
        )

    def _find(self, key: str) -> tuple[Table, str, str]:
        """The table of a key, the key as its file counts, and the option or C{""}."""
        section, bracket, rest = key.partition("[")
        if bracket:
            number, _, option = rest.partition("]")
            path = tuple(section.split("."))
            table = self._arrays[path][int(number) - 1]
            return table, f"{section}[{table.number}]{option}", option.removeprefix(".")
        path = tuple(key.split("."))
        if path in self._tables:
            return self._tables[path], key, ""
        table = self._tables[path[:-1]]
        if path[-1] not in table.settings:
            raise KeyError(key)
        return table, key, path[-1]

    def show(self) -> str:
        """All of it as TOML, with the source of each value behind it.  Options
        that are not set stand in comments.  L{load} makes an equal configuration
        of it."""
        lines: list[str] = []
        for path, table in self._tables.items():
            lines += ["", f"[{'.'.join(path)}]", *_lines(table)]
        for path, array in self._arrays.items():
            for table in array:
                lines += ["", f"[[{'.'.join(path)}]]", *_lines(table)]
        return "\n".join(lines[1:]) + "\n"

    def _content(self) -> Any:
        arrays = {path: [table.values() for table in array] for path, array in self._arrays.items() if array}
        return [(path, table.values()) for path, table in self._tables.items()], arrays

    def __eq__(self, other: object) -> bool:
        return self._content() == other._content() if isinstance(other, Config) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def _lines(table: Table) -> list[str]:
    lines = []
    for name, setting in table.settings.items():
        source = setting.source if setting.source in (DEFAULT, SET) else f"from {comment(setting.source)}"
        if setting.raw is None:
            lines.append(f"# {name} is not set  # {source}")
        else:
            lines.append(f"{name} = {tomlValue(setting.raw)}  # {source}")
    return lines


def _isOf(asked: Path, path: Path, pattern: bool = True) -> bool:
    """Whether a section (its pattern, or one of its tables) is asked for: stars
    stand where stars are, names fit names and stars."""
    if len(asked) != len(path):
        return False
    if pattern:
        return all(a == b or (b == "*" and a != "*") for a, b in zip(asked, path, strict=True))
    return all(a in ("*", b) for a, b in zip(asked, path, strict=True))


def load(
    sections: Sequence[Section],
    file: str | None,
    sets: Sequence[str] = (),
    confD: str | None = None,
    isPart: bool = False,
) -> Config:
    """Read the configuration.  Blocks: called before the reactor runs.

    @param sections: what may be set.
    @param file: path of the file, or L{None} for none.
    @param sets: C{section.key=value}; the value as in TOML, or a bare text.
    @param confD: a folder with more files; by default C{conf.d} beside the
        file, if it is there.
    @param isPart: what else stands in the files is for other processes.
    @raise ConfigError: with all mistakes, and with what can be made out in spite
        of them.
    """
    layers = Layers(Schema(sections), isPart)
    if file is not None:
        layers.addFile(file)
    for path in layers.pieces(file, confD):
        layers.addFile(path)
    for text in sets:
        layers.addSet(text)
    tables, arrays = layers.finished(file)
    config = Config(layers.schema, tables, arrays, file)
    if layers.problems:
        raise ConfigError(layers.problems, config)
    return config
