"""Tests of what is installed."""

from __future__ import annotations

import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]


class PackagesTests(SynchronousTestCase):
    """C{pyproject.toml}."""

    def test_packages(self) -> None:
        """Each package of ours is installed: a checkout has them all, an installation only those that are listed."""
        listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
        found = [".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "umbcmail").rglob("__init__.py")]
        self.assertEqual(sorted([*found, "twisted.plugins"]), sorted(listed))
