"""Postfix as it is installed, with configuration, queue and data of its own.

It takes mail in and passes it on as its table of ways says, so it can stand on
both sides of umbcmail.  Only root can run it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.system.interop import LOGIN, PASSWORD, Way
from tests.system.programs import HOST, Program, answers, freePort, missing, need, until

_DAEMONS = "/usr/lib/postfix/sbin"


class Postfix:
    """The mail system.

    @ivar clear: its port without TLS.
    @ivar offer: its port with STARTTLS.
    @ivar narrow: its port without 8BITMIME.
    """

    name = "postfix"

    def __init__(self, pem: tuple[Path, Path], ways: list[Way], settings: str = "") -> None:
        """
        @param pem: certificate and key of its port, and who signs that of others.
        @param ways: where it sends to, by domain.
        @param settings: more lines of its main.cf.
        """
        need("postfix")
        if os.geteuid() != 0:
            missing("Postfix can be run by root only")
        self.clear, self.offer, self.narrow = freePort(), freePort(), freePort()
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-postfix-"))
        self.folder.chmod(0o755)
        for name in ("conf", "queue", "data"):
            (self.folder / name).mkdir()
        owner = pwd.getpwnam("postfix")
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        conf = self.folder / "conf"
        names = {"folder": self.folder, "daemons": _DAEMONS, "pem": pem[0], "key": pem[1], "host": HOST}
        (conf / "main.cf").write_text(_MAIN.format(**names) + settings)
        services = "".join(_service(way) for way in {way.how: way for way in ways}.values())
        (conf / "master.cf").write_text(
            _MASTER.format(clear=self.clear, offer=self.offer, narrow=self.narrow) + services
        )
        table = "".join(f"{way.domain} {way.how}:[{HOST}]:{way.port}\n" for way in ways)
        (conf / "transport").write_text(table)
        passwords = "".join(f"[{HOST}]:{port} {LOGIN}:{PASSWORD}\n" for port in {way.port for way in ways})
        (conf / "passwords").write_text(passwords)
        environment = dict(os.environ, MAIL_CONFIG=str(conf))
        subprocess.run([need("postfix"), "-c", conf, "check"], check=True, capture_output=True, timeout=60)
        argv = [f"{_DAEMONS}/master", "-c", str(conf), "-s"]
        self.program = Program(argv, self.folder / "master.log", env=environment)
        until(lambda: answers(self.clear) or self.program.ended, "Postfix is up")
        assert not self.program.ended, self.output()

    def output(self) -> str:
        """What it has said."""
        log = self.folder / "maillog"
        return self.program.output() + (log.read_text("utf-8", "replace") if log.exists() else "")

    def stop(self) -> None:
        """End it."""
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _service(way: Way) -> str:
    """A client that goes this way."""
    settings = []
    if way.how != "clear":
        settings += ["smtp_tls_security_level=secure", "smtp_tls_secure_cert_match=mx.y.test"]
    if way.isFirst:
        settings.append("smtp_tls_wrappermode=yes")
    if way.mechanism:
        settings += ["smtp_sasl_auth_enable=yes", f"smtp_sasl_mechanism_filter={way.mechanism.lower()}"]
    return f"{way.how} unix - - n - - smtp\n" + "".join(f"  -o {setting}\n" for setting in settings)


_MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = postfix.test
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
local_header_rewrite_clients =
transport_maps = texthash:{folder}/conf/transport
default_transport = error:no route
mynetworks = {host}/32
inet_interfaces = {host}
inet_protocols = ipv4
smtputf8_enable = yes
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
smtpd_tls_cert_file = {pem}
smtpd_tls_key_file = {key}
smtp_tls_CAfile = {pem}
smtp_sasl_password_maps = texthash:{folder}/conf/passwords
smtp_sasl_security_options = noanonymous
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
notify_classes =
"""
_MASTER = """
{clear} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
{offer} inet n - n - - smtpd
  -o smtpd_tls_security_level=may
  -o smtpd_tls_received_header=yes
{narrow} inet n - n - - smtpd
  -o smtpd_discard_ehlo_keywords=8bitmime,starttls
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
