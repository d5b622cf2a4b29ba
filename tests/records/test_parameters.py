"""Parameter sets: Sumatra's own texts, round trips of each type, and what two sets have in common."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone

import pytest

from smtd.errors import RecordUnusable
from smtd.records.literal import Call
from smtd.records.parameters import simple
from smtd.records.parameters.content import TYPES, meaning, read, write
from smtd.records.record import Parameters
from tests.records.strategies import means_the_same

UTC = timezone.utc

#: What `str()` of a parameter set gives in Sumatra 0.8.1, and the values that it was made of.
OWN_TEXTS = {
    "simple": (
        "SimpleParameterSet",
        "i = 1\nf = 0.1\ns = \"text\"\nb = True\nn = None\nl = [1, 'a', [2.5]]\nt = (1,)\nneg = -3\n"
        "big = 100000000000000000000\ne = 1e-07",
        {
            "i": 1,
            "f": 0.1,
            "s": "text",
            "b": True,
            "n": None,
            "l": [1, "a", [2.5]],
            "t": (1,),
            "neg": -3,
            "big": 10**20,
            "e": 1e-7,
        },
    ),
    "simple with comments": (
        "SimpleParameterSet",
        'a = 1 # the first\nb = "x"',
        {"a": 1, "b": "x"},
    ),
    "simple without parameters": ("SimpleParameterSet", "", {}),
    "nested": (
        "NTParameterSet",
        "{'a': 1, 'b': {'c': [1, 2.5], 'd': 'text', 'e': None, 'f': True}, 't': (1, 2)}",
        {"a": 1, "b": {"c": [1, 2.5], "d": "text", "e": None, "f": True}, "t": (1, 2)},
    ),
    "nested with distributions": (
        "NTParameterSet",
        "{'r': ParameterRange([1, 2, 3]), 'ru': ParameterRange([1.0], units=\"mV\"),"
        " 'g': GammaDist(m=2.000000,s=1.000000), 'u': UniformDist(min=0.0,max=3.0),"
        " 'n': NormalDist(mean=1.0,std=0.5)}",
        {
            "r": Call("ParameterRange", ([1, 2, 3],), ()),
            "ru": Call("ParameterRange", ([1.0],), (("units", "mV"),)),
            "g": Call("GammaDist", (), (("m", 2.0), ("s", 1.0))),
            "u": Call("UniformDist", (), (("min", 0.0), ("max", 3.0))),
            "n": Call("NormalDist", (), (("mean", 1.0), ("std", 0.5))),
        },
    ),
    "json": (
        "JSONParameterSet",
        '{\n    "a": {\n        "x": "\\u00e9"\n    },\n    "b": [\n        1,\n        2.5,\n        null,\n'
        '        true\n    ],\n    "i": Infinity,\n    "n": NaN\n}',
        {"a": {"x": "é"}, "b": [1, 2.5, None, True], "i": math.inf, "n": math.nan},
    ),
    "yaml": (
        "YAMLParameterSet",
        'a:\n    x: "\\xE9"\nb:\n- 1\n- 2.5\n- null\n- true\nd: 2024-02-29\ni: -.inf\n'
        "m: 2024-02-29 12:00:00\nn: .nan\ns: 'yes'\nz: 2024-02-29 12:00:00+02:00\n",
        {
            "a": {"x": "é"},
            "b": [1, 2.5, None, True],
            "d": date(2024, 2, 29),
            "i": -math.inf,
            "m": datetime(2024, 2, 29, 12),
            "n": math.nan,
            "s": "yes",
            "z": datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=2))),
        },
    ),
    "config": (
        "ConfigParserParameterSet",
        "[DEFAULT]\nroot = /data\n\n[run]\nsteps = 10\nfile = %(root)s/x\nmulti = a\n\tb\n\n[empty]\n\n",
        {
            "DEFAULT": {"root": "/data"},
            "run": {"steps": "10", "file": "%(root)s/x", "multi": "a\nb"},
            "empty": {},
        },
    ),
    "dictionary": ("dict", "{'a': 1, 'b': None}", {"a": 1, "b": None}),
    "no parameters": ("NoneType", "None", None),
    "text": ("str", "whatever = 'it is'", "whatever = 'it is'"),
    "a type that Sumatra does not know": ("OtherParameterSet", "whatever", "whatever"),
    "json without parameters": ("JSONParameterSet", "", {}),
    "yaml without parameters": ("YAMLParameterSet", "", {}),
}

#: Lines of a simple set that Sumatra reads in its own way (checked with Sumatra 0.8.1).
LINES = {
    "a=1": {"a": 1},
    "  a  =  3  ": {"a": 3},
    "a = 1\r\nb = 2": {"a": 1, "b": 2},
    "# a = 1": {},
    "a = 'x'": {"a": "x"},
    'a = "x=3"': {"a": "x=3"},
    'a = "a#b"': {"a": "a#b"},
    'a = "x" # "y"': {"a": "x"},
    r'a = "\n"': {"a": "\n"},
    "a = 0x10": {"a": 16},
    "a = 1e999": {"a": math.inf},
    "a.b = 3": {"a.b": 3},
    "a b = 3": {"a b": 3},
    "a = 1\na = 2": {"a": 2},
    "a = foo": {"a": " foo"},
    "a = foo # c": {"a": " foo # c"},
    "a = [foo]": {"a": " [foo]"},
    "a = -foo": {"a": " -foo"},
    "a = inf": {"a": " inf"},
    "a = nan": {"a": " nan"},
}

#: Values that are hard to write, for the types that can hold them.
HARD = [
    *('a "quoted" word', "it's", """both ' and \"""", "two\nlines", "\r\n\t\f\v", "# no comment", "a # b"),
    *("back\\slash", "\\", "\\n", "ends with \\", " blanks ", "", "=", "a = b", "%(a)s %% %", "{'a': 1}"),
    *("None", "1", "yes", "~", "- a", "a: b", "&a", "file:///etc/passwd", "http://example.org/"),
    *("é ñ 日本 \U0001f600", "\x85 \u2028 \u2029 \ufeff", "\x00 \x07 \x7f", math.inf, -math.inf, math.nan),
    *(-0.0, 5e-324, 2**70, -(2**70), [], [[1], [], [None, True, "#"]]),
]
ANY_VALUE = ("SimpleParameterSet", "NTParameterSet", "JSONParameterSet", "YAMLParameterSet", "dict")


