"""Check the built site: each link leads somewhere, and no page loads anything from another host."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

#: What a browser loads by itself, by element and attribute.
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}


class Page(HTMLParser):
    """The links, anchors and loaded files of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        self.loaded += [found[name] for each, name in LOADED if each == tag and name in found]
        if tag == "link" and "stylesheet" in found.get("rel", ""):
            self.loaded.append(found.get("href", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


def problems(site: Path) -> Iterator[str]:
    """Yield what is wrong with the site in the directory *site*."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        for address in page.loaded:
            if is_elsewhere(address):
                yield f"{name} loads {address}"
            elif name != "404.html" and not leads_somewhere(path, address, pages):
                yield f"{name} shows {address}, which is not there"
        # The page 404.html has addresses that begin at the root of the site.
        for address in page.links if name != "404.html" else ():
            if not is_elsewhere(address) and not leads_somewhere(path, address, pages):
                yield f"{name} links to {address}, which is not there"


def is_elsewhere(address: str) -> bool:
    """Say whether *address* is that of another host."""
    return address.startswith(("http:", "https:", "//", "mailto:"))


def leads_somewhere(path: Path, address: str, pages: dict[Path, Page]) -> bool:
    """Say whether the link *address* of the page at *path* has its page, and its anchor there.

    A picture in the address itself is there.
    """
    if address.startswith("data:"):
        return True
    file, anchor = urldefrag(address)
    target = (path.parent / unquote(file)).resolve() if file else path
    if target.is_dir():
        target /= "index.html"
    if target not in pages:
        return target.exists() and not anchor
    return not anchor or unquote(anchor) in pages[target].anchors


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1]).resolve()))
    print(
        "\n".join(found)
        or f"the site is in {sys.argv[1]}; to search in it: python3 -m http.server -d {sys.argv[1]}"
    )
    sys.exit(bool(found))
