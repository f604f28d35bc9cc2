"""The genuine authdrac, libdrac and rpc.dracd, and clients that rpcgen has made, with ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.dracprograms import DRAC, OTHER, PORT, Genuine, Machine, Rpcbind, call, dracProgram, ours, tcp, udp
from tests.system.mailsystem import Umbcmail
from tests.system.programs import HOST, until

V4, V6 = "198.51.100.{}", "2001:db8::80{}"
ADDED, DENIED, NO_PORT = 0, 1, 10
"""What the clients end with."""


@pytest.fixture()
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing on it."""
    machine = Machine(tmp_path)
    yield machine
    machine.stop()


@pytest.fixture(scope="module")
def ourMachine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Umbcmail]]:
    """A machine with rpcbind and our server."""
    machine = Machine(tmp_path_factory.mktemp("ours"))
    try:
        Rpcbind(machine)
        with ours(machine) as mail:
            until(lambda: len(machine.mapped()) == 8, "registered")
            yield machine, mail
    finally:
        machine.stop()


@pytest.fixture(scope="module")
def theirMachine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Genuine]]:
    """A machine with rpcbind and the genuine server."""
    machine = Machine(tmp_path_factory.mktemp("theirs"))
    try:
        Rpcbind(machine)
        yield machine, Genuine(machine)
    finally:
        machine.stop()


def added(mail: Umbcmail, address: str, client: str = HOST) -> None:
    """Wait for the line of a new address."""
    mail.logged(f" drac-added id=- address={address} client={client} ")


# Clients and our server


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", [HOST, "::1"])
def test_rpcgenClient(ourMachine: tuple[Machine, Umbcmail], host: str, transport: str) -> None:
    """A client by rpcgen and libtirpc finds us by rpcbind, by IPv4 and IPv6; it may add addresses of both."""
    machine, mail = ourMachine
    for text in (V4, V6):
        address = text.format(10 + 2 * (host == HOST) + (transport == "udp"))
        done = machine.run(dracProgram("mapped"), host, transport, address)
        assert (done.returncode, done.stdout) == (ADDED, "status 0\n"), done.stderr
        added(mail, address, host)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_directClient(ourMachine: tuple[Machine, Umbcmail], transport: str) -> None:
    """It may know our port, keep its handle, and say by AUTH_SYS who it is."""
    machine, mail = ourMachine
    for more in ({}, {"AUTHSYS": "1"}):
        for text in (V4, V6):
            address = text.format(f"2{len(more)}")
            argv = [dracProgram("direct"), HOST, str(PORT), transport, address, "20"]
            done = machine.run(*argv, **more)
            assert (done.returncode, done.stdout) == (ADDED, "status 0\n" * 20), done.stderr
            added(mail, address)


def test_denied(ourMachine: tuple[Machine, Umbcmail]) -> None:
    """Who is not listed hears so, and so does who adds what is never added."""
    machine, _ = ourMachine
    assert machine.run(dracProgram("mapped"), OTHER, "udp", V4.format(30)).returncode == DENIED
    assert machine.run(dracProgram("mapped"), OTHER, "tcp", V6.format(30)).returncode == DENIED
    for address in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", OTHER, "::1", "fe80::1", "ff02::1"):
        assert machine.run(dracProgram("mapped"), HOST, "udp", address).returncode == DENIED, address
    done = machine.run(dracProgram("library"), OTHER, V4.format(30))
    assert done.stdout == "1 Server reports permission denied\n"


def test_authdrac(ourMachine: tuple[Machine, Umbcmail]) -> None:
    """The genuine client, as Courier runs it."""
    machine, mail = ourMachine
    for given, address in ((V4.format(40), V4.format(40)), (f"::ffff:{V4.format(41)}", V4.format(41))):
        done = machine.run(
            dracProgram("authdrac"),
            "/bin/true",
            AUTHUSER="/bin/true",
            AUTHARGV0="x",
            AUTHENTICATED="joe",
            DRACHOST=HOST,
            TCPREMOTEIP=given,
        )
        assert done.returncode == 0
        added(mail, address)


def test_library(ourMachine: tuple[Machine, Umbcmail]) -> None:
    """The genuine library, one shot and with a handle that is kept."""
    machine, mail = ourMachine
    for address in (V4.format(50), V6.format(50)):
        done = machine.run(dracProgram("library"), HOST, address)
        assert done.stdout == "0 Server reports add succeeded\n", done
        added(mail, address)
    assert machine.run(dracProgram("library"), HOST, V4.format(51), "2").stdout == "0 -\n" * 2


