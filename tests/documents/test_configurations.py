"""Every configuration that a document shows is one that smtd reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smtd.cli import check_server
from smtd.config import load
from tests.documents.blocks import PAGES, ROOT

FOUND = [
    (page, text)
    for page in PAGES
    for text in re.findall(
        r"^```toml\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
]


@pytest.mark.parametrize(("page", "text"), FOUND, ids=[page for page, _ in FOUND])
def test_configuration_of_a_page_is_valid(page: str, text: str, tmp_path: Path) -> None:
    """And the parts of a server fit together."""
    (tmp_path / "config.toml").write_text(text, "utf-8")

    found = load(tmp_path / "config.toml")

    assert found.server is None or list(check_server.names(found.server)) == []


def test_documents_have_configurations_for_every_purpose() -> None:
    """A mirror, a server in each of its forms, a database, and notifications."""
    pages = {page for page, _ in FOUND}

    assert {f"docs/how-to/{name}.md" for name in ("mirror", "tls", "lab-server", "databases")} <= pages
    assert "docs/how-to/notifications.md" in pages
