"""Parts that are found by name among the plugins: rules, couriers, modules of the multiplexer.

A part is declared by a line in a drop-in (C{twisted/plugins/umbcmail_parts.py} has
ours); its module is imported when the configuration asks for it.  The module has
C{OPTIONS}, and C{make(settings, tools)}.  See C{docs/plugins.md}.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from umbcmail.interfaces import IPart


@implementer(IPlugin, IPart)
class Part:
    """A cheap maker of one part.

    @ivar kind: C{"rule"}, C{"courier"} or C{"module"}.
    @ivar name: what the configuration calls it.
    @ivar section: section of the configuration that its options are in.
    """

    def __init__(self, kind: str, name: str, module: str, section: str = "") -> None:
        """
        @param module: name of the module with C{OPTIONS} and C{make}.
        """
        self.kind = kind
        self.name = name
        self.section = section or f"{kind}.{name}"
        self._module = module

    @property
    def options(self) -> tuple[Any, ...]:
        """See L{IPart.options}."""
        found: tuple[Any, ...] = import_module(self._module).OPTIONS
        return found

    def make(self, settings: Mapping[str, Any], tools: Any) -> Any:
        """See L{IPart.make}."""
        return import_module(self._module).make(settings, tools)


def findParts(kind: str) -> dict[str, IPart]:
    """All parts of a kind that are installed, by name.

    @raise ValueError: two have the same name.
    """
    found: dict[str, IPart] = {}
    for part in getPlugins(IPart):
        if part.kind == kind:
            if part.name in found:
                raise ValueError(f"two {kind} plugins are called {part.name}")
            found[part.name] = part
    return found
