"""Who may send what to whom at ports 25, 587 and 465: the whole table, over real
sockets, with C{umbcmail explain} beside it.

Clients are different loopback addresses; those of DRAC, which takes none of these, have
others, that a load balancer speaks for.  They have logged in to a real Dovecot, whose
post-login script has told our role C{drac}.  Names come from a real name server.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.system.logins import BALANCER, Logins, proxyHeader
from tests.system.mailsystem import MAILDIRS, Umbcmail, route, running
from tests.system.nameserver import NameServer
from tests.system.peers import Conversation, Sink, stuffed
from tests.system.programs import HOST, freePort, until

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
CONFIG = """
[networks]
trusted = ["127.0.0.2", "2001:db8:1::/48", "campus.test"]
[dns]
servers = ["127.0.0.1:{dns}"]
timeout = "1s"
[tls]
certificate = "{pem}"
key = "{key}"
[auth]
checkers = ["file:{folder}/users"]
[drac]
listen = ["127.0.0.1:{drac}"]
clients = ["127.0.0.1"]
rpcbind = false
[agent.delivery.port.smtp]
endpoint = "tcp:0:interface=127.0.0.1"
proxy = ["127.0.0.9"]
[agent.delivery.port.submission]
endpoint = "tcp:0:interface=127.0.0.1"
proxy = ["127.0.0.9"]
[agent.delivery.port.submissions]
endpoint = "tcp:0:interface=127.0.0.1"
proxy = ["127.0.0.9"]
"""
"""The ports are what they are by their names, since the numbers are not for tests;
all that a port has is default."""

OK = "250 2.1.5 Recipient OK"
DENIED = "550 5.7.1 Relaying denied"
NEED_TLS = "530 5.7.0 Say STARTTLS first"
NEED_AUTH = "530 5.7.0 Authentication required"
AUTH_NEEDS_TLS = "538 5.7.11 Encryption is needed, say STARTTLS first"
AUTHENTICATED = "235 2.7.0 Authentication successful"
NAME_LATER = "451 4.4.3 The name of your host can't be looked up at present, try again later"
CLOSED = ""

NAMES = {"25": "smtp", "587": "submission", "465": "submissions"}


class Who(NamedTuple):
    """A client.

    @ivar address: if not of loopback, the load balancer speaks for it.
    @ivar tls: by STARTTLS, or from the first octet where the port is so.
    @ivar logsIn: it says AUTH.
    """

    address: str
    tls: bool = False
    logsIn: bool = False


CLIENTS = {
    "in network": Who("127.0.0.2"),
    "in network, TLS": Who("127.0.0.2", tls=True),
    "in domain": Who("127.0.0.3"),
    "in domain, TLS": Who("127.0.0.3", tls=True),
    "in DRAC": Who("198.51.100.4"),
    "in DRAC, TLS": Who("198.51.100.5", tls=True),
    "AUTH with TLS": Who("127.0.0.5", tls=True, logsIn=True),
    "AUTH without TLS": Who("127.0.0.5", logsIn=True),
    "none of them": Who("127.0.0.6"),
    "none of them, TLS": Who("127.0.0.6", tls=True),
    "name of ours, not confirmed": Who("127.0.0.7", tls=True),
    "name of ours inside of another": Who("127.0.0.8", tls=True),
}

TABLE = {
    # client: (to our domain, to another domain), by port
    "in network": {"25": (OK, OK), "587": (NEED_TLS, NEED_TLS), "465": (CLOSED, CLOSED)},
    "in network, TLS": {"25": (OK, OK), "587": (NEED_AUTH, NEED_AUTH), "465": (OK, OK)},
    "in domain": {"25": (OK, OK), "587": (NEED_TLS, NEED_TLS), "465": (CLOSED, CLOSED)},
    "in domain, TLS": {"25": (OK, OK), "587": (NEED_AUTH, NEED_AUTH), "465": (OK, OK)},
    "in DRAC": {"25": (OK, OK), "587": (NEED_TLS, NEED_TLS), "465": (CLOSED, CLOSED)},
    "in DRAC, TLS": {"25": (OK, OK), "587": (NEED_AUTH, NEED_AUTH), "465": (OK, OK)},
    "AUTH with TLS": {"25": (OK, OK), "587": (OK, OK), "465": (OK, OK)},
    "AUTH without TLS": {"25": (OK, DENIED), "587": (NEED_TLS, NEED_TLS), "465": (CLOSED, CLOSED)},
    "none of them": {"25": (OK, DENIED), "587": (NEED_TLS, NEED_TLS), "465": (CLOSED, CLOSED)},
    "none of them, TLS": {"25": (OK, DENIED), "587": (NEED_AUTH, NEED_AUTH), "465": (OK, DENIED)},
    "name of ours, not confirmed": {"25": (OK, DENIED), "587": (NEED_AUTH, NEED_AUTH), "465": (OK, DENIED)},
    "name of ours inside of another": {"25": (OK, DENIED), "587": (NEED_AUTH, NEED_AUTH), "465": (OK, DENIED)},
}

LOGGED_IN = ("198.51.100.4", "198.51.100.5", "2001:db8:2::4")
"""Addresses that somebody has read mail from."""

AUTH = {
    # what AUTH is answered
    "AUTH with TLS": {"25": AUTHENTICATED, "587": AUTHENTICATED, "465": AUTHENTICATED},
    "AUTH without TLS": {"25": AUTH_NEEDS_TLS, "587": NEED_TLS, "465": CLOSED},
}


def configured(folder: Path, pem: tuple[Path, Path], dns: int, drac: int) -> str:
    """The configuration.

    @param dns: port of the name server.
    @param drac: port of the role C{drac}.
    """
    (folder / "users").write_text("ann:{PLAIN}open sesame\n")
    (folder / "maildirs").mkdir()
    values = {"{dns}": str(dns), "{drac}": str(drac), "{pem}": str(pem[0]), "{key}": str(pem[1])}
    config = CONFIG
    for name, value in values.items():
        config = config.replace(name, value)
    return config


class Campus:
    """The system, a next hop, and the host where people read their mail.

    @ivar sink: for C{other.test}.
    """

    def __init__(self, folder: Path, pem: tuple[Path, Path], dns: int, dovecot: Logins) -> None:
        """
        @param dns: port of the name server.
        """
        self.sink = Sink()
        drac = freePort()
        config = configured(folder, pem, dns, drac)
        self.mail = Umbcmail(folder, config + route("other.test", self.sink.port), base=MAILDIRS)
        self.dovecot = dovecot
        dovecot.set(f'HOSTS="{HOST}:{drac}"')

    def login(self) -> None:
        """Somebody at each address of DRAC reads mail by IMAP or by POP3."""
        self.dovecot.byIMAP("198.51.100.4").logout()
        self.dovecot.byPOP3("198.51.100.5").quit()
        self.dovecot.byPOP3("2001:db8:2::4").quit()
        until(lambda: all(f" address={each} " in self.mail.log() for each in LOGGED_IN), "the logins are told")

    def explained(self, who: Who, port: str, recipient: str, answer: str) -> Any:
        """What C{umbcmail explain} says; it must say the answer that the client got."""
        words = ["explain", "--json", "--from", "s@z.test", "--to", recipient, "--client", who.address]
        words += ["--port", f"delivery.{NAMES[port]}", "--tls" if who.tls else "--no-tls"]
        words += ["--auth", "ann"] if who.logsIn else []
        for status in (0, 1):
            with contextlib.suppress(AssertionError):
                found = json.loads(self.mail.tool(*words, status=status))
                break
        else:
            raise AssertionError(f"explain fails: {words}")
        decision = found["decision"]
        assert (decision["reply"], decision["taken"], status) == (answer, answer == OK, int(answer != OK)), found
        return found


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Logins]:
    """Runs while all tests do."""
    dovecot = Logins("")
    try:
        yield dovecot
    finally:
        sys.stderr.write(dovecot.output()[-3000:])
        dovecot.stop()


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory, pem: tuple[Path, Path], dovecot: Logins) -> Iterator[Campus]:
    """Runs while all tests do."""
    folder = tmp_path_factory.mktemp("campus")
    names = NameServer(
        folder,
        campus_test=["A('pc.campus.test', '127.0.0.3')"],
        evil_test=["A('campus.test.evil.test', '127.0.0.8')"],
        **{
            "0_0_127_in-addr_arpa": [
                "PTR('3.0.0.127.in-addr.arpa', 'pc.campus.test')",
                "PTR('7.0.0.127.in-addr.arpa', 'pc.campus.test')",
                "PTR('8.0.0.127.in-addr.arpa', 'campus.test.evil.test')",
            ]
        },
    )
    it = Campus(folder, pem, names.port, dovecot)
    try:
        with running(it.mail):
            it.login()
            yield it
    finally:
        it.sink.close()
        names.stop()


class Client(Conversation):
    """A client that may use TLS."""

    def __init__(self, port: int, who: Who, tlsFirst: bool) -> None:
        isBalanced = not who.address.startswith("127.")
        self.socket = socket.create_connection((HOST, port), 20, (BALANCER if isBalanced else who.address, 0))
        self.socket.settimeout(30)
        if isBalanced:
            self.socket.sendall(proxyHeader(who.address))
        self.closed = False
        if tlsFirst and not who.tls:
            # There is no greeting: nothing is said to who does not begin with TLS.
            self.socket.sendall(b"EHLO c.test\r\n")
            with contextlib.suppress(ConnectionResetError):
                answer = self.socket.recv(1000)
                # A TLS alert is a record of type 21 (RFC 8446 section 6), and no word of SMTP.
                assert answer[:1] in (b"", b"\x15"), answer
            self.closed = True
            return
        self._begin(tlsFirst)
        assert self.reply().startswith(b"220 ")
        self.expect(b"EHLO c.test", b"250")
        if who.tls and not tlsFirst:
            self.expect(b"STARTTLS", b"220")
            self._begin(True)
            self.expect(b"EHLO c.test", b"250")

    def _begin(self, tls: bool) -> None:
        if tls:
            self.socket = ssl._create_unverified_context().wrap_socket(self.socket)
        self.stream = self.socket.makefile("rb")

    def text(self, line: bytes) -> str:
        """Say a line.  @return: the reply."""
        return self.say(line).decode().removesuffix("\r\n")

    def auth(self) -> str:
        """Log in.  @return: the reply."""
        return self.text(b"AUTH PLAIN " + base64.b64encode(b"\0ann\0open sesame"))


def _said(client: Client, recipient: str) -> str:
    """The last that a client hears of a recipient; if that is yes, the message must be
    taken too."""
    sender = client.text(b"MAIL FROM:<s@z.test>")
    answer = client.text(f"RCPT TO:<{recipient}>".encode())
    if sender.startswith("5"):
        assert answer == sender
    if answer == OK:
        client.expect(b"DATA", b"354")
        client.socket.sendall(stuffed(CONTENT))
        assert client.reply().startswith(b"250 2.0.0 OK, delivered")
    return answer


@pytest.mark.parametrize("port", NAMES)
@pytest.mark.parametrize("name", TABLE)
def test_table(campus: Campus, name: str, port: str) -> None:
    """Each cell: what AUTH and the recipient are answered, where the message goes, and
    that C{explain} says the same."""
    who, expected = CLIENTS[name], TABLE[name][port]
    for recipient, answer in zip(("ann@y.test", "ann@other.test"), expected, strict=True):
        client = Client(campus.mail.ports[NAMES[port]], who, port == "465")
        auth = CLOSED
        if not client.closed:
            auth = client.auth() if who.logsIn else CLOSED
            assert _said(client, recipient) == answer
            client.close()
        assert auth == AUTH.get(name, {}).get(port, CLOSED)
        if answer == OK and recipient == "ann@y.test":
            campus.mail.arrived("ann")
        elif answer == OK:
            campus.sink.arrived(recipient)
        found = campus.explained(who, port, recipient, answer)
        assert [each["reply"] for each in found["session"] if each["said"] == "AUTH"] == ([auth] if auth else [])
    assert not campus.sink.messages


def test_tableIsWhole() -> None:
    """Each client has a cell for each port."""
    assert set(TABLE) == set(CLIENTS)
    assert all(set(row) == set(NAMES) for row in TABLE.values())


@pytest.mark.parametrize(
    ("address", "answer"),
    [
        ("2001:db8:1::7", OK),
        ("2001:db8:2::7", DENIED),
        ("::ffff:127.0.0.2", OK),
        ("::ffff:198.51.100.4", OK),
        ("::ffff:198.51.100.6", DENIED),
        ("198.51.100.6", DENIED),
        ("2001:db8:2::4", OK),
    ],
)
def test_otherAddresses(campus: Campus, address: str, answer: str) -> None:
    """IPv6, and IPv4 that is written as IPv6."""
    client = Client(campus.mail.ports["smtp"], Who(address), False)
    client.expect(b"MAIL FROM:<s@z.test>", b"250")
    assert client.text(b"RCPT TO:<ann@other.test>") == answer
    client.close()
    campus.explained(Who(address), "25", "ann@other.test", answer)


def test_noNames(tmp_path: Path, pem: tuple[Path, Path], dovecot: Logins) -> None:
    """Without the DNS nobody is refused whose name might be ours, and who may send for
    another reason still may."""
    campus = Campus(tmp_path, pem, 9, dovecot)
    cells = {"in network": OK, "in domain": NAME_LATER, "in DRAC": OK, "AUTH with TLS": OK, "none of them": NAME_LATER}
    with running(campus.mail):
        campus.login()
        for name, answer in cells.items():
            client = Client(campus.mail.ports["smtp"], CLIENTS[name], False)
            if CLIENTS[name].logsIn:
                assert client.auth() == AUTHENTICATED
            assert _said(client, "ann@other.test") == answer
            client.close()
            campus.explained(CLIENTS[name], "25", "ann@other.test", answer)
    campus.sink.close()


def test_numbers(tmp_path: Path, pem: tuple[Path, Path]) -> None:
    """Who writes no more than the TCP ports gets the three ports, and sees it."""
    config = configured(tmp_path, pem, 9, 9)
    for name, number in (("smtp", 25), ("submission", 587), ("submissions", 465)):
        config = config.replace(f'port.{name}]\nendpoint = "tcp:0:', f'port.p{number}]\nendpoint = "tcp:{number}:')
    mail = Umbcmail(tmp_path, config, base=MAILDIRS)
    done = mail.attempt("--check")
    assert done.returncode == 0, done
    for number, lines in (
        (25, ['tls = "offer"', 'relay = ["networks", "drac", "auth"]', "# auth is not set"]),
        (587, ['tls = "require"', 'relay = ["auth"]', 'auth = "require"']),
        (465, ['tls = "first"', 'relay = ["networks", "drac", "auth"]', "# auth is not set"]),
    ):
        shown = done.stdout.partition(f"[agent.delivery.port.p{number}]")[2].partition("\n[")[0]
        assert all(f"{line}  # default" in shown for line in lines), shown
