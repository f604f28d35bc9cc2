"""GSSAPI with MIT's KDC: msmtp, curl where it can, and a client of our own that can do
what those don't."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.system.kdc import Realm
from tests.system.kerberized import PASSWORD, TIMEOUT, US, Kerberized, populate, words
from tests.system.mailsystem import running
from tests.system.peers import Sink
from tests.system.programs import missing, need, until

CONTENT = b"Subject: ticket\n\ntext\n"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """A next hop."""
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, pem: tuple[Path, Path], sink: Sink) -> Iterator[Kerberized]:
    """umbcmail runs, and the KDC; this process is in the realm too."""
    realm = Realm(tmp_path_factory.mktemp("realm"))
    try:
        populate(realm)
        house = Kerberized(tmp_path_factory.mktemp("umbcmail"), realm, pem, sink.port)
        realm.keytab(house.keytab, US, "smtp/localhost")
        with realm.joined(), running(house.mail):
            yield house
    finally:
        realm.stop()


@pytest.fixture(scope="module")
def gssapi(house: Kerberized) -> Any:
    """The library, in this process."""
    return import_module("gssapi")


class Ticketed:
    """A client of the mechanism.

    @ivar answers: replies so far.
    """

    def __init__(self, library: Any, tickets: Path, service: str = US, mutual: bool = True) -> None:
        """
        @param tickets: file with tickets.
        @param mutual: it wants to know us too.
        """
        name = library.Name(f"{service}@Y.TEST", library.NameType.kerberos_principal)
        credentials = library.Credentials(usage="initiate", store={"ccache": f"FILE:{tickets}"})
        flags = [library.RequirementFlag.mutual_authentication] if mutual else []
        flags += [library.RequirementFlag.integrity]
        self.context = library.SecurityContext(
            name=name, creds=credentials, usage="initiate", flags=flags, mech=library.MechType.kerberos
        )
        self.token: bytes = self.context.step(None)
        self.answers: list[str] = []

    def logIn(self, client: smtplib.SMTP, other: str = "", layer: bytes = b"\1\0\0\0") -> str:
        """Run it.

        @param other: as whom to act.
        @return: the last reply.
        """
        answer = client.docmd("AUTH", f"GSSAPI {b64encode(self.token).decode()}")
        if answer[0] == 334 and not self.context.complete:
            assert self.context.step(b64decode(answer[1])) is None
            answer = client.docmd("")
        if answer[0] == 334:
            self.offer = self.context.unwrap(b64decode(answer[1])).message
            signed = self.context.wrap(layer + other.encode(), False).message
            answer = client.docmd(b64encode(signed).decode())
        return words(answer)


@pytest.fixture(scope="module")
def tickets(house: Kerberized) -> Path:
    """A ticket of ann."""
    return house.realm.tickets("ann", PASSWORD, house.realm.folder / "ann.tickets")


@pytest.mark.parametrize("mutual", [True, False])
@pytest.mark.parametrize("other", ["", "ann", "ann@Y.TEST"])
def test_ticket(house: Kerberized, gssapi: Any, tickets: Path, mutual: bool, other: str) -> None:
    """A ticket logs in, and sends mail; no layer is offered (RFC 4752 section 3.3)."""
    before = len(house.mail.events("authenticated"))
    with house.client() as client:
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN", "GSSAPI"]
        ticketed = Ticketed(gssapi, tickets, mutual=mutual)
        assert ticketed.logIn(client, other) == "235 2.7.0"
        assert ticketed.offer == b"\1\0\0\0"
        client.sendmail("ann@y.test", ["a@next.test"], "Subject: x\r\n\r\ntext\r\n")
    (event,) = until(lambda: house.mail.events("authenticated")[before:], "it is logged")
    assert " login=ann mechanism=GSSAPI" in event


def test_otherNames(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """A ticket for another name of the host is as good, if the keytab has its key."""
    with house.client() as client:
        assert Ticketed(gssapi, tickets, "smtp/localhost").logIn(client) == "235 2.7.0"


def test_noInitialResponse(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """The first token may come in a line of its own, after an empty challenge."""
    with house.client() as client:
        assert client.docmd("AUTH", "GSSAPI") == (334, b"")
        ticketed = Ticketed(gssapi, tickets, mutual=False)
        code, said = client.docmd(b64encode(ticketed.token).decode())
        assert (code, ticketed.context.unwrap(b64decode(said)).message) == (334, b"\1\0\0\0")
        signed = ticketed.context.wrap(b"\1\0\0\0", False).message
        assert client.docmd(b64encode(signed).decode())[0] == 235


def test_somebodyElse(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """Nobody acts for somebody else, nor with a layer that was not offered."""
    for other in ("bob", "ann/admin", "ann@Z.TEST"):
        with house.client() as client:
            assert Ticketed(gssapi, tickets).logIn(client, other) == "535 5.7.8"
    with house.client() as client:
        assert Ticketed(gssapi, tickets).logIn(client, layer=b"\4\0\xff\xff").startswith("501 ")
        assert client.docmd("MAIL", "FROM:<ann@y.test>")[0] == 530


def test_replay(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """What was sent once is no good a second time, and without the key neither."""
    ticketed = Ticketed(gssapi, tickets, mutual=False)
    first = b64encode(ticketed.token).decode()
    with house.client() as client:
        assert client.docmd("AUTH", f"GSSAPI {first}")[0] == 334
        assert client.docmd(b64encode(b"\1\0\0\0").decode())[0] == 535
    with house.client() as client:
        assert words(client.docmd("AUTH", f"GSSAPI {first}")) == "535 5.7.8"


def test_instance(house: Kerberized, gssapi: Any, tmp_path: Path) -> None:
    """Instances are no logins with a ticket either."""
    tickets = house.realm.tickets("ann/admin", PASSWORD, tmp_path / "tickets")
    with house.client() as client:
        assert Ticketed(gssapi, tickets).logIn(client) == "535 5.7.8"
    house.mail.logged("ann/admin has an instance")


def test_expired(house: Kerberized, gssapi: Any, tmp_path: Path) -> None:
    """A ticket that has expired is a no.  (The library lets one live on for the time
    that clocks may differ, so the server's is told not to.)"""
    strict = tmp_path / "krb5.conf"
    strict.write_text(house.realm.config.read_text().replace("[libdefaults]", "[libdefaults]\n  clockskew = 1"))
    another = Kerberized(tmp_path / "umbcmail", house.realm, house.pem)
    shutil.copy(house.keytab, another.keytab)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRB5_CONFIG", str(strict))
        with running(another.mail), another.client() as client:
            tickets = house.realm.tickets("brief", PASSWORD, tmp_path / "tickets")
            ticketed = Ticketed(gssapi, tickets)
            time.sleep(4.5)
            assert ticketed.logIn(client) == "535 5.7.8"


def test_otherService(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """A ticket for something else can't be opened; that may be a matter of the keytab,
    so nobody is refused for good, and the log says which it would take."""
    with house.client() as client:
        assert Ticketed(gssapi, tickets, "host/mx.y.test").logIn(client) == "454 4.7.0"
    line = house.mail.logged("a client's ticket can't be opened")
    assert str(house.keytab) in line and "host/mx.y.test@Y.TEST not found in keytab" in line


def test_garbage(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """Tokens that are cut, changed or of something else never log in, and never do
    harm."""
    token = Ticketed(gssapi, tickets).token
    with house.client() as client:
        for octets in (b"", b"x", token[:50], token + b"x", b"\x60\x82\x03\xe8" + b"\xff" * 1000):
            assert client.docmd("AUTH", f"GSSAPI {b64encode(octets).decode() or '='}")[0] in (501, 454)
        for at in range(4, len(token), 41):
            changed = token[:at] + bytes([token[at] ^ 0xFF]) + token[at + 1 :]
            code = client.docmd("AUTH", f"GSSAPI {b64encode(changed).decode()}")[0]
            if code == 334:  # what is not signed may be changed: names of hosts, flags
                code = client.docmd("*")[0]
            assert code in (501, 454, 535)
    with house.client() as client:
        assert Ticketed(gssapi, tickets).logIn(client) == "235 2.7.0"


def test_noKDC(house: Kerberized, gssapi: Any, tickets: Path) -> None:
    """Who has a ticket does not need the KDC, also while passwords wait for it."""
    with house.client() as client:
        ready = [Ticketed(gssapi, tickets) for _ in range(2)]
        house.realm.freeze()
        try:
            clients = [house.client() for _ in range(12)]
            for each in clients:
                each.putcmd("AUTH", "PLAIN AGFubgBhbm4=")
            began = time.monotonic()
            assert ready[0].logIn(client) == "235 2.7.0"
            assert time.monotonic() - began < TIMEOUT - 0.5
            assert {each.getreply()[0] for each in clients} == {454}
            for each in clients:
                each.close()
        finally:
            house.realm.thaw()


def test_msmtp(house: Kerberized, sink: Sink, tickets: Path, tmp_path: Path) -> None:
    """msmtp (GNU SASL) sends with a ticket, and without one sends nothing."""
    if "gssapi" not in subprocess.run([need("msmtp"), "--version"], capture_output=True, text=True).stdout:
        missing("msmtp can't do GSSAPI")
    config = tmp_path / "msmtprc"
    lines = ["defaults", "host localhost", f"port {house.port}", "from ann@y.test", "domain c.test", "timeout 20"]
    lines += ["tls on", "tls_starttls off", f"tls_trust_file {house.pem[0]}", "tls_host_override mx.y.test"]
    config.write_text("\n".join([*lines, "auth gssapi", "user ann", "account default", ""]))
    config.chmod(0o600)
    argv = [need("msmtp"), "-C", str(config), "--", "m@next.test"]
    env = dict(os.environ, KRB5CCNAME=f"FILE:{tickets}")
    done = subprocess.run(argv, input=CONTENT, env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert sink.arrived("m@next.test").content.endswith(b"text\r\n")
    env["KRB5CCNAME"] = f"FILE:{tmp_path}/none"
    assert subprocess.run(argv, input=CONTENT, env=env, capture_output=True, timeout=60).returncode != 0


def test_curl(house: Kerberized, sink: Sink, tickets: Path, tmp_path: Path) -> None:
    """curl (its own SASL, MIT's library) sends with a ticket."""
    curl = shutil.which("curl")
    if not curl or "GSS-API" not in subprocess.run([curl, "-V"], capture_output=True, text=True).stdout:
        pytest.skip("no curl that can do GSSAPI; msmtp has been tested")
    (tmp_path / "mail").write_bytes(CONTENT.replace(b"\n", b"\r\n"))
    argv = [curl, "-sS", "--url", f"smtps://localhost:{house.port}/c.test", "-k", "-u", "ann@Y.TEST:"]
    argv += ["--login-options", "AUTH=GSSAPI", "--mail-from", "ann@y.test", "--mail-rcpt", "c@next.test"]
    env = dict(os.environ, KRB5CCNAME=f"FILE:{tickets}")
    done = subprocess.run([*argv, "-T", str(tmp_path / "mail")], env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert sink.arrived("c@next.test").content.endswith(b"text\r\n")
    house.mail.logged(" login=ann mechanism=GSSAPI")
