"""TLS towards next hops: opportunistic, so no certificate is checked.

TLS 1.2 or later; the name of the next hop goes as SNI when it is a name.  Used
by L{Client<umbcmail.send.client.Client>}; what goes wrong in a handshake ends
the connection, and the pool decides whether to go on in clear.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from zope.interface import implementer


def clientContext() -> SSL.Context:
    """The context that all connections share."""
    return CertificateOptions(insecurelyLowerMinimumTo=TLSVersion.TLSv1_2).getContext()


@implementer(IOpenSSLClientConnectionCreator)
class UncheckedTLS:
    """Makes the TLS side of one connection.

    @param name: of the next hop, a host name or an IP address.
    """

    def __init__(self, context: SSL.Context, name: str) -> None:
        self._context = context
        self._name = name

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See L{IOpenSSLClientConnectionCreator}."""
        connection = SSL.Connection(self._context, None)
        if self._name.isascii() and not isIPAddress(self._name) and not isIPv6Address(self._name):
            connection.set_tlsext_host_name(self._name.encode())
        return connection
