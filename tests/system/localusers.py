"""Users of this host that a test makes and removes again, and the local delivery agent for
them.  Needs root."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.system.mailsystem import Umbcmail
from tests.system.programs import HOST, Program, answers, freePort, missing, need
from tests.system.servers import Dovecot

CONFIG = """
[host]
name = "mx.y.test"
[domains]
local = ["y.test"]
[networks]
trusted = ["127.0.0.1"]
[spool]
url = "sqlite:{folder}/spool"
[state]
url = "sqlite:{folder}/state"
[log]
file = "{folder}/mail.log"
[queue.local]
next-hops = ["unix:{folder}/run/lda"]
retry = ["1s"]
[agent.delivery.port.mx]
endpoint = "tcp:{port}:interface={host}"
[lda]
listen = "{folder}/run/lda"
"""


def _managed(argv: Sequence[str]) -> None:
    """Change the users of this host; others may be at it too."""
    for _ in range(50):
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        if "lock" not in done.stderr:
            break
        time.sleep(0.2)
    assert done.returncode == 0, (argv, done.stderr)


class LocalUsers:
    """Some users with homes in a folder that all can enter.

    @ivar folder: the folder.
    @ivar names: by what the test calls them.
    """

    def __init__(self) -> None:
        if os.geteuid():
            missing("users can be made by root only")
        self.folder = Path(tempfile.mkdtemp(prefix="umbcmail-users-"))
        self.folder.chmod(0o755)
        self.names: dict[str, str] = {}

    def add(self, label: str, *more: str) -> str:
        """A user.

        @param more: for useradd.
        @return: its name, which nobody else has.
        """
        name = self.names[label] = f"umt-{label}-{secrets.token_hex(4)}"
        argv = [need("useradd"), "--home-dir", str(self.folder / label), "--create-home", "--user-group"]
        _managed([*argv, "--shell", "/bin/sh", "--skel", "/nonexistent", *more, name])
        self.home(label).chmod(0o700)
        return name

    def home(self, label: str) -> Path:
        """Of a user."""
        return self.folder / label

    def user(self, label: str) -> pwd.struct_passwd:
        """What the system knows of it."""
        return pwd.getpwnam(self.names[label])

    def write(self, label: str, name: str, text: str, mode: int = 0o600) -> Path:
        """A file of a user's, in its home."""
        path = self.home(label) / name
        path.write_text(text)
        path.chmod(mode)
        shutil.chown(path, self.names[label], self.names[label])
        return path

    def new(self, label: str, maildir: str = "Maildir") -> list[Path]:
        """The messages in its Maildir."""
        folder = self.home(label) / maildir / "new"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def clean(self, label: str) -> None:
        """An empty home."""
        home = self.home(label)
        for path in home.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        home.chmod(0o700)

    def close(self) -> None:
        """Remove them, and the folder."""
        for name in self.names.values():
            with contextlib.suppress(KeyError):
                pwd.getpwnam(name)
                _managed([need("userdel"), "--force", name])
        shutil.rmtree(self.folder, ignore_errors=True)


def brokenDirectory(folder: Path) -> dict[str, str]:
    """A directory of users that can't tell who is there, and hangs when it is asked for C{slow}.

    @param folder: for what makes it so.
    @return: the environment of a program that has it.
    """
    source, library = folder / "broken.c", folder / "broken.so"
    source.write_text(
        "#include <errno.h>\n#include <pwd.h>\n#include <string.h>\n#include <unistd.h>\n"
        "int getpwnam_r(const char *n, struct passwd *p, char *b, size_t s, struct passwd **r) {\n"
        '  *r = 0; if (strcmp(n, "slow") == 0) sleep(30); return ECONNREFUSED; }\n'
    )
    subprocess.run([need("gcc"), "-shared", "-fPIC", "-o", str(library), str(source)], check=True, timeout=60)
    return {"LD_PRELOAD": str(library)}


