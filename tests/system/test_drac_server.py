"""The server of DRAC: who may add what, how often a call is answered, and what log, figures and roster have of it."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dracprograms import call
from tests.system.dracserver import LISTED, OTHER, UNLISTED, DracServer, serving
from tests.system.programs import missing, until
from umbcmail.drac.program import ADD, ADDED, DENIED, PROGRAM, SYSTEM_ERROR, encodeAddress
from umbcmail.drac.record import mark
from umbcmail.drac.rpc import encodeCall, failure, success

V4, V6 = "198.51.100.{}", "2001:db8::{}"


def message(xid: int, address: str = V4.format(1), procedure: int = ADD) -> bytes:
    """A call."""
    version, arguments = encodeAddress(address)
    return encodeCall(xid, PROGRAM, version, procedure, arguments)


def result(xid: int, status: int = ADDED) -> bytes:
    """Its reply."""
    return success(xid, status.to_bytes(4, "big"))


def replies(s: socket.socket, count: int) -> list[bytes]:
    """So many datagrams, and no more than that."""
    found = [s.recv(100) for _ in range(count)]
    s.settimeout(0.2)
    with pytest.raises(TimeoutError):
        found.append(s.recv(100))
    s.settimeout(8)
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DracServer]:
    """For all tests that want nothing special."""
    folder = tmp_path_factory.mktemp("drac")
    (folder / "dracd.allow").write_text("255.255.255.0 127.0.5.0\n127.0.6.0/24\n")
    config = 'never = ["203.0.113.0/24", "2001:db8:bad::/48"]\nallow-file = "{folder}/dracd.allow"\n'
    with serving(folder, config) as server:
        yield server


# Who may add what


@pytest.mark.parametrize("isStream", [False, True])
def test_clients(server: DracServer, isStream: bool) -> None:
    """Listed addresses and networks, and those of the allow file; nobody else."""
    clients = {LISTED: ADDED, OTHER: ADDED, "127.0.5.200": ADDED, "127.0.6.1": ADDED, "::1": ADDED}
    clients |= {UNLISTED: DENIED, "127.0.0.1": DENIED, "127.0.7.1": DENIED}
    for client, status in clients.items():
        for address in (V4.format(2), V6.format(2)):
            with (server.tcp if isStream else server.udp)(client) as s:
                assert call(s, address) == status, client


def test_never(server: DracServer) -> None:
    """What is listed as never added, and what nobody can be."""
    with server.udp() as s:
        for address in ("203.0.113.9", "2001:db8:bad::1", "::ffff:203.0.113.9", "0.0.0.1", "127.0.0.2", "240.0.0.1"):
            assert call(s, address) == DENIED, address
        assert call(s, "203.0.114.9") == call(s, "2001:db8:bad0::1") == ADDED
    server.logged(f" drac-refused id=- client={LISTED} address=203.0.113.9 why=never")


def test_ignored(tmp_path: Path) -> None:
    """Those who are not listed may get no answer at all."""
    with serving(tmp_path, 'unlisted = "ignore"\n') as server:
        with server.udp() as listed, server.udp(UNLISTED) as other:
            other.send(message(1))
            other.send(message(2, procedure=0))
            assert call(listed, V4.format(1)) == ADDED
            assert replies(other, 0) == []
        with server.tcp(UNLISTED) as s:
            assert s.recv(100) == b""
        server.becomes("refused_total unlisted", 3)


def test_reservedPorts(tmp_path: Path) -> None:
    """Clients may have to show that they are root."""
    with serving(tmp_path, "reserved-ports = true\n") as server:
        with server.udp() as s:
            assert call(s, V4.format(1)) == DENIED
        server.logged("why=port")
        if os.geteuid() != 0:
            missing("root is needed for reserved ports")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((LISTED, 1000))
            s.settimeout(8)
            s.connect(("127.0.0.1", server.drac))
            assert call(s, V4.format(1)) == ADDED


def test_caps(tmp_path: Path) -> None:
    """A client may add so many new addresses, and all clients together so many; those that are there are
    renewed all the same."""
    with serving(tmp_path, "entries-per-client = 3\nentries = 5\n") as server:
        with server.udp(LISTED) as one, server.udp(OTHER) as other:
            assert [call(one, V4.format(n)) for n in range(5)] == [ADDED] * 3 + [SYSTEM_ERROR] * 2
            assert [call(one, V4.format(n)) for n in (0, 1, 2, 0)] == [ADDED] * 4
            assert [call(other, V4.format(n)) for n in (0, 10, 11, 12)] == [ADDED] * 3 + [SYSTEM_ERROR]
        server.logged(f" drac-refused id=- client={LISTED} address={V4.format(3)} why=full")
        server.logged(f" drac-refused id=- client={OTHER} address={V4.format(12)} why=full")
        figures = server.figures()
        assert (figures["adds_total new"], figures["adds_total renewed"]) == (5, 5)
        assert figures["refused_total full"] == 3
        assert len(server.roster()) == 5


# What there is to see of it


def test_logged(tmp_path: Path) -> None:
    """A line for each new address, and for the first refusal of a kind; the others are counted."""
    with serving(tmp_path) as server, server.udp() as s, server.udp(UNLISTED) as other:
        for _ in range(3):
            assert call(s, V4.format(1)) == call(s, V6.format(1)) == ADDED
            assert call(other, V4.format(2)) == call(other, V4.format(3)) == DENIED
    added = [re.sub(r"^\S+ ", "", line) for line in server.events("drac-added")]
    assert added == [f"drac-added id=- address={a.format(1)} client={LISTED} seconds=1800" for a in (V4, V6)]
    refused = [re.sub(r"^\S+ ", "", line) for line in server.events("drac-refused")]
    kind = f"drac-refused id=- client={UNLISTED}"
    assert refused == [f"{kind} address={V4.format(2)} why=unlisted", f"{kind} why=unlisted more=5 seconds=60"]


def test_figures(tmp_path: Path) -> None:
    """Everything is counted."""
    with serving(tmp_path) as server, server.udp() as s, server.tcp() as stream:
        for n in (1, 2, 1, 1):
            call(s, V4.format(n))
        for octets in (
            b"garbage",
            message(1, procedure=0),
            message(1, procedure=7),
            encodeCall(1, PROGRAM + 1, 1, ADD, b"1234"),
            encodeCall(1, PROGRAM, 3, ADD, b"1234"),
            encodeCall(1, PROGRAM, 1, ADD, b"123"),
            encodeCall(1, PROGRAM, 1, ADD, b"1234", 6, b"body"),
        ):
            s.send(octets)
        assert len(replies(s, 6)) == 6
        assert call(stream, V4.format(1)) == ADDED
        with server.udp(UNLISTED) as other:
            call(other, V4.format(1))
        figures = server.figures()
        expected = {"adds_total new": 2, "adds_total renewed": 3, "refused_total unlisted": 1, "pings_total": 1}
        expected |= {
            f"errors_total {what}": 1 for what in ("program", "version", "procedure", "arguments", "credential")
        }
        expected |= {"garbage_total": 1, "connections": 1, "waiting": 0, "unsent_total": 0, "duplicates_total": 0}
        assert {name: figures.get(name) for name in expected} == expected


def test_roster(tmp_path: Path) -> None:
    """What has been acknowledged is there for other processes, and after the loss of this one."""
    with serving(tmp_path) as server:
        with server.udp() as s:
            assert [call(s, address) for address in (V4.format(1), V6.format(1))] == [ADDED] * 2
        assert server.roster() == [V4.format(1), V6.format(1)]
        server.kill()
        server.start()
        with server.udp() as s:
            assert call(s, V4.format(1)) == ADDED
        assert server.roster() == [V4.format(1), V6.format(1)]
        assert server.figures()["adds_total renewed"] == 1


# How often a call is answered


def test_once(server: DracServer) -> None:
    """Each datagram is answered exactly once, whatever it says and however many there are."""
    begin = server.figures()["unsent_total"]
    for client in (LISTED, UNLISTED):
        with server.udp(client) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            expected = []
            for xid in range(900):
                procedure = (ADD, 0, 7)[xid % 3]
                s.send(message(xid, V4.format(xid % 250), procedure))
                status = ADDED if client == LISTED else DENIED
                expected.append((result(xid, status), success(xid), failure(xid, 3))[xid % 3])
            assert sorted(replies(s, 900)) == sorted(expected)
            # Without hurry the same call again gets an answer again.
            for _ in range(3):
                s.send(message(1))
                assert s.recv(100) == result(1, status)
            assert replies(s, 0) == []
    assert server.figures()["unsent_total"] == begin


def test_duplicates(tmp_path: Path) -> None:
    """Calls that are sent again while they are under way are dropped; those of others with the same xid are not."""
    with serving(tmp_path) as server:
        with server.udp() as one, server.udp() as other:
            with server.stuck():
                for _ in range(10):
                    one.send(message(7))
                    other.send(message(7))
                server.becomes("duplicates_total", 18)
                server.becomes("waiting", 2)
            assert replies(one, 1) == replies(other, 1) == [result(7)]
        # On a stream nothing is sent again, so each call is one.
        with server.tcp() as stream:
            stream.sendall(mark(message(7)) * 10)
            octets = b""
            while len(octets) < 320:
                octets += stream.recv(1000)
            assert octets == mark(result(7)) * 10


def test_deadline(tmp_path: Path) -> None:
    """Who waits for the roster for too long hears of it, once; the log says why, and later all is well again."""
    with serving(tmp_path, 'deadline = "0.5s"\n') as server, server.udp() as s, server.tcp() as stream:
        begin = time.monotonic()
        with server.stuck():
            s.send(message(1))
            stream.sendall(mark(message(1)))
            assert s.recv(100) == result(1, SYSTEM_ERROR)
            assert 0.4 < time.monotonic() - begin < 3
            assert stream.recv(100) == mark(result(1, SYSTEM_ERROR))
            server.logged("why=deadline")
        assert call(s, V4.format(1)) == ADDED
        assert replies(s, 0) == []
        assert call(stream, V4.format(1)) == ADDED


def test_stop(tmp_path: Path) -> None:
    """Whoever waits at the end is answered first, by UDP and TCP."""
    with serving(tmp_path) as server, server.udp() as s, server.tcp() as stream:
        with server.stuck():
            s.send(message(1))
            stream.sendall(mark(message(2, V4.format(2))))
            server.becomes("waiting", 2)
            server.running.process.terminate()
            server.logged(" stopping ")
            time.sleep(0.2)
            assert not server.running.ended
        assert s.recv(100) == result(1)
        assert stream.recv(100) == mark(result(2))
        assert stream.recv(100) == b""
        until(lambda: server.running.ended, "it ends")
        assert server.roster() == [V4.format(1), V4.format(2)]
