"""The SMTP courier (RFC 5321): to other mail hosts.

Made by the composition through C{make}; all of its work is in L{Courier}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from umbcmail.send import session
from umbcmail.send.courier import OPTIONS, Courier

__all__ = ["OPTIONS", "SMTPCourier", "make"]


class SMTPCourier(Courier):
    """Carries messages by SMTP."""

    dialect = session.SMTP


def make(settings: Mapping[str, Any], tools: Any) -> SMTPCourier:
    """See L{IPart.make<umbcmail.interfaces.IPart.make>}."""
    more = {"inThread": tools.inThread, "policy": tools.tlsPolicy, "hosts": tools.state.hosts if tools.state else None}
    return SMTPCourier(tools.reactor, tools.log, tools.hostName, settings, **more)
