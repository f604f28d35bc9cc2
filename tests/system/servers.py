"""Other people's servers: Postfix's smtp-sink, Dovecot's LMTP and submission."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.system.interop import LOGIN, PASSWORD, Way
from tests.system.programs import HOST, PATH, Program, answers, freePort, missing, need, until


class SmtpSink:
    """Postfix's smtp-sink.

    @ivar dump: folder with a file for each message, or file with all of them.
    """

    def __init__(self, folder: Path, oneFile: bool = False, refuses: str = "") -> None:
        """
        @param oneFile: append all messages to one file, which is quicker.
        @param refuses: commands that are answered 5xx.
        """
        self.port = freePort()
        self.dump = folder / ("dump" if oneFile else "dumps")
        where = ["-D", "dump"] if oneFile else ["-d", "dumps/%M."]
        user = ["-u", "root"] if os.geteuid() == 0 else []
        user += ["-f", refuses] if refuses else []
        folder.mkdir(parents=True, exist_ok=True)
        argv = [need("smtp-sink"), *user, "-c", *where, f"inet:{HOST}:{self.port}", "500"]
        self.program = Program(argv, folder / "smtp-sink.log", cwd=folder)
        until(lambda: answers(self.port), "smtp-sink is up")

    def count(self) -> int:
        """How many messages it says that it has got."""
        found = re.findall(r"mesg=(\d+)", self.program.output())
        return int(found[-1]) if found else 0

    def stop(self) -> None:
        """End it."""
        self.program.stop()


class Dovecot:
    """Dovecot 2.3 or 2.4 with nothing but LMTP on a UNIX socket, and Maildirs.

    @ivar socket: path of the socket.
    @ivar homes: the home folders of its users, each with a C{Maildir}.
    """

    protocol = "lmtp"

    def __init__(self) -> None:
        dovecot = need("dovecot")
        if not Path("/usr/lib/dovecot", self.protocol).exists():
            missing(f"dovecot-{self.protocol}d is not installed (script/bootstrap --dev as root)")
        # Not in the folder of the test, which is closed to the user of the Maildirs and has too long a path.
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-dovecot-"))
        self.folder.chmod(0o755)
        self.homes = self.folder / "homes"
        self.socket = self.folder / "run" / "lmtp"
        self.homes.mkdir()
        isRoot = os.geteuid() == 0
        self.user = user = pwd.getpwnam("nobody") if isRoot else pwd.getpwuid(os.geteuid())
        self.prepare()
        os.chown(self.homes, user.pw_uid, user.pw_gid)
        version = subprocess.run([dovecot, "--version"], capture_output=True, text=True, check=True).stdout
        config = self.folder / "dovecot.conf"
        self.isOld = version.startswith("2.3")
        users = self.users()
        group = grp.getgrgid(user.pw_gid).gr_name
        alone = "" if isRoot else _UNPRIVILEGED.format(user=user.pw_name, group=group)
        config.write_text(users + _COMMON.format(folder=self.folder) + self.service() + alone)
        console = self.folder / "console.log"
        self.program = Program([dovecot, "-F", "-c", str(config)], console, env=dict(os.environ, PATH=PATH))
        until(lambda: self.isUp() or self.program.ended, "Dovecot is up")
        assert not self.program.ended, self.output()

    def users(self) -> str:
        """What is configured for its users."""
        names = {"homes": self.homes, "uid": self.user.pw_uid, "gid": self.user.pw_gid, "protocol": self.protocol}
        return (_OLD if self.isOld else _NEW).format(**names)

    def service(self) -> str:
        """What is configured for its protocol."""
        return _LMTP

    def prepare(self) -> None:
        """Make what it needs."""

    def isUp(self) -> bool:
        """It takes connections."""
        return self.socket.exists()

    def output(self) -> str:
        """What it has said."""
        log = self.folder / "dovecot.log"
        return self.program.output() + (log.read_text() if log.exists() else "")

    def stop(self) -> None:
        """End it."""
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class KnownUsers(Dovecot):
    """Dovecot's LMTP for some users, who are in a file; others don't exist."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        super().__init__()

    def users(self) -> str:
        """All of them."""
        file, uid, gid = self.folder / "users", self.user.pw_uid, self.user.pw_gid
        homes = [(address, self.homes / address.partition("@")[0]) for address in self.addresses]
        file.write_text("".join(f"{address}::{uid}:{gid}::{home}::\n" for address, home in homes))
        text = super().users().partition("passdb")[0]
        return text + (_OLD_FILE if self.isOld else _NEW_FILE).format(file=file)


