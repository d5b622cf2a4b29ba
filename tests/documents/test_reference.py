"""The reference lacks nothing, and what is quoted from the program is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
import yaml

from docs import commands, config_page, configuration, hooks, reasons, screenshots, site
from smtd import errors
from smtd.cli import ctl, main
from smtd.cli.parser import VerbParser
from smtd.config import Config, MaxDeletes
from smtd.merge.reasons import Code
from tests.documents.blocks import PAGES, ROOT

#: Figures of reports and of single values, whose names are keys of JSON, too.
SHAPES = ROOT / "smtd" / "output" / "shapes.py"
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def test_every_command_and_option_is_in_the_reference() -> None:
    """Those below others, too, in the groups of the help; and those of smtd-ctl."""
    page = commands.page()
    parsers = list(verb_parsers(ctl.parser()))
    options = {word for each in parsers for action in each.options for word in action.option_strings}

    assert [line for line in command_lines() if f"### {line}\n" not in page] == []
    assert [each.prog for each in parsers if f"`{each.prog.partition(' ')[2]}`" not in page] == []
    assert [word for word in options if word not in page and word not in commands_text()] == []
    assert "## Set up" in page


def commands_text() -> str:
    """Return what the page says of the options of every command."""
    return (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")


def command_lines() -> Iterator[str]:
    """Yield each command as it is typed."""
    todo: list[tuple[str, click.Command]] = [("smtd", main.main)]
    while todo:
        line, command = todo.pop()
        todo += [(f"{line} {name}", each) for name, each in getattr(command, "commands", {}).items()]
        if not isinstance(command, click.Group):
            yield line


def verb_parsers(parser: VerbParser) -> Iterator[VerbParser]:
    """Yield the parsers of all verbs of smtd-ctl."""
    for each in parser.verbs.values():
        yield from verb_parsers(each)
    if not parser.verbs:
        yield parser


def test_every_key_of_the_configuration_is_explained() -> None:
    """Its section, its default, and what it is for."""
    page = configuration.page()

    assert [*config_page.SECTIONS] == [field.name for field in msgspec.structs.fields(Config)]
    for section, (struct, _) in config_page.SECTIONS.items():
        for field in msgspec.structs.fields(struct):
            assert configuration.explained(section, field.name), field.name
            assert f"| `{field.name}` |" in page
    assert all(field.name in page for field in msgspec.structs.fields(MaxDeletes))


def test_every_exit_code_is_in_the_reference() -> None:
    """With each class of errors that leads to it."""
    page = reasons.exit_codes()
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and kind is not errors.SmtdError
    ]

    shown = (ROOT / "docs" / "reference" / "exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", page, re.MULTILINE)

    assert [int(code) for code, _ in rows] == [0, 1, 2, 3, 4, 5, 130]
    assert re.findall(r"^- (\d+): (.*)$", shown, re.MULTILINE) == rows
    for kind in kinds:
        if issubclass(kind, errors.SmtdError):
            assert re.search(rf"^\| {kind.exit_code} \|.*`{kind.__name__}`", page, re.MULTILINE), kind


def test_every_reason_is_in_troubleshooting() -> None:
    """With what it says."""
    page = reasons.table()

    assert [code for code in Code if code is not Code.TEXT and f"| `{code.value}` | " not in page] == []
    assert "|  |  |" not in page


def test_every_key_of_json_is_explained() -> None:
    """Each key that a report, an event or a list has is on one of the two pages."""
    pages = [(ROOT / "docs" / "reference" / f"{name}.md").read_text("utf-8") for name in ("json", "control")]
    keys = {
        key.value
        for node in ast.walk(ast.parse(SHAPES.read_text("utf-8")))
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }

    assert len(keys) > 30
    assert [
        key for key in sorted(keys) if not any(f'"{key}"' in page or f"`{key}`" in page for page in pages)
    ] == []


def test_every_message_in_troubleshooting_is_one_of_the_program() -> None:
    """As it is written in the code, between what differs from case to case."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "smtd").rglob("*.py"))
    words = re.sub(r'"\s*f?"', "", code)
    before, _, _ = TROUBLESHOOTING.partition("\n## A record: every reason")
    rows = re.findall(r"^\| (`.*?) \| ", before, re.MULTILINE)
    texts = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    # A message may be made of sentences; a side is a value.
    parts = [part.strip() for text in texts for part in re.split(r"…|; |\bleft\b|\bright\b", text)]

    assert len(rows) > 25
    assert [part for part in parts if len(part) > 3 and part not in words] == []


def test_every_page_is_in_the_site_and_behind_a_door_of_the_readme() -> None:
    """No page is lost."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    listed = set(re.findall(r"[\w./-]+\.md", str(nav)))
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    doors = (ROOT / "README.md").read_text("utf-8")

    assert pages - listed == set()
    assert [
        page for page in sorted(pages - {"index.md", "formats.md"}) if f"(docs/{page})" not in doors
    ] == []


def test_every_part_made_from_the_code_has_its_place() -> None:
    """And no page asks for another one."""
    asked = [name for page in PAGES for name in hooks._PART.findall((ROOT / page).read_text("utf-8"))]

    assert sorted(asked) == sorted(hooks.PARTS)


@pytest.mark.parametrize(
    ("link", "there"),
    [
        ("[a](../reference/json.md#x)", "[a](../reference/json.md#x)"),
        ("[a](../../systemd/README.md)", "[a](../repository/systemd/README.md)"),
        ("[a](../../systemd/)", "[a](../repository/systemd/README.md)"),
        ("[a](https://host/x.md)", "[a](https://host/x.md)"),
        ("```\n[a](../../x)\n```", "```\n[a](../../x)\n```"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(link: str, there: str) -> None:
    """Those in code stay."""
    assert hooks.in_site(link, "how-to/page.md") == there


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "a.html loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//fonts.example/x.css">', "a.html loads //fonts.example/x.css"),
        ('<img src="b.png">', "a.html shows b.png, which is not there"),
        ('<img src="data:image/png;base64,">', ""),
        ('<a href="b.html">b</a>', "a.html links to b.html, which is not there"),
        ('<a href="#b">b</a>', "a.html links to #b, which is not there"),
        ('<a href="#b">b</a><p id="b">', ""),
        ('<a href="https://cdn.example/">b</a>', ""),
    ],
)
def test_site_is_checked(page: str, problem: str, tmp_path: Path) -> None:
    """For links that lead nowhere, and for what is loaded from other hosts."""
    (tmp_path / "a.html").write_text(page, "utf-8")

    assert list(site.problems(tmp_path)) == ([problem] if problem else [])


def test_pictures_are_small_and_used() -> None:
    """A page loads soon, and no picture is left over."""
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    text = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)

    assert [path.name for path in pictures if path.stat().st_size > screenshots.LARGEST] == []
    assert [path.name for path in pictures if f"images/{path.name}" not in text] == []
    assert {path.stem for path in pictures} == {
        each.name for each in (*screenshots.OF_THE_DAEMON, *screenshots.OF_THE_SERVER)
    }
