"""An operator's mistakes in the configuration, with all that is needed to mend them.

Made while files are read (`layers.py`) and by the composition, which knows more
(does the courier of a route exist?).  They are gathered and raised at once, so
that one start tells of all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from umbcmail.config.tomltext import comment, tomlValue

DEFAULT = "default"
"""In place of a file: the value is the declared one."""
SET = "--set"
"""In place of a file: the command line."""

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake of an operator.

    @ivar file: the path of the file, C{"--set"}, or C{"default"}.
    @ivar key: dotted, C{""} where the whole file is meant.  Tables of an array
        are counted from 1 in each file: C{route[1].courier}.
    @ivar value: as it was given, or L{None}.
    @ivar reason: what is wrong with it.
    @ivar suggestion: what was probably meant, or C{""}.
    """

    file: str
    key: str
    value: Any
    reason: str
    suggestion: str = ""

    def __str__(self) -> str:
        where = comment(self.file) + ": " + self.key
        if self.value is not None:
            text = tomlValue(self.value)
            where += " = " + (text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
        where += ": " if self.key else ""
        return where + self.reason + (f" (did you mean {self.suggestion}?)" if self.suggestion else "")


class ConfigError(Exception):
    """The configuration can't be used.

    @ivar problems: a list of L{Problem}, all that there are.
    @ivar config: a C{Config} with defaults in place of what is wrong, so that more
        mistakes can be looked for, or L{None}.
    """

    def __init__(self, problems: Iterable[Problem], config: Any = None) -> None:
        self.problems = list(problems)
        self.config = config
        super().__init__("\n".join(map(str, self.problems)))
