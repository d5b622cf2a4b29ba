"""A browser without scripts: it knows links, and forms with their fields and buttons."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin


@dataclass
class Form:
    """A form of a page."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """What a person sees of a page, and can do there."""

    def __init__(self, address: str, text: str) -> None:
        super().__init__()
        self.address = address
        self.text = ""
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        #: The names of fields, by what the page calls them.
        self.names: dict[str, str] = {}
        self._link = self._label = self._area = ""
        self._by_id: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._in = ""
        self.feed(text)
        self.names = {said.strip(): self._by_id[of] for of, said in self._said.items() if of in self._by_id}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in = tag if tag in ("a", "button", "label", "textarea", "script", "style") else self._in
        if tag == "a":
            self._link = given.get("href", "")
        elif tag == "label":
            self._label = given.get("for", "")
        elif tag == "form":
            where = urljoin(self.address, given.get("action") or self.address)
            self.forms.append(Form(where, given.get("method", "get").lower()))
        elif tag in ("input", "textarea") and self.forms and "name" in given:
            self._area = given["name"]
            self._by_id[given.get("id", "")] = given["name"]
            is_off = given.get("type") in ("checkbox", "radio") and "checked" not in given
            if not is_off:
                self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == self._in else self._in

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            return
        self.text += data
        if self._in == "a":
            self.links.setdefault(data.strip(), urljoin(self.address, self._link))
        elif self._in == "label":
            self._said[self._label] = self._said.get(self._label, "") + data
        elif self._in == "textarea":
            self.forms[-1].fields[self._area] += data
        elif self._in == "button" and self.forms:
            self.forms[-1].buttons.append(data.strip())


class Browser:
    """A browser of one person, which keeps cookies."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        self.page = Page("", "")

    def open(self, address: str, data: bytes | None = None) -> None:
        """Open *address*, with the *data* of a form if there is any; go where the server sends it."""
        request = urllib.request.Request(address, data)
        if data is not None:  # a browser says where a form comes from
            request.add_header("Origin", urljoin(address, "/").rstrip("/"))
        with self._opener.open(request, timeout=60) as answer:
            self.page = Page(answer.url, answer.read().decode())

    def click(self, link: str) -> None:
        """Click a *link*."""
        assert link in self.page.links, f"{link} is none of {sorted(self.page.links)}"
        self.open(self.page.links[link])

    def send(self, button: str, **filled: str) -> None:
        """Fill in fields, by what the page calls them (a space is an underscore), and click *button*."""
        (form,) = (form for form in self.page.forms if button in form.buttons)
        names = {said.replace(" ", "_"): name for said, name in self.page.names.items()}
        sent = urlencode(form.fields | {names[said]: text for said, text in filled.items()})
        if form.method == "post":
            self.open(form.action, sent.encode())
        else:
            self.open(f"{form.action.partition('?')[0]}?{sent}")
