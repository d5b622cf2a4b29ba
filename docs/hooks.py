"""Hooks of mkdocs (mkdocs.yml): pages made from the code, and files of the repository outside of docs/.

A page has `<!-- made: NAME -->` and `<!-- end -->` where the part NAME of `PARTS` belongs; what is between
them is for readers of the repository. Links are those of the repository, so that they work there, too; in the
site a file outside of docs/ is below repository/.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from docs import commands, configuration, reasons

ROOT = Path(__file__).parents[1]
#: What a page can have made from the code, by name.
PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands.page,
    "configuration": configuration.page,
    "exit codes": reasons.exit_codes,
    "reasons": reasons.table,
}
_PART = re.compile(r"^<!-- made: ([^\n]+) -->$.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^()#\s]+)((?:#[^()\s]*)?\))")
#: Where the site has files from outside of docs/.
_OUTSIDE = "repository"


def on_files(files: Any, config: Any) -> Any:
    """Add each file outside of docs/ that a page links to."""
    from mkdocs.structure.files import File, InclusionLevel

    for place in sorted(_linked()):
        named, source = f"{_OUTSIDE}/{place}", str(ROOT / place)
        added = File.generated(config, named, abs_src_path=source, inclusion=InclusionLevel.NOT_IN_NAV)
        files.append(added)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in what is made from the code, and turn links of the repository into those of the site."""
    filled = _PART.sub(lambda found: PARTS[found[1]](), markdown)
    return in_site(filled, page.file.src_uri)


def in_site(markdown: str, place: str) -> str:
    """Return the text of the page at *place* in the site, with the links of the site."""
    source = _source(place)

    def turned(link: re.Match[str]) -> str:
        if ":" in link[2]:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        if (ROOT / target).is_dir():
            target += "/README.md"
        there = target.removeprefix("docs/") if target.startswith("docs/") else f"{_OUTSIDE}/{target}"
        return link[1] + posixpath.relpath(there, posixpath.dirname(place) or ".") + link[3]

    fences = _FENCE.findall(markdown)
    parts = [_LINK.sub(turned, part) for part in _FENCE.split(markdown)]
    return "".join(part + fence for part, fence in zip(parts, [*fences, ""], strict=True))


def _source(place: str) -> str:
    """Return the place in the repository of the page at *place* in the site."""
    if place.startswith(f"{_OUTSIDE}/"):
        return place.removeprefix(f"{_OUTSIDE}/")
    return f"docs/{place}"


def _linked() -> set[str]:
    """Return the files outside of docs/ that the pages link to, and that those link to in turn."""
    todo = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    todo += ["CONTRIBUTING.md", "CHANGELOG.md"]
    found: set[str] = set()
    while todo:
        source = todo.pop()
        if not source.startswith("docs/"):
            if source in found:
                continue
            found.add(source)
        if source.endswith(".md"):
            text = _FENCE.sub("", (ROOT / source).read_text("utf-8"))
            for _, link, _ in _LINK.findall(text):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
                if (ROOT / target).is_dir():
                    target += "/README.md"
                if ":" not in link and not target.startswith("docs/") and (ROOT / target).is_file():
                    todo.append(target)
    return found
