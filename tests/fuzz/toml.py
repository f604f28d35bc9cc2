"""Configuration as text: L{umbcmail.config.tomltext}."""

from __future__ import annotations

import tomllib
from typing import Any

from umbcmail.config.tomltext import TomlError, comment, parseToml, parseValue, tomlKey, tomlValue

SEEDS = [
    b'[a]\nb = "c"\n[[d]]\ne = [1, 2.5, true]\n[f."g h"]\ni = 2026-01-05T10:00:00Z\n',
    b"tcp:25:interface=127.0.0.1",
    b"a = {b = {c = [[[1]]]}}",
]


def check(data: bytes) -> None:
    """Tables or L{TomlError}; what is written reads back the same."""
    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"\xff" else "replace")
    _same(text)
    assert "\n" not in comment(text)
    value = parseValue(text)
    _same(value)
    try:
        tables = parseToml(text)
    except TomlError as why:
        assert str(why)
        return
    _same(tables)


def _same(value: Any) -> None:
    if _depth(value) > 7 or not _isWritable(value):
        return
    line = f"{tomlKey('a b')} = {tomlValue(value)}"
    assert "\n" not in line and "\r" not in line
    assert repr(tomllib.loads(line)["a b"]) == repr(value), line


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _isWritable(value: Any) -> bool:
    """No lone surrogates, which no file in UTF-8 has."""
    if isinstance(value, dict):
        return all(_isWritable(k) and _isWritable(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_isWritable, value))
    return not isinstance(value, str) or not any("\ud800" <= c <= "\udfff" for c in value)
