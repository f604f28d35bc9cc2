"""TLS towards next hops: opportunistic, where no certificate is checked, or verified.

TLS 1.2 or later; the name of the next hop goes as SNI when it is a name.  Used
by L{Client<umbcmail.send.client.Client>}; what goes wrong in a handshake ends
the connection, and the pool decides whether to go on in clear.
"""

from __future__ import annotations

from typing import Any

import service_identity
from OpenSSL import SSL, crypto
from service_identity import pyopenssl
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
        return _connection(self._context, self._name)


def checkedContext(caFile: str | None = None) -> SSL.Context:
    """The context for certificates that are checked.

    @param caFile: path of a PEM file with the authorities that are believed;
        L{None}: those that the system believes.
    @raise ValueError: the file can't be read.
    """
    context = clientContext()
    if caFile is None:
        context.set_default_verify_paths()
    else:
        try:
            context.load_verify_locations(caFile)
        except SSL.Error:
            raise ValueError("no certificates can be read from this file") from None
    context.set_verify(SSL.VERIFY_PEER)
    return context


@implementer(IOpenSSLClientConnectionCreator)
class CheckedTLS:
    """Makes the TLS side of one connection whose certificate must be good (RFC 6125)."""

    def __init__(self, context: SSL.Context, name: str, names: tuple[str, ...] = ()) -> None:
        """
        @param context: of L{checkedContext}.
        @param name: of the next hop, for SNI.
        @param names: what the certificate may be for; C{*.domain} is any name
            directly below it; empty: C{name}.
        """
        self._isChecked = False
        self._isBad = False
        self._context = context
        self._name = name
        self._names = names or (name,)
        self._connection: SSL.Connection | None = None

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See L{IOpenSSLClientConnectionCreator}."""
        self._connection = _connection(self._context, self._name)
        self._connection.set_verify(SSL.VERIFY_PEER, self._noted)
        return self._connection

    def _noted(self, _: SSL.Connection, certificate: crypto.X509, error: int, depth: int, isGood: int) -> bool:
        """OpenSSL has looked at a certificate of the chain; the last is that of the
        hop itself.  The handshake goes on, so that what is wrong can be told from a
        handshake that does not work."""
        self._isChecked = self._isChecked or not depth
        self._isBad = self._isBad or not isGood
        return True

    def isVerified(self) -> bool:
        """Whether it is good; to be asked after the handshake."""
        connection = self._connection
        if connection is None or self._isBad or not self._isChecked or connection.get_peer_certificate() is None:
            return False
        return any(_isFor(connection, name) for name in self._names)


def _isFor(connection: SSL.Connection, name: str) -> bool:
    """Whether the certificate is for a name."""
    try:
        if isIPAddress(name) or isIPv6Address(name):
            pyopenssl.verify_ip_address(connection, name)
        elif name.startswith("*."):
            return _isBelow(connection, name[1:].lower())
        else:
            pyopenssl.verify_hostname(connection, name)
    except (service_identity.VerificationError, service_identity.CertificateError, ValueError):
        return False
    return True


def _isBelow(connection: SSL.Connection, suffix: str) -> bool:
    certificate = connection.get_peer_certificate()
    assert certificate is not None
    for pattern in pyopenssl.extract_patterns(certificate):
        if isinstance(pattern, service_identity.hazmat.DNSPattern):
            first, dot, rest = pattern.pattern.decode("ascii", "replace").lower().partition(".")
            if first and dot + rest == suffix:
                return True
    return False


def _connection(context: SSL.Context, name: str) -> SSL.Connection:
    connection = SSL.Connection(context, None)
    if name.isascii() and not isIPAddress(name) and not isIPv6Address(name):
        connection.set_tlsext_host_name(name.encode())
    return connection
