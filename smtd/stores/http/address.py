"""The addresses of projects and records on a Sumatra Server, and which names can have one.

smtd must never send a name that cannot have an address: a path with it would lead to something else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from urllib.parse import quote, unquote

from yarl import URL

from smtd.errors import AnotherRecord, RecordUnusable
from smtd.records import literal
from smtd.records.record import Key, is_plain
from smtd.text import encodable, shown

_LABEL = re.compile(r"\w+[\w|\-.]*\Z")
#: In a header Link of smtd's server: where it has its records, if they are not here.
_RECORDS = re.compile(r'<([^<>]+)>; *rel="https://smtd/records"')
#: A name that the server does not read as a label.
_TAKEN = "permissions"


def check_project(name: str) -> None:
    """Raise RecordUnusable, with the next step, for a project that the server has no address for."""
    if name in ("", ".", "..") or "/" in name or not is_plain(name):
        raise RecordUnusable(
            "a Sumatra Server has no address for a project of this name; sync it with a file or a database"
        )


def check_label(label: str) -> None:
    """Raise RecordUnusable, with the next step, for a label that the server has no address for."""
    if not _LABEL.match(label) or label == _TAKEN:
        raise RecordUnusable(
            "a Sumatra Server has no address for this label (letters, digits and _ - . | only); sync it"
            " with a file or a database"
        )


def path(*parts: str) -> str:
    """Return the path of a project or record, with the slash at the end that the server requires."""
    return "".join(f"{quote(part, safe='')}/" for part in parts)


def redirection(base: str, parts: tuple[str, ...], place: str) -> str:
    """Return what a redirection of the document *parts* of the server at *base* to *place* means.

    It is the end of a sentence. If *place* shows the server's new address, the text names that, without the
    document, a query or a user.
    """
    document = path(*parts)
    try:
        target = URL(f"{base}{document}", encoded=True).join(URL(place))
        found = unquote(target.raw_path).removesuffix("/") + "/"
        if (
            place
            and target.scheme in ("http", "https")
            and target.host
            and found.endswith(f"/{unquote(document)}")
        ):
            kept = found.removesuffix(unquote(document))
            new = URL.build(scheme=target.scheme, host=target.host, port=target.explicit_port, path=kept)
            if str(new) != base:
                return f"redirects to {shown(str(new))}; name that location instead"
    except ValueError:
        pass
    return "redirects to something other than its records; check the address in a browser"


def elsewhere(base: str, link: str) -> str:
    """Return the address that *link*, a header of the server at *base*, gives for its records (empty: none).

    It must be on the same server.
    """
    found = _RECORDS.search(link)
    if found is None:
        return ""
    here = URL(base)
    try:
        there = URL(found[1])
        is_here = there.origin() == here.origin()
    except ValueError:  # it is no address of a server
        return ""
    return shown(str(there)) if is_here and there != here else ""


def listed(base: str, project: str, addresses: Collection[str]) -> tuple[set[str], dict[str, str]]:
    """Return the labels at *addresses*, from a listing of *project*, and what is wrong with others.

    The server does not quote labels, so a label that was written directly into its database may have a slash.
    Raises AnotherRecord for an address that is in another project.
    """
    labels = Counter(_label(base, project, str(address)) for address in addresses)
    wrong: dict[str, str] = {}
    for label, count in labels.items():
        try:
            check_label(label)
        except RecordUnusable:
            wrong[encodable(label)] = (
                "the server lists it, but has no address for its label; relabel it in its database"
            )
        else:
            if count > 1:
                wrong[label] = doubled(Key(project, label))
    return {label for label in labels if label not in wrong and is_plain(label)}, wrong


def doubled(key: Key) -> str:
    """Return the message for a label that the server has twice, with the next step for its administrator."""
    return (
        "the server has its label twice, and shows neither, so that `smt list` of the project fails; in its"
        f" database, delete all but one of the rows of django_store_record with label = '{key.label}' and"
        f" project_id = '{key.project}'"
    )


def _label(base: str, project: str, address: str) -> str:
    """Return the label in *address*, which follows the project; a proxy may have changed the base.

    Raises AnotherRecord if neither the part at the usual place nor the last but one is the project.
    """
    parts = address.removesuffix("/").split("/")
    after = base.removesuffix("/").count("/") + 2
    if len(parts) <= after or unquote(parts[after - 1]) != project:
        after = len(parts) - 1
        if unquote(parts[after - 1]) != project:
            raise AnotherRecord(f"the address {literal.shortened(address)}")
    return unquote("/".join(parts[after:]))
