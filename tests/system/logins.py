"""Dovecot with IMAP and POP3, whose logins are told by DRAC as C{etc/dovecot} has it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from tests.system.programs import HOST, PATH, ROOT, answers, freePort, missing, need
from tests.system.servers import Dovecot

_CONFIG = """
service imap-login {{
  inet_listener imap {{
    {listen} = {host}
    port = {imap}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    {listen} = {host}
    port = {pop3}
  }}
}}
"""
_OLD = "disable_plaintext_auth = no\nprotocols = imap pop3\n"
_NEW = "auth_allow_cleartext = yes\nprotocols {\n  pop3 = yes\n}\n"


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
        ports = _CONFIG.format(listen=listen, host=HOST, imap=self.imap, pop3=self.pop3)
        alone = (
            "" if os.geteuid() == 0 else "service imap-login {\n  chroot =\n}\nservice pop3-login {\n  chroot =\n}\n"
        )
        return (_OLD if self.isOld else _NEW) + ports + sample + alone

    def isUp(self) -> bool:
        """It greets on both ports."""
        return answers(self.imap, b"* OK") and answers(self.pop3, b"+OK")

    def renew(self) -> subprocess.CompletedProcess[str]:
        """Run drac-renew, as a timer does."""
        config = self.folder / "dovecot.conf"
        self.set(f'{self._settings}\nDOVEADM="{need("doveadm")} -c {config}"')
        return subprocess.run(
            [str(self.scripts / "drac-renew")], capture_output=True, text=True, timeout=60, env={"PATH": PATH}
        )
