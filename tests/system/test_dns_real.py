"""Mail by MX records of a real name server, asked through a real resolver that validates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.mailsystem import Umbcmail, running
from tests.system.peers import Sink, send
from tests.system.programs import HOST
from tests.system.resolving import Names

CONTENT = b"Subject: x\r\n\r\ntext\r\n"
RECORDS = [
    f"m A {HOST}",
    "x MX 20 m",
    "x MX 10 gone",
    "alias CNAME x",
    f"alone A {HOST}",
    *(f"big MX {n} {'m' if n == 3 else f'a-host-that-is-not-there-{n}'}" for n in range(200)),
    "hosts MX 10 c",
    "c CNAME m",
    "null MX 0 .",
    "nobody MX 10 gone",
    f"nobody A {HOST}",
    "text TXT x",
    "own MX 10 mx.y.test.",
    "bogus MX 10 m",
    f"bogus A {HOST}",
    f"*.wild A {HOST}",
]


@pytest.fixture()
def real(tmp_path: Path) -> Iterator[Names]:
    """The servers."""
    names = Names(tmp_path / "names", RECORDS, "bogus.test", "lame.test")
    yield names
    names.close()


def test_realServers(tmp_path: Path, real: Names, sink: Sink) -> None:
    """What is there is used, by TCP where it is large and along aliases; what is certainly not is refused; what
    can't be told waits: a signature that is missing, servers that do not answer."""
    mail = Umbcmail(tmp_path)
    mail.sets = [f'dns.servers=["{HOST}:{real.port}"]', "dns.allow-loopback=true", f"dns.mx-port={sink.port}"]
    mail.sets += ['dns.second-look="0s"', 'dns.timeout="3s"']
    there = b"250 2.0.0 OK, delivered"
    with running(mail):
        for domain, answer in (
            ("x.test", there),
            ("alias.test", there),
            ("alone.test", there),
            ("big.test", there),
            ("hosts.test", there),
            ("a.wild.test", there),
            ("null.test", b"556 5.1.10 "),
            ("nobody.test", b"550 5.4.4 No host takes mail for the domain nobody.test"),
            ("text.test", b"550 5.4.4 "),
            ("own.test", b"554 5.4.6 "),
            ("nothing.test", b"550 5.1.2 The domain nothing.test does not exist"),
            ("bogus.test", b"250 2.0.0 OK, queued"),
            ("lame.test", b"250 2.0.0 OK, queued"),
        ):
            assert send(mail.port, CONTENT, f"a@{domain}").startswith(answer), domain
        waiting = [recipient for entry in mail.queue() for recipient in entry["recipients"]]
        assert sorted(recipient["address"] for recipient in waiting) == ["a@bogus.test", "a@lame.test"]
        assert all(recipient["reply"].startswith("451 4.4.3 ") for recipient in waiting)
    assert len(sink.messages) == 6
