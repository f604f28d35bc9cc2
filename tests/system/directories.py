"""Directories that know who may log in: Dovecot, saslauthd, PAM, and files, each with
the same users and with a way to be hung up, killed and set right again.

C{ann}, C{jürgen} and C{locked} have the password L{PASSWORD}; C{locked} may not log
in all the same, where the directory knows such a thing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.system.mailsystem import Umbcmail
from tests.system.programs import Program, missing, need, until
from tests.system.servers import Dovecot

PASSWORD = "s3cret! \u00fc"
HASH = "$6$saltsaltsalt$S/P7nQcqOXUHcP7wnihUPWxzgZTcALonOEHNrsK8EJ8lQLOCw5iZNOe3/ZiwDJ40Eck87bQaudsOzlLjgD2bu/"
"""Of the password."""
USERS = ("ann", "j\u00fcrgen", "locked")


def childrenOf(parent: int) -> Iterator[tuple[int, str]]:
    """Ids and command lines of the children of a process."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int((path / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                yield int(path.name), (path / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")


class Directory:
    """One of them.

    @ivar checker: what umbcmail is told.
    @ivar knowsLocked: an account can be locked.
    """

    checker = ""
    knowsLocked = True

    def freeze(self, mail: Umbcmail) -> None:
        """Answer no more, without a word."""
        raise NotImplementedError

    def thaw(self, mail: Umbcmail) -> None:
        """Go on."""
        raise NotImplementedError

    def kill(self, mail: Umbcmail) -> None:
        """End at once."""
        raise NotImplementedError

    def again(self, mail: Umbcmail) -> None:
        """Come back."""

    def output(self) -> str:
        """What it has said."""
        return ""

    def stop(self) -> None:
        """End in good order."""


class UsersFile(Directory):
    """A file as Dovecot would have it."""

    knowsLocked = False

    def __init__(self, folder: Path) -> None:
        path = folder / "users"
        path.write_text("".join(f"{name}:{{SHA512-CRYPT}}{HASH}:::::\n" for name in USERS))
        self.checker = f"file:{path}"


class _Auth(Dovecot):
    """Dovecot with a socket for those who ask for passwords."""

    def prepare(self) -> None:
        """Its users."""
        self.socket = self.folder / "run" / "auth-umbcmail"
        extra = {"locked": "nologin=y", "ann": "user=ann@canonical.test"}
        lines = (f"{name}:{HASH}::::::{extra.get(name, '')}\n" for name in USERS)
        (self.folder / "users").write_text("".join(lines))

    def users(self) -> str:
        """Where they are."""
        if self.isOld:
            return (
                "protocols = lmtp\ndisable_plaintext_auth = yes\n"
                f"passdb {{\n  driver = passwd-file\n  args = {self.folder}/users\n}}\n"
                "userdb {\n  driver = static\n  args = uid=nobody\n}\n"
            )
        return (
            "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\nprotocols {\n  lmtp = yes\n}\n"
            f"passdb passwd-file {{\n  passwd_file_path = {self.folder}/users\n}}\n"
            "userdb static {\n}\n"
        )

    def service(self) -> str:
        """The socket; no waiting for those who guess."""
        return (
            "auth_failure_delay = 0\nauth_username_chars =\nauth_mechanisms = plain login\n"
            "service auth {\n  unix_listener auth-umbcmail {\n    mode = 0666\n  }\n}\n"
            "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
        )


class DovecotDirectory(Directory):
    """Dovecot's service auth."""

    def __init__(self, folder: Path) -> None:
        self.dovecot = _Auth()
        self.checker = f"dovecot:{self.dovecot.socket}"

    def _process(self) -> int:
        children = childrenOf(self.dovecot.program.process.pid)
        found = [pid for pid, line in children if line.strip().endswith("/auth")]
        return found[0] if found else 0

    def freeze(self, mail: Umbcmail) -> None:
        """Stop the process that answers."""
        os.kill(until(self._process, "Dovecot's auth runs"), signal.SIGSTOP)

    def thaw(self, mail: Umbcmail) -> None:
        """Let it go on."""
        os.kill(self._process(), signal.SIGCONT)

    def kill(self, mail: Umbcmail) -> None:
        """Kill it; Dovecot starts another one."""
        os.kill(self._process(), signal.SIGKILL)

    def output(self) -> str:
        """Its log."""
        return self.dovecot.output()

    def stop(self) -> None:
        """End it all."""
        with contextlib.suppress(OSError):
            os.kill(self._process() or 2**22 + 1, signal.SIGCONT)
        self.dovecot.stop()


