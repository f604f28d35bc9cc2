"""Real name servers: NSD, which has a zone, and Unbound, which asks it and validates."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from twisted.names import dns

from tests.system.programs import HOST, Program, freePort, need, until


class Names:
    """Both of them, for names below C{test}.

    @ivar port: of Unbound, over UDP and TCP.
    """

    def __init__(self, folder: Path, records: Iterable[str], bogus: str, lame: str) -> None:
        """
        @param records: of the zone, as lines of a zone file.
        @param bogus: a domain that is not signed though it should be.
        @param lame: a domain whose servers do not answer.
        """
        folder.mkdir()
        self.port, zone, nobody = freePort(), freePort(), freePort()
        (folder / "test.zone").write_text(_ZONE + "".join(f"{line}\n" for line in records))
        (folder / "nsd.conf").write_text(_NSD.format(folder=folder, host=HOST, port=zone))
        text = _UNBOUND.format(
            folder=folder, host=HOST, port=self.port, zone=zone, bogus=bogus, lame=lame, nobody=nobody
        )
        (folder / "unbound.conf").write_text(text)
        self.programs = [Program([need("nsd"), "-d", "-c", str(folder / "nsd.conf")], folder / "nsd.log")]
        argv = [need("unbound"), "-d", "-c", str(folder / "unbound.conf")]
        self.programs.append(Program(argv, folder / "unbound.log"))
        try:
            until(lambda: self._ended() or _answers(zone), "NSD is up")
            until(lambda: self._ended() or _answers(self.port), "Unbound is up")
            assert not self._ended(), "".join(program.output() for program in self.programs)
        except BaseException:
            self.close()
            raise

    def _ended(self) -> bool:
        return any(program.ended for program in self.programs)

    def close(self) -> None:
        """No more."""
        for program in self.programs:
            program.stop()


def _answers(port: int) -> bool:
    message = dns.Message(id=1, recDes=1)
    message.addQuery(b"test", dns.SOA)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        try:
            s.sendto(message.toStr(), (HOST, port))
            found = dns.Message()
            found.fromStr(s.recv(4096))
        except OSError:
            return False
        return bool(found.answers)


_ZONE = """$ORIGIN test.
$TTL 60
@ SOA ns admin 1 60 60 60 30
@ NS ns
ns A 127.0.0.1
"""
# Both stay who they are when they are started as root: the folder of the test is closed to others.
_NSD = """
server:
    ip-address: {host}@{port}
    username: ""
    zonesdir: "{folder}"
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    pidfile: "{folder}/nsd.pid"
    server-count: 1
remote-control:
    control-enable: no
zone:
    name: test
    zonefile: test.zone
"""
_UNBOUND = """
server:
    interface: {host}@{port}
    username: ""
    chroot: ""
    directory: "{folder}"
    pidfile: "{folder}/unbound.pid"
    use-syslog: no
    logfile: ""
    num-threads: 1
    do-not-query-localhost: no
    local-zone: "test." nodefault
    module-config: "validator iterator"
    trust-anchor: "{bogus}. DS 4711 13 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
stub-zone:
    name: test
    stub-addr: {host}@{zone}
stub-zone:
    name: {lame}
    stub-addr: {host}@{nobody}
"""
