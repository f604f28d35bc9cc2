"""Tests of the order of the house: values <- stages <- composition, and small modules.

The rules are pure functions of a module's name and text, and are tried on bad
modules too, so that one can rely on what they say of ours.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import umbcmail

STAGES = {"accept", "check", "drac", "filter", "lda", "postman", "queue", "route", "send", "state", "submit", "watch"}
COMPOSITION = {
    "addresses",
    "sections",
    "alone",
    "chains",
    "multiplexing",
    "config",
    "service",
    "application",
    "ports",
    "roles",
    "ways",
    "findings",
    "handing",
    "hostoptions",
    "sendmail",
    "succession",
    "supervision",
    "gates",
    "storage",
    "tap",
    "cli",
    "__main__",
}
FORBIDDEN = {"utils", "util", "common", "helpers", "helper", "core", "manager"}
INTERFACES_RUNTIME = {"__future__", "typing", "zope.interface", "umbcmail.interfaces"}
INTERFACES_TYPING = {"collections", "typing", "twisted"}
LINES_OF_MODULE = 400
LINES_OF_FUNCTION = 50


class Import:
    """An import: the dotted name that it may load, and where it stands.

    @ivar isLazy: inside of a function.
    @ivar isForTypes: under C{if TYPE_CHECKING}.
    """

    def __init__(self, name: str, line: int, isLazy: bool, isForTypes: bool) -> None:
        self.name = name
        self.line = line
        self.isLazy = isLazy
        self.isForTypes = isForTypes


def importsOf(module: str, isPackage: bool, tree: ast.AST) -> Iterator[Import]:
    """All imports of a module, C{from a import b} as C{a} and C{a.b}."""
    package = module if isPackage else module.rpartition(".")[0]

    def walk(node: ast.AST, isLazy: bool, isForTypes: bool) -> Iterator[Import]:
        for name in _namesOf(node, package):
            yield Import(name, getattr(node, "lineno", 0), isLazy, isForTypes)
        inFunction = isLazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for part in ast.iter_child_nodes(node):
            isGuarded = isinstance(node, ast.If) and part in node.body and "TYPE_CHECKING" in ast.unparse(node.test)
            yield from walk(part, inFunction, isForTypes or isGuarded)

    return walk(tree, False, False)


def _namesOf(node: ast.AST, package: str) -> list[str]:
    """What a statement imports, or loads by a name in quotes."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = package.split(".")
            base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return []


def layerProblems(module: str, imports: Iterable[Import]) -> list[str]:
    """Imports of a module of ours that go the wrong way."""
    own = module.split(".")[1] if "." in module else ""
    if own in COMPOSITION:
        return []
    found = []
    for each in imports:
        root, _, rest = each.name.partition(".")
        other = rest.split(".")[0]
        if root != "umbcmail" or other == own:
            continue
        if other in COMPOSITION or other in STAGES:
            found.append(f"{module}:{each.line} imports {each.name}")
    return found


def interfaceProblems(imports: Iterable[Import]) -> list[str]:
    """Imports that C{umbcmail.interfaces} may not have."""
    found = []
    for each in imports:
        name = each.name
        if any(name == allowed or name.startswith(allowed + ".") for allowed in INTERFACES_RUNTIME):
            continue
        root, _, rest = name.partition(".")
        isValue = root == "umbcmail" and rest.split(".")[0] not in STAGES | COMPOSITION
        if each.isForTypes and (root in INTERFACES_TYPING or isValue):
            continue
        found.append(f"umbcmail.interfaces:{each.line} imports {name}")
    return found


def reactorProblems(module: str, imports: Iterable[Import]) -> list[str]:
    """Imports of the reactor that happen when the module is imported."""
    return [
        f"{module}:{each.line} imports the reactor at module level"
        for each in imports
        if each.name == "twisted.internet.reactor" and not each.isLazy
    ]


def sizeProblems(module: str, text: str, tree: ast.AST) -> list[str]:
    """Too long a module, and too long functions."""
    found = []
    length = len(text.splitlines())
    if length > LINES_OF_MODULE:
        found.append(f"{module} has {length} lines")
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LINES_OF_FUNCTION:
                found.append(f"{module}:{node.lineno} {node.name} has {lines} lines")
    return found