@pytest.mark.parametrize("name", OWN_TEXTS)
def test_text_of_sumatra_is_read(name):
    """It gives the values that it was made from, and equals itself."""
    kind, content, values = OWN_TEXTS[name]

    assert means_the_same(read(Parameters(kind, content)), values)
    assert meaning(Parameters(kind, content)) == meaning(Parameters(kind, content))


@pytest.mark.parametrize("name", [name for name, (kind, *_) in OWN_TEXTS.items() if kind in TYPES])
def test_values_of_sumatra_are_written_with_their_meaning(name):
    """Values that were read are written as text of the same meaning."""
    kind, content, values = OWN_TEXTS[name]

    assert meaning(write(kind, values)) == meaning(Parameters(kind, content))


def test_own_texts_show_every_type():
    """There is a text of Sumatra for each type of parameter set."""
    assert {kind for kind, *_ in OWN_TEXTS.values()} >= TYPES


@pytest.mark.parametrize("line", LINES)
def test_simple_set_is_read_as_sumatra_reads_it(line):
    """Names that are not defined are text with the blanks before them; the rest is a literal."""
    assert means_the_same(simple.read(line), LINES[line])


@pytest.mark.parametrize(
    "content", ["a", "a = ", "a = 007", "a = foo bar", "a = x = 3", "a = 1;", "= 'unclosed"]
)
def test_simple_set_that_sumatra_cannot_read_is_refused(content):
    """smtd cannot read it either."""
    with pytest.raises(RecordUnusable, match="its SimpleParameterSet cannot be read"):
        read(Parameters("SimpleParameterSet", content))


@pytest.mark.parametrize("value", HARD, ids=ascii)
def test_hard_value_is_read_back(value):
    """Every value is written so that the same value is read again, in each type of set."""
    values = {"x": value, "y": 1}

    assert [kind for kind in ANY_VALUE if not means_the_same(read(write(kind, values)), values)] == []


@pytest.mark.parametrize("value", HARD, ids=ascii)
def test_hard_value_in_a_simple_set_is_one_line_without_a_comment(value):
    """Sumatra would take a line break for the next parameter, and `#` in a value for a comment."""
    (line,) = write("SimpleParameterSet", {"x": value}).content.split("\n")

    assert line.startswith("x = ")
    assert "#" not in line