def test_mappedAddress(ourMachine: tuple[Machine, Umbcmail]) -> None:
    """An IPv4-mapped address by version 2 is an IPv4 address."""
    machine, mail = ourMachine
    assert machine.run(dracProgram("mapped"), HOST, "udp", f"::ffff:{V4.format(60)}").returncode == ADDED
    added(mail, V4.format(60))


def test_ping(ourMachine: tuple[Machine, Umbcmail]) -> None:
    """rpcinfo finds both versions alive, and no others."""
    machine, _ = ourMachine
    for transport in ("udp", "tcp", "udp6", "tcp6"):
        host = "::1" if transport.endswith("6") else HOST
        for version in ("1", "2"):
            done = machine.run("rpcinfo", "-T", transport, host, "900101", version)
            assert done.returncode == 0, (transport, done)
        done = machine.run("rpcinfo", "-T", transport, host, "900101", "3")
        assert "low version = 1, high version = 2" in done.stderr, (transport, done)


# rpcbind


def test_bySocket(ourMachine: tuple[Machine, Umbcmail]) -> None:
    """By the socket of rpcbind we are known by our address, and nobody but root can take it from us."""
    machine, _ = ourMachine
    there = {("udp", "0.0.0.0"), ("tcp", "0.0.0.0"), ("udp6", "::1"), ("tcp6", "::1")}
    every = {f"{version} {netid} {host}.78.133 superuser" for version in "12" for netid, host in there}
    assert machine.mapped() == every


def test_byPort(machine: Machine) -> None:
    """Without the socket we register by UDP, which knows IPv4 only; at the end that is taken back."""
    rpcbind = Rpcbind(machine)
    rpcbind.hide()
    with ours(machine) as mail:
        every = {f"{version} {netid} {PORT}" for version in "12" for netid in ("udp", "tcp")}
        until(lambda: machine.mappedPorts() == every, "registered")
        assert machine.run(dracProgram("mapped"), HOST, "udp", V4.format(1)).returncode == ADDED
        mail.logged(" drac-registered id=- netids=tcp,udp")
    assert machine.mappedPorts() == set()


def test_restarted(machine: Machine) -> None:
    """rpcbind that was started again is told again; at the end we are found no more."""
    rpcbind = Rpcbind(machine)
    with ours(machine):
        until(lambda: len(machine.mapped()) == 8, "registered")
        rpcbind.stop()
        Rpcbind(machine)
        until(lambda: len(machine.mapped()) == 8, "registered again")
        assert machine.run(dracProgram("mapped"), HOST, "udp", V4.format(1)).returncode == ADDED
    assert machine.mapped() == set()
    assert machine.run(dracProgram("mapped"), HOST, "udp", V4.format(1)).returncode == NO_PORT


def test_late(machine: Machine) -> None:
    """Without rpcbind all works for who knows the port, and the log says it; when it comes, we are found."""
    with ours(machine) as mail:
        done = machine.run(dracProgram("direct"), HOST, str(PORT), "udp", V4.format(1))
        assert (done.returncode, done.stdout) == (ADDED, "status 0\n")
        mail.logged("rpcbind does not answer")
        Rpcbind(machine)
        until(lambda: len(machine.mapped()) == 8, "registered")


def test_stale(machine: Machine) -> None:
    """What another server has left is replaced: clients find us."""
    Rpcbind(machine)
    genuine = Genuine(machine)
    genuine.stop()
    assert len(machine.mapped()) == 4
    with ours(machine):
        until(lambda: len(machine.mapped()) == 8, "registered")
        assert machine.run(dracProgram("mapped"), HOST, "udp", V4.format(1)).returncode == ADDED


def test_indirect(machine: Machine) -> None:
    """rpcbind that hands on the calls of strangers is found out: what comes from this host by UDP is refused,
    by TCP it is not, and the log says why."""
    Rpcbind(machine, "-r")
    with ours(machine) as mail:
        mail.logged("rpcbind hands on calls of others")
        assert machine.run(dracProgram("mapped"), HOST, "udp", V4.format(1)).returncode == DENIED
        mail.logged(f" drac-refused id=- client={HOST} address={V4.format(1)} why=indirect")
        assert machine.run(dracProgram("mapped"), HOST, "tcp", V4.format(1)).returncode == ADDED


