"""The client of DRAC, and C{umbcmail drac add}, against servers on loopback."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from tests.system.dracd import Dracd, Portmapper
from tests.system.mailsystem import environment
from tests.system.programs import HOST, freePort
from umbcmail.drac import rpc
from umbcmail.drac.client import Answer, Server
from umbcmail.drac.xdr import packUnsigned

ADDED = Answer(True, True, "add succeeded")
V4, V6 = "192.0.2.200", "2001:db8::80ff"


@pytest.fixture()
def dracd() -> Iterator[Dracd]:
    """A server."""
    with contextlib.closing(Dracd()) as server:
        yield server


def add(*addresses: str, seconds: float = 5.0, host: str = HOST, **named: Any) -> dict[str, Answer]:
    """What a server answers."""
    return Server(host, **named).add(addresses, time.monotonic() + seconds)


@pytest.mark.parametrize("isStream", [False, True])
def test_add(dracd: Dracd, isStream: bool) -> None:
    """IPv4 goes by version 1, IPv6 by version 2, and a mapped address as IPv4; each once."""
    addresses = (V4, V6, "::ffff:198.51.100.7")
    assert add(*addresses, port=dracd.port, isStream=isStream) == dict.fromkeys(addresses, ADDED)
    assert sorted(dracd.added) == sorted([V4, V6, "198.51.100.7"])
    assert [call.version for call in dracd.calls] == [1, 1, 2]
    assert len({call.xid for call in dracd.calls}) == 3


@pytest.mark.parametrize("isStream", [False, True])
def test_many(dracd: Dracd, isStream: bool) -> None:
    """Many addresses take one socket and little time."""
    addresses = [f"10.0.{n >> 8}.{n & 255}" for n in range(3000)]
    assert add(*addresses, port=dracd.port, isStream=isStream) == dict.fromkeys(addresses, ADDED)
    assert sorted(set(dracd.added)) == sorted(addresses)


@pytest.mark.parametrize(
    ("status", "text"), [(1, "permission denied"), (2, "system error"), (77, "unknown error (77)")]
)
def test_refused(dracd: Dracd, status: int, text: str) -> None:
    """What is no success is told, and is final."""
    dracd.status = status
    assert add(V4, port=dracd.port) == {V4: Answer(False, True, text)}
    assert len(dracd.calls) == 1


def test_oldServer(dracd: Dracd) -> None:
    """One that knows no IPv6 still gets the others."""
    dracd.versions = (1,)
    found = add(V6, V4, port=dracd.port)
    assert found[V4] == ADDED
    assert (found[V6].isAdded, found[V6].isFinal) == (False, True)
    assert "1 to 1" in found[V6].text


def test_lost(dracd: Dracd) -> None:
    """A call that gets lost is sent again after a second, with the same xid, and after two more."""
    dracd.lost = 2
    begin = time.monotonic()
    assert add(V4, port=dracd.port) == {V4: ADDED}
    assert 2.9 < time.monotonic() - begin < 4.5
    assert len(dracd.calls) == 3
    assert len({call.xid for call in dracd.calls}) == 1


def test_silent(dracd: Dracd) -> None:
    """Without an answer it ends when it is to end."""
    dracd.lost = 100
    begin = time.monotonic()
    assert add(V4, V6, port=dracd.port, seconds=1.5) == dict.fromkeys((V4, V6), Answer(False, False, "no answer"))
    assert 1.4 < time.monotonic() - begin < 2.5


def test_stray(dracd: Dracd) -> None:
    """Replies to other calls, calls and garbage are no answer."""
    dracd.stray = [rpc.success(1, packUnsigned(1)), rpc.encodeCall(1, 900101, 1, 1, b"abcd"), b"", b"x" * 8801]
    assert add(V4, port=dracd.port) == {V4: ADDED}


def test_otherSource() -> None:
    """Nor is a reply that comes from elsewhere."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b,
    ):
        real.bind((HOST, 0))
        b.bind((HOST, 0))

        def answer() -> None:
            octets, peer = real.recvfrom(9000)
            b.sendto(rpc.success(rpc.decodeCall(octets).xid, packUnsigned(0)), peer)

        thread = threading.Thread(target=answer)
        thread.start()
        found = add(V4, port=real.getsockname()[1], seconds=0.8)
        thread.join()
    assert found == {V4: Answer(False, False, "no answer")}


