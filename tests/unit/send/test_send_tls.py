"""L{umbcmail.send.tls}: certificates are checked, with real handshakes in memory."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.send.tls import CheckedTLS, checkedContext

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Signs certificates."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
        basic = x509.BasicConstraints(True, None)
        self.certificate = self._builder(self.name, self.key).add_extension(basic, True).sign(self.key, hashes.SHA256())

    def _builder(self, name: x509.Name, key: Any, days: int = 3650) -> Any:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - datetime.timedelta(9999))
        return builder.not_valid_after(NOW + datetime.timedelta(days))

    def server(self, *names: str, days: int = 3650) -> SSL.Context:
        """The context of a server with a certificate for names."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [
            x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names
        ]
        builder = self._builder(x509.Name([]), key, days)
        certificate = builder.add_extension(x509.SubjectAlternativeName(alternatives), True).sign(
            self.key, hashes.SHA256()
        )
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        return context

    def file(self, path: str) -> str:
        """The authority's certificate in a file."""
        Path(path).write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path


def shakeHands(client: SSL.Connection, server: SSL.Connection) -> None:
    """A handshake in memory."""
    for _ in range(10):
        for here, there in ((client, server), (server, client)):
            try:
                here.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                there.bio_write(here.bio_read(65536))
            except SSL.WantReadError:
                pass


class CheckedTests(SynchronousTestCase):
    """A certificate is good, or not."""

    def setUp(self) -> None:
        """An authority that is believed."""
        self.authority = Authority()
        self.context = checkedContext(self.authority.file(self.mktemp()))

    def isVerified(self, server: SSL.Context, name: str = "mx.d.test", *names: str) -> bool:
        """Whether a client finds a server's certificate good."""
        checked = CheckedTLS(self.context, name, names)
        self.assertFalse(checked.isVerified())
        client = checked.clientConnectionForTLS(None)
        client.set_connect_state()
        client.set_app_data(object())  # as the protocol around it does
        other = SSL.Connection(server, None)
        other.set_accept_state()
        shakeHands(client, other)
        return checked.isVerified()

    def test_name(self) -> None:
        """It must be for the name of the hop."""
        self.assertTrue(self.isVerified(self.authority.server("mx.d.test")))
        self.assertTrue(self.isVerified(self.authority.server("x.test", "*.d.test")))
        self.assertFalse(self.isVerified(self.authority.server("mx.e.test")))

    def test_address(self) -> None:
        """For a hop that is an address it must be for that."""
        self.assertTrue(self.isVerified(self.authority.server("192.0.2.1"), "192.0.2.1"))
        self.assertFalse(self.isVerified(self.authority.server("mx.d.test"), "192.0.2.1"))

    def test_names(self) -> None:
        """Or for one of the names that the policy has, patterns too."""
        server = self.authority.server("mx7.e.test")
        self.assertTrue(self.isVerified(server, "mx.d.test", "a.test", "mx7.e.test"))
        self.assertTrue(self.isVerified(server, "mx.d.test", "*.e.test"))
        self.assertFalse(self.isVerified(server, "mx7.e.test", "*.f.test", "e.test", "*.mx7.e.test"))

    def test_authority(self) -> None:
        """It must be signed by somebody who is believed, and not be out of date."""
        self.assertFalse(self.isVerified(Authority().server("mx.d.test")))
        self.assertFalse(self.isVerified(self.authority.server("mx.d.test", days=-30)))
        self.context = checkedContext()
        self.assertFalse(self.isVerified(self.authority.server("mx.d.test")))

    def test_badFile(self) -> None:
        """A file without certificates is refused."""
        path = self.mktemp()
        Path(path).write_text("nothing")
        self.assertRaises(ValueError, checkedContext, path)