class SaslauthdDirectory(Directory):
    """saslauthd, whose users are those of a passwd file of their own."""

    knowsLocked = False

    def __init__(self, folder: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-sasl-"))
        self.log = self.folder / "saslauthd.log"
        (self.folder / "passwd").write_text("".join(f"{name}:{HASH}:12345:12345::/:/bin/false\n" for name in USERS))
        (self.folder / "group").write_text("users:x:12345:\n")
        self.checker = f"saslauthd:{self.folder}/mux"
        self._start()

    def _start(self) -> None:
        library = next(Path("/usr/lib").glob("*/libnss_wrapper.so"), None)
        if library is None:
            missing("libnss-wrapper is not installed (script/bootstrap --dev as root)")
        names = {"LD_PRELOAD": library, "NSS_WRAPPER_PASSWD": self.folder / "passwd"}
        names["NSS_WRAPPER_GROUP"] = self.folder / "group"
        (self.folder / "mux").unlink(missing_ok=True)
        argv = [need("saslauthd"), "-d", "-a", "getpwent", "-m", str(self.folder), "-n", "2"]
        self.program = Program(argv, self.log, env=dict(os.environ, **{k: str(v) for k, v in names.items()}))
        until(lambda: (self.folder / "mux").exists() or self.program.ended, "saslauthd is up")
        assert not self.program.ended, self.output()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.program.process.pid, number)

    def freeze(self, mail: Umbcmail) -> None:
        """Stop all of its processes."""
        self._signal(signal.SIGSTOP)

    def thaw(self, mail: Umbcmail) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def kill(self, mail: Umbcmail) -> None:
        """Kill them."""
        self._signal(signal.SIGKILL)
        self.program.process.wait()

    def again(self, mail: Umbcmail) -> None:
        """Start it again."""
        self._start()

    def output(self) -> str:
        """Its log."""
        return self.program.output()

    def stop(self) -> None:
        """End it."""
        self._signal(signal.SIGCONT)
        self.program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PAMDirectory(Directory):
    """A service of PAM's, with modules that know users from a file, and a script that
    can hang or fail."""

    def __init__(self, folder: Path) -> None:
        module = next(Path("/usr/lib").glob("*/pam_wrapper/pam_matrix.so"), None)
        if module is None:
            missing("libpam-wrapper is not installed (script/bootstrap --dev as root)")
        if os.geteuid():
            missing("only root may add a service to PAM")
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-pam-"))
        service = f"umbcmail-test-{os.getpid()}-{time.monotonic_ns()}"
        (self.folder / "users").write_text("".join(f"{name}:{PASSWORD}:{service}\n" for name in USERS))
        (self.folder / "locked").write_text("locked\n")
        script = self.folder / "script"
        script.write_text(f"#!/bin/sh\ncd {self.folder}\nwhile [ -e hang ]; do sleep 0.1; done\n[ ! -e broken ]\n")
        script.chmod(0o755)
        self.service = Path("/etc/pam.d", service)
        self.service.write_text(
            f"auth required pam_exec.so quiet {script}\n"
            f"auth required {module} passdb={self.folder}/users\n"
            f"account required pam_listfile.so item=user sense=deny onerr=fail file={self.folder}/locked\n"
            "account required pam_permit.so\n"
        )
        self.checker = f"pam:{service}"

    def freeze(self, mail: Umbcmail) -> None:
        """Let a module take for ever."""
        (self.folder / "hang").touch()

    def thaw(self, mail: Umbcmail) -> None:
        """Let it come to an end."""
        (self.folder / "hang").unlink(missing_ok=True)

    def kill(self, mail: Umbcmail) -> None:
        """Kill the processes that ask."""
        for pid, line in childrenOf(mail.running.process.pid):
            if "pamchild" in line:
                os.kill(pid, signal.SIGKILL)
        self.thaw(mail)

    def stop(self) -> None:
        """Take the service away."""
        self.service.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


DIRECTORIES = {
    "file": UsersFile,
    "dovecot": DovecotDirectory,
    "saslauthd": SaslauthdDirectory,
    "pam": PAMDirectory,
}
