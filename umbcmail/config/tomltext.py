"""TOML as text: files read with care, values and keys written.

`config.py` calls this.  What can go wrong in reading (no such file, too large,
not UTF-8, not TOML, nested without end) is a L{TomlError} with a text for the
operator.  What `tomlValue` and `tomlKey` write is one line, whatever is in it,
and C{tomllib} reads the same value from it.
"""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from typing import Any

LARGEST_FILE = 4 << 20
"""Octets; a larger file is not read."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DEEPEST = 8


class TomlError(Exception):
    """The file can't be read; C{str(error)} says why, without its name."""


def readToml(path: str) -> dict[str, Any]:
    """The tables of a file.

    @raise TomlError: it can't be read, or is not TOML.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise TomlError("there is no such file") from None
    except (OSError, ValueError) as why:
        raise TomlError(f"can't be read: {getattr(why, 'strerror', None) or why}") from None
    if len(data) > LARGEST_FILE:
        raise TomlError("is larger than 4 MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise TomlError(f"is not UTF-8 text (line {data.count(10, 0, why.start) + 1})") from None
    return parseToml(text)


def parseToml(text: str) -> dict[str, Any]:
    """The tables of a text.

    @raise TomlError: it is not TOML; line and column are in the text.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlError("is nested too deeply") from None
    except ValueError as why:
        raise TomlError(f"is not TOML: {why}") from None


def parseValue(text: str) -> Any:
    """One value as it may stand behind C{key =}, or else the text itself: C{5},
    C{"x"} and C{["a", "b"]} are what they look like, C{tcp:25} is a text."""
    try:
        tables = parseToml(f"value = {text}")
    except TomlError:
        return text
    return tables["value"] if len(tables) == 1 else text


def tomlValue(value: Any, depth: int = 0) -> str:
    """A value as TOML, in one line.  What is nested very deeply is cut off."""
    if depth > _DEEPEST:
        return '"..."'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _ESCAPED.sub(_escape, json.dumps(value, ensure_ascii=False))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(tomlValue(member, depth + 1) for member in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{tomlKey(k)} = {tomlValue(v, depth + 1)}" for k, v in value.items()) + "}"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return repr(value)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def tomlKey(*names: str) -> str:
    """A dotted key, its parts in quotes where they must be."""
    return ".".join(name if _BARE_KEY.fullmatch(name) else tomlValue(name) for name in names)


def comment(text: str) -> str:
    """A text for a comment: one line, escaped where it has odd characters."""
    return text if text.isprintable() else tomlValue(text)
