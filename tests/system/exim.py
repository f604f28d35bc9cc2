"""Exim with a configuration and a spool of its own, run by nobody in particular.

Its package can't be installed beside Postfix: script/bootstrap --dev unpacks it.
The user that it wants to be is made up by nss_wrapper.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import tempfile
from pathlib import Path

from tests.system.interop import LOGIN, PASSWORD, Way
from tests.system.programs import HOST, PATH, ROOT, Program, answers, freePort, missing, until

_UNPACKED = ROOT / ".venv" / "exim"
_USER = "Debian-exim"


class Exim:
    """The mail system.

    @ivar clear: its port without TLS.
    @ivar offer: its port with STARTTLS.
    """

    name = "exim"

    def __init__(self, pem: tuple[Path, Path], ways: list[Way]) -> None:
        """
        @param pem: certificate and key of its port, and who signs that of others.
        @param ways: where it sends to, by domain.
        """
        self.clear, self.offer = freePort(), freePort()
        # Not in the folder of the test, which is closed to its user.
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-exim-"))
        self.folder.chmod(0o755)
        environment = self._copyProgram() | self._makeUp()
        for name in ("spool", "log"):
            (self.folder / name).mkdir()
        for path, name in zip(pem, ("pem", "key"), strict=True):
            shutil.copyfile(path, self.folder / name)
        names = {"folder": self.folder, "host": HOST, "clear": self.clear, "offer": self.offer}
        config = self.folder / "exim.conf"
        config.write_text(
            _TOP.format(**names)
            + "\nbegin routers\n"
            + "".join(_router(number, way) for number, way in enumerate(ways))
            + "\nbegin transports\n"
            + "".join(_transport(way, self.folder) for way in {way.how: way for way in ways}.values())
            + _REST.format(login=LOGIN, password=PASSWORD)
        )
        for path in self.folder.rglob("*"):
            os.chown(path, self.uid, self.gid)
        os.chown(self.folder, self.uid, self.gid)
        argv = [str(self.folder / "exim4"), "-C", str(config), "-bdf", "-q1s"]
        user = {"user": self.uid, "group": self.gid, "extra_groups": []} if os.geteuid() == 0 else {}
        self.program = Program(argv, self.folder / "console", env=environment, cwd=self.folder, **user)
        until(lambda: answers(self.clear) or self.program.ended, "Exim is up")
        assert not self.program.ended, self.output()

    def _copyProgram(self) -> dict[str, str]:
        """Its user may not be able to look into the checkout."""
        found = shutil.which("exim4", path=f"{_UNPACKED}/usr/sbin:{PATH}")
        if not found:
            missing("Exim is not there (script/bootstrap --dev)")
        shutil.copyfile(found, self.folder / "exim4")
        (self.folder / "exim4").chmod(0o755)
        libraries = self.folder / "lib"
        libraries.mkdir()
        for path in _UNPACKED.glob("**/*.so.*"):
            shutil.copy(path, libraries, follow_symlinks=True)
        return {"LD_LIBRARY_PATH": str(libraries), "PATH": PATH}

    def _makeUp(self) -> dict[str, str]:
        """A user by the name that Exim was built with."""
        wrapper = next(Path("/usr/lib").glob("*/libnss_wrapper.so"), None)
        if wrapper is None:
            missing("libnss-wrapper is not installed (script/bootstrap --dev as root)")
        isRoot = os.geteuid() == 0
        user = pwd.getpwnam("nobody") if isRoot else pwd.getpwuid(os.geteuid())
        self.uid, self.gid = user.pw_uid, user.pw_gid
        users = [f"{_USER}:x:{self.uid}:{self.gid}::/nonexistent:/bin/false"]
        groups = [f"{_USER}:x:{self.gid}:"]
        users += [f"{u.pw_name}:x:{u.pw_uid}:{u.pw_gid}::{u.pw_dir}:{u.pw_shell}" for u in pwd.getpwall()]
        groups += [f"{g.gr_name}:x:{g.gr_gid}:" for g in grp.getgrall()]
        (self.folder / "passwd").write_text("\n".join(users) + "\n")
        (self.folder / "group").write_text("\n".join(groups) + "\n")
        return {
            "LD_PRELOAD": str(wrapper),
            "NSS_WRAPPER_PASSWD": str(self.folder / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.folder / "group"),
        }

    def output(self) -> str:
        """What it has said."""
        logs = sorted((self.folder / "log").iterdir())
        return self.program.output() + "".join(log.read_text("utf-8", "replace") for log in logs)

    def usedChunks(self, recipient: str) -> bool:
        """It has sent a message by BDAT, which its log marks with a K."""
        line = until(lambda: re.search(rf"=> {re.escape(recipient)} .*", self.output()), f"{recipient} in Exim's log")
        return " K " in line[0]

    def stop(self) -> None:
        """End it."""
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _router(number: int, way: Way) -> str:
    return f"""
r{number}:
  driver = manualroute
  domains = {way.domain}
  route_data = {HOST}::{way.port}
  self = send
  transport = {way.how}
"""


def _transport(way: Way, folder: Path) -> str:
    """A client that goes this way."""
    text = f"\n{way.how}:\n  driver = smtp\n  allow_localhost\n  hosts_try_fastopen =\n  dnssec_request_domains =\n"
    if way.how == "clear":
        return text + "  hosts_avoid_tls = *\n"
    text += f"  hosts_require_tls = *\n  tls_verify_certificates = {folder}/pem\n  tls_verify_hosts = *\n"
    text += "  tls_verify_cert_hostnames =\n"
    if way.isFirst:
        text += "  protocol = smtps\n"
    if way.mechanism:
        text += "  hosts_require_auth = *\n"
    return text


_TOP = """
exim_path = {folder}/exim4
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
log_selector = +smtp_protocol_error +tls_cipher
pid_file_path = {folder}/pid
primary_hostname = exim.test
local_interfaces = {host}
daemon_smtp_ports = {clear} : {offer}
disable_ipv6 = true
host_lookup =
dns_dnssec_ok = 0
rfc1413_hosts =
tls_advertise_hosts = ${{if ={{$received_port}}{{{offer}}}{{*}}{{}}}}
tls_certificate = {folder}/pem
tls_privatekey = {folder}/key
dsn_advertise_hosts = *
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
deliver_drop_privilege = true
never_users =
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = accept
acl_smtp_data = accept
"""
_REST = """
begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_condition = ${{if match{{$transport_name}}{{plain}}}}
  client_send = ^{login}^{password}
login:
  driver = plaintext
  public_name = LOGIN
  client_condition = ${{if match{{$transport_name}}{{login}}}}
  client_send = : {login} : {password}
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  client_condition = ${{if match{{$transport_name}}{{cram}}}}
  client_name = {login}
  client_secret = {password}
"""