@pytest.mark.parametrize("value", ["file:///etc/passwd", ["file://x"], {"file://": 1}, b"file://x"], ids=str)
@pytest.mark.parametrize("kind", ["NTParameterSet", "dict"])
def test_written_set_names_no_file_that_sumatra_would_open(kind, value):
    """Sumatra opens and runs the file that a nested set names; smtd writes no such text."""
    assert "file://" not in write(kind, {"a": value}).content


def test_comments_of_a_simple_set_are_kept():
    """Comments come back with the values that they stand behind."""
    written = write("SimpleParameterSet", {"a": 1, "b": "x#y", "c": 2}, {"a": " first", "b": " two\nlines"})

    assert written.content == "a = 1 # first\nb = 'x\\x23y' # two lines\nc = 2"
    assert simple.comments("a = 1 # first\nb = 2\n# c = 3\n d = 4 # x # y") == {"a": " first", "d": " x # y"}


@pytest.mark.parametrize("name", ["", " a", "a ", "#a", "a=b", "a\nb", 1, None])
def test_simple_set_refuses_an_invalid_name(name):
    """A name that does not fit a line is not written as another one."""
    with pytest.raises(RecordUnusable, match="cannot be written"):
        write("SimpleParameterSet", {name: 1})


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("SimpleParameterSet", {"a": 1j}),
        ("SimpleParameterSet", {"a": {1}}),
        ("NTParameterSet", {"a": object}),
        ("NTParameterSet", [1]),
        ("dict", {"a": {1}}),
        ("JSONParameterSet", {"a": {1}}),
        ("JSONParameterSet", {"a": b"x"}),
        ("JSONParameterSet", {(1, 2): 3}),
        ("JSONParameterSet", {"a": date(2024, 2, 29)}),
        ("YAMLParameterSet", {"a": 1j}),
        ("YAMLParameterSet", {"a": object()}),
        ("ConfigParserParameterSet", {"a": {"b": 1}}),
        ("ConfigParserParameterSet", {"a": {"B": "x"}}),
        ("ConfigParserParameterSet", {"a": {"b": " x"}}),
        ("ConfigParserParameterSet", {"a": {"": "x"}}),
        ("ConfigParserParameterSet", {"a": {"#b": "x"}}),
        ("ConfigParserParameterSet", {"a\n": {"b": "x"}}),
        ("ConfigParserParameterSet", {"a": 1}),
        ("NoneType", {"a": 1}),
    ],
)
def test_values_that_a_type_cannot_express_are_refused(kind, values):
    """A set is written exactly or not at all."""
    with pytest.raises(RecordUnusable):
        write(kind, values)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"a": {}},
        {"a": {"b": ""}},
        {"a": {"b": "x\n\ny"}},
        {"a": {"b": "x\n[c]"}},
        {"a]": {"b": "x = y : z"}},
        {"a": {"b": "%(c)s %% ${d}"}},
        {"a": {"b c": "# no comment"}},
        {"DEFAULT": {"b": "x"}, "a": {"b": "y"}},
    ],
)
def test_sections_are_read_back(sections):
    """Every section that a configuration can hold is written so that it is read again."""
    assert read(write("ConfigParserParameterSet", sections)) == sections


