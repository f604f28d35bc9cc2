"""A Kerberos realm of the test's own: MIT's KDC on 127.0.0.1, with everything in a folder.

No root is needed.  Programs that are to use the realm get C{environment}; two realms
of the same name, with keys of their own, may exist side by side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.system.programs import HOST, Program, freePort, listens, need, until

REALM = "Y.TEST"

_CLIENT = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
[realms]
  {realm} = {{
    kdc = {host}:{port}
  }}
[domain_realm]
  {host} = {realm}
  localhost = {realm}
"""
_SERVER = """
[kdcdefaults]
  kdc_listen = {host}:{port}
  kdc_tcp_listen = {host}:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    acl_file = {folder}/kadm5.acl
    supported_enctypes = aes256-cts:normal aes128-cts:normal
    default_principal_flags = {flags}
  }}
[logging]
  kdc = FILE:{folder}/kdc.log
"""


class Realm:
    """A realm and its KDC, which runs when the object is made.

    @ivar port: of the KDC, UDP and TCP.
    @ivar config: path of its C{krb5.conf}.
    """

    def __init__(self, folder: Path, name: str = REALM, port: int = 0, flags: str = "+preauth") -> None:
        """
        @param port: not given: a free one.
        @param flags: what new principals have.
        """
        self.folder, self.name = folder, name
        self.port = port or freePort()
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "krb5.conf"
        names = {"realm": name, "host": HOST, "port": self.port, "folder": folder, "flags": flags}
        self.config.write_text(_CLIENT.format(**names))
        (folder / "kdc.conf").write_text(_SERVER.format(**names))
        self.program: Program | None = None
        self._run(need("kdb5_util"), "create", "-s", "-P", "of the test", "-r", name)
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        """For programs that use the realm; none of the user's own tickets and keys."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KRB5")}
        return clean | {
            "KRB5_CONFIG": str(self.config),
            "KRB5CCNAME": f"FILE:{self.folder}/no-tickets",
            "KRB5RCACHENAME": f"file2:{self.folder}/replays",
        }

    def _run(self, *argv: str, tickets: Path | None = None, stdin: str = "") -> str:
        env = self.environment | {"KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        if tickets is not None:
            env["KRB5CCNAME"] = f"FILE:{tickets}"
        done = subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """This process, and what it starts, uses the realm meanwhile."""
        before = dict(os.environ)
        ours = self.environment
        for name in [*ours, *before]:
            _set(name, ours.get(name))
        try:
            yield
        finally:
            for name in [*ours, *before]:
                _set(name, before.get(name))

    # The KDC

    def start(self) -> None:
        """Run the KDC, and wait for it."""
        env = self.environment | {"KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}
        self.program = Program(
            [need("krb5kdc"), "-n", "-r", self.name], self.folder / "console.log", env=env, cwd=self.folder
        )
        until(lambda: listens(self.port) or self.running.ended, "the KDC is up")
        assert not self.running.ended, self.output()

    @property
    def running(self) -> Program:
        """The KDC."""
        assert self.program is not None
        return self.program

    def stop(self) -> None:
        """End the KDC."""
        if not self.running.ended:
            self.running.process.send_signal(signal.SIGCONT)
        self.running.stop()

    def freeze(self) -> None:
        """It takes what is sent to it, and does not answer any more."""
        self.running.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self.running.process.send_signal(signal.SIGCONT)

    def output(self) -> str:
        """What it has said."""
        log = self.folder / "kdc.log"
        return self.running.output() + (log.read_text() if log.exists() else "")

    # Principals

    def admin(self, query: str) -> str:
        """A command of C{kadmin.local}.  @return: what it says."""
        said = self._run(need("kadmin.local"), "-r", self.name, "-q", query)
        for trouble in ("kadmin.local: ", "add_principal: ", "change_password: ", "modify_principal: "):
            assert trouble not in said, said
        return said

    def add(self, name: str, password: str = "", options: str = "") -> None:
        """Make a principal, with a random key where there is no password."""
        secret = f'-pw "{password}"' if password else "-randkey"
        self.admin(f'addprinc {secret} {options} "{name}"')

    def keytab(self, path: Path, *names: str) -> Path:
        """Give principals new keys, and add these to a keytab."""
        self.admin(f"ktadd -k {path} " + " ".join(names))
        return path

    def tickets(self, name: str, password: str, path: Path, options: Sequence[str] = ()) -> Path:
        """C{kinit}: a file with tickets of somebody."""
        self._run(need("kinit"), *options, f"{name}@{self.name}", tickets=path, stdin=f"{password}\n")
        return path


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    elif os.environ.get(name) != value:
        os.environ[name] = value
