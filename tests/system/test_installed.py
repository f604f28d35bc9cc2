"""What is installed is complete: twistd finds the plugin, and the command is there."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.system.programs import ROOT, missing


def test_installed(tmp_path: Path) -> None:
    """From a folder that pip has installed into, away from the checkout."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "MANIFEST.in", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    for name in ("umbcmail", "twisted"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check"]
    if importlib.util.find_spec("setuptools") and importlib.util.find_spec("wheel"):
        argv.append("--no-build-isolation")
    done = subprocess.run([*argv, "--target", str(target), str(source)], capture_output=True, text=True, timeout=300)
    if done.returncode and "No matching distribution found for setuptools" in done.stderr:
        missing("no setuptools, and no package index to get it from")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (target / "twisted" / "plugins").glob("*.py")) == [
        "umbcmail_parts.py",
        "umbcmail_plugin.py",
    ]
    assert (target / "bin" / "umbcmail").exists()
    away = dict(os.environ, PYTHONPATH=str(target), PYTHONDONTWRITEBYTECODE="1")
    twistd = Path(sys.executable).parent / "twistd"

    def run(*words: str) -> str:
        return subprocess.run(
            [str(word) for word in words],
            capture_output=True,
            text=True,
            timeout=60,
            env=away,
            cwd=tmp_path,
            check=True,
        ).stdout

    assert "A mail transfer system." in run(str(twistd), "--help")
    assert "--role" in run(str(twistd), "umbcmail", "run", "--help")
    where = run(sys.executable, "-c", "import umbcmail.queue.spool.sqlite, umbcmail; print(umbcmail.__file__)")
    assert where.startswith(str(target))
    assert "queue" in run(sys.executable, "-m", "umbcmail", "--help")
    config = tmp_path / "umbcmail.toml"
    config.write_text('[agent.delivery.port.mx]\nendpoint = "tcp:0"\n')
    assert "# default" in run(str(twistd), "-n", "umbcmail", "run", "--config", str(config), "--check")


def test_completion(tmp_path: Path) -> None:
    """The shell completes commands, also behind an argument, and options; and files behind C{--config}."""
    subprocess.run([sys.executable, str(ROOT / "script" / "manual"), str(tmp_path)], check=True, timeout=60)
    (tmp_path / "a.toml").touch()
    program = """
source ./umbcmail
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_umbcmail
echo "${COMPREPLY[*]}"
"""
    for words, expected in (
        ("umbcmail que", "queue"),
        ("umbcmail queue wh", "why"),
        ("umbcmail queue list --cl", "--class"),
        ("umbcmail queue show ABC --cont", "--content"),
        ("umbcmail queue list --config a.t", "a.toml"),
        ("umbcmail nonsense que", "queue"),
        ("umbcmail queue nonsense-", ""),
    ):
        argv = ["bash", "-c", program, "bash", *words.split()]
        done = subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, timeout=20)
        assert (done.stdout.strip(), done.stderr) == (expected, ""), words