class Submission(Dovecot):
    """Dovecot's submission service, which hands all mail to another port.

    @ivar port: where it listens; any password will do.
    """

    protocol = "submission"

    def __init__(self, way: Way, trusted: bool = False) -> None:
        """
        @param way: how it goes on.
        @param trusted: it may say by XCLIENT whom it speaks for.
        """
        self.port = freePort()
        self.trusted = trusted
        self.way = way
        super().__init__()

    @property
    def rawlog(self) -> Path:
        """Folder with what it has sent, in files of its user."""
        return self.homes / "rawlog"

    def service(self) -> str:
        """Its port, and where it goes."""
        ssl = "smtps" if self.way.isFirst else "no" if self.way.how == "clear" else "starttls"
        text = _SUBMISSION.format(host=HOST, port=self.port, next=self.way.port, ssl=ssl, rawlog=self.rawlog)
        text += "submission_relay_trusted = yes\n" if self.trusted else ""
        text += (_OLD_SUBMISSION if self.isOld else _NEW_SUBMISSION).format(host=HOST, port=self.port)
        if self.way.mechanism:
            text += f"submission_relay_user = {LOGIN}\nsubmission_relay_password = {PASSWORD}\n"
        return text if os.geteuid() == 0 else text + "service submission-login {\n  chroot =\n}\n"

    def prepare(self) -> None:
        """A place for its user."""
        self.rawlog.mkdir()
        shutil.chown(self.rawlog, self.user.pw_uid, self.user.pw_gid)

    def sent(self) -> bytes:
        """All that it has sent, without what goes before TLS."""
        return b"".join(path.read_bytes() for path in sorted(self.rawlog.glob("*.out")))

    def isUp(self) -> bool:
        """It greets."""
        return answers(self.port)


_OLD = """
protocols = {protocol}
mail_location = maildir:~/Maildir
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={homes}/%n allow_all_users=yes
}}
"""
_NEW = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols {{
  {protocol} = yes
}}
mail_driver = maildir
mail_path = ~/Maildir
passdb static {{
  fields {{
    nopassword = yes
  }}
}}
userdb static {{
  userdb_static_allow_all_users = yes
  fields {{
    uid = {uid}
    gid = {gid}
    home = {homes}/%{{user | username}}
  }}
}}
"""
_OLD_FILE = """
passdb {{
  driver = passwd-file
  args = {file}
}}
userdb {{
  driver = passwd-file
  args = {file}
}}
"""
_NEW_FILE = """
passdb passwd-file {{
  passwd_file_path = {file}
}}
userdb passwd-file {{
  passwd_file_path = {file}
}}
"""
_COMMON = """
base_dir = {folder}/run
state_dir = {folder}/state
instance_name = umbcmail-test
log_path = {folder}/dovecot.log
ssl = no
first_valid_uid = 1
first_valid_gid = 1
"""
_LMTP = """
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
"""
# Without root nobody can change user or root folder.
_UNPRIVILEGED = """
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""
_SUBMISSION = """
hostname = dovecot.test
submission_relay_host = {host}
submission_relay_port = {next}
submission_relay_ssl = {ssl}
submission_relay_rawlog_dir = {rawlog}
"""
_OLD_SUBMISSION = """
disable_plaintext_auth = no
submission_relay_ssl_verify = no
service submission-login {{
  inet_listener submission {{
    address = {host}
    port = {port}
  }}
}}
"""
_NEW_SUBMISSION = """
auth_allow_cleartext = yes
ssl_client_require_valid_cert = no
service submission-login {{
  inet_listener submission {{
    listen = {host}
    port = {port}
  }}
}}
"""
