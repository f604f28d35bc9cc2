"""The LMTP courier (RFC 2033): to Dovecot, or to the local delivery agent.

Made by the composition through C{make}; all of its work is in L{Courier}.  After the dot the
next hop answers for each accepted recipient.  A hop with port 0 is a UNIX socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from umbcmail.send import session
from umbcmail.send.courier import OPTIONS, Courier

__all__ = ["OPTIONS", "LMTPCourier", "make"]


class LMTPCourier(Courier):
    """Carries messages by LMTP."""

    dialect = session.LMTP


def make(settings: Mapping[str, Any], tools: Any) -> LMTPCourier:
    """See L{IPart.make<umbcmail.interfaces.IPart.make>}."""
    more = {"inThread": tools.inThread, "policy": tools.tlsPolicy, "hosts": tools.state.hosts if tools.state else None}
    return LMTPCourier(tools.reactor, tools.log, tools.hostName, settings, **more)