# Ours as clients of the genuine server


@pytest.mark.parametrize("words", [[], ["--tcp"]])
@pytest.mark.parametrize("byPort", [False, True])
def test_command(theirMachine: tuple[Machine, Genuine], words: list[str], byPort: bool) -> None:
    """C{umbcmail drac add} and the genuine server, with rpcbind and without."""
    machine, genuine = theirMachine
    number = 2 * byPort + len(words)
    addresses = [V4.format(10 + number), V6.format(10 + number)]
    port = f":{genuine.ports['tcp' if words else 'udp']}" if byPort else ""
    command = [sys.executable, "-m", "umbcmail", "drac", "add", *addresses, *words, "--host"]
    done = machine.run(*command, HOST + port)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{HOST}{port}: {address}: add succeeded\n" for address in addresses)
    assert all(map(genuine.has, addresses))
    done = machine.run(*command, OTHER + port)
    assert done.returncode == 1
    assert done.stderr == "".join(f"umbcmail: {OTHER}{port}: {address}: permission denied\n" for address in addresses)


def test_clientsAgree(theirMachine: tuple[Machine, Genuine]) -> None:
    """What the other tests rely on: the clients do with the genuine server what they do with ours."""
    machine, genuine = theirMachine
    for transport in ("udp", "tcp"):
        for address in (V4.format(20), V6.format(20)):
            assert machine.run(dracProgram("mapped"), HOST, transport, address).returncode == ADDED
            assert genuine.has(address)
    assert machine.run(dracProgram("mapped"), OTHER, "udp", V4.format(21)).returncode == DENIED
    assert not genuine.has(V4.format(21))


def test_notify(theirMachine: tuple[Machine, Genuine]) -> None:
    """Our server tells the genuine one of what it has been told, found by rpcbind or by its port; what comes from
    there is not told."""
    machine, genuine = theirMachine
    for number, peer in enumerate((HOST, f"{HOST}:{genuine.ports['udp']}")):
        config = DRAC + f'rpcbind = false\nnotify = ["{peer}"]\n'
        with ours(machine, config, f"notifies{number}") as mail:
            assert machine.run(dracProgram("direct"), HOST, str(PORT), "udp", V4.format(39)).returncode == ADDED
            for text in (V4, V6):
                address = text.format(30 + number)
                with machine.inside(), udp((HOST, PORT), "127.0.0.2") as s:
                    assert call(s, address) == ADDED
                added(mail, address, "127.0.0.2")
                until(lambda address=address: genuine.has(address), f"{address} is told")
    assert not genuine.has(V4.format(39))


def test_notifyRefused(theirMachine: tuple[Machine, Genuine]) -> None:
    """Who is told and does not want to hear it is in the log, and nobody waits for it."""
    machine, genuine = theirMachine
    config = DRAC + f'rpcbind = false\nnotify = ["{OTHER}"]\n'
    with ours(machine, config, "refused") as mail:
        address = V4.format(40)
        assert machine.run(dracProgram("direct"), HOST, str(PORT), "udp", address).returncode == ADDED
        mail.logged(f"{OTHER}: permission denied")
        assert not genuine.has(address)


def test_allowFile(machine: Machine) -> None:
    """One C{dracd.allow} for both: they let in the same clients."""
    rules = "# comment\n255.255.255.255 127.0.0.2\n 255.255.255.255 127.0.0.3\n255.255.255.0\t127.0.4.0 x\n"
    rules += "255.255.255.0 127.0.5.1\nnonsense\n0.0.0.255 0.0.0.77\n"
    (machine.folder / "etc" / "drac" / "dracd.allow").write_text(rules)
    Rpcbind(machine)
    genuine = Genuine(machine)
    config = DRAC.replace('clients = ["127.0.0.0/8", "::1"]', 'allow-file = "/etc/drac/dracd.allow"')
    with ours(machine, config + "rpcbind = false\n"):
        expected = {"127.0.0.1": 1, "127.0.0.2": 0, "127.0.0.3": 1, "127.0.4.9": 0, "127.0.5.1": 1, "127.9.9.77": 0}
        for port in (PORT, genuine.ports["tcp"]):
            found = {}
            for client in expected:
                with machine.inside(), tcp((HOST, port), client) as s:
                    found[client] = call(s, V4.format(1))
            assert found == expected, port