SAME = [
    ("{'a': GammaDist(m=2.0, s=1.0)}", "{'a': GammaDist(mean=2, std=1)}"),
    ("{'a': GammaDist(m=2.0, s=1.0)}", "{'a': GammaDist(2.0, 1.0)}"),
    ("{'a': GammaDist(m=2.0, s=1.0)}", "{'a': GammaDist(a=4.0, b=0.5)}"),
    ("{'a': GammaDist(2.0, s=1.0)}", "{'a': GammaDist(a=4.0, b=0.5)}"),
    ("{'a': GammaDist(mean=2.0)}", "{'a': GammaDist(a=4.0, b=0.5)}"),
    ("{'a': GammaDist(m=1.2345678, s=2.0)}", "{'a': GammaDist(m=1.234568, s=2.000000)}"),
    ("{'a': GammaDist()}", "{'a': GammaDist(a=1, b=1)}"),
    ("{'a': NormalDist(0, 1)}", "{'a': NormalDist(mean=0.0, std=1.0)}"),
    ("{'a': NormalDist()}", "{'a': NormalDist(std=1, mean=0)}"),
    ("{'a': UniformDist(0, 2)}", "{'a': UniformDist(max=2.0, min=0.0)}"),
    ("{'a': ParameterRange([1, 2])}", "{'a': ParameterRange(value=(1, 2), units=None)}"),
    ("{'a': ref('b')}", "{'a': ref(reference='b')}"),
    ("{'a': [NormalDist()]}", "{'a': (NormalDist(0, 1),)}"),
    ("{'a': pi}", f"{{'a': {math.pi!r}}}"),
]
OTHER = [
    ("{'a': GammaDist(m=2.0, s=1.0)}", "{'a': GammaDist(m=2.0, s=1.1)}"),
    ("{'a': GammaDist(m=2.0, s=1.0)}", "{'a': NormalDist(2.0, 1.0)}"),
    ("{'a': NormalDist(0, 1)}", "{'a': NormalDist(1, 0)}"),
    ("{'a': UniformDist(0, 2)}", "{'a': UniformDist(0, 3)}"),
    ("{'a': ParameterRange([1, 2])}", "{'a': ParameterRange([2, 1])}"),
    ("{'a': ParameterRange([1], units='mV')}", "{'a': ParameterRange([1])}"),
    ("{'a': ParameterRange([1])}", "{'a': [1]}"),
    ("{'a': ref('b')}", "{'a': ref('c')}"),
    ("{'a': ref('b')}", "{'a': 'b'}"),
    ("{'a': {'b': 1}}", "{'a': {'b': 1.0}}"),
]


SAME_SETS = [
    *(("NTParameterSet", one, "NTParameterSet", other) for one, other in SAME),
    ("dict", "{'a': 1}", "str", "{'a': 1}"),
    ("dict", "{}", "str", "{}"),
    ("ConfigParserParameterSet", "[a]\nx=1", "ConfigParserParameterSet", "[a]\nX : 1 \n\n; note\n"),
    (
        *("ConfigParserParameterSet", "[DEFAULT]\nx = 1\n[a]\nx = 1\n"),
        *("ConfigParserParameterSet", "[DEFAULT]\nx = 1\n[a]\n"),
    ),
    ("YAMLParameterSet", "a: 1.0", "YAMLParameterSet", "{a: 1.00}"),
    ("YAMLParameterSet", "a: &x [1]\nb: *x", "YAMLParameterSet", "a: [1]\nb: [1]"),
    ("JSONParameterSet", '{"a": 1, "b": 2}', "JSONParameterSet", '{"b": 2, "a": 1}'),
]
OTHER_SETS = [
    *(("NTParameterSet", one, "NTParameterSet", other) for one, other in OTHER),
    ("dict", "{}", "NoneType", "None"),
    ("str", "None", "NoneType", "None"),
    ("str", "", "dict", "{}"),
    ("str", "{'a': x}", "dict", "{'a': 1}"),
    ("str", "{'a': 1}", "str", "{'a': 2}"),
    ("dict", "{'a': 1}", "NTParameterSet", "{'a': 1}"),
    ("JSONParameterSet", '{"a": 1}', "YAMLParameterSet", "a: 1"),
    ("YAMLParameterSet", "d: 2024-02-29", "YAMLParameterSet", "d: '2024-02-29'"),
    ("YAMLParameterSet", "d: 2024-02-29", "YAMLParameterSet", "d: 2024-02-29 00:00:00"),
    ("YAMLParameterSet", "a: yes", "YAMLParameterSet", "a: 'yes'"),
    ("ConfigParserParameterSet", "[a]\nx=1", "ConfigParserParameterSet", "[A]\nx=1"),
    ("ConfigParserParameterSet", "[a]\nx=1", "ConfigParserParameterSet", "[a]\nx=01"),
    ("OtherParameterSet", "a", "str", "a"),
]


@pytest.mark.parametrize(("kind", "one", "other_kind", "other"), SAME_SETS)
def test_sets_are_compared_by_meaning(kind, one, other_kind, other):
    """Not by text; decimals that Sumatra does not write do not count."""
    assert meaning(Parameters(kind, one)) == meaning(Parameters(other_kind, other))


@pytest.mark.parametrize(("kind", "one", "other_kind", "other"), OTHER_SETS)
def test_sets_with_different_content_differ(kind, one, other_kind, other):
    """Another type, another value, other arguments, or a value of another type."""
    assert meaning(Parameters(kind, one)) != meaning(Parameters(other_kind, other))