class LDA:
    """umbcmail with a local delivery agent, and maybe a delivery agent before it.

    @ivar mail: the configuration, the log; its program is that of the other roles.
    @ivar program: the local delivery agent.
    """

    def __init__(self, folder: Path, config: str = "", env: dict[str, str] | None = None) -> None:
        """
        @param config: more of it; what it says of C{[lda]} goes first.
        """
        self.mail = Umbcmail(folder, base=CONFIG)
        (folder / "run").mkdir()
        with self.mail.config.open("a") as file:
            file.write(config.replace("{folder}", str(folder)))
        self.socket = folder / "run" / "lda"
        self._env = env or {}
        self.program: Program | None = None

    def start(self) -> LDA:
        """Start the local delivery agent."""
        with _environ(self._env):
            self.program = self.mail.another("--role", "lda")
        return self

    @property
    def running(self) -> Program:
        """Its process."""
        assert self.program is not None
        return self.program

    def stop(self) -> None:
        """End all."""
        for program in (self.program, self.mail.program):
            if program is not None and not program.ended:
                assert program.stop() == 0

    def client(self) -> Client:
        """A session by LMTP."""
        return Client(self.socket)

    def send(self, *recipients: str, body: bytes = b"Subject: x\r\n\r\nHello\r\n") -> list[str]:
        """A message by LMTP.  @return: the replies for the recipients, to RCPT or to the end of data."""
        with contextlib.closing(self.client()) as client:
            return client.send(*recipients, body=body)

    def why(self) -> str:
        """The last line in the log about a delivery."""
        time.sleep(0.15)
        return [line for line in self.mail.log().splitlines() if " local-" in line][-1]


@contextlib.contextmanager
def _environ(more: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def running(lda: LDA) -> Iterator[LDA]:
    """It runs; its log is shown when the test fails, and no test passes that met a bug."""
    try:
        yield lda.start()
        assert not lda.mail.events("bug")
    except BaseException:
        print(lda.mail.log()[-6000:])
        raise
    finally:
        lda.stop()


class Client:
    """A client by LMTP."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> str:
        """The next reply, its last line."""
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            if line[3:4] != "-":
                return line

    def ask(self, command: str) -> str:
        """A command and its reply."""
        self.socket.sendall(command.encode() + b"\r\n")
        return self.reply()

    def send(self, *recipients: str, body: bytes, sender: str = "s@x.test") -> list[str]:
        """A message; see L{LDA.send}.

        @param recipients: addresses, maybe with parameters behind C{"> "}.
        """
        assert self.ask("LHLO x").startswith("250")
        assert self.ask(f"MAIL FROM:<{sender}>").startswith("250")
        replies = {}
        for at, recipient in enumerate(recipients):
            path, _, words = recipient.partition("> ")
            replies[at] = self.ask(f"RCPT TO:<{path}> {words}".rstrip())
        taken = [at for at, said in replies.items() if said.startswith("250")]
        if not taken:
            return list(replies.values())
        assert self.ask("DATA").startswith("354")
        self.socket.sendall(body.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        for at in taken:
            replies[at] = self.reply()
        return list(replies.values())

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()


class Imap(Dovecot):
    """Dovecot with IMAP for the users of this host; any password will do.

    @ivar port: where it listens.
    """

    protocol = "imap"

    def __init__(self) -> None:
        self.port = freePort()
        super().__init__()

    def users(self) -> str:
        """Those of the system, with their own uids and homes."""
        text = super().users()
        start = text.index("userdb")
        return text[:start] + ("userdb {\n  driver = passwd\n}\n" if self.isOld else "userdb passwd {\n}\n")

    def service(self) -> str:
        """Its port."""
        clear = "disable_plaintext_auth = no\n" if self.isOld else "auth_allow_cleartext = yes\n"
        listen = "address" if self.isOld else "listen"
        return (
            f"{clear}service imap-login {{\n  inet_listener imap {{\n"
            f"    {listen} = {HOST}\n    port = {self.port}\n  }}\n}}\n"
        )

    def isUp(self) -> bool:
        """It greets."""
        return answers(self.port, b"* OK")
