"""Sendmail with a configuration and a queue of its own, which passes all mail on to one port.

Its packages can't be installed beside Postfix: script/bootstrap --dev unpacks them.  Only root
can run it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.system.programs import HOST, PATH, ROOT, Program, answers, freePort, missing, until

_UNPACKED = ROOT / ".venv" / "sendmail"
_PROGRAM = _UNPACKED / "usr/libexec/sendmail/sendmail"


class Sendmail:
    """The mail system.

    @ivar port: where it takes mail.
    @ivar queue: folder with what waits, or is put aside.
    """

    name = "sendmail"

    def __init__(self, nextHop: int, milter: str) -> None:
        """
        @param nextHop: port that all mail goes to.
        @param milter: its spelling of a filter's socket.
        """
        if os.geteuid() != 0:
            missing("Sendmail can be run by root only")
        if not _PROGRAM.exists():
            missing("Sendmail is not there (script/bootstrap --dev)")
        self.port = freePort()
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-sendmail-"))
        self.queue = self.folder / "queue"
        self.queue.mkdir(mode=0o700)
        names = {"folder": self.folder, "port": self.port, "hop": nextHop, "milter": milter, "host": HOST}
        source = self.folder / "sendmail.mc"
        source.write_text(_SOURCE.format(**names))
        (self.folder / "switch").write_text("hosts files\naliases files\n")
        cf = _UNPACKED / "usr/share/sendmail/cf"
        libraries = ":".join({str(path.parent) for path in _UNPACKED.glob("**/*.so.*")})
        environment = dict(os.environ, LD_LIBRARY_PATH=libraries)
        m4 = shutil.which("m4", path=f"{_UNPACKED}/usr/bin:{PATH}")
        if not m4:
            missing("m4 is not there (script/bootstrap --dev)")
        argv = [m4, "-D", f"_CF_DIR_={cf}/", f"{cf}/m4/cf.m4", str(source)]
        made = subprocess.run(argv, cwd=cf, env=environment, capture_output=True, check=True, timeout=60)
        (self.folder / "sendmail.cf").write_bytes(made.stdout)
        # Where the name of the host has no domain it waits for a minute.
        argv = ["unshare", "--uts", "sh", "-c", 'hostname sendmail.test && exec "$@"', "sh", str(_PROGRAM)]
        argv += ["-C", f"{self.folder}/sendmail.cf", "-bD", "-X", f"{self.folder}/traffic"]
        self.program = Program(argv, self.folder / "console", env=environment, cwd=self.folder)
        until(lambda: answers(self.port) or self.program.ended, "Sendmail is up", 60)
        assert not self.program.ended, self.output()

    def output(self) -> str:
        """What it has said."""
        traffic = self.folder / "traffic"
        return self.program.output() + (traffic.read_text("utf-8", "replace") if traffic.exists() else "")

    def stop(self) -> None:
        """End it."""
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


_SOURCE = """divert(0)
OSTYPE(`linux')
define(`QUEUE_DIR',`{folder}/queue')
define(`STATUS_FILE',`{folder}/statistics')
define(`HELP_FILE',`')
define(`ALIAS_FILE',`')
define(`confPID_FILE',`{folder}/pid')
define(`confSERVICE_SWITCH_FILE',`{folder}/switch')
define(`confDOMAIN_NAME',`sendmail.test')
define(`confDONT_PROBE_INTERFACES',`true')
define(`confDONT_BLAME_SENDMAIL',`GroupWritableDirPathSafe,TrustStickyBit')
define(`confDELIVERY_MODE',`interactive')
define(`confTO_IDENT',`0')
define(`confQUEUE_LA',`1000')
define(`confREFUSE_LA',`1000')
define(`confMILTER_LOG_LEVEL',`22')
define(`SMART_HOST',`esmtp:[{host}]')
define(`ESMTP_MAILER_ARGS',`TCP $h {hop}')
FEATURE(`nocanonify')
FEATURE(`accept_unqualified_senders')
FEATURE(`accept_unresolvable_domains')
FEATURE(`no_default_msa')
FEATURE(`promiscuous_relay')
undefine(`ALIAS_FILE')
INPUT_MAIL_FILTER(`umbcmail', `S={milter}, F=T, T=S:30s;R:30s;E:2m')
DAEMON_OPTIONS(`Port={port},Addr={host},Name=MTA')
MAILER(`local')
MAILER(`smtp')
"""
