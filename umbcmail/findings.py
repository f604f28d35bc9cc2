"""What is found wrong while the parts are made.  Part of the composition: one
L{Findings} goes through `service`, `ways` and `ports`, so that an operator is told
of everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from umbcmail.config import Config, ConfigError, Problem


class Findings:
    """A configuration, and what is wrong with it.

    @ivar config: the configuration.
    @ivar problems: so far.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.problems: list[Problem] = []

    def wrong(self, key: str, reason: str, among: Iterable[str] = (), value: Any = None) -> None:
        """Add a problem; the arguments are those of L{Config.problem}."""
        self.problems.append(self.config.problem(key, reason, among, value))

    def unknown(self, key: str, kind: str, name: str, known: Iterable[str]) -> None:
        """A name that nothing has."""
        self.wrong(key, f"there is no such {kind}", list(known), name)

    def checked(self, key: str, make: Callable[[], Any]) -> Any:
        """What C{make} makes, or L{None} and a problem."""
        try:
            return make()
        except ConfigError as error:
            self.problems.extend(error.problems)
        except (ValueError, OSError) as why:
            self.wrong(key, str(why))
        except ExceptionGroup as several:
            for mistake in several.exceptions:
                self.wrong(key, str(mistake))
        return None
