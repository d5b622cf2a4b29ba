"""Names in code that the documents for contributors mention exist."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from smtd.stores.django.mapping import KNOWN
from tests.documents.blocks import ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for place in ("CONTRIBUTING.md", "docs/*.md", "docs/explanation/*.md")
    for path in ROOT.glob(place)
)
#: Files that are no code, such as `config.example.toml`; and names that are not smtd's.
OTHER_FILES = re.compile(r".*\.(toml|yml|md|db|service|stat|usage|example)")
FOREIGN = {
    *("sumatra.records.Record", "parameters.ParameterSet", "copy_reg._reconstructor"),
    *("record.data_key", "smtd_head.form", "arguments.program"),
    *("SO_PEERGROUPS", "GET_LOCK", "usage_usec"),
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_name_in_code_that_a_document_mentions_exists(document: str) -> None:
    """Such as `Class.method`, `module.function`, `table.column`, `file.py`, `some_name` and `SomeName`."""
    text = (ROOT / document).read_text("utf-8")
    words = re.findall(r"`([^`\s]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))

    assert sorted({word for word in words if is_code(word) and not exists(word)}) == []


def is_code(word: str) -> bool:
    """Say whether *word* is a name in code, as far as its form tells."""
    dotted = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"
    plain = r"[a-z]+_[a-z_]+|[A-Z]+_[A-Z_]+|_[a-z]\w*[a-z]|[A-Z][a-z]+([A-Z][a-z]+)+"
    is_other = OTHER_FILES.fullmatch(word) or word in FOREIGN
    return re.fullmatch(rf"({dotted}|{plain})(\(\))?", word) is not None and not is_other


def exists(word: str) -> bool:
    """Say whether *word* is a file, part of the class, module or table before its dot, or in the code."""
    owner, _, name = word.removesuffix("()").rpartition(".")
    if name == "py":
        return f"{owner}.py" in {
            path.name for place in ("*.py", "[bst]*/**/*.py") for path in ROOT.glob(place)
        }
    return name in (parts_of(owner.rpartition(".")[2]) if owner else all_words())


@cache
def all_words() -> set[str]:
    """Return all words of smtd and its tests."""
    files = [*ROOT.glob("smtd/**/*"), *ROOT.glob("tests/**/*.py")]
    texts = [path.read_text("utf-8", "replace") for path in files if path.is_file() and path.suffix != ".pyc"]
    return set(re.findall(r"\w+", "\n".join(texts)))


def parts_of(owner: str) -> set[str]:
    """Return the names that a class of smtd with its bases, a module, package or table *owner* has."""
    names, bases = definitions()
    return names[owner].union(*[parts_of(base) for base in bases[owner] if base != owner])


@cache
def definitions() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Return what is defined in each class, module and package of smtd, and the bases of each class."""
    names: dict[str, set[str]] = defaultdict(set, {table: {*columns} for table, columns in KNOWN.items()})
    bases: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "smtd").rglob("*.py"):
        module = ast.parse(path.read_text("utf-8"))
        names[path.parent.name].add(path.stem)
        names[path.stem].update(defined_in(ast.walk(module)))
        for node in ast.walk(module):
            if isinstance(node, ast.ClassDef):
                names[node.name].update(defined_in(ast.walk(node)))
                bases[node.name].update(base.id for base in node.bases if isinstance(base, ast.Name))
    return names, bases


def defined_in(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the names that *nodes* define, attributes of objects among them."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
