"""The conformance cases of C{tests/conformance}: all pass, and none is left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUNNER = Path(__file__).resolve().parent.parent / "conformance" / "run.py"


def test_allCases() -> None:
    """What was sent, expected and got is in the output of a case that fails."""
    argv = [sys.executable, str(RUNNER), "--adapter", "umbcmail", "--no-skip", "--table", "--jobs", "24"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=900)
    last = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 0 and " 0 failed, 0 skipped" in last, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(last.split()[0]) >= 400
