"""What the page of a record shows: bounded, whatever the record has."""

from __future__ import annotations

import json

import pytest

from smtd.records.record import DataKey, Dependency, Parameters
from smtd.web.records.comparison import compared
from smtd.web.records.excerpt import cost, excerpt
from smtd.web.records.parameter_values import Parameter, listed
from smtd.web.records.record_view import as_text, line_kind, record_view
from tests.build import full, record


@pytest.mark.parametrize("text", ["x" * 5_000_000, "&" * 100_000, "\u202e" * 50_000, "é\x1b[31m" * 9000])
@pytest.mark.parametrize("end", [False, True])
def test_excerpt_fits_as_it_is_shown(text: str, *, end: bool) -> None:
    """Characters that are escaped take as much room as their escapes."""
    found = excerpt(text, 1000, end=end)

    assert 0 < cost(found.text) <= 1000
    assert (found.total, found.is_cut) == (len(text), True)
    assert text.endswith(found.text) if end else text.startswith(found.text)


def test_short_text_is_whole() -> None:
    """Nothing says that there is more."""
    assert excerpt("done\n", 1000) == ("done\n", 5, False)


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        (Parameters("SimpleParameterSet", "seed = 1\nname = 'x'"), {"seed": "1", "name": "x"}),
        (Parameters("JSONParameterSet", '{"a": {"b": [1, 2.5]}, "c": {}}'), {"a.b": "[1, 2.5]", "c": "{}"}),
        (Parameters("YAMLParameterSet", "a: &x {b: 1}\nc: *x"), {"a.b": "1", "c.b": "1"}),
        (Parameters("ConfigParserParameterSet", "[s]\nv = 1"), {"s.v": "1"}),
        (
            Parameters("NTParameterSet", "{'d': NormalDist(mean=1.0, std=2.0)}"),
            {"d": "NormalDist(mean=1.0, std=2.0)"},
        ),
        (Parameters("str", "{'a': 1}"), {"a": "1"}),
        (Parameters("str", "anything"), {}),
        (Parameters("JSONParameterSet", "{"), {}),
    ],
)
def test_parameters_are_listed_by_name(parameters: Parameters, found: dict[str, str]) -> None:
    """Of every type; those inside of others with a dot."""
    assert {each.name: each.text for each in listed(parameters)} == found


def test_aliases_do_not_make_parameters_endless() -> None:
    """Ten levels of ten references each would be ten thousand million values."""
    text = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(10))}}}\n" for n in range(1, 11)
    )

    assert len(listed(Parameters("YAMLParameterSet", text))) == 300


def test_huge_set_is_not_taken_apart() -> None:
    """It would keep the server busy for seconds."""
    assert listed(Parameters("JSONParameterSet", json.dumps({"a": "x" * 2**20}))) == []


def test_numbers_are_numbers() -> None:
    """But neither truth nor infinity, by which nothing can be sorted."""
    found = listed(Parameters("JSONParameterSet", '{"a": 2, "b": true, "c": Infinity, "d": "3"}'))

    assert [each.number for each in found] == [2.0, None, None, None]
    assert found[0] == Parameter("a", "2", 2.0)


def test_lines_of_a_diff_say_what_they_do() -> None:
    """Headers are neither added nor removed."""
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\n+new\n same"

    assert [line_kind(line) for line in text.split("\n")] == ["header"] * 3 + [
        "place",
        "removed",
        "added",
        "",
    ]


def test_view_of_a_record_without_bounds_is_bounded() -> None:
    """And says of each part how much there is."""
    many = record(
        reason="&" * 10**6,
        diff="+\n" * 10**6,
        stdout_stderr="\x1b" * 10**6,
        dependencies=tuple(Dependency("python", f"d{n}", "/" * 300, "1", "+\n" * 1000) for n in range(1000)),
        output_data=tuple(DataKey(f"{n}" * 200, "0" * 40) for n in range(1000)),
    )

    view = record_view(many)

    assert view.stdout.total == 10**6
    assert view.diff.left_out > 10**6 - 1000
    assert view.dependencies.total == 1000
    assert 0 < len(view.outputs.items) < 100


def test_parts_are_there_as_text() -> None:
    """All of each."""
    assert as_text(full(), "stdout") == "done\n"
    assert "numpy 1.26.4" in (as_text(full(), "dependencies") or "")
    assert (as_text(full(), "files") or "").startswith("input\t")
    assert as_text(full(), "password") is None


def test_comparison_has_differences_only() -> None:
    """By kind, with the value of each record."""
    one, other = (
        full("a"),
        full("b", outcome="diverged", parameters=Parameters("SimpleParameterSet", "seed = 2")),
    )

    found = compared([one, other])

    assert [(group.title, [each.name for each in group.differences]) for group in found.groups] == [
        ("Parameters", ["seed"]),
        ("Run", ["Outcome"]),
    ]
    assert [value.text for value in found.groups[0].differences[0].values] == ["1", "2"]


def test_equal_records_do_not_differ() -> None:
    """Their labels are no difference."""
    assert compared([full("a"), full("b")]).groups == []
