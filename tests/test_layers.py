"""The architecture, enforced: which module may import which, and what only the command lines may do."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: A module, or a package with all that is in it, imports only from lower ranks, never sideways.
#: Inside a package anything goes but an import cycle.
RANKS = [
    {"smtd.errors", "smtd.systemd", "smtd.text", "smtd.regular", "smtd.untrusted", "smtd.durable"}
    | {"smtd.spelling"},
    {"smtd.denied"},
    {"smtd.readonly", "smtd.sqlite_files"},
    {"smtd.records", "smtd.sqlite", "smtd.filestat", "smtd.gather", "smtd.backoff", "smtd.wakeup"}
    | {"smtd.http_body", "smtd.batches"}
    | {"smtd.private", "smtd.textfile", "smtd.paths", "smtd.configured_secrets", "smtd.configured_server"},
    {"smtd.merge", "smtd.config", "smtd.stores.base", "smtd.stores.legacy.sources", "smtd.stores.tls"}
    | {"smtd.stores.access", "smtd.stores.file_trial", "smtd.stores.incarnation", "smtd.server.accounts"},
    {"smtd.stores.index", "smtd.stores.driver"},
    {"smtd.stores.wrapped", "smtd.stores.location"},
    {"smtd.journal", "smtd.control.protocol", "smtd.control.fields", "smtd.control.audience"}
    | {"smtd.stores.memory", "smtd.stores.shelf", "smtd.stores.django"}
    | {"smtd.stores.retrying", "smtd.stores.limited", "smtd.stores.renamed"},
    # A Sumatra Server is a Django store over HTTP: it has the same columns.
    {"smtd.stores.http", "smtd.stores.legacy"},
    {"smtd.engine", "smtd.watch", "smtd.stores.registry", "smtd.control.server", "smtd.control.client"},
    {"smtd.engine.scrub"},  # no cycle depends on it
    {"smtd.replacement", "smtd.output", "smtd.stores.discovery"},
    {"smtd.web"},
    {"smtd.server"},
    {"smtd.pairing"},
    {"smtd.daemon"},
    {"smtd.cli"},
    {"smtd.__main__"},  # starts smtd.cli; no module imports it
]
#: The most lines of a function, and of a file.
LONGEST_FUNCTION, LONGEST_FILE = 50, 400
RANK_OF = {unit: rank for rank, units in enumerate(RANKS) for unit in units}
COMMAND_LINES = RANK_OF["smtd.cli"]

#: The one list of the kinds of stores.
REGISTRY = "smtd.stores.registry"

#: Packages whose parts have their own ranks: their `__init__.py` imports nothing.
SHELLS = {"smtd", "smtd.stores", "smtd.control"}

NOT_IMPORTED = {"sumatra", "django"}
NOT_IMPORTED_BELOW_COMMAND_LINES = {"click", "rich"}

#: Names that could execute the contents of a store.
NOT_USED = (
    {"builtins.eval", "builtins.exec", "marshal.load", "marshal.loads"}
    | {"pickle.load", "pickle.loads", "pickle.Unpickler", "pickle._Unpickler", "_pickle.Unpickler"}
    | {"shelve.open", "shelve.Shelf", "shelve.DbfilenameShelf"}
    | {"yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader", "yaml.full_load", "yaml.unsafe_load"}
    | {"yaml.CLoader", "yaml.CFullLoader", "yaml.CUnsafeLoader"}
)
#: Names that print, exit, read the environment, or import without this test noticing.
NOT_USED_BELOW_COMMAND_LINES = (
    {"builtins.print", "sys.stdin", "sys.stdout"}
    | {"builtins.exit", "builtins.quit", "builtins.SystemExit", "sys.exit", "os._exit"}
    | {"os.environ", "os.environb", "os.getenv", "os.getenvb", "sys.argv"}
    | {"builtins.__import__", "importlib.import_module"}
)
#: The child process that reads shelves uses these to talk to its parent.
ALLOWED = {("smtd.stores.shelf.worker", name) for name in ("sys.argv", "sys.stdin", "sys.stdout", "os._exit")}
#: The child has its own environment, and must get the time zone of this machine.
ALLOWED |= {("smtd.stores.shelf.child", "os.environ")}
#: Variables of PostgreSQL's own programs, which the driver would read, too.
ALLOWED |= {("smtd.stores.django.passfile", "os.environ")}
#: The one module where a class may extend the unpickler, to make it inert.
INERT = "smtd.stores.shelf.inert"


@dataclass(frozen=True)
class Module:
    name: str
    package: str
    tree: ast.Module
    nodes: list[ast.AST]
    lines: int

    @classmethod
    def parse(cls, path: str, source: str) -> Module:
        parts = path.removesuffix(".py").split("/")
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        tree = ast.parse(source, path)
        return cls(name, package, tree, list(ast.walk(tree)), source.count("\n"))


def unit(name: str) -> str | None:
    """Return the ranked unit of *name*: itself, or the nearest package around it."""
    while name and name not in RANK_OF:
        name = name.rpartition(".")[0]
    return name or None


def imported(module: Module, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of every module that *module* imports, at any depth."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            up = module.package.split(".")
            above = up[: len(up) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield node.lineno, inner if inner in known else source


def used(module: Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of everything that *module* uses from builtins and its imports."""
    meaning = {name: f"builtins.{name}" for name in dir(builtins)}
    for node in module.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                meaning[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module:
            meaning |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}

    def full(node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return meaning.get(node.id)
        if isinstance(node, ast.Attribute) and (owner := full(node.value)):
            return f"{owner}.{node.attr}"
        return None

    def extends_unpickler(node: ast.AST) -> bool:
        return isinstance(node, ast.ClassDef) and "pickle.Unpickler" in map(full, node.bases)

    todo: list[tuple[ast.AST, bool]] = [(module.tree, False)]
    while todo:
        node, inert = todo.pop()
        inert = inert or (module.name == INERT and extends_unpickler(node))
        name = full(node)
        if isinstance(node, ast.expr) and name and not (inert and name.startswith("pickle.")):
            yield node.lineno, name
        todo += [(child, inert) for child in ast.iter_child_nodes(node)]


def may_import(own: str, other: str | None) -> bool:
    return other is not None and (other == own or RANK_OF[other] < RANK_OF[own])


def wrong_imports(module: Module, known: set[str]) -> Iterator[str]:
    own = unit(module.name)
    if own is None and module.name not in SHELLS:
        yield f"{module.name} has no rank"
        return
    for line, target in imported(module, known):
        where = f"{module.name}:{line} imports {target}"
        top = target.partition(".")[0]
        if own is None:
            yield f"{where}: a shell imports nothing"
        elif top in NOT_IMPORTED:
            yield f"{where}: smtd runs without it"
        elif top in NOT_IMPORTED_BELOW_COMMAND_LINES and RANK_OF[own] < COMMAND_LINES:
            yield f"{where}: only command lines draw"
        elif top == "smtd" and target not in SHELLS and not may_import(own, unit(target)):
            yield f"{where}: not of a lower rank"


def kind_tests(module: Module, known: set[str]) -> Iterator[str]:
    """Yield where *module* asks for the kind of a store, which only drivers and their list know."""
    if module.name == REGISTRY or is_driver(module.name):
        return
    for line, target in imported(module, known):
        if is_driver(target):
            yield f"{module.name}:{line} imports {target}: only {REGISTRY} knows the drivers"
    for node in module.nodes:
        if any(map(names_a_kind, asked(node))):
            line = getattr(node, "lineno", 0)
            yield f"{module.name}:{line} tests a kind of store: ask its driver, or its capabilities"


def asked(node: ast.AST) -> list[ast.expr]:
    """Return what *node* compares with something (except None), or looks up in a table."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return [] if any(isinstance(side, ast.Constant) and side.value is None for side in sides) else sides
    if isinstance(node, ast.Subscript):
        return [node.slice]
    if isinstance(node, ast.Match):
        return [node.subject]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        return node.args[:1]
    return []


def is_driver(name: str) -> bool:
    """Say whether *name* is a module in which a package of stores offers its kinds."""
    return name.startswith("smtd.stores.") and name.endswith(".driver") and name != "smtd.stores.driver"


def names_a_kind(node: ast.expr) -> bool:
    """Say whether *node* is a driver, or the name of one."""
    if isinstance(node, ast.Attribute) and node.attr == "name":
        node = node.value
    return getattr(node, "attr", getattr(node, "id", "")) == "driver"


def wrong_uses(module: Module) -> Iterator[str]:
    below = RANK_OF.get(unit(module.name) or "", 0) < COMMAND_LINES
    banned = NOT_USED | NOT_USED_BELOW_COMMAND_LINES if below else NOT_USED
    for line, name in used(module):
        if name in banned and (module.name, name) not in ALLOWED:
            yield f"{module.name}:{line} uses {name}"


def cycles(modules: list[Module], known: set[str]) -> Iterator[str]:
    graph = {
        module.name: {
            target
            for _, target in imported(module, known)
            if target in known and unit(target) == unit(module.name) is not None
        }
        for module in modules
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        yield "import cycle: " + " ← ".join(exc.args[1])


def wrong_sizes(module: Module) -> Iterator[str]:
    if module.lines > LONGEST_FILE:
        yield f"{module.name} has {module.lines} lines"
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{module.name}:{node.lineno} {node.name} has {lines} lines"


def names_twice(modules: list[Module]) -> Iterator[str]:
    where: dict[str, str] = {}
    for module in modules:
        last = module.name.rpartition(".")[2]
        if last in sys.stdlib_module_names and module.name not in (module.package, *SHELLS):
            yield f"{module.name} has the name of a module of Python"
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                if node.name in where:
                    yield f"{module.name} has a class {node.name}, as {where[node.name]} has"
                where[node.name] = module.name


def problems(sources: Mapping[str, str]) -> list[str]:
    """Return what is wrong with *sources*, a program text for each path."""
    modules = [Module.parse(path, source) for path, source in sources.items()]
    known = {module.name for module in modules}
    found = [problem for module in modules for problem in wrong_imports(module, known)]
    found += [problem for module in modules for problem in kind_tests(module, known)]
    found += [problem for module in modules for problem in (*wrong_uses(module), *wrong_sizes(module))]
    return found + list(cycles(modules, known)) + list(names_twice(modules))


def test_smtd_keeps_its_layers():
    """Every module of smtd has a rank, and does only what its rank permits."""
    paths = sorted((ROOT / "smtd").rglob("*.py"))
    sources = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths}

    assert "smtd/__init__.py" in sources
    assert problems(sources) == []


#: A program that obeys all rules; each wrong one below replaces or adds a file.
GOOD = {
    "smtd/__init__.py": "__version__ = '0'",
    "smtd/__main__.py": "from smtd.cli.main import main",
    "smtd/errors.py": "import re, os\nre.compile('x')\nos.stat('x')",
    "smtd/records/__init__.py": "from smtd.records.tags import x",
    "smtd/records/tags.py": "from smtd import errors",
    "smtd/records/record.py": "from . import tags\nfrom .. import errors, __version__",
    "smtd/stores/__init__.py": "from __future__ import annotations",
    "smtd/stores/django.py": "import pickle\nfrom smtd.records import record\npickle.dumps(1)",
    "smtd/stores/shelf/inert.py": "import pickle\nclass I(pickle.Unpickler): x = pickle.Unpickler",
    "smtd/stores/shelf/worker.py": "import sys\nfrom .inert import I\nsys.stdin.buffer.read()",
    "smtd/stores/shelf/driver.py": "from smtd.stores import driver\nX = 1\nX is driver",
    "smtd/stores/registry.py": "from smtd.stores import django\nfrom .shelf import driver, inert",
    "smtd/stores/driver.py": "class Driver: ...",
    "smtd/replacement.py": "x.driver.files is None\nx.driver is None\nx.driver.files[0]\nx.driver.name",
    "smtd/cli/main.py": "import click, os, sys\nprint(os.environ)\nsys.exit()",
}

WRONG = {
    "upwards": ("smtd/records/tags.py", "import smtd.daemon"),
    "sideways": ("smtd/stores/memory.py", "import smtd.stores.django"),
    "sideways, from the package": ("smtd/stores/memory.py", "from smtd.stores import django"),
    "sideways, relative": ("smtd/stores/memory.py", "from . import django"),
    "sideways, relative from inside": ("smtd/stores/shelf/x.py", "from ..django import y"),
    "a scrub in a cycle": ("smtd/engine.py", "from smtd.engine.scrub import x"),
    "inside a function": ("smtd/errors.py", "def f():\n    from smtd.records import record"),
    "for types only": ("smtd/errors.py", "if TYPE_CHECKING:\n    import smtd.records.tags"),
    "of what has no rank": ("smtd/engine.py", "from smtd.nowhere import x"),
    "dynamic": ("smtd/engine.py", "from importlib import import_module\nimport_module('x')"),
    "a module without a rank": ("smtd/utils.py", ""),
    "a store without a rank": ("smtd/stores/extra.py", ""),
    "a shell that imports": ("smtd/stores/__init__.py", "from smtd.stores import django"),
    "a cycle": ("smtd/records/tags.py", "from smtd.records.record import x"),
    "a cycle through the package": ("smtd/records/tags.py", "from . import x"),
    "a cycle of one": ("smtd/records/tags.py", "import smtd.records.tags"),
    "sumatra": ("smtd/cli/main.py", "from sumatra.records import Record"),
    "django": ("smtd/stores/django.py", "import django.db"),
    "drawing": ("smtd/config.py", "def f():\n    import rich.table"),
    "a class of a name that another one has": ("smtd/errors.py", "class A: pass\nclass A: pass"),
    "a module with a name of Python's": ("smtd/stores/shelf/socket.py", ""),
    "a long file": ("smtd/daemon.py", 401 * "x = 1\n"),
    "a long function": ("smtd/daemon.py", "def f():\n" + 50 * "    x = 1\n"),
    "a kind": ("smtd/daemon.py", "x.driver is y"),
    "a kind, by a name": ("smtd/cli/check.py", "if driver in (a, b): pass"),
    "a kind, by its name": ("smtd/engine.py", "x.location.driver.name == 'http'"),
    "a kind, by a table": ("smtd/replacement.py", "{}[x.driver]"),
    "a kind, by a table that may lack it": ("smtd/replacement.py", "{}.get(x.driver.name)"),
    "a kind, by cases": ("smtd/replacement.py", "match x.driver.name:\n    case 'http': pass"),
    "a driver": ("smtd/daemon.py", "from smtd.stores.shelf.driver import X"),
    "a driver, in its package": ("smtd/stores/shelf/x.py", "from .driver import X"),
    "print": ("smtd/daemon.py", "print()"),
    "print, handed on": ("smtd/daemon.py", "f(print)"),
    "exit": ("smtd/daemon.py", "import sys\nsys.exit(1)"),
    "exit, renamed": ("smtd/daemon.py", "from sys import exit as leave\nleave()"),
    "exit, raised": ("smtd/daemon.py", "raise SystemExit"),
    "environment": ("smtd/config.py", "import os\nos.environ['HOME']"),
    "environment, by function": ("smtd/config.py", "from os import getenv\ngetenv('HOME')"),
    "environment, renamed": ("smtd/config.py", "import os as o\no.environ.get('HOME')"),
    "output of a module that is no worker": ("smtd/watch.py", "import sys\nsys.stdout.write('')"),
    "worker that prints": ("smtd/stores/shelf/worker.py", "print()"),
    "eval": ("smtd/cli/main.py", "eval('1')"),
    "exec": ("smtd/merge.py", "import builtins\nbuiltins.exec('1')"),
    "unpickling": ("smtd/stores/shelf/x.py", "import pickle\npickle.load(f)"),
    "unpickling, renamed": ("smtd/stores/shelf/x.py", "from pickle import loads as l\nl(b)"),
    "unpickler elsewhere": ("smtd/config.py", "import pickle\nclass J(pickle.Unpickler): ..."),
    "bare unpickler": (
        "smtd/stores/shelf/inert.py",
        "import pickle\nclass I(pickle.Unpickler): ...\npickle.Unpickler(f)",
    ),
    "eval in the unpickler": (
        "smtd/stores/shelf/inert.py",
        "import pickle\nclass I(pickle.Unpickler): x = eval('1')",
    ),
    "unpickling beside the class": (
        "smtd/stores/shelf/inert.py",
        "import pickle\nclass I: x = pickle.loads(b)",
    ),
    "shelve": ("smtd/stores/shelf/x.py", "import shelve\nshelve.open('x')"),
    "unsafe yaml": ("smtd/records/x.py", "import yaml\nyaml.load(s, Loader=yaml.Loader)"),
}


def test_checker_accepts_a_program_that_obeys_the_rules():
    """Imports downwards, inside a package, and everything where it is permitted."""
    assert problems(GOOD) == []


@pytest.mark.parametrize("case", WRONG)
def test_checker_reports_each_violation(case):
    """Each violation of the rules is one problem, with its module."""
    path, source = WRONG[case]

    found = problems(GOOD | {path: source})

    assert len(found) == 1
    assert Module.parse(path, "").name in found[0]
