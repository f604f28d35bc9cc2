"""L{umbcmail.accept.tls} and L{umbcmail.accept.certificates}: files become contexts."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from umbcmail.accept.certificates import DAY, CertificateWatch, daysLeft
from umbcmail.accept.tls import Files, ServerTLS, readPair
from umbcmail.maillog import MailLog

BORN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NOW = BORN.timestamp()


def write(files: Files, name: str, days: int = 90, passphrase: bytes = b"") -> None:
    """A certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BORN)
        .not_valid_after(BORN + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    Path(files.certificate).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    how: Any = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.TraditionalOpenSSL
    Path(files.key).write_bytes(key.private_bytes(serialization.Encoding.PEM, form, how))


def shown(tls: ServerTLS, name: str = "", version: int = 0) -> str:
    """The name in the certificate that a client is shown when it asks for one."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version:
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_max_proto_version(version)
    client = SSL.Connection(context, None)
    if name:
        client.set_tlsext_host_name(name.encode())
    client.set_connect_state()
    server = tls.serverConnectionForTLS(None)
    server.set_accept_state()
    for _ in range(4):
        for here, there in ((client, server), (server, client)):
            try:
                here.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                there.bio_write(here.bio_read(65536))
            except SSL.WantReadError:
                pass
    found = client.get_peer_certificate(as_cryptography=True)
    assert found is not None
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


class TLSCase(SynchronousTestCase):
    """Files of a test."""

    def files(self, name: str, days: int = 90) -> Files:
        """A pair that is good."""
        base = self.mktemp()
        os.makedirs(base)
        files = Files(f"{base}/{name}.pem", f"{base}/{name}.key")
        write(files, name, days)
        return files


class PairTests(TLSCase):
    """Reading a pair."""

    def test_good(self) -> None:
        """When it expires is known."""
        pair = readPair(self.files("a.test", 90))
        self.assertEqual(daysLeft(pair, NOW), 90)
        self.assertEqual(daysLeft(pair, NOW + 89.5 * DAY), 0)
        self.assertEqual(daysLeft(pair, NOW + 90.5 * DAY), -1)

    def test_bad(self) -> None:
        """Whatever is wrong is said, with the file; nobody is asked for a passphrase."""
        good, other = self.files("a.test"), self.files("b.test")
        locked = self.files("c.test")
        write(locked, "c.test", passphrase=b"secret")
        empty = Files(good.certificate + ".none", good.key)
        Path(self.mktemp()).write_text("")
        torn = self.files("d.test")
        text = Path(torn.certificate).read_text().replace("M", "A")
        Path(torn.certificate).write_text(text)
        for files, why in (
            (empty, f"{empty.certificate}: No such file"),
            (Files(good.certificate, "/nonexistent/key"), "/nonexistent/key: No such file"),
            (Files(good.key, good.key), f"{good.key}: no certificate in PEM form"),
            (Files(good.certificate, good.certificate), f"{good.certificate}: no private key"),
            (Files(good.certificate, other.key), f"{other.key} is not the key of {good.certificate}"),
            (locked, f"{locked.key}: no private key in PEM form without a passphrase"),
            (torn, f"{torn.certificate}: a certificate in it can't be read"),
        ):
            error = self.assertRaises(ValueError, readPair, files)
            self.assertIn(why, str(error))


class ServerTests(TLSCase):
    """Choosing by name."""

    def make(self) -> ServerTLS:
        """One for several names."""
        self.default = self.files("mx.test")
        names = {n: self.files(n.replace("*", "star")) for n in ("a.test", "*.a.test", "*.x.a.test")}
        return ServerTLS(self.default, names, {f: readPair(f) for f in (self.default, *names.values())})

    def test_names(self) -> None:
        """Names go before patterns, long patterns before short ones, others get the
        default, and so do clients that ask for none."""
        tls = self.make()
        verifyObject(IOpenSSLServerConnectionCreator, tls)
        for asked, expected in (
            ("a.test", "a.test"),
            ("A.Test", "a.test"),
            ("b.a.test", "star.a.test"),
            ("x.a.test", "star.a.test"),
            ("y.x.a.test", "star.x.a.test"),
            ("test", "mx.test"),
            ("ba.test", "mx.test"),
            ("", "mx.test"),
        ):
            self.assertEqual(shown(tls, asked), expected, asked)

    def test_all(self) -> None:
        """The pattern for all names leaves the default to those that ask for none."""
        default, every = self.files("mx.test"), self.files("all.test")
        tls = ServerTLS(default, {"*": every}, {f: readPair(f) for f in (default, every)})
        self.assertEqual((shown(tls, "q.test"), shown(tls, "q"), shown(tls)), ("all.test", "all.test", "mx.test"))

    def test_old(self) -> None:
        """TLS 1.1 is an error for a client that knows nothing better; 1.2 is not."""
        tls = self.make()
        self.assertEqual(shown(tls, version=SSL.TLS1_2_VERSION), "mx.test")
        error = self.assertRaises(SSL.Error, shown, tls, "", SSL.TLS1_1_VERSION)
        self.assertIn("unsupported protocol", str(error))


class WatchTests(TLSCase):
    """Looking after files."""

    def setUp(self) -> None:
        """A pair that is watched."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.lines: list[bytes] = []
        self.log = MailLog(self.lines.append, self.clock)
        self.pair = self.files("old.test", 90)
        self.tls = ServerTLS(self.pair, {}, {self.pair: readPair(self.pair)})
        self.threads: list[Deferred[None]] = []
        self.watch = CertificateWatch(self.tls, self.clock, self.log, execute, 60.0)
        self.watch.start()
        self.addCleanup(self.watch.stop)

    def logged(self) -> str:
        """What has been logged since the last look."""
        self.log.flush()
        text = b"".join(self.lines).decode()
        self.lines.clear()
        return text

    def test_swap(self) -> None:
        """A new pair is there for the next session, at the next look."""
        self.assertIn("days=90", self.logged())
        self.clock.advance(60)
        write(self.pair, "new.test", 50)
        self.assertEqual(shown(self.tls), "old.test")
        self.clock.advance(60)
        self.assertEqual(shown(self.tls), "new.test")
        self.assertRegex(self.logged(), r" certificate id=- .* days=49 why=new\n")

    def test_wrong(self) -> None:
        """A pair that is no good changes nothing, is told of once, and looked at again
        when a file changes."""
        self.logged()
        other = self.files("other.test")
        os.replace(other.certificate, self.pair.certificate)
        self.clock.advance(60)
        self.assertIn(" certificate-refused id=- ", self.logged())
        self.clock.pump([60, 60])
        self.assertEqual((shown(self.tls), self.logged()), ("old.test", ""))
        os.replace(other.key, self.pair.key)
        self.clock.advance(60)
        self.assertEqual(shown(self.tls), "other.test")
        os.remove(self.pair.key)
        self.clock.advance(60)
        self.assertIn("No such file", self.logged())
        self.assertEqual(shown(self.tls), "other.test")

    def test_days(self) -> None:
        """The days are told once a day, and loudly when they are few."""
        self.logged()
        self.clock.pump([60] * 1500)
        self.assertEqual(self.logged().count(" days=89 "), 1)
        self.clock.pump([DAY] * 68)
        self.assertEqual(self.logged().count(" certificate-expires "), 1)
        self.clock.advance(DAY)
        self.assertIn("days=19", self.logged())

    def test_stop(self) -> None:
        """Nothing goes on after the end."""
        self.watch.stop()
        self.logged()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
