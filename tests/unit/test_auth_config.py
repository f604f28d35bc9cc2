"""AUTH as it is configured: `[auth]`, the ports' option, and C{--auth}."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from umbcmail.config import ConfigError, load
from umbcmail.sections import sections
from umbcmail.service import makeApplication
from umbcmail.tap import RunOptions


class Reactor(MemoryReactorClock):
    """One that is asked for threads, and never runs any."""

    def getThreadPool(self) -> Any:
        """Nothing."""


def certificate(path: str) -> None:
    """Write a key, and a certificate signed with it."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.y.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    with open(path, "wb") as file:
        file.write(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


class AuthConfigTests(SynchronousTestCase):
    """What a port has of AUTH."""

    def setUp(self) -> None:
        """A certificate and a file of users."""
        self.pem, self.users = os.path.abspath(self.mktemp()), os.path.abspath(self.mktemp())
        certificate(self.pem)
        with open(self.users, "w") as file:
            file.write("ann:{PLAIN}s3cret!\n")

    def terms(self, *lines: str, tls: bool = True, auth: bool = True, checkers: tuple[str, ...] = ()) -> Any:
        """The terms of a port with these lines."""
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('[host]\nname = "mx.y.test"\n[spool]\nurl = "memory:"\n[state]\nurl = "memory:"\n')
            file.write('[domains]\nlocal = []\n[queue.local]\nnext-hops = ["unix:/lmtp"]\n')
            if auth:
                file.write(f'[auth]\ncheckers = ["file:{self.users}"]\n')
            if tls:
                file.write(f'[tls]\ncertificate = "{self.pem}"\nkey = "{self.pem}"\n')
            file.write('[agent.delivery.port.mx]\nendpoint = "tcp:0"\n' + "\n".join(lines))
        application = makeApplication(load(sections(), path), Reactor(), checkers=checkers)
        [door] = application._doors
        factory: Any = door.factory
        terms = factory._rules.auth
        self.assertIs(factory.portal, terms.portal if terms is not None else None)
        return terms

    def test_default(self) -> None:
        """On offer where there are checkers and TLS."""
        self.assertFalse(self.terms().needed)
        self.assertEqual("AUTH PLAIN LOGIN SCRAM-SHA-256", self.terms('tls = "first"').keyword)
        self.assertIsNone(self.terms(auth=False))
        self.assertIsNone(self.terms(tls=False))
        self.assertIsNone(self.terms('tls = "never"'))
        self.assertIsNone(self.terms('auth = "never"'))

    def test_others(self) -> None:
        """Those that ask other programs are made without asking."""
        for checker in ("dovecot:/run/x", "saslauthd:/run/x:split:realm=y.test", "pam:smtp"):
            self.assertEqual("AUTH PLAIN LOGIN", self.terms(auth=False, checkers=(checker,)).keyword)
        for checker in ("dovecot:x", "saslauthd:x", "saslauthd:/run/x:y", "pam:", "pam:/etc/pam.d/smtp"):
            error = self.assertRaises(ConfigError, self.terms, auth=False, checkers=(checker,))
            self.assertEqual(["auth.checkers"], [problem.key for problem in error.problems])

    def test_said(self) -> None:
        """As the port says."""
        self.assertTrue(self.terms('auth = "require"').needed)
        self.assertFalse(self.terms('auth = "offer"').needed)

    def test_option(self) -> None:
        """Checkers of C{--auth} count as those of the file."""
        self.assertEqual("AUTH PLAIN LOGIN", self.terms(auth=False, checkers=("memory:ann:x",)).keyword)

    def test_wrong(self) -> None:
        """What can't be is told before a port opens, and where."""
        for key, lines, options in (
            ("agent.delivery.port.mx.auth", ['auth = "offer"'], {"auth": False}),
            ("agent.delivery.port.mx.auth", ['auth = "require"'], {"tls": False}),
            ("agent.delivery.port.mx.auth", ['auth = "offer"', 'tls = "never"'], {}),
            ("auth.checkers", [], {"checkers": ("file:/no/such/file",)}),
            ("auth.checkers", [], {"checkers": ("nothing:x",)}),
        ):
            error = self.assertRaises(ConfigError, self.terms, *lines, **options)
            self.assertEqual([key], [problem.key for problem in error.problems])

    def test_commandLine(self) -> None:
        """C{--auth} may be repeated, and knows what there is."""
        options = RunOptions()
        options.parseOptions(["--auth", f"file:{self.users}", "--auth", "memory:a:b"])
        self.assertEqual([f"file:{self.users}", "memory:a:b"], options["auth"])
        options.parseOptions(["--auth", "dovecot:/x", "--auth", "saslauthd:/x", "--auth", "pam:smtp"])
        for wrong in ("nothing:x", "anonymous"):
            self.assertRaises(UsageError, RunOptions().parseOptions, ["--auth", wrong])
        for arguments in (["--help-auth"], ["--help-auth-type", "file"]):
            self.assertRaises(SystemExit, RunOptions().parseOptions, arguments)
