"""Clients of DRAC that are mad, slow or many: the server goes on for the others, and no bug is met."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dracprograms import call
from tests.system.dracserver import LISTED, OTHER, UNLISTED, DracServer, serving
from tests.system.programs import until
from umbcmail.drac.program import ADD, ADDED, PROGRAM, encodeAddress
from umbcmail.drac.record import mark
from umbcmail.drac.rpc import AUTH_SYS, encodeCall, success, systemCredential

V4 = "198.51.100.7"
CALL = encodeCall(1, PROGRAM, 1, ADD, encodeAddress(V4)[1])
ADDED_ONE = mark(success(1, bytes(4)))
CONNECTIONS = 8
IDLE = 1.0
MiB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DracServer]:
    """With little room and little time."""
    with serving(tmp_path_factory.mktemp("drac"), f'connections = {CONNECTIONS}\nidle = "{IDLE:g}s"\n') as server:
        yield server
        until(lambda: server.figures()["connections"] == 0, "no connection is left behind")
        assert server.figures()["waiting"] == 0


def mangled(dice: random.Random) -> bytes:
    """A call with octets changed, left out and put in, or what never was one."""
    credential = systemCredential(1, b"host", 0, 0, (1, 2))
    seeds = [CALL, encodeCall(2, PROGRAM, 2, ADD, encodeAddress("2001:db8::1")[1])]
    seeds += [encodeCall(3, PROGRAM, 1, 0, b"", AUTH_SYS, credential), success(1, b"1234"), b""]
    octets = bytearray(dice.choice(seeds))
    for _ in range(dice.randint(0, 4)):
        at = dice.randrange(len(octets) + 1)
        octets[at : at + dice.choice((0, 0, 1, 4))] = dice.randbytes(dice.choice((0, 1, 4, 40)))
    return bytes(octets)


def received(s: socket.socket) -> bytes:
    """All that comes until the server ends the connection, which it may do by a reset."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while more := s.recv(9000):
            found += more
    return found


def test_datagrams(server: DracServer) -> None:
    """Datagrams of all kinds, from clients that may add and from others; seed fixed."""
    dice = random.Random(20261127)
    memory = server.memory()
    for client in (LISTED, UNLISTED):
        with server.udp(client) as s:
            s.setblocking(False)
            for turn in range(4000):
                s.send(mangled(dice) if turn % 50 else dice.randbytes(dice.choice((0, 1, 40, 1500, 8801, 60_000))))
                if turn % 100 == 99:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            assert len(s.recv(9000)) <= 36
    with server.udp() as s:
        assert call(s, V4) == ADDED
    assert server.memory() - memory < 20 * MiB


def test_streams(server: DracServer) -> None:
    """The same on connections, cut anywhere, with marks that lie."""
    dice = random.Random(20261127)
    memory = server.memory()
    for turn in range(300):
        octets = b"".join(mark(mangled(dice)) for _ in range(dice.randint(1, 20)))
        if turn % 3 == 0:
            at = dice.randrange(len(octets))
            lie = dice.choice((b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff", dice.randbytes(9)))
            octets = octets[:at] + lie + octets[at:]
        with server.tcp(OTHER if turn % 2 else LISTED) as s, contextlib.suppress(OSError):  # it had enough
            at = dice.randrange(len(octets))
            s.sendall(octets[:at])
            s.sendall(octets[at:])
            s.shutdown(socket.SHUT_WR)
            received(s)
    with server.tcp() as s:
        assert call(s, V4) == ADDED
    assert server.memory() - memory < 20 * MiB


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\0\0\0",
        b"\x80\0\x04\x01",
        b"\xff\xff\xff\xff",
        b"\0\0\x04\0" + bytes(1024) + b"\x80\0\0\1",
        mark(b"no call"),
    ],
)
def test_spoilt(server: DracServer, octets: bytes) -> None:
    """What can't be gone on with ends the connection at once; what came before is answered."""
    with server.tcp() as s:
        s.sendall(mark(CALL) + octets)
        assert received(s) == ADDED_ONE


