"""What examines messages in the multiplexer, the role C{filter}.

See L{umbcmail.interfaces}, which has all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.defer import Deferred

    from umbcmail.examination import Examined, Opinion, Vouched


class IModule(Interface):
    """A module: a plugin of kind C{module}.  One that provides C{IService} is started with
    the role and stopped after it; one that provides L{IWatched} is asked how it is."""

    mark = Attribute("Name of the field that tells what has come of it, such as C{X-Virus-Status}.")
    claims = Attribute(
        "Tuple of beginnings of names of fields, in lower case, that nobody else may have set: C{b'x-virus-'}."
    )

    def examine(examined: Examined) -> Opinion | Deferred[Opinion]:
        """Look at a message.  Several may be under way at the same time.

        @return: C{Opinion}, or a L{Deferred} of one, which may be cancelled.  Fails with
            C{ModuleError} when it can't tell; what happens then is configured.
        """


class ISeal(Interface):
    """Vouches to other hosts of ours for what has been examined here.  Its Deferreds fail
    with C{OSError} when the message can't be read; it goes on without a seal then."""

    claims = Attribute("As those of L{IModule}.")

    def look(examined: Examined) -> Deferred[Vouched | None]:
        """What the seal that came with a message says.

        @return: L{Deferred} of C{Vouched}, or of L{None} where there is no seal, or none
            that is good.
        """

    def make(examined: Examined, fields: Sequence[tuple[bytes, bytes]], vouched: Vouched) -> Deferred[tuple[str, str]]:
        """Seal a message.

        @param fields: its header as it goes on.
        @return: L{Deferred} of name and value of the field.
        """
