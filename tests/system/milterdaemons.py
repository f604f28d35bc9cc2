"""Other people's filters, and the scanners behind them: each in a folder of its own, with
signatures and rules that the test brings.  Nothing of them goes to the network."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.system.programs import PATH, Program, missing, need, until

EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
"""The file that all virus scanners find, in two pieces, so that they don't find it here."""
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
"""The line that all spam filters find."""

_USER = "root" if os.geteuid() == 0 else ""

_CLAMD = """
LocalSocket {folder}/clamd.sock
LocalSocketMode 666
FixStaleSocket yes
DatabaseDirectory {folder}/db
LogFile {folder}/clamd.log
Foreground yes
StreamMaxLength 10M
MaxThreads 2
"""
_CLAMAV_MILTER = """
MilterSocket unix:{folder}/milter.sock
ClamdSocket unix:{folder}/clamd.sock
OnInfected Reject
RejectMsg Message infected: %v
OnFail Defer
AddHeader Replace
Foreground true
"""
_RULES = r"""
required_score 5.0
report_safe 0
use_bayes 0
skip_rbl_checks 1
dns_available no
add_header all Status "_YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_"
body  T_GTUBE /XJS\*C4JDBQADN1\.NSBN3\*2IDNEN\*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL\*C\.34X/
score T_GTUBE 1000
header T_HDR X-Test =~ /yes/
score T_HDR 6.0
"""
_OPENDKIM = """
Mode s
Domain example.net
Selector sel
KeyFile {folder}/sel.private
Socket local:{folder}/milter.sock
InternalHosts 127.0.0.1
RequireSafeKeys false
Canonicalization {canonicalization}
Syslog no
PidFile {folder}/opendkim.pid
"""
_VERIFIER = """
Mode v
Socket local:{folder}/milter.sock
InternalHosts 192.0.2.1
TestDNSData {folder}/dns
AlwaysAddARHeader yes
AuthservID verifier.test
Syslog no
PidFile {folder}/opendkim.pid
"""
_OPENDMARC = """
Socket local:{folder}/milter.sock
Syslog false
PidFile {folder}/opendmarc.pid
IgnoreHosts {folder}/none
"""
_RSPAMD = """
lua = "{folder}/rules.lua"
options {{
  filters = ""
  url_tld = "{folder}/tld"
  disable_hyperscan = true
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
  temp_dir = "{folder}"
  hs_cache_dir = "{folder}"
  cache_file = "{folder}/symbols"
  control_socket = "{folder}/control mode=0600"
}}
logging {{ type = "console"; level = "info"; }}
actions {{ reject = 15; add_header = 6; }}
worker "rspamd_proxy" {{
  bind_socket = "{folder}/rspamd.sock mode=0666"
  milter = yes
  count = 1
  upstream "local" {{ self_scan = yes; default = yes; }}
}}
"""
_RSPAMD_RULES = """
dofile("/usr/share/rspamd/rules/rspamd.lua")
rspamd_config:register_symbol{
  name = "T_HDR", type = "normal", score = 7.0, group = "test",
  callback = function(task) return task:get_header("X-Test") == "yes" end
}
"""
_SCRIPT = """
import sys
import Milter

class Filter(Milter.Base):
    @Milter.noreply
    def connect(self, name, family, address):
        return Milter.CONTINUE

    def envfrom(self, sender, *words):
        self.sender, self.to, self.text = sender, [], b""
        return Milter.CONTINUE

    def envrcpt(self, to, *words):
        if to.startswith("<grey"):
            self.setreply("451", "4.7.1", "Come again, 100%% sure")
            return Milter.TEMPFAIL
        self.to.append(to)
        return Milter.CONTINUE

    def header(self, name, value):
        return Milter.CONTINUE

    def body(self, chunk):
        self.text += chunk
        return Milter.CONTINUE

    def eom(self):
        self.addheader("X-Queue", self.getsymval("i") or "none")
        self.addheader("X-Top", "yes", 1)
        self.chgheader("Subject", 1, "changed\\n\\tand folded")
        if b"progress" in self.text:
            self.progress()
        if b"new body" in self.text:
            self.replacebody(self.text.replace(b"old", b"new") + b"end\\r\\n")
        if b"quarantine" in self.text:
            self.quarantine("looks odd")
        if any(to.startswith("<gone") for to in self.to):
            self.delrcpt("<gone@y.test>")
            self.addrcpt("<more@y.test>")
        if self.sender == "<old@z.test>":
            self.chgfrom("<new@z.test>")
        return Milter.ACCEPT

Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT
                 | Milter.QUARANTINE | Milter.CHGFROM)
Milter.runmilter("test", sys.argv[1], 60)
"""