@pytest.mark.parametrize("isStream", [False, True])
def test_down(isStream: bool) -> None:
    """Where nobody listens it is tried again, since a server may just be started."""
    port = freePort()
    servers: list[Dracd] = []
    timer = threading.Timer(1.5, lambda: servers.append(Dracd(port=port)))
    timer.start()
    try:
        assert add(V4, port=port, isStream=isStream, seconds=8) == {V4: ADDED}
    finally:
        timer.join()
        servers[0].close()
    assert add(V4, port=port, isStream=isStream, seconds=1) == {V4: Answer(False, False, "connection refused")}


def test_closed() -> None:
    """A connection that ends without an answer is none, whatever has come before."""
    for octets in (b"", b"\x80\0\0\x01", b"\x7f\xff\xff\xff", b"\0\0\0\0"):
        with socket.create_server((HOST, 0)) as server:

            def serve(server: socket.socket = server, octets: bytes = octets) -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = server.accept()
                        connection.sendall(octets)
                        connection.shutdown(socket.SHUT_WR)

            threading.Thread(target=serve, daemon=True).start()
            found = add(V4, port=server.getsockname()[1], isStream=True, seconds=1)
        assert (found[V4].isAdded, found[V4].isFinal) == (False, False), octets


@pytest.mark.parametrize("isStream", [False, True])
@pytest.mark.parametrize("versions", [(2,), (4,), (3,), (2, 3, 4)])
def test_portmapper(dracd: Dracd, versions: tuple[int, ...], isStream: bool) -> None:
    """Without a port it is asked for, of a portmapper of any version."""
    with contextlib.closing(Portmapper(dracd.port, versions=versions)) as mapper:
        assert add(V4, mapperPort=mapper.port, isStream=isStream) == {V4: ADDED}
        assert mapper.calls[-1].version in versions


def test_portmapperOfIPv6() -> None:
    """By IPv6 too, where there is no version 2."""
    with contextlib.closing(Dracd("::1")) as dracd, contextlib.closing(Portmapper(dracd.port, "::1", (3, 4))) as mapper:
        assert add(V6, host="::1", mapperPort=mapper.port) == {V6: ADDED}
        assert dracd.added == [V6]
        assert [call.version for call in mapper.calls] == [4]


def test_notRegistered() -> None:
    """A portmapper that knows of no dracd, or is not there."""
    with contextlib.closing(Portmapper(0)) as mapper:
        found = add(V4, mapperPort=mapper.port, seconds=0.9)
    assert found == {V4: Answer(False, False, "the portmapper there knows of no dracd by UDP")}
    found = add(V4, mapperPort=freePort(), seconds=0.9)
    assert found == {V4: Answer(False, False, "portmapper: connection refused")}


def test_severalAddresses(dracd: Dracd) -> None:
    """All addresses of a name are tried, IPv4 first, and share the time."""
    family = {host: socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM) for host in ("::1", HOST)}
    with (
        contextlib.closing(Dracd("::1")) as other,
        mock.patch("socket.getaddrinfo", lambda *args, **named: [*family["::1"], *family[HOST]]),
    ):
        assert add(V4, host="mx.test", port=other.port) == {V4: ADDED}
        assert other.added == [V4]
        assert add(V4, host="mx.test", port=dracd.port) == {V4: ADDED}
        with contextlib.closing(Dracd(port=other.port)) as silent:
            silent.lost = 100
            assert add(V4, host="mx.test", port=other.port, seconds=2) == {V4: ADDED}
            assert len(silent.calls) == 1


def test_noHost() -> None:
    """A host that does not exist is told at once."""
    begin = time.monotonic()
    [answer] = add(V4, host="x..y").values()
    assert (answer.isAdded, answer.isFinal) == (False, False)
    assert time.monotonic() - begin < 4


# The command


