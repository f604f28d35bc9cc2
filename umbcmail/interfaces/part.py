"""Parts that are found by name among the plugins.

See L{umbcmail.interfaces}, which has all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Mapping


class IPart(Interface):
    """A cheap maker, found among the plugins by its name and kind; the part
    itself is imported and made only when the configuration asks for it.

    Drop-ins are put into C{twisted/plugins/}, see C{docs/plugins.md}.
    """

    kind = Attribute("C{'rule'} (makes an L{IRelayRule}), C{'courier'} (L{ICourier}) or C{'module'} (L{IModule}).")
    section = Attribute("Section of the configuration that its options are in, a str.")
    name = Attribute("The name by which the configuration calls it.")
    options = Attribute("Tuple of C{umbcmail.options.Option}, what can be set for it.")

    def make(settings: Mapping[str, Any], tools: Any) -> Any:
        """Make the part.

        @param settings: mapping from option name to value.
        @param tools: C{umbcmail.service.Tools}: reactor, resolver, log and others.
        """