def answersAt(path: Path) -> bool:
    """Somebody takes connections at a UNIX socket."""
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(str(path))
        except OSError:
            return False
    return True


class Daemons:
    """A folder, and programs in it that end with the test.

    @ivar folder: closed to others, and with a short path, as sockets need.
    """

    def __init__(self, defer: Callable[..., Any]) -> None:
        """
        @param defer: C{addCleanup}, or the like.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-milter-"))
        self._defer = defer
        self._count = 0
        defer(shutil.rmtree, self.folder, True)

    def _start(self, argv: list[str], socket: Path, **named: Any) -> Program:
        self._count += 1
        program = Program(argv, self.folder / f"console{self._count}.log", cwd=self.folder, **named)
        self._defer(lambda: None if program.ended else program.stop())
        until(lambda: answersAt(socket) or program.ended, f"{argv[0]} is up")
        assert not program.ended, program.output()
        return program

    def _config(self, name: str, text: str, **values: str) -> str:
        path = self.folder / name
        path.write_text(text.format(folder=self.folder, **values))
        return str(path)

    # ClamAV

    def clamd(self) -> Program:
        """A clamd that knows EICAR, and a marker of ours."""
        program = need("clamd")
        database = self.folder / "db"
        database.mkdir(exist_ok=True)
        (database / "local.hdb").write_text(f"{hashlib.md5(EICAR).hexdigest()}:{len(EICAR)}:Local.Eicar\n")
        marker = b"UMBCMAIL-TEST-VIRUS-MARKER"
        (database / "local.ndb").write_text(f"Local.Eicar:0:*:{EICAR.hex()}\nLocal.Marker:0:*:{marker.hex()}\n")
        user = f"User {_USER}\n" if _USER else ""
        return self._start([program, "-c", self._config("clamd.conf", _CLAMD + user)], self.folder / "clamd.sock")

    def clamavMilter(self) -> Program:
        """clamav-milter, with a L{clamd}."""
        program = need("clamav-milter")
        user = f"User {_USER}\n" if _USER else ""
        config = self._config("clamav-milter.conf", _CLAMAV_MILTER + user)
        return self._start([program, "-c", config], self.folder / "milter.sock")

    # SpamAssassin

    def spamd(self, users: Mapping[str, str] | None = None) -> Program:
        """A spamd with a few rules of ours.

        @param users: settings of users, by name.
        """
        program = need("spamd")
        rules, site = self.folder / "def", self.folder / "site"
        for each in (rules, site):
            each.mkdir()
        self.folder.chmod(0o755)  # its children are nobody
        (rules / "00.cf").write_text("# none\n")
        (site / "init.pre").write_text("loadplugin Mail::SpamAssassin::Plugin::Check\n")
        (site / "local.cf").write_text(_RULES)
        argv = [program, "-L", "-x", "-C", str(rules), f"--siteconfigpath={site}"]
        argv += [f"--socketpath={self.folder}/spamd.sock", "--socketmode=0666", "-m", "2", "--min-children=1"]
        argv += ["-u", "nobody"] if _USER else []
        for name, text in (users or {}).items():
            settings = self.folder / "users" / name
            settings.mkdir(parents=True)
            (settings / "user_prefs").write_text(text)
        if users:
            argv += [f"--virtual-config-dir={self.folder}/users/%u"]
        argv += [f"--syslog={self.folder}/spamd.log", f"--pidfile={self.folder}/spamd.pid"]
        scratch = self.folder / "tmp"
        scratch.mkdir()
        scratch.chmod(0o777)
        env = dict(os.environ, HOME=str(scratch), TMPDIR=str(scratch))
        return self._start(argv, self.folder / "spamd.sock", env=env)

    def spamassMilter(self) -> Program:
        """spamass-milter, with a L{spamd}; it refuses from 15 on."""
        need("spamc")
        argv = [need("spamass-milter"), "-p", f"{self.folder}/sam.sock", "-r", "15", "--", "-U"]
        env = dict(os.environ, PATH=PATH)
        return self._start([*argv, f"{self.folder}/spamd.sock"], self.folder / "sam.sock", env=env)

    # rspamd

    def rspamd(self) -> Program:
        """rspamd as a milter, which looks at the messages in the same process."""
        if shutil.which("rspamd", path=PATH) is None and subprocess.run(["apt-cache", "show", "rspamd"]).returncode:
            pytest.skip("this release of Debian has no rspamd")
        program = need("rspamd")
        (self.folder / "rules.lua").write_text(_RSPAMD_RULES)
        (self.folder / "tld").write_text("com\nnet\norg\n")
        argv = [program, "-f", "-i", "-c", self._config("rspamd.conf", _RSPAMD)]
        return self._start(argv, self.folder / "rspamd.sock")

    # DKIM and DMARC

    def opendkim(self, canonicalization: str = "simple/simple") -> Program:
        """OpenDKIM, signing for example.net."""
        program = need("opendkim")
        genkey = [need("opendkim-genkey"), "-b", "2048", "-d", "example.net", "-s", "sel", "-D", str(self.folder)]
        subprocess.run(genkey, check=True, capture_output=True, timeout=60)
        user = f"UserID {_USER}\n" if _USER else ""
        config = self._config("opendkim.conf", _OPENDKIM + user, canonicalization=canonicalization)
        return self._start([program, "-f", "-x", config], self.folder / "milter.sock")

    def opendkimVerifier(self, record: bytes) -> Program:
        """OpenDKIM, which says of signatures of example.net whether they are good.

        @param record: see L{dkimRecord}.
        """
        names = ("sel", "other")
        text = "".join(f"{name}._domainkey.example.net {record.decode()}\n" for name in names)
        (self.folder / "dns").write_text(text)
        user = f"UserID {_USER}\n" if _USER else ""
        config = self._config("opendkim.conf", _VERIFIER + user)
        return self._start([need("opendkim"), "-f", "-x", config], self.folder / "milter.sock")

    def dkimRecord(self) -> bytes:
        """What the DNS would have for the key."""
        text = (self.folder / "sel.txt").read_text()
        return "".join(text.split('"')[1::2]).encode()

    def opendmarc(self) -> Program:
        """OpenDMARC."""
        program = need("opendmarc")
        (self.folder / "none").write_text("192.0.2.200\n")
        user = f"UserID {_USER}\n" if _USER else ""
        config = self._config("opendmarc.conf", _OPENDMARC + user)
        return self._start([program, "-f", "-c", config], self.folder / "milter.sock")

    # A script

    def script(self) -> Program:
        """A filter on libmilter, by python3-milter, that makes all kinds of edits."""
        python = "/usr/bin/python3"
        done = subprocess.run([python, "-c", "import Milter"], capture_output=True, timeout=60)
        if done.returncode:
            missing("python3-milter is not installed (script/bootstrap --dev as root)")
        path = self.folder / "filter.py"
        path.write_text(_SCRIPT)
        return self._start([python, str(path), f"unix:{self.folder}/milter.sock"], self.folder / "milter.sock")