def command(*words: str, seconds: float = 30.0) -> tuple[int, list[str], list[str]]:
    """Status and lines of C{umbcmail drac add}."""
    argv = [sys.executable, "-m", "umbcmail", "drac", "add", *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=environment(), cwd="/")
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def test_command(dracd: Dracd) -> None:
    """All hosts are told; 0 when all have added all."""
    with contextlib.closing(Dracd("::1")) as other:
        hosts = [f"{HOST}:{dracd.port}", f"[::1]:{other.port}"]
        words = [word for host in hosts for word in ("--host", host)]
        status, out, err = command(V4, "::ffff:192.0.2.200", V6, *words)
        assert (status, err) == (0, [])
        assert out == [f"{host}: {address}: add succeeded" for host in hosts for address in (V4, V6)]
        assert (dracd.added, other.added) == ([V4, V6], [V4, V6])


def test_commandFails(dracd: Dracd) -> None:
    """75 when one has not answered, 1 when one has refused; the others are told all the same,
    and the one that is slow holds nobody up."""
    silent = f"{HOST}:{freePort()}"
    words = [V4, V6, "--host", silent, "--host", f"{HOST}:{dracd.port}", "--timeout", "1.5"]
    begin = time.monotonic()
    status, out, err = command(*words)
    assert (status, len(out), err) == (75, 2, [f"umbcmail: {silent}: 2 addresses: connection refused"])
    assert time.monotonic() - begin < 4
    dracd.status = 1
    status, out, err = command(*words)
    assert (status, out, len(err)) == (1, [], 3)
    assert f"umbcmail: {HOST}:{dracd.port}: {V4}: permission denied" in err


@pytest.mark.parametrize(
    "words",
    [
        [], [""], ["x"], ["192.0.2"], ["192.0.2.1/32"], ["192.0.2.1 "], [V4, "umbc.edu"], [V4, "--host", ""],
        [V4, "--host", "a:b"], [V4, "--host", "a:0"], [V4, "--host", "a:65536"], [V4, "--host", "[::1"],
        [V4, "--timeout", "0"], [V4, "--timeout", "-1"], [V4, "--timeout", "nan"], [V4, "--timeout", "inf"],
        [V4, "--timeout", "x"], [V4, "--nothing"], [V4, "--tc"],
    ],
)  # fmt: skip
def test_commandIsWrong(words: list[str]) -> None:
    """One line, and status 2."""
    status, out, err = command(*words)
    assert (status, out, len(err)) == (2, [], 1), err
    assert err[0].startswith("umbcmail: ") and err[0].endswith("(see umbcmail drac add --help)")


def test_commandByTCP(dracd: Dracd) -> None:
    """C{--tcp} uses no UDP."""
    dracd.lost = 1000
    assert command(V4, "--tcp", "--host", f"{HOST}:{dracd.port}")[0] == 0


def test_commandStartsQuickly(dracd: Dracd) -> None:
    """It is run at each login: it loads nothing of Twisted, and takes little time."""
    argv = [sys.executable, "-X", "importtime", "-m", "umbcmail", "drac", "add", V4, "--host", f"{HOST}:{dracd.port}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment(), check=True)
    assert "umbcmail.drac.client" in done.stderr
    for heavy in ("twisted", "zope", "asyncio", "OpenSSL", "umbcmail.cli\n"):
        assert heavy not in done.stderr, heavy
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(5):
        subprocess.run([argv[0], *argv[3:]], capture_output=True, check=True, env=dict(os.environ, **environment()))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 5
    assert seconds < 0.15, seconds


def test_littleMemory(dracd: Dracd) -> None:
    """It runs in the 256 MiB of address space that Dovecot gives a script."""
    hosts = [word for n in range(1, 9) for word in ("--host", f"127.0.0.{n}:{dracd.port}")]
    argv = [sys.executable, "-m", "umbcmail", "drac", "add", V4, "--timeout", "1", *hosts]
    limit = 256 << 20
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 75, done.stderr  # only 127.0.0.1 listens
    assert done.stdout == f"127.0.0.1:{dracd.port}: {V4}: add succeeded\n"