def test_slow(server: DracServer) -> None:
    """Who sends an octet now and then gets an answer in the end, as long as there is one within the time;
    who does not go on is sent away, amid a record too, and one who starts fragments without end as well."""
    with server.tcp() as s:
        for octet in mark(CALL):
            s.sendall(octet.to_bytes())
            time.sleep(0.01)
        assert s.recv(100) == ADDED_ONE
        begin = time.monotonic()
        assert received(s) == b""
        assert IDLE - 0.2 < time.monotonic() - begin < IDLE + 2
    for start in (b"", mark(CALL)[:30], b"\0\0\0\x20" + CALL[:32]):
        with server.tcp() as s:
            begin = time.monotonic()
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                s.sendall(start)
                s.settimeout(0.1)
                while time.monotonic() - begin < IDLE + 3:
                    with contextlib.suppress(TimeoutError):
                        assert received(s) == b""
                        break
                    if len(start) > 30:
                        s.sendall(b"\0\0\0\1x")  # not a call, so it does not count as one
            assert IDLE - 0.2 < time.monotonic() - begin < IDLE + 2, start


def test_deaf(server: DracServer) -> None:
    """Who does not read its replies is not read from, and sent away at last; memory stays as it was, and the
    others are answered at once meanwhile."""
    memory = server.memory()
    some = mark(encodeCall(1, PROGRAM, 1, 0)) * 1000
    with contextlib.ExitStack() as stack, server.udp() as other:
        for _ in range(CONNECTIONS // 2):
            s = stack.enter_context(server.tcp())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.settimeout(0.2)
            with pytest.raises(TimeoutError):
                for _ in range(1000):
                    s.sendall(some)
            begin = time.monotonic()
            assert call(other, V4) == ADDED
            assert time.monotonic() - begin < 1
        until(lambda: server.figures()["connections"] == 0, "they are sent away", IDLE + 5)
    assert server.memory() - memory < 20 * MiB


def test_many(server: DracServer) -> None:
    """There is room for some connections: half of it for one client, half for all that are not listed; the
    others are closed at once, UDP goes on, and when somebody leaves there is room again."""
    refused = server.figures()["connections_refused_total"]

    def comes(client: str) -> bool:
        s = stack.enter_context(server.tcp(client))
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            s.sendall(mark(encodeCall(1, PROGRAM, 1, 0)))
            return s.recv(100) != b""
        return False

    with contextlib.ExitStack() as stack:
        assert [comes(UNLISTED) for _ in range(4)] == [True] * 2 + [False] * 2
        assert [comes("127.0.9.10") for _ in range(4)] == [True] * 2 + [False] * 2
        assert not comes("127.0.9.11")
        assert [comes(LISTED) for _ in range(5)] == [True] * 4 + [False]
        assert not comes(OTHER)
        with server.udp(OTHER) as s:
            assert call(s, V4) == ADDED
        assert server.figures()["connections_refused_total"] == refused + 7
        assert server.figures()["connections"] == CONNECTIONS
    until(lambda: server.figures()["connections"] == 0, "they have left")
    with server.tcp(OTHER) as s:
        assert call(s, V4) == ADDED


def test_flood(tmp_path: Path) -> None:
    """More datagrams at once than can be done are lost or answered, nothing else; mail has its turn, and memory
    stays bounded."""
    with serving(tmp_path) as server, server.udp() as flood, server.udp(OTHER) as s:
        memory = server.memory()
        flood.setblocking(False)
        end, sent = time.monotonic() + 1.0, 0
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                for _ in range(100):
                    flood.send(CALL)
                    sent += 1
            with contextlib.suppress(BlockingIOError):
                while flood.recv(100):
                    pass
        begin = time.monotonic()
        assert server.figures()["adds_total new"] == 1
        assert time.monotonic() - begin < 3
        assert call(s, V4) == ADDED
        # All that was taken has been counted, once.
        figures = server.figures()
        done = figures["adds_total renewed"] + figures["adds_total new"] + figures["duplicates_total"]
        assert 1000 < done + figures.get("refused_total busy", 0) <= sent + 1
        assert server.memory() - memory < 40 * MiB
