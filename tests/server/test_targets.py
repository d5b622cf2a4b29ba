"""What paths below /records/ are about."""

from __future__ import annotations

import pytest

from smtd.server.targets import BadTarget, Target, parsed, path

TARGETS = {
    "/records/": Target(),
    "/records": Target(),
    "/records/p/": Target("p"),
    "/records/p": Target("p"),
    "/records/p/l/": Target("p", "l"),
    "/records/p/l": Target("p", "l"),
    "/records/p/a/b/": Target("p", "a/b"),
    "/records/p/a%2Fb/": Target("p", "a/b"),
    "/records/p/with:colon/": Target("p", "with:colon"),
    "/records/p/with%3Acolon/": Target("p", "with:colon"),
    "/records/p/sp%20ace/": Target("p", "sp ace"),
    "/records/%C3%A9lan/%C3%A9lan/": Target("élan", "élan"),
    "/records/p/../../etc/passwd/": Target("p", "../../etc/passwd"),
    "/records/p/tag/x/": Target("p", "tag/x"),
    "/records/p/%2525/": Target("p", "%25"),
    "/records/p/None/": Target("p", "None"),
}
BAD = {
    "/records//l/": "a project without a name",
    "/records/a%2Fb/": "a slash in a project",
    "/records/%2E%2E/x/": "a project that is a step up",
    "/records/p/%FF/": "bad UTF-8",
    "/records/p/%ED%A0%80/": "half of a pair of surrogates",
    "/records/p/a%00b/": "a NUL",
    "/records/p/a%0D%0Ab/": "a line break",
    "/records/p/100%/": "a percent sign that quotes nothing",
}


@pytest.mark.parametrize("sent", TARGETS)
def test_path_of_a_project_or_a_record(sent: str) -> None:
    """All after the project is the label, unquoted once; a slash at the end may be missing."""
    assert parsed(sent) == TARGETS[sent]


@pytest.mark.parametrize("sent", BAD)
def test_invalid_path_is_refused(sent: str) -> None:
    """It is refused, with a sentence."""
    with pytest.raises(BadTarget, match=r"\w+ \w+"):
        parsed(sent)


@pytest.mark.parametrize("sent", ["/", "/api/v1/changes", "/recordsx/", "/healthz"])
def test_path_outside_records(sent: str) -> None:
    """It is for others."""
    assert parsed(sent) is None


@pytest.mark.parametrize("label", ["l", "a/b", "with:colon", "sp ace", "élan", "50%", "a?b#c", 'quo"te'])
def test_generated_path_is_parsed_back(label: str) -> None:
    """Whatever a label consists of, its address leads to it, and needs no more quoting."""
    given = path("pro ject", label)

    assert parsed(f"/records/{given}") == Target("pro ject", label)
    assert given.isascii()
    assert not set(given) & set(' ?#"')