def nameProblems(module: str) -> list[str]:
    """Names that say nothing."""
    return [f"{module} is called {part}" for part in module.split(".") if part.lower() in FORBIDDEN]


def problemsOf(module: str, isPackage: bool, text: str) -> list[str]:
    """All that is wrong with a module."""
    tree = ast.parse(text)
    imports = list(importsOf(module, isPackage, tree))
    found = [*nameProblems(module), *sizeProblems(module, text, tree), *reactorProblems(module, imports)]
    found += layerProblems(module, imports)
    if module.startswith("umbcmail.interfaces"):
        found += interfaceProblems(imports)
    if not ast.get_docstring(tree):
        found.append(f"{module} has no docstring")
    return found


def modulesOf(folder: Path) -> Iterator[tuple[str, bool, str]]:
    """Name, whether it is a package, and text of each module below a package's folder."""
    for path in sorted(folder.rglob("*.py")):
        parts = list(path.relative_to(folder.parent).with_suffix("").parts)
        isPackage = parts[-1] == "__init__"
        yield ".".join(parts[:-1] if isPackage else parts), isPackage, path.read_text("utf-8")


class HouseTests(SynchronousTestCase):
    """The modules of umbcmail."""

    def test_allModules(self) -> None:
        """No module breaks a rule."""
        modules = list(modulesOf(Path(umbcmail.__file__).parent))
        self.assertIn("umbcmail.interfaces", [name for name, _, _ in modules])
        problems = [problem for module in modules for problem in problemsOf(*module)]
        self.assertEqual(problems, [], "\n" + "\n".join(problems))


