"""Properties of all records, tags, literals and parameters that Hypothesis generates."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.canonical import differences, digest
from smtd.records.parameters import simple
from smtd.records.parameters.content import read, write
from smtd.records.record import decode, encode
from smtd.records.tags import normalized, split
from tests.build import change
from tests.records.strategies import documents, literals, means_the_same, names, records, tag_sets, texts


def as_values(made):
    """Return a record as plain values, in which nan equals itself."""
    return [msgspec.structs.asdict(part) for part in (made, *made.input_data, *made.output_data)]


@given(records)
def test_any_record_is_decoded_as_it_was_encoded(made):
    """No field changes on its way into the journal and back."""
    back = decode(encode(made))

    assert all(map(means_the_same, as_values(back), as_values(made)))
    assert digest(back) == digest(made)


@given(records, st.randoms(use_true_random=False))
def test_digest_ignores_order_and_repetition(made, random):
    """However lists are ordered and whatever they repeat, the digest is the same."""
    lists = ("input_data", "output_data", "dependencies", "platforms")
    repeated = {field: list(getattr(made, field) * 2) for field in lists}
    for values in repeated.values():
        random.shuffle(values)

    assert digest(change(made, **{field: tuple(values) for field, values in repeated.items()})) == digest(
        made
    )


@given(records, records)
def test_digests_are_equal_exactly_if_no_field_differs(one, other):
    """The digest and the list of differences never disagree."""
    assert (digest(one) == digest(other)) == (differences(one, other) == [])


@given(tag_sets)
def test_normalized_tags_do_not_change_again(tags):
    """Tags from a relational store can be stored there again unchanged."""
    once = normalized(tags)

    assert normalized(once) == once
    assert split(",".join(sorted(once))) == once


@given(tag_sets)
def test_saving_tags_keeps_their_normal_form(tags):
    """A relational store may save them any number of times."""
    assert normalized(split(",".join(sorted(tags)))) == normalized(tags)


@given(texts)
def test_split_tags_have_no_blanks_around_them(column):
    """No tag is empty, and none begins or ends with a blank."""
    assert {tag.strip() for tag in split(column)} - {""} == split(column)


@given(literals)
def test_written_value_is_read_as_the_same(value):
    """With its type: nan as nan, 1 as 1, 1.0 as 1.0, True as True."""
    assert means_the_same(literal.read(literal.write(value)), value)


@given(
    st.dictionaries(names, literals.filter(lambda value: not isinstance(value, (dict, bytes))), max_size=4)
)
def test_simple_sets_are_read_as_written(values):
    """With any values."""
    assert means_the_same(read(write("SimpleParameterSet", values)), values)


#: Parts of numbers and texts, and of what looks like them.
ALMOST = st.lists(
    st.sampled_from(
        [*'0017.eE+-_jxn"', '"a', "\\n", "#", " ", "\u00b5", "\ud800", "\x85", "1e5", "0.1", "1e999"]
    )
).map("".join)


@given(ALMOST | ALMOST.map(lambda text: f'"{text}"'))
def test_a_number_or_a_text_of_a_simple_set_is_what_python_takes_it_for(text):
    """Also on the fast path. What is no literal is refused, or is text if it contains an undefined name."""
    try:
        expected = literal.read(text.strip())
    except literal.NotLiteral:
        expected = None
    try:
        (found,) = simple.read(f"a = {text}").values()
    except RecordUnusable:
        assert expected is None
        return

    assert means_the_same(found, f" {text}".rstrip() if expected is None else expected)


@given(st.dictionaries(texts, literals, max_size=3))
def test_nested_sets_are_read_as_written(values):
    """With any values, as plain dictionaries, too."""
    assert means_the_same(read(write("NTParameterSet", values)), values)
    assert means_the_same(read(write("dict", values)), values)


@given(st.dictionaries(texts, documents, max_size=3))
def test_documents_are_read_as_written(values):
    """As JSON and as YAML, with the same meaning."""
    for_json, for_yaml = write("JSONParameterSet", values), write("YAMLParameterSet", values)

    assert means_the_same(sort(read(for_json)), sort(values))
    assert means_the_same(sort(read(for_yaml)), sort(values))


def sort(value):
    """Return *value* with its dictionaries sorted, as Sumatra writes them."""
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value)}
    return [sort(item) for item in value] if isinstance(value, list) else value


plain_words = st.text("abcxyz_019-/%é", min_size=1, max_size=8)


@given(
    st.dictionaries(
        plain_words.filter(lambda name: name != "DEFAULT"),
        st.dictionaries(plain_words.map(str.lower), plain_words | st.just(""), max_size=3),
        max_size=3,
    )
)
def test_configurations_are_read_as_written(sections):
    """All sections and options."""
    assert read(write("ConfigParserParameterSet", sections)) == sections
