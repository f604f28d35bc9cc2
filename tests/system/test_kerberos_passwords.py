"""C{krb5:REALM} with MIT's KDC: passwords, KDCs that are away, hang or lie, keytabs."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.kdc import Realm
from tests.system.kerberized import PASSWORD, TIMEOUT, US, Kerberized, populate
from tests.system.mailsystem import running
from tests.system.peers import Conversation, Sink, send
from tests.system.programs import until

SLACK = 3.0
"""Seconds that an answer may take beside what is waited for."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, pem: tuple[Path, Path]) -> Iterator[Kerberized]:
    """umbcmail runs, and the KDC."""
    realm = Realm(tmp_path_factory.mktemp("realm"))
    sink = Sink()
    try:
        populate(realm)
        house = Kerberized(tmp_path_factory.mktemp("umbcmail"), realm, pem, sink.port)
        realm.keytab(house.keytab, US)
        # Tickets of its own, which must not help anybody.
        with realm.joined(), pytest.MonkeyPatch.context() as patch:
            patch.setenv("KRB5CCNAME", f"FILE:{realm.tickets('ann', PASSWORD, realm.folder / 'daemon')}")
            patch.setenv("KRB5_CLIENT_KTNAME", str(house.keytab))
            with running(house.mail):
                yield house
    finally:
        realm.stop()
        sink.close()


def told(house: Kerberized, login: str, password: str = PASSWORD) -> tuple[str, float]:
    """The answer to a login, and how long it took."""
    began = time.monotonic()
    answer = house.plain(login, password)
    return answer, time.monotonic() - began


@pytest.mark.parametrize("login", ["ann", "ann@Y.TEST", "ann@y.test"])
def test_right(house: Kerberized, login: str) -> None:
    """The right password is, with and without the realm; the login is without."""
    before = len(house.mail.events("authenticated"))
    assert house.plain(login, PASSWORD) == "235 2.7.0"
    (event,) = until(lambda: house.mail.events("authenticated")[before:], "it is logged")
    assert " login=ann mechanism=PLAIN" in event


@pytest.mark.parametrize(
    "login, password",
    [
        ("ann", "wrong"),
        ("ann", PASSWORD + " "),
        ("simple", "wrong"),
        ("nobody", PASSWORD),
        ("gone", PASSWORD),
        ("locked", PASSWORD),
        ("old", PASSWORD),
        ("ann/admin", PASSWORD),
        ("ann@Z.TEST", PASSWORD),
        ("ann@Y.TEST@Y.TEST", PASSWORD),
        ("ann\\", PASSWORD),
        ("ann\\@Y.TEST", PASSWORD),
        ("jürgen", PASSWORD),
        ("a" * 255, PASSWORD),
        ("ann", "x" * 3000),
        ("smtp/mx.y.test", PASSWORD),
        ("krbtgt/Y.TEST", PASSWORD),
    ],
)
def test_no(house: Kerberized, login: str, password: str) -> None:
    """Wrong passwords, unknown, expired and locked principals, other realms and
    instances are a no, all of them in the same words, and soon."""
    answer, seconds = told(house, login, password)
    assert answer == "535 5.7.8"
    assert seconds < SLACK


@pytest.mark.parametrize(
    "login, password",
    [
        (b"ann", PASSWORD.encode() + b"\0"),
        (b"ann", PASSWORD.encode() + b"\0wrong"),
        (b"ann\n", PASSWORD.encode()),
        (b"ann", b"\xff\xfe"),
    ],
)
def test_octets(house: Kerberized, login: bytes, password: bytes) -> None:
    """What C would cut off at a NUL is not the password, and octets that are no text
    do no harm."""
    assert house.login(login, password) == "535 5.7.8"


def test_nul(house: Kerberized) -> None:
    """A name with a NUL is not the name before it."""
    assert house.login(b"ann\0x", PASSWORD.encode()).startswith("5")


def test_why(house: Kerberized) -> None:
    """The log says who can't log in although the password may be right."""
    assert house.plain("old", PASSWORD) == "535 5.7.8"
    assert 'login=old why="the password has expired"' in house.mail.logged(" refused-by-kdc id=- login=old")


def test_mail(house: Kerberized) -> None:
    """Who has logged in may send to others."""
    with house.client() as client:
        client.login("bob", PASSWORD)
        client.sendmail("bob@y.test", ["a@next.test"], "Subject: x\r\n\r\ntext\r\n")
    house.mail.logged(" login=bob mechanism=PLAIN")


def test_noKDC(house: Kerberized) -> None:
    """Where no KDC runs nobody is told that the password is wrong, and the log says
    what is away; when it is back, so are the users."""
    house.realm.stop()
    try:
        answer, seconds = told(house, "ann")
        assert answer == "454 4.7.0"
        assert told(house, "ann", "wrong")[0] == "454 4.7.0"
        assert seconds < TIMEOUT + SLACK
        assert "krb5.conf" in house.mail.logged("Cannot contact any KDC")
    finally:
        house.realm.start()
    assert house.plain("ann", PASSWORD) == "235 2.7.0"
    assert house.plain("ann", "wrong") == "535 5.7.8"


