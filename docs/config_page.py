"""Make the man page smtd-config(5) from config.example.toml, with the keys of smtd/config.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from smtd import __version__, config

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
#: What each section of the file is in the code, and its heading in the page.
SECTIONS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "daemon": (config.DaemonConfig, "[daemon]"),
    "stores": (config.StoreConfig, "[stores.NAME]"),
    "pairs": (config.PairConfig, "[pairs.NAME]"),
    "notify": (config.Notify, "[notify]"),
    "server": (config.ServerConfig, "[server]"),
}
DESCRIPTION = [
    "The configuration is a file in TOML. smtd uses the first of these two files that exists;",
    "--config FILE or SMTD_CONFIG name another one. Every key is shown with its default, or with an example",
    "where there is no default. Only location, left and right are required. smtd check checks the file and",
    "reaches every store. Changes take effect after smtd reload, or systemctl reload.",
]
_SECTION = re.compile(r"\[(\w+)[\w.]*\]")
_KEY = re.compile(r"(?:#\s*)?([a-z_]+) = ((?:\"[^\"]*\"|[^#\"])+?)(?:\s+#\s*(.*))?")
_CONTINUED = re.compile(r"\s+#\s*(.*)")


@dataclass
class Entry:
    """A key with the *example* of its value (empty: a paragraph of prose), and the *text* about it."""

    key: str
    example: str
    text: list[str]


@dataclass
class Section:
    """A section of the file: the prose above it, and its entries in order."""

    name: str
    intro: list[str]
    entries: list[Entry] = field(default_factory=list)


def page() -> str:
    """Return the man page."""
    sections = parsed(EXAMPLE.read_text("utf-8"))
    lines = [
        f'.TH "SMTD-CONFIG" "5" "" "smtd {__version__}" "smtd Manual"',
        *(".SH NAME", r"smtd\-config \- the configuration of smtd"),
        *(".SH SYNOPSIS", r"\fI$XDG_CONFIG_HOME/smtd/config.toml\fR"),
        *(".br", r"\fI/etc/smtd/config.toml\fR"),
        *(".SH DESCRIPTION", *_paragraphs(DESCRIPTION)),
    ]
    for section in sections:
        lines += _section(section)
    lines += [".SH EXAMPLE", *_example(), ".SH SEE ALSO"]
    lines.append(r"\fBsmtd\fR(1), \fBsmtd\-run\fR(1), \fBsmtd\-check\fR(1), \fBsmtd\-ctl\fR(1)")
    return "\n".join(lines) + "\n"


def parsed(text: str) -> list[Section]:
    """Return the sections of the example *text*; what is above the first empty line is about the file."""
    sections = [Section("", [])]
    prose: list[str] = []
    for line in text.partition("\n\n")[2].splitlines():
        if found := _SECTION.fullmatch(line):
            if found[1] != sections[-1].name:  # the example has two stores
                sections.append(Section(found[1], prose))
                prose = []
        elif (found := _KEY.fullmatch(line)) and _is_key(sections[-1].name, found[1]):
            if prose:
                sections[-1].entries.append(Entry("", "", prose))
                prose = []
            if found[1] not in {entry.key for entry in sections[-1].entries}:
                sections[-1].entries.append(Entry(found[1], found[2], [found[3] or ""]))
        elif (found := _CONTINUED.fullmatch(line)) and sections[-1].entries:
            sections[-1].entries[-1].text.append(found[1])
        elif line.startswith("#"):
            prose.append(line[1:].strip())
    return sections[1:]


def _is_key(section: str, name: str) -> bool:
    return section in SECTIONS and name in SECTIONS[section][0].__struct_fields__


def _section(section: Section) -> Iterator[str]:
    yield f".SH {SECTIONS[section.name][1]}"
    yield from _paragraphs(section.intro)
    for entry in section.entries:
        if entry.key:
            yield ".TP"
            yield f"\\fB{_escaped(entry.key)}\\fR = {_escaped(entry.example)}"
            yield _line(" ".join(filter(None, entry.text))) or r"\&"
        else:
            yield ".PP"
            yield from _paragraphs(entry.text)


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Yield *lines* of prose as man shows them; an empty one ends a paragraph."""
    for line in lines:
        yield _line(line) if line else ".PP"


def _example() -> Iterator[str]:
    """Yield the smallest useful configuration."""
    yield from (".nf", "[stores.laptop]", 'location = "~/projects/MyProject"', "")
    yield from ("[stores.lab]", 'location = "/srv/records/lab.sqlite"', "")
    yield from ("[pairs.myproject]", 'left = "laptop"', 'right = "lab"', ".fi")


def _line(text: str) -> str:
    """Return a line of text, which cannot begin with a macro by accident."""
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _escaped(text: str) -> str:
    return text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
