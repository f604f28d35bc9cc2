"""The TLS of our ports: certificates by the names that clients ask for.

`service` makes one L{ServerTLS} for all ports.  What it takes is Mozilla's
"intermediate" profile: TLS 1.2 or later, forward secrecy, AEAD only.  The files are
looked after by L{umbcmail.accept.certificates}, which puts new contexts in place;
sessions that are under way keep theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from umbcmail.options import DOMAIN_PATTERN, PATH, Option, Section, duration

TLS = Section(
    "tls",
    "TLS of the ports.",
    (
        Option("certificate", PATH, None, "PEM file with the certificate, and the chain behind it."),
        Option("key", PATH, None, "PEM file with the private key."),
        Option("poll", duration(0.1), "1m", "How often to look for new files; they are taken without a restart."),
    ),
)

TLS_NAME = Section(
    "tls-name[]",
    "Other certificates, for clients that ask for a name (SNI).",
    (
        Option("name", DOMAIN_PATTERN, None, "The name that clients ask for, or a pattern for several.", True),
        Option("certificate", PATH, None, "PEM file with the certificate, and the chain behind it.", True),
        Option("key", PATH, None, "PEM file with the private key.", True),
    ),
)

CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Those of TLS 1.2; the profile's DHE suites need parameters of our own and are of
use to no client of today.  Those of TLS 1.3 and the curves are OpenSSL's: the same
as in the profile, with X25519 first."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate and its key, as they are configured.

    @ivar certificate: path of a PEM file.
    @ivar key: path of a PEM file.
    """

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What was in the files.

    @ivar context: with certificate, chain and key.
    @ivar expires: seconds since 1970.
    """

    context: SSL.Context
    expires: float


def readPair(files: Files) -> Pair:
    """Read certificate and key and see whether they belong together.  Blocks.

    @raise ValueError: a file can't be read or used, or they do not.
    """
    try:
        with open(files.certificate, "rb") as file:
            found = _PEM.findall(file.read())
        with open(files.key, "rb") as file:
            private: Any = load_pem_private_key(file.read(), None)
    except OSError as why:
        raise ValueError(f"{why.filename}: {why.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{files.key}: no private key in PEM form without a passphrase") from None
    if not found:
        raise ValueError(f"{files.certificate}: no certificate in PEM form")
    try:
        chain = [load_pem_x509_certificate(pem) for pem in found]
        expires = chain[0].not_valid_after_utc.timestamp()
    except ValueError:
        raise ValueError(f"{files.certificate}: a certificate in it can't be read") from None
    context = _newContext()
    try:
        context.use_certificate(chain[0])
        for each in chain[1:]:
            context.add_extra_chain_cert(each)
        context.use_privatekey(private)
        context.check_privatekey()
    except Exception:
        raise ValueError(f"{files.key} is not the key of {files.certificate}") from None
    return Pair(context, expires)


def _newContext() -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    context.set_cipher_list(CIPHERS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Sessions are resumed by tickets; all contexts are one server to them.
    context.set_session_id(b"umbcmail")
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTLS:
    """Makes the TLS side of connections; what
    L{twisted.internet.interfaces.ITLSTransport.startTLS} takes.

    @ivar pairs: what is in use, by files.
    """

    def __init__(self, default: Files, names: Mapping[str, Files], pairs: Mapping[Files, Pair]) -> None:
        """
        @param default: for clients that ask for none of the names.
        @param names: by domain pattern, see L{umbcmail.options.domainPattern}.
        @param pairs: what is in the files.
        """
        self._default = default
        self._names = dict(names)
        self.pairs: dict[Files, Pair] = {}
        for files, pair in pairs.items():
            self.use(files, pair)

    def use(self, files: Files, pair: Pair) -> None:
        """From now on this is what is in the files."""
        if self._names:
            pair.context.set_tlsext_servername_callback(self._chosen)
        self.pairs[files] = pair

    def filesFor(self, name: str) -> Files:
        """The files for a name: it itself goes before patterns, and the longest of
        these before the others."""
        name = name.lower().removesuffix(".")
        names = self._names
        if name in names:
            return names[name]
        while "." in name:
            name = name.partition(".")[2]
            if f"*.{name}" in names:
                return names[f"*.{name}"]
        return names.get("*", self._default)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """See L{IOpenSSLServerConnectionCreator}."""
        return SSL.Connection(self.pairs[self._default].context, None)

    def _chosen(self, connection: SSL.Connection) -> None:
        """A client has asked for a name (RFC 6066 section 3), or for none."""
        asked = connection.get_servername()
        if asked:
            files = self.filesFor(asked.decode("ascii", "replace"))
            if files != self._default:
                connection.set_context(self.pairs[files].context)