def test_frozenKDC(house: Kerberized) -> None:
    """While a KDC does not answer, logins are put off in time, more than there are
    threads too; other sessions and mail don't wait; and when it answers again, users
    get in again."""
    answers: list[tuple[str, float]] = []
    crowd = [threading.Thread(target=lambda: answers.append(told(house, "ann"))) for _ in range(100)]
    house.realm.freeze()
    try:
        for thread in crowd:
            thread.start()
        talk = Conversation(house.mail.port)
        talk.expect(b"EHLO c.test", b"250")
        worst, number, end = 0.0, 0, time.monotonic() + TIMEOUT - 0.5
        while time.monotonic() < end:
            began = time.monotonic()
            talk.expect(b"NOOP", b"250")
            worst, number = max(worst, time.monotonic() - began), number + 1
            time.sleep(0.01)
        talk.close()
        began = time.monotonic()
        assert send(house.mail.port, b"Subject: x\r\n\r\n", "b@next.test").startswith(b"250")
        assert time.monotonic() - began < SLACK
        for thread in crowd:
            thread.join(60)
        assert len(answers) == 100
        assert {answer for answer, _ in answers} == {"454 4.7.0"}
        assert max(seconds for _, seconds in answers) < TIMEOUT + SLACK
        # Some could not even wait for a thread.
        assert house.mail.logged("calls run and 64 wait already")
        assert house.mail.logged("the KDC of Y.TEST: no answer within")
        # The handshakes of 100 sessions are in it.
        assert worst < 1.0, f"{worst:.3f} s for one of {number} answers"
    finally:
        house.realm.thaw()
    until(lambda: house.plain("ann", PASSWORD) == "235 2.7.0", "logins are back")
    assert told(house, "ann")[1] < SLACK


def test_otherKDC(house: Kerberized, tmp_path: Path) -> None:
    """A KDC that somebody else has put in the place of ours, which has all principals
    and a password that they know, lets nobody in; the log says what may be the matter."""
    house.realm.stop()
    try:
        other = Realm(tmp_path / "other", port=house.realm.port)
        try:
            other.add("eve", "evil")
            assert house.plain("eve", "evil") == "454 4.7.0"
            house.mail.logged("Server smtp/mx.y.test@Y.TEST not found in Kerberos database; make it")
            populate(other)
            assert house.plain("eve", "evil") == "454 4.7.0"
            line = house.mail.logged("could not be verified")
            assert f"the keytab {house.keytab} does not open its ticket for smtp/mx.y.test@Y.TEST" in line
            assert "poses as the KDC" in line
            # With a key of another number, which is looked for in the keytab.
            for _ in range(3):
                other.keytab(tmp_path / "keytab", US)
            assert house.plain("eve", "evil") == "454 4.7.0"
            assert house.plain("eve", "wrong") == "535 5.7.8"
        finally:
            other.stop()
    finally:
        house.realm.start()
    assert house.plain("ann", PASSWORD) == "235 2.7.0"
    assert house.plain("eve", "evil") == "535 5.7.8"


def test_newKeys(house: Kerberized, tmp_path: Path) -> None:
    """Keys that are renewed need no restart; between the KDC and the keytab nobody is
    refused for good."""
    house.realm.keytab(house.keytab, US)
    assert house.plain("ann", PASSWORD) == "235 2.7.0"
    house.realm.keytab(tmp_path / "keytab", US)
    assert house.plain("ann", PASSWORD) == "454 4.7.0"
    assert house.plain("ann", "wrong") == "535 5.7.8"
    (tmp_path / "keytab").replace(house.keytab)
    assert house.plain("ann", PASSWORD) == "235 2.7.0"


def test_noKeys(house: Kerberized, tmp_path: Path) -> None:
    """A keytab that is gone puts all off, and the log names it."""
    house.keytab.rename(tmp_path / "keytab")
    try:
        assert house.plain("ann", PASSWORD) == "454 4.7.0"
        assert house.mail.logged(f"the keytab {house.keytab} does not open its ticket")
    finally:
        (tmp_path / "keytab").rename(house.keytab)
    assert house.plain("ann", PASSWORD) == "235 2.7.0"


def test_stop(house: Kerberized, tmp_path: Path, pem: tuple[Path, Path]) -> None:
    """It ends at once, whether a KDC answers or not."""
    another = Kerberized(tmp_path / "umbcmail", house.realm, pem)
    house.realm.keytab(another.keytab, US)
    shutil.copy(another.keytab, house.keytab)
    house.realm.freeze()
    try:
        with running(another.mail):
            client = another.client()
            client.putcmd("AUTH", "PLAIN AGFubgBhbm4=")
            time.sleep(0.5)
            client.close()
            another.mail.logged(" disconnected ")
            began = time.monotonic()
            another.mail.stop()
            assert time.monotonic() - began < TIMEOUT
    finally:
        house.realm.thaw()


@pytest.mark.parametrize(
    "more, said",
    [
        (",keytab=/nonexistent/keytab", "/nonexistent/keytab"),
        (",service=smtp/other.y.test", "has no key of smtp/other.y.test@Y.TEST"),
        (",only=both", "it is passwords or tickets"),
        (",keytabs=/x", "keytabs is not known"),
    ],
)
def test_mistakes(house: Kerberized, tmp_path: Path, pem: tuple[Path, Path], more: str, said: str) -> None:
    """It does not start without a key to verify the KDC with, nor with an argument that
    makes no sense, and says why."""
    another = Kerberized(tmp_path / "umbcmail", house.realm, pem, more=more)
    shutil.copy(house.keytab, another.keytab)
    done = another.mail.attempt("--check")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_instances(house: Kerberized, tmp_path: Path, pem: tuple[Path, Path]) -> None:
    """Where the argument says so, instances log in with their whole name; the checker
    may come from the command line."""
    another = Kerberized(tmp_path / "umbcmail", house.realm, pem, more=",instances=yes,only=passwords")
    shutil.copy(house.keytab, another.keytab)
    with running(another.mail):
        assert another.plain("ann/admin", PASSWORD) == "235 2.7.0"
        another.mail.logged(" login=ann/admin mechanism=PLAIN")
        assert another.plain("ann/root", PASSWORD) == "535 5.7.8"
        with another.client() as client:
            assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
