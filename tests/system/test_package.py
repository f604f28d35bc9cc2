"""The Debian package: built, installed, used, upgraded, removed and purged in a clean Debian 12 and a clean
Debian 13, with processes and a network of their own.  See `package/run.sh` and `package/inside.sh`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.programs import ROOT, missing, need

RELEASES = {"bookworm": "3.11", "trixie": "3.13"}
"""Releases, and their Python."""
ROOTS = ROOT / ".venv" / "roots"
"""Clean roots, which are made anew each week."""
TIME = 1200


class Trial:
    """A run in one release; all run at the same time, as each waits for the network and disk at first."""

    def __init__(self, release: str, folder: Path) -> None:
        self.log = folder / "log"
        tree = folder / "tree"
        tree.mkdir()
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True,
        ).stdout  # fmt: skip
        files = [name for name in names.split(b"\0") if name and (ROOT / os.fsdecode(name)).is_file()]
        packed = subprocess.Popen(
            ["tar", "-c", "--null", "--no-recursion", "-T", "-"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        unpacked = subprocess.Popen(["tar", "-x", "-C", str(tree)], stdin=packed.stdout)
        assert packed.stdin is not None
        packed.stdin.write(b"\0".join(files))
        packed.stdin.close()
        assert packed.wait() == unpacked.wait() == 0
        (folder / "run").mkdir()
        script = ROOT / "tests" / "system" / "package" / "run.sh"
        wheels = ROOTS / f"wheels-{RELEASES[release]}"
        argv = ["unshare", "--mount", "--propagation", "private", str(script)]
        fetch = f'"$0" "{wheels}" {RELEASES[release]} && exec "$@"'
        argv = ["sh", "-c", fetch, str(ROOT / "script" / "wheels"), *argv]
        argv += [release, str(tree), str(folder / "run"), str(wheels), str(ROOTS / release)]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
            )  # fmt: skip

    def end(self) -> None:
        """Whatever it is at: its processes end with their namespace."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait(60)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trial]]:
    """All of them, begun."""
    for program in ("debootstrap", "unshare", "git", "lintian"):
        need(program)
    if os.geteuid():
        missing("not root")
    begun: dict[str, Trial] = {}
    try:
        for release in RELEASES:
            begun[release] = Trial(release, tmp_path_factory.mktemp(release))
        yield begun
    finally:
        for trial in begun.values():
            trial.end()


@pytest.mark.parametrize("release", RELEASES)
def test_package(trials: dict[str, Trial], release: str) -> None:
    """`apt install`, mail in and out, reload, upgrade with mail queued, remove, purge, and nothing left behind; and
    on one the units, under a systemd."""
    trial = trials[release]
    status = trial.process.wait(TIME)
    said = trial.log.read_text("utf-8", "replace")
    print(said)
    assert status == 0, said[-6000:]
    lines = said.splitlines()
    assert "- nothing is left" in lines and lines[-1].endswith(f"{release}: done"), said[-6000:]
