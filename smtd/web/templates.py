"""The templates and the files of the pages, and how the templates show what others wrote.

Jinja2 escapes every value. `text` shows control characters and marks that change the direction of writing as
readable escapes, and each such text stands in an element of its own direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup, escape

import smtd
from smtd.text import shown, shown_lines

#: The path below which the style sheet, the script and the icon are.
ASSETS = "/assets/"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Asset(NamedTuple):
    """A file for browsers, and a short hash of its content, which is in its address, so that they keep it."""

    content: bytes
    media_type: str
    version: str


@dataclass(frozen=True, slots=True)
class Site:
    """What every page of one site shares.

    *prefix*: `/` or `/path/`. *menu*: path and word of the main pages. *login*: the path of the page where
    people log in (empty: nobody does). *projects*: that of the list of projects.
    """

    prefix: str
    menu: Sequence[tuple[str, str]]
    assets: Mapping[str, Asset]
    login: str = ""
    projects: str = "/"

    def address(self, path: str, /, **query: str | int | Sequence[str] | None) -> str:
        """Return the address of *path* (it begins with a slash), with those of *query* that are not None."""
        given = {name: value for name, value in query.items() if value is not None}
        more = f"?{urlencode(given, doseq=True, errors='replace')}" if given else ""
        return f"{self.prefix}{path[1:]}{more}"

    def asset(self, name: str) -> str:
        """Return the address of the file *name* in its present version."""
        return self.address(f"{ASSETS}{name}", v=self.assets[name].version)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a person for the page at *path*.

    *user* is empty if nobody logs in here. *token*: what their forms carry. *notice*: what was just done.
    """

    path: str
    user: str = ""
    token: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Templates:
    """Renders the pages of a *site*."""

    site: Site
    _environment: jinja2.Environment = field(repr=False)

    def page(self, name: str, visit: Visit, /, **values: Any) -> str:
        """Return the page of the template *name* for *visit*.

        `place` has the fields that each address of a page of records has; without it they have none.
        """
        found = {"place": {}, **values}
        return self._environment.get_template(name).render(site=self.site, visit=visit, **found)


def load(prefix: str, menu: Sequence[tuple[str, str]], *, login: str = "", projects: str = "/") -> Templates:
    """Return the templates, compiled, for a `Site`. Blocks, the first time for a fifth of a second."""
    return Templates(Site(prefix, menu, _assets(), login, projects), compiled())


def _assets() -> Mapping[str, Asset]:
    """Return all files for browsers, by name. Blocks."""
    found = {}
    for file in (resources.files("smtd.web") / "assets").iterdir():
        if (media_type := _TYPES.get(file.name.rpartition(".")[2])) is not None:
            content = file.read_bytes()
            found[file.name] = Asset(content, media_type, blake2b(content, digest_size=6).hexdigest())
    return found


@cache
def compiled() -> jinja2.Environment:
    """Return all templates, compiled: once in a process, as nothing of a site is in them."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smtd.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "text": text,
        "lines": lines,
        "plain": plain,
        "moment": moment,
        "number": number,
        "duration": duration,
    }
    environment.globals["smtd_version"] = smtd.__version__
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


def text(value: object) -> Markup:
    """Return *value*, which others wrote, on one line."""
    return Markup("<bdi>%s</bdi>") % shown(str(value))


def lines(value: object) -> Markup:
    """Return *value*, which others wrote, with its line breaks, for an element that keeps them."""
    return Markup("<bdi>%s</bdi>") % shown_lines(str(value))


def plain(value: object) -> str:
    """Return *value*, which others wrote, on one line, where no element can stand."""
    return shown(str(value))


def moment(value: datetime | str | float | None) -> Markup:
    """Return a time (UTC without a zone, ISO 8601, or seconds since 1970); the script makes it local."""
    if value is None:
        return Markup('<span class="none">never</span>')
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, (int, float)):
        value = datetime.fromtimestamp(value, timezone.utc)
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    exact = value.astimezone(timezone.utc).isoformat(timespec="seconds")
    return Markup('<time datetime="%s">%s UTC</time>') % (exact, exact[:16].replace("T", " "))


def number(value: int) -> Markup:
    """Return *value* with its thousands apart."""
    return escape(f"{value:,}")


def duration(seconds: float | None) -> Markup:
    """Return how long something took, in the units that people use."""
    if seconds is None or seconds != seconds:
        return Markup('<span class="none">unknown</span>')
    if seconds < 60:
        return escape(f"{seconds:.3g} s")
    if not seconds < 1e12:
        return escape("for ever")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return escape(f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s")
