"""The TLS of our ports: certificate and key, read once and checked."""

from __future__ import annotations

import re
from typing import Any

from OpenSSL import crypto
from twisted.internet.ssl import CertificateOptions, TLSVersion

from umbcmail.options import PATH, Option, Section

TLS = Section(
    "tls",
    "TLS of the ports.",
    (
        Option("certificate", PATH, None, "PEM file with the certificate, and the chain behind it."),
        Option("key", PATH, None, "PEM file with the private key."),
    ),
)

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def serverContext(certificate: str, key: str) -> CertificateOptions:
    """What L{twisted.internet.interfaces.ITLSTransport.startTLS} takes: TLS 1.2
    or later, without a demand for certificates of clients.

    @param certificate: path of a PEM file.
    @param key: path of a PEM file.
    @raise ValueError: a file can't be read or used, or they don't belong together.
    """
    try:
        with open(certificate, "rb") as file:
            found = _PEM.findall(file.read())
        with open(key, "rb") as file:
            private = crypto.load_privatekey(crypto.FILETYPE_PEM, file.read())
    except OSError as why:
        raise ValueError(f"{why.filename}: {why.strerror}") from None
    except crypto.Error:
        raise ValueError(f"{key}: no private key in PEM form") from None
    if not found:
        raise ValueError(f"{certificate}: no certificate in PEM form")
    try:
        chain: list[Any] = [crypto.load_certificate(crypto.FILETYPE_PEM, pem) for pem in found]
    except crypto.Error:
        raise ValueError(f"{certificate}: a certificate in it can't be read") from None
    options = CertificateOptions(
        privateKey=private,
        certificate=chain[0],
        extraCertChain=chain[1:],
        raiseMinimumTo=TLSVersion.TLSv1_2,
    )
    try:
        options.getContext().check_privatekey()
    except Exception:
        raise ValueError(f"{key} is not the key of {certificate}") from None
    return options
