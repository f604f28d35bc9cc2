"""A watched part that has to ask before it can tell how it is.

See L{umbcmail.interfaces}, which has all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from umbcmail.interfaces.state import IWatched

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class IRefreshed(IWatched):
    """What C{condition} and C{figures} tell is what was found out last."""

    def refresh() -> Deferred[None]:
        """Find it out anew.  Called when somebody looks, not more often than every
        few seconds, and not again before the Deferred has fired; who looks does
        not wait for long.  What goes wrong is a condition, no failure.

        @return: L{Deferred}
        """
