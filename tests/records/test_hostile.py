"""Values made to run code, or to exhaust or crash their reader, are refused with their record."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtd.errors import RecordUnusable
from smtd.records.canonical import digest
from smtd.records.parameters import content
from smtd.records.parameters.content import meaning
from smtd.records.record import Parameters
from tests.build import record
from tests.command import Smtd
from tests.forkserver import client

RUN = "__import__('os').system('touch {0}')"

#: Texts that would create a file if Sumatra or a careless reader ran them.
RUNNING = {
    "SimpleParameterSet": [
        *("a = " + RUN, "a = [" + RUN + "]", "a = 'x' + open('{0}', 'w').name"),
        *(
            "a = 1\nb = [" + RUN + "]",
            "a = (lambda: open('{0}', 'w'))()",
            "a = [open('{0}', 'w') for x in [1]]",
        ),
        *("a = f\"{{open('{0}', 'w')}}\"", "a = ().__class__.__base__.__subclasses__()"),
    ],
    "NTParameterSet": [
        *("{{'a': " + RUN + "}}", "{{'a': GammaDist(m=" + RUN + ")}}", "{{'a': ref.__class__}}"),
        *("{{'a': url('http://127.0.0.1:9/{0}')}}", "{{'a': ParameterTable('a b')}}"),
        *("file://{0}", "http://127.0.0.1:9/{0}", "{{**open('{0}', 'w')}}", "[1, 2]"),
    ],
    "dict": [RUN, "{{'a': " + RUN + "}}", "{{'a': (x := " + RUN + ")}}"],
    "YAMLParameterSet": [
        *("!!python/object/apply:os.system ['touch {0}']", "a: !!python/object/new:open ['{0}', 'w']"),
        *("a: !!python/name:os.system", "a: !!python/module:os", "a: !other 1"),
    ],
    "JSONParameterSet": ["{{'a': 1}}", '{{"a": 1'],
    "NoneType": [RUN],
}

#: Texts that readers do not expect: each must be refused as a record, not break the program.
UNEXPECTED = {
    "SimpleParameterSet": ["a = 0x" + "f" * 5000],
    "dict": ["{'a': 0x" + "f" * 5000 + "}", "{'a': 1j}"],
    "NTParameterSet": [
        *("{'a': 0x" + "f" * 5000 + "}", "{'a': NormalDist('x', 1)}", "{'a': NormalDist([], 1)}"),
        *("{'a': UniformDist(None)}", "{'a': NormalDist(1" + "0" * 400 + ")}", "{'a': GammaDist('x', 1)}"),
        *("{'a': GammaDist(a=1, a=2)}", "{'a': ParameterRange([])}", "{'a': NormalDist(1, 2, 3)}"),
        *("{'a': GammaDist(1e200, 1)}", "{'a': GammaDist(1, 1e-200)}", "{'a': GammaDist(0, 0)}"),
        *("{'a': GammaDist(a=-1, b=1)}", "{'a': GammaDist(a='x')}"),
    ],
    "YAMLParameterSet": [
        *("a: 0x" + "f" * 5000, "a: " + "9" * 5000, "a: !!bool maybe", "a: !!int ''", "a: !!int x"),
        *("a: !!float ''", "a: !!timestamp never", "a: 2024-13-45", "a: 2001-01-01T00:00:00+99:00"),
        *("a: !!binary é", "a: !!map [1]", "a: !!omap {x: 1}", "a: 1\n---\nb: 2", "? [a]\n: 1", "a: \0"),
        *("a: \ud800", "a: *nowhere", "a: {<<: 3}", "a: &a [*a]", "a: &a {b: *a}", "1: a\n'1': b"),
    ],
    "JSONParameterSet": ['{"a": ' + "9" * 5000 + "}"],
    "ConfigParserParameterSet": ["a = 1", "[a]\nb", "[a]\nb = 1\nb = 2", "[a]\n[a]"],
}


def each(texts):
    """Return pairs of a kind and a text."""
    return [(kind, text) for kind, those in texts.items() for text in those]


def nested(opening, depth, closing):
    """Return brackets around nothing."""
    return opening * depth + closing * depth


def laughs(levels, width, leaf="lol"):
    """Return YAML in which every line is *width* times the line before."""
    lines = [f"a0: &a0 [{', '.join([leaf] * width)}]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * width)}]" for at in range(1, levels)]
    return "\n".join(lines)


#: Texts that are too deep for their reader.
DEEP = {
    "JSON": ("JSONParameterSet", nested("[", 100_000, "]")),
    "unclosed JSON": ("JSONParameterSet", "[" * 1_000_000),
    "simple set": ("SimpleParameterSet", "a = " + nested("[", 100_000, "]")),
    "nested set": ("NTParameterSet", nested("{1: ", 100_000, "}")),
    "calls": ("NTParameterSet", "{1: " + nested("ref(", 100_000, ")") + "}"),
    "dictionary": ("dict", "{1: " + "-" * 100_000 + "1}"),
}

#: YAML that grows in the reader's hands. The C library behind it has no limits of its own.
GROWING = {
    "deep": "nested('[', 5_000, ']')",
    "deeper": "nested('[', 100_000, ']')",
    "deep mappings": "nested('{a: ', 100_000, '}')",
    "deep blocks": "'- ' * 20_000",
    "unclosed": "'[' * 100_000",
    "billion laughs of words": "laughs(9, 10)",
    "billion laughs of numbers": "laughs(9, 10, '1')",
    "billion laughs of nothing": "laughs(9, 10, '~')",
    "billion laughs of lists": "laughs(9, 10, '[]')",
    "long lists again and again": "laughs(3, 900)",
    "a long word again and again": "'w: &w ' + 'x' * 100_000 + '\\n' + laughs(2, 900, '*w')",
}
IN_A_CHILD = """
import resource, sys
from smtd.errors import RecordUnusable
from smtd.records.canonical import digest
from smtd.records.record import Parameters
from tests.build import record
from tests.records.test_hostile import laughs, nested
content = eval(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
try:
    digest(record(parameters=Parameters("YAMLParameterSet", content)))
except RecordUnusable:
    print("refused")
"""
client.programs.add(IN_A_CHILD)


@pytest.mark.parametrize(("kind", "content"), each(RUNNING))
def test_text_that_would_run_code_is_refused(kind, content, tmp_path):
    """No parameter set runs anything, opens a file, or reaches an attribute."""
    made = tmp_path / "made"

    with pytest.raises(RecordUnusable, match=f"its {kind} cannot be read"):
        meaning(Parameters(kind, content.format(made)))
    assert not made.exists()


@pytest.mark.parametrize(
    ("kind", "content"),
    [(kind, RUNNING[kind][0]) for kind in ("SimpleParameterSet", "NTParameterSet", "dict")],
)
def test_text_that_would_run_code_is_text_where_sumatra_takes_it_as_text(kind, content, tmp_path):
    """Text from a relational store is compared as text, and not run either."""
    made = tmp_path / "made"

    assert meaning(Parameters("str", content.format(made)))[1] == content.format(made)
    assert not made.exists()


@pytest.mark.parametrize(("kind", "content"), each(UNEXPECTED), ids=lambda text: ascii(text[:40]))
def test_text_that_breaks_its_reader_is_refused(kind, content):
    """One bad record is one unusable record, whichever way it breaks a reader."""
    with pytest.raises(RecordUnusable, match=r"^parameters: "):
        digest(record(parameters=Parameters(kind, content)))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", DEEP)
def test_text_nested_too_deeply_is_refused_at_once(name):
    """No user writes such nesting."""
    with pytest.raises(RecordUnusable, match=r"^parameters: "):
        digest(record(parameters=Parameters(*DEEP[name])))


@pytest.mark.parametrize("depth", [200, 320, 400, 480, 700, 900, 990])
@pytest.mark.parametrize("kind", ["JSONParameterSet", "YAMLParameterSet"])
def test_text_near_the_limit_is_read_or_refused(kind, depth):
    """If one step of reading can follow and the next cannot, the record is unusable."""
    assert verdict(Parameters(kind, nested("[", depth, "]"))) in ("read", "refused")


def verdict(parameters):
    """Say whether *parameters* can be read; raise any other error than the expected one."""
    try:
        digest(record(parameters=parameters))
    except RecordUnusable:
        return "refused"
    return "read"


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", GROWING)
def test_yaml_that_expands_is_refused_at_once(name):
    """Within a gigabyte and five seconds, however deep or large the values become."""
    here = Path(__file__).parent

    done = client.run(["-c", IN_A_CHILD, GROWING[name]], here, Smtd(here).variables())

    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr[-300:]


@pytest.mark.parametrize("value", ["0", "[]", "a", "null", "{a: 0}"])
def test_excessive_number_of_values_is_refused(monkeypatch, value):
    """Every value that an alias repeats counts, of whatever type it is."""
    monkeypatch.setattr(content, "_MOST_VALUES", 3)
    text = f"a: &a [{value}, {value}]\nb: &b [{', '.join(['*a'] * 10)}]\nc: [{', '.join(['*b'] * 10)}]"

    with pytest.raises(RecordUnusable, match="far more values than its text"):
        content.meaning(Parameters("YAMLParameterSet", text))


@pytest.mark.timeout(10)
def test_aliases_are_counted_without_expanding_them():
    """The cost grows with the text, not with its meaning: such a store is read in every cycle."""
    bomb = Parameters("YAMLParameterSet", laughs(9, 12))

    for _ in range(100):
        with pytest.raises(RecordUnusable, match="far more values than its text"):
            content.meaning(bomb)


def test_large_set_without_aliases_is_counted_by_its_text(monkeypatch):
    """It is no attack."""
    monkeypatch.setattr(content, "_MOST_VALUES", 3)

    parameters = Parameters("JSONParameterSet", "[1,2,3,4]")

    assert content.meaning(parameters) == ["JSONParameterSet", [1, 2, 3, 4]]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("JSONParameterSet", nested("[", 100, "]")),
        ("YAMLParameterSet", nested("[", 50, "]")),
        ("dict", nested("[", 50, "]")),
        ("YAMLParameterSet", laughs(3, 10)),
        ("JSONParameterSet", "[" + ", ".join(["[0.5, 1, true, null]"] * 50_000) + "]"),
        ("SimpleParameterSet", "\n".join(f"name_{number} = {number}" for number in range(20_000))),
    ],
    ids=["JSON", "YAML", "dictionary", "aliases", "many lists", "many names"],
)
def test_large_real_parameter_sets_are_read(kind, content):
    """The limits are far above what real parameters need."""
    assert digest(record(parameters=Parameters(kind, content)))
