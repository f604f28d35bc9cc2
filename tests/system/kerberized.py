"""umbcmail with users in a realm of Kerberos, for the tests of logins and of tickets."""

from __future__ import annotations

import smtplib
import ssl
from base64 import b64encode
from importlib.util import find_spec
from pathlib import Path

from tests.system.kdc import Realm
from tests.system.mailsystem import Umbcmail, route
from tests.system.programs import HOST, freePort, missing

PASSWORD = "open sesame"
US = "smtp/mx.y.test"
TIMEOUT = 3
"""Seconds that a KDC has."""

_CONFIG = """
[tls]
certificate = "{pem}"
key = "{key}"
[auth]
checkers = ["krb5:Y.TEST,keytab={folder}/keytab,timeout={timeout}{more}"]
mechanisms = ["PLAIN", "LOGIN", "GSSAPI"]
delay = "0.1s"
login-failures = 1000
network-failures = 1000
session-failures = 1000
[agent.delivery.port.submissions]
endpoint = "tcp:{port}:interface={host}:backlog=500"
tls = "first"
auth = "require"
"""


class Kerberized:
    """The mail system; to be started by the test, while it has joined the realm.

    @ivar realm: with the users that tests need.
    @ivar keytab: path of ours.
    @ivar port: TLS from the first octet, and a login.
    """

    def __init__(self, folder: Path, realm: Realm, pem: tuple[Path, Path], nextHop: int = 9, more: str = "") -> None:
        """
        @param nextHop: port for the mail to C{next.test}.
        @param more: behind the argument of the checker.
        """
        if find_spec("gssapi") is None:
            missing("the package gssapi is not installed (script/bootstrap --dev as root)")
        folder.mkdir(parents=True, exist_ok=True)
        self.realm, self.pem, self.keytab, self.port = realm, pem, folder / "keytab", freePort()
        names = {"pem": pem[0], "key": pem[1], "host": HOST, "port": self.port, "folder": folder}
        config = _CONFIG.format(**names, timeout=TIMEOUT, more=more)
        self.mail = Umbcmail(folder, route("next.test", nextHop) + config)

    def client(self) -> smtplib.SMTP_SSL:
        """Connected to that port, after EHLO."""
        context = ssl.create_default_context(cafile=str(self.pem[0]))
        context.check_hostname = False  # we connect to an address
        client = smtplib.SMTP_SSL(HOST, self.port, "c.test", timeout=60, context=context)
        client.ehlo()
        return client

    def plain(self, login: str, password: str) -> str:
        """Log in.  @return: the code, and the enhanced one."""
        octets = b64encode(f"\0{login}\0{password}".encode()).decode()
        with self.client() as client:
            return words(client.docmd("AUTH", f"PLAIN {octets}"))

    def login(self, login: bytes, password: bytes) -> str:
        """The same with LOGIN, which takes all octets."""
        with self.client() as client:
            answer = client.docmd("AUTH", "LOGIN")
            for octets in (login, password):
                if answer[0] == 334:
                    answer = client.docmd(b64encode(octets).decode())
            return words(answer)


def words(answer: tuple[int, bytes]) -> str:
    """The code of a reply, and the enhanced one."""
    return f"{answer[0]} {answer[1].split()[0].decode()}"


def populate(realm: Realm) -> None:
    """The users of the tests, and our principals."""
    realm.add("ann", PASSWORD)
    realm.add("bob", PASSWORD)
    realm.add("ann/admin", PASSWORD)
    realm.add("simple", PASSWORD, "-requires_preauth")
    realm.add("gone", PASSWORD, "-expire yesterday")
    realm.add("locked", PASSWORD, "-allow_tix")
    realm.add("old", PASSWORD, "-pwexpire yesterday")
    realm.add("brief", PASSWORD, '-maxlife "2 seconds"')
    realm.add(US, options="-requires_preauth")
    realm.add("smtp/localhost", options="-requires_preauth")
    realm.add("host/mx.y.test", options="-requires_preauth")
