"""Dovecot with IMAP and POP3, whose logins are told by DRAC as C{etc/dovecot} has it."""

from __future__ import annotations

import contextlib
import imaplib
import os
import poplib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.system.programs import HOST, PATH, ROOT, answers, freePort, missing, need
from tests.system.servers import Dovecot

BALANCER = "127.0.0.9"
"""It says by the PROXY protocol whom it speaks for."""

_CONFIG = """
haproxy_trusted_networks = {balancer}/32
service imap-login {{
  inet_listener imap {{
    {listen} = {host}
    port = {imap}
  }}
  inet_listener imap-balanced {{
    {listen} = {host}
    port = {balancedIMAP}
    haproxy = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    {listen} = {host}
    port = {pop3}
  }}
  inet_listener pop3-balanced {{
    {listen} = {host}
    port = {balancedPOP3}
    haproxy = yes
  }}
}}
"""
_OLD = "disable_plaintext_auth = no\nprotocols = imap pop3\n"
_NEW = "auth_allow_cleartext = yes\nprotocols {\n  pop3 = yes\n}\n"


def proxyHeader(address: str) -> bytes:
    """What a load balancer says of a client (PROXY protocol, version 1)."""
    family, own = ("TCP6", "2001:db8::1") if ":" in address else ("TCP4", "192.0.2.1")
    return f"PROXY {family} {address} {own} 4000 25\r\n".encode()


class Logins(Dovecot):
    """Dovecot, for whom any password will do.

    @ivar imap: port.
    @ivar pop3: port.
    @ivar scripts: folder with the scripts and their settings.
    """

    protocol = "imap"

    def __init__(self, settings: str) -> None:
        """
        @param settings: of the scripts, a piece of sh.
        """
        if not Path("/usr/lib/dovecot/pop3").exists():
            missing("dovecot-pop3d is not installed (script/bootstrap --dev as root)")
        self.imap, self.pop3 = freePort(), freePort()
        self._balanced = {self.imap: freePort(), self.pop3: freePort()}
        self._settings = settings
        super().__init__()

    @property
    def scripts(self) -> Path:
        """See above."""
        return self.folder / "drac"

    def prepare(self) -> None:
        """The scripts, and a command that takes the package from the checkout."""
        self.scripts.mkdir()
        self.scripts.chmod(0o755)
        for name in ("drac-login", "drac-renew"):
            shutil.copy(ROOT / "etc" / "dovecot" / name, self.scripts)
        command = self.scripts / "umbcmail"
        command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -B -m umbcmail "$@"\n')
        command.chmod(0o755)
        self.set(self._settings)

    def set(self, settings: str) -> None:
        """Change the settings of the scripts."""
        (self.scripts / "drac.conf").write_text(f"UMBCMAIL={self.scripts}/umbcmail\n{settings}\n")

    def service(self) -> str:
        """The sample for this version, with the scripts of the test."""
        sample = (ROOT / "etc" / "dovecot" / f"drac-{'2.3' if self.isOld else '2.4'}.conf").read_text()
        sample = sample.replace("/etc/dovecot/drac/", f"{self.scripts}/")
        # The checkout may be closed to the user of Dovecot.
        user = "$default_internal_user" if self.isOld else "$SET:default_internal_user"
        assert sample.count(user) == 2
        sample = sample.replace(user, pwd.getpwuid(os.geteuid()).pw_name)
        listen = "address" if self.isOld else "listen"
        ports = _CONFIG.format(
            listen=listen,
            host=HOST,
            balancer=BALANCER,
            imap=self.imap,
            pop3=self.pop3,
            balancedIMAP=self._balanced[self.imap],
            balancedPOP3=self._balanced[self.pop3],
        )
        alone = (
            "" if os.geteuid() == 0 else "service imap-login {\n  chroot =\n}\nservice pop3-login {\n  chroot =\n}\n"
        )
        return (_OLD if self.isOld else _NEW) + ports + sample + alone

    def isUp(self) -> bool:
        """It greets on both ports."""
        return answers(self.imap, b"* OK") and answers(self.pop3, b"+OK")

    def stop(self) -> None:
        """End it, and the scripts that still try to tell somebody."""
        Dovecot.stop(self)
        for pid in _inSession(self.program.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def byIMAP(self, source: str) -> imaplib.IMAP4:
        """A client that has logged in by IMAP.

        @param source: its address: of loopback, or any other, for whom the load
            balancer speaks.
        """
        client = imaplib.IMAP4.__new__(imaplib.IMAP4)
        client._create_socket = lambda timeout=None: self._connect(self.imap, source)  # type: ignore[attr-defined, method-assign]
        client.__init__(HOST, self.imap, 20)  # type: ignore[misc]
        assert client.login("somebody", "something")[0] == "OK"
        return client

    def byPOP3(self, source: str) -> poplib.POP3:
        """The same by POP3."""
        client = poplib.POP3.__new__(poplib.POP3)
        client._create_socket = lambda timeout=None: self._connect(self.pop3, source)  # type: ignore[attr-defined, method-assign]
        client.__init__(HOST, self.pop3, 20)  # type: ignore[misc]
        assert client.user("somebody").startswith(b"+OK")
        assert client.pass_("something").startswith(b"+OK")
        return client

    def _connect(self, port: int, source: str) -> socket.socket:
        if source.startswith("127."):
            return socket.create_connection((HOST, port), 20, (source, 0))
        connection = socket.create_connection((HOST, self._balanced[port]), 20, (BALANCER, 0))
        connection.sendall(proxyHeader(source))
        return connection

    def renew(self) -> subprocess.CompletedProcess[str]:
        """Run drac-renew, as a timer does."""
        config = self.folder / "dovecot.conf"
        self.set(f'{self._settings}\nDOVEADM="{need("doveadm")} -c {config}"')
        return subprocess.run(
            [str(self.scripts / "drac-renew")], capture_output=True, text=True, timeout=60, env={"PATH": PATH}
        )


def _inSession(session: int) -> list[int]:
    """The processes that the first process of a session has left."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # Behind the name in brackets: state, parent, group, session.
            if int(path.read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(path.parent.name))
    return found