class RuleTests(SynchronousTestCase):
    """The rules find what they are for."""

    def found(self, module: str, text: str, isPackage: bool = False) -> list[str]:
        """Problems of a module with a docstring."""
        return problemsOf(module, isPackage, '"""Doc."""\n' + text)

    def assertClean(self, module: str, *texts: str) -> None:
        """Nothing is wrong with any of the texts."""
        for text in texts:
            self.assertEqual(self.found(module, text), [])

    def assertFound(self, module: str, problem: str, *texts: str) -> None:
        """In each of the texts there is this problem, at the line."""
        for text in texts:
            self.assertIn(problem, self.found(module, text), text)

    def test_stageImportsStage(self) -> None:
        """A stage may not import another one, however that is written."""
        self.assertFound(
            "umbcmail.accept.session",
            "umbcmail.accept.session:2 imports umbcmail.queue.intake",
            "from umbcmail.queue.intake import Intake",
            "import umbcmail.queue.intake",
            "from umbcmail.queue import intake",
            "from ..queue import intake",
            "from importlib import import_module; import_module('umbcmail.queue.intake')",
        )
        self.assertFound(
            "umbcmail.accept.session",
            "umbcmail.accept.session:3 imports umbcmail.queue",
            "def f():\n  from umbcmail import queue",
            "def f():\n  from .. import queue",
            "if TYPE_CHECKING:\n  import umbcmail.queue",
        )
        self.assertFound(
            "umbcmail.queue.spool.sqlite",
            "umbcmail.queue.spool.sqlite:2 imports umbcmail.send",
            "from ... import send",
        )

    def test_stageImportsComposition(self) -> None:
        """A stage may not import the composition."""
        for name in ("config", "service", "application", "tap", "cli"):
            self.assertFound(
                "umbcmail.send.smtp",
                f"umbcmail.send.smtp:2 imports umbcmail.{name}",
                f"from umbcmail import {name}",
                f"from umbcmail.{name} import X",
            )

    def test_stageImportsValues(self) -> None:
        """A stage may import values, interfaces, and its own folder at any depth."""
        self.assertClean(
            "umbcmail.queue.spool.sqlite",
            "from umbcmail.entry import Entry",
            "from umbcmail import reply, __version__",
            "from umbcmail.interfaces import ISpool",
            "from umbcmail.queue.schedule import Schedule",
            "from . import memory\nfrom .. import schedule\nfrom ... import outcome",
            "import queue, sqlite3",
        )

    def test_packageOfAStage(self) -> None:
        """The package module of a stage counts as the stage, relative imports included."""
        self.assertEqual(self.found("umbcmail.queue", "from . import intake", True), [])
        self.assertEqual(
            self.found("umbcmail.queue", "from .. import send", True), ["umbcmail.queue:2 imports umbcmail.send"]
        )

    def test_valueImportsUpwards(self) -> None:
        """A value may not import a stage or the composition."""
        self.assertFound("umbcmail.reply", "umbcmail.reply:2 imports umbcmail.send", "import umbcmail.send")
        self.assertFound("umbcmail.reply", "umbcmail.reply:2 imports umbcmail.config", "from umbcmail import config")
        self.assertFound("umbcmail", "umbcmail:2 imports umbcmail.service", "import umbcmail.service")
        self.assertClean("umbcmail.reply", "from umbcmail.outcome import Outcome")

    def test_compositionImportsAll(self) -> None:
        """The composition may import everything."""
        self.assertClean("umbcmail.service", "from umbcmail.send import smtp\nfrom umbcmail import config, queue")

    def test_interfaces(self) -> None:
        """interfaces.py imports zope.interface only, for types also values, twisted and collections."""
        module = "umbcmail.interfaces"
        self.assertClean(
            module,
            "from __future__ import annotations\nfrom typing import Any\nfrom zope.interface import Interface",
            "if TYPE_CHECKING:\n  from umbcmail.reply import Reply\n  from twisted.internet.defer import Deferred",
            "if typing.TYPE_CHECKING:\n  from collections.abc import Sequence",
        )
        self.assertFound(module, f"{module}:2 imports twisted.internet.defer", "from twisted.internet.defer import X")
        self.assertFound(module, f"{module}:2 imports umbcmail.reply", "from umbcmail.reply import Reply")
        self.assertFound(module, f"{module}:2 imports zope.interfaces", "import zope.interfaces")
        self.assertFound(module, f"{module}:3 imports attr", "if TYPE_CHECKING:\n  import attr")
        self.assertFound(module, f"{module}:3 imports umbcmail.send", "if TYPE_CHECKING:\n  import umbcmail.send")
        self.assertFound(
            module, f"{module}:5 imports umbcmail.reply", "if TYPE_CHECKING:\n  pass\nelse:\n  import umbcmail.reply"
        )

    def test_reactor(self) -> None:
        """The reactor is imported in functions only, in the composition too."""
        for module in ("umbcmail.send.smtp", "umbcmail.cli", "umbcmail.content"):
            for text in ("from twisted.internet import defer, reactor", "import twisted.internet.reactor as r"):
                self.assertFound(module, f"{module}:2 imports the reactor at module level", text)
            self.assertFound(
                module,
                f"{module}:3 imports the reactor at module level",
                "class A:\n  from twisted.internet import reactor",
                "if x:\n  from twisted.internet import reactor",
            )
            self.assertClean(
                module, "def f():\n  from twisted.internet import reactor\n", "from twisted import internet"
            )

    def test_lengthOfModule(self) -> None:
        """400 lines are allowed, 401 are not."""
        self.assertEqual(self.found("umbcmail.x", "\n" * 399), [])
        self.assertEqual(self.found("umbcmail.x", "\n" * 400), ["umbcmail.x has 401 lines"])

    def test_lengthOfFunction(self) -> None:
        """50 lines are allowed, 51 are not; methods and functions in functions count too."""
        self.assertEqual(self.found("umbcmail.x", "def f():\n" + "  1\n" * 49), [])
        self.assertEqual(self.found("umbcmail.x", "def f():\n" + "  1\n" * 50), ["umbcmail.x:2 f has 51 lines"])
        self.assertEqual(
            self.found("umbcmail.x", "class A:\n async def f(self):\n" + "  1\n" * 50), ["umbcmail.x:3 f has 51 lines"]
        )

    def test_docstring(self) -> None:
        """Every module says what it is for."""
        self.assertEqual(problemsOf("umbcmail.x", False, "x = 1\n"), ["umbcmail.x has no docstring"])
        self.assertEqual(problemsOf("umbcmail.x", True, ""), ["umbcmail.x has no docstring"])

    def test_names(self) -> None:
        """Modules and folders are called after what they are."""
        for name in ("utils", "common", "helpers", "core", "manager", "Utils"):
            self.assertFound(f"umbcmail.{name}", f"umbcmail.{name} is called {name}", "")
            self.assertFound(f"umbcmail.send.{name}.x", f"umbcmail.send.{name}.x is called {name}", "")
        self.assertClean("umbcmail.score", "")
