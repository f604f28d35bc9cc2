"""The units of systemd: how much they keep from each process."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.system.programs import ROOT, need

UNITS = {"umbcmail.service": 2.5, "umbcmail-filter.service": 2.5, "umbcmail-postman.service": 2.5}
"""Those that are not to have the rights of root, and the most exposure, of 10, that they may have."""


@pytest.mark.parametrize("unit", UNITS)
def test_security(unit: str, tmp_path: Path) -> None:
    """What systemd thinks of it."""
    name = unit if unit == "umbcmail.service" else f"umbcmail.{unit}"
    copy = tmp_path / unit
    copy.write_text((ROOT / "debian" / name).read_text())
    argv = [need("systemd-analyze"), "security", "--offline=true", "--no-pager", str(copy)]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert found is not None, said.stdout + said.stderr
    assert float(found[1]) <= UNITS[unit], said.stdout
