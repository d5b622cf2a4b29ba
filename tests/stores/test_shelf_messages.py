"""Requests to a child process and its answers arrive complete, however the pipe cuts them."""

from __future__ import annotations

import io
import sys

import anyio
import pytest

from smtd.errors import StoreRefused
from smtd.stores.shelf import child, messages, worker
from smtd.stores.shelf.messages import (
    PORTION,
    Answered,
    Answers,
    Read,
    RecordEntry,
    Records,
    Several,
    Written,
)

PICKLE = bytes(range(256)) * 3


def records(count: int) -> Records:
    return Records(
        [RecordEntry(f"run-{number}", b"d", b"r" * (number % 7)) for number in range(count)], "0.7"
    )


@pytest.mark.parametrize("size", [1, 7, 10_000_000])
@pytest.mark.parametrize(
    "answer",
    [
        *map(records, (0, 1, PORTION, PORTION + 1, 2 * PORTION + 5)),
        Written(PICKLE, ["", "stale"]),
        Answered([Written(None, ["stale"]), records(3), messages.Failed("broken")]),
    ],
)
def test_answer_arrives_complete(answer: messages.Answer, size: int) -> None:
    """Whatever the sizes of the parts that the pipe delivers."""
    sent = b"".join(messages.parts(answer))
    answers = Answers()

    for start in range(0, len(sent), size):
        assert answers.answer is None or isinstance(answer, Records)
        answers.feed(sent[start : start + size])

    assert answers.answer == answer


@pytest.mark.parametrize("missing", [1, 100, "a message"])
def test_truncated_answer_is_no_answer(missing: int | str) -> None:
    """Missing records do not count as absent."""
    sent = list(messages.parts(records(3 * PORTION)))
    cut = b"".join(sent[:-1]) if isinstance(missing, str) else b"".join(sent)[:-missing]
    answers = Answers()

    answers.feed(cut)

    assert answers.answer is None


def test_truncated_request_is_refused() -> None:
    """Half a pickle is no pickle, and especially none without old records."""
    sent = b"".join(messages.pieces(Several([Read(PICKLE), Read(PICKLE)])))

    with pytest.raises(EOFError):
        messages.received(io.BytesIO(sent[:-1]))


def test_request_without_its_pickle_is_about_a_broken_one() -> None:
    """And not about an empty one, in which every record would be absent."""
    size, head, _ = messages.pieces(Read(PICKLE))
    nothing = head.replace((len(PICKLE)).to_bytes(2, "big"), bytes(2))

    assert isinstance(worker.answer(messages.received(io.BytesIO(size + nothing))), messages.Failed)


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdout.buffer.write((9).to_bytes(8, 'big') + b'\xc1' * 9 + bytes(9)); input()",
        "import sys; sys.stdout.buffer.write((9).to_bytes(8, 'big') + b'half')",
        r"import sys; sys.stdout.buffer.write((8).to_bytes(8, 'big') + b'\x81\xa4type\xa1\xff')",
        r"import sys; sys.stdout.buffer.write((99_000).to_bytes(8, 'big') + b'\x91' * 99_000)",
        "pass",
    ],
)
async def test_invalid_output_of_a_child_is_no_answer(program: str) -> None:
    """smtd ends the child if needed."""
    with anyio.fail_after(30):
        _, answer = await child.run([sys.executable, "-c", program], [bytes(5_000_000)])

    assert answer is None


async def test_child_that_ends_early_refuses_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """And causes no error of a broken pipe."""
    monkeypatch.setattr(worker, "limits", lambda size: (1, 0.01))

    with pytest.raises(StoreRefused, match="the records in the shelf old cannot be read within 0 MiB"):
        await child.ask(Read(bytes(5_000_000)), Records, what="the records", shelf="old")
