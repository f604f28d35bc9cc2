"""Tests of what is installed."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections import Counter
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from umbcmail.sections import sections
from umbcmail.service import ROLES
from umbcmail.submit.arguments import _LETTERS, _TAKERS
from umbcmail.tap import ALONE, RunOptions

ROOT = Path(__file__).parents[2]


class PackagesTests(SynchronousTestCase):
    """C{pyproject.toml}."""

    def test_packages(self) -> None:
        """Each package of ours is installed: a checkout has them all, an installation only those that are listed."""
        listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
        found = [".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "umbcmail").rglob("__init__.py")]
        self.assertEqual(sorted([*found, "twisted.plugins"]), sorted(listed))


class TestsTests(SynchronousTestCase):
    """The tests themselves."""

    def test_names(self) -> None:
        """No two modules have the same name: they are collected in one run."""
        names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
        self.assertEqual([name for name, count in names.items() if count > 1], [])


def subparsers(parser: argparse.ArgumentParser) -> bool:
    """It has commands of its own."""
    return any(isinstance(action, argparse._SubParsersAction) for action in parser._actions)


class DebianTests(SynchronousTestCase):
    """What the Debian package is made of."""

    def pins(self, path: Path) -> list[str]:
        """Names and versions of a lock file."""
        return [line.split()[0] for line in path.read_text().splitlines() if line and line[0] not in "# "]

    def test_lock(self) -> None:
        """The package has the versions that are tested here, each by the hash of a wheel."""
        lock = ROOT / "debian" / "requirements.lock"
        self.assertEqual(self.pins(ROOT / "requirements.lock"), self.pins(lock), "run script/lock-deb")
        entries = lock.read_text().split("\n\n")[-1].split("==")[1:]
        self.assertTrue(all("--hash=sha256:" in entry for entry in entries))

    def test_version(self) -> None:
        """There is one version, and no other place has one."""
        self.assertFalse((ROOT / "debian" / "changelog").exists(), "script/build-deb makes it")

    def test_roles(self) -> None:
        """The units and the script start all roles, each in one process, and roles of a host replace those of
        C{umbcmail.service} only."""
        roles = " ".join(f"--role {role}" for role in ROLES if role != "filter")
        unit = (ROOT / "debian" / "umbcmail.service").read_text()
        default, own = unit.index(f'Environment="UMBCMAIL_ROLES={roles}"\n'), unit.index("EnvironmentFile=")
        self.assertLess(default, own)
        script = (ROOT / "debian" / "umbcmail.init").read_text()
        default, own = script.index(f'\nUMBCMAIL_ROLES="{roles}"\n'), script.index(" . /etc/default/umbcmail")
        self.assertLess(default, own)
        self.assertIn(f'\n#UMBCMAIL_ROLES="{roles}"\n', (ROOT / "debian" / "umbcmail.default").read_text())
        self.assertNotIn("--role ", unit.replace(roles, ""))
        for role in ("filter", *ALONE):
            text = (ROOT / "debian" / f"umbcmail.umbcmail-{role}.service").read_text()
            found = re.findall(r"umbcmail[.]toml (.*?) (?:[$]UMBCMAIL_OPTIONS|\"[$][$]@\")", text)
            self.assertEqual({f"--role {role}"}, set(found))

    def test_manual(self) -> None:
        """The manual has all that is declared: each setting, each command, each option; and so has the completion."""
        loader = SourceFileLoader("manual", str(ROOT / "script" / "manual"))
        spec = spec_from_loader("manual", loader)
        assert spec is not None
        manual = module_from_spec(spec)
        loader.exec_module(manual)
        folder = Path(self.mktemp())
        manual.main(folder)
        toml = (folder / "umbcmail.toml.5").read_text()
        for section in sections():
            name = section.name.removesuffix("[]")
            title = f"[[{name}]]" if section.name.endswith("[]") else f"[{name}]"
            _, found, rest = toml.partition(f'.SS "{manual.escaped(title)}"')
            self.assertTrue(found, title)
            rest = rest.partition("\n.SS ")[0]
            for option in section.options:
                self.assertIn(f'.B "{manual.escaped(option.name)}"\n{manual.escaped(option.doc)}\n', rest)
        page = (folder / "umbcmail.8").read_text()
        found = [words for words, parser, _ in manual.commands(manual.parserOfCommands()) if not subparsers(parser)]
        self.assertIn(("queue", "why"), found)
        for words in found:
            self.assertIn(manual.escaped(" ".join(("umbcmail", *words))), page)
        for option in RunOptions().synonyms.values():
            self.assertIn(f'.B "{manual.escaped("--" + option.replace("_", "-"))}"', page)
        letters = set(_LETTERS.replace(":", "")) & {*_TAKERS, "o", "O"}
        page = (folder / "sendmail.8").read_text()
        self.assertEqual(set(), {each for each in letters if f"\\-{each}" not in page})
        self.assertNotIn("@", toml.partition(".SH SETTINGS")[0])

    def test_completion(self) -> None:
        """The shell is told what may follow; see also C{test_installed}."""
        loader = SourceFileLoader("manual", str(ROOT / "script" / "manual"))
        spec = spec_from_loader("manual", loader)
        assert spec is not None
        manual = module_from_spec(spec)
        loader.exec_module(manual)
        text = manual.completion()
        self.assertIn('"") follow="', text)
        self.assertRegex(text, r'"queue"\) follow="[^"]*\blist\b[^"]*"')
        self.assertRegex(text, r'"queue list"\) follow="[^"]*--class\b[^"]*"')
