"""The documents describe the program as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from smtd.daemon.pair_verbs import Verbs
from smtd.daemon.status import PairStatus, State
from tests.test_layers import RANKS

ROOT = Path(__file__).parents[1]
CONTROL = (ROOT / "docs" / "reference" / "control.md").read_text("utf-8")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for place in ("*.md", "docs/**/*.md", "systemd/*.md")
    for path in ROOT.glob(place)
)
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def first_cells(heading: str) -> list[str]:
    """Return the names in the first cells of the table below *heading*."""
    section = CONTROL.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_every_verb_of_the_control_socket_is_documented() -> None:
    """And no others."""
    nobody: Any = None

    assert sorted(first_cells("Verbs")) == sorted(Verbs(nobody).names)


def test_every_state_and_every_key_of_a_status_is_documented() -> None:
    """With what to do about it."""
    states = first_cells("A pair's status")
    keys = [field.name for field in msgspec.structs.fields(PairStatus)]

    assert sorted(states) == sorted(get_args(State))
    assert [key for key in keys if f"`{key}`" not in CONTROL] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_a_document_exists(document: str) -> None:
    """Paths in the code, and the test functions in them; links to other documents."""
    text = (ROOT / document).read_text("utf-8")
    paths = re.findall(r"`((?:smtd|tests|docs|bench|campaigns)/[\w./*-]+)(?:::(\w+))?`", text)
    links = re.findall(r"\]\(([^():#]+)(?:#[^()]*)?\)", text)

    assert [path for path, name in paths if not files(path) or name not in words_of([path]) | {""}] == []
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


def test_every_place_in_contributing_exists() -> None:
    """Each file and directory; and each name is in a file of the same paragraph or step."""
    section = CONTRIBUTING.split("\n## Where things go\n")[1].split("\n## ")[0]
    parts = [re.findall(r"`([^`\s]+)`", part) for part in re.split(r"\n(?=\d+\. |\n)", section)]
    lost = [word for words in parts for word in words if "/" in word and not files(word)]
    unknown = [name for words in parts for name in words if is_name(name) and name not in words_of(words)]

    assert (lost, unknown) == ([], [])


def is_name(word: str) -> bool:
    """Say whether *word* is a name in code."""
    return re.fullmatch(r"[A-Za-z_]\w*", word) is not None


def words_of(words: list[str]) -> set[str]:
    """Return all words of the files that are among *words*."""
    texts = [
        file.read_text("utf-8")
        for word in words
        if "/" in word
        for file in files(word)
        if file.suffix == ".py"
    ]
    return set(re.findall(r"\w+", "\n".join(texts)))


def files(path: str) -> list[Path]:
    """Return the files at *path*, which may be a glob or a directory."""
    found = list(ROOT.glob(path))
    return [
        file
        for each in found
        for file in ([each] if each.is_file() else filter(Path.is_file, each.rglob("*")))
    ]


def test_layers_of_the_design_are_those_that_are_enforced() -> None:
    """Each rank has a line, from the lowest to the highest; and the design fits on three pages."""
    design = (ROOT / "docs" / "design.md").read_text("utf-8")
    assert len(design.splitlines()) <= 200
    (listed,) = re.findall(r"^```\n(errors.*?)^```$", design, re.MULTILINE | re.DOTALL)
    lines = [set(re.sub(r" \(.*?\)", "", line).split(", ")) for line in listed.splitlines()]

    # `__main__` starts the command lines, and has no line.
    assert lines == [{name.rpartition(".")[2] for name in rank} for rank in RANKS[:-1]]
