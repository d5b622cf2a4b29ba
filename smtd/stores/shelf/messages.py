"""The requests to the child process that loads pickles, its answers, and how both are sent.

No message ever holds an object from a pickle: answers hold only records, encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

import msgspec
from msgspec import structs


class Read(msgspec.Struct, tag=True):
    """Requests the records in the pickle of one project, or only those of *labels*.

    The answer has only every *shares*-th of these, from number *share* on: other processes load the others.
    Times of Sumatra before 0.8 are local times in *timezone* (empty: in that of this process).
    """

    pickle: bytes
    labels: list[str] | None = None
    share: int = 0
    shares: int = 1
    timezone: str = ""


class WriteOp(msgspec.Struct):
    """Make *label* hold *record* (None: nothing) if it has the digest *expect* (None: if it is absent)."""

    label: str
    record: bytes | None
    expect: bytes | None


class WriteProject(msgspec.Struct, tag=True):
    """Requests a new *pickle* (None: there is none yet) of the project, with the writes *ops* done."""

    pickle: bytes | None
    ops: list[WriteOp]


One: TypeAlias = Read | WriteProject


class Several(msgspec.Struct, tag=True):
    """Several requests at once."""

    requests: list[One]


class RecordEntry(msgspec.Struct):
    """One record in the pickle, encoded, or what is wrong with it."""

    label: str
    digest: bytes = b""
    record: bytes = b""
    final: bool = True
    problem: str = ""


class Records(msgspec.Struct, tag=True):
    """Answers Read. *old*: the oldest Sumatra before 0.8 that wrote into the pickle (empty: none did).

    *more*: how many records will follow in further messages.
    """

    held: list[RecordEntry]
    old: str = ""
    more: int = 0


class Written(msgspec.Struct, tag=True):
    """Answers WriteProject with the new *pickle* (None: unchanged).

    *results* has for each write "" (done), "stale", or why the record was refused.
    """

    pickle: bytes | None
    results: list[str]


class Failed(msgspec.Struct, tag=True):
    """Answers a request whose pickle cannot be loaded."""

    problem: str


class Answered(msgspec.Struct, tag=True):
    """Answers Several, in its order."""

    answers: list[Records | Written | Failed]


class Refused(msgspec.Struct, tag=True):
    """Answers a request about a shelf that is intact, but that smtd cannot read at all."""

    problem: str


Request: TypeAlias = One | Several
Answer: TypeAlias = Records | Written | Failed | Answered | Refused

#: The bytes of the size before each message, and the most records in one message of an answer.
SIZE, PORTION = 8, 500


class _Head(msgspec.Struct):
    """A request without its pickles, which follow it and have these sizes in bytes."""

    request: Request
    sizes: list[int]


def size(request: One) -> int:
    """Return the bytes of pickles and new records in *request*."""
    written = sum(len(op.record or b"") for op in request.ops) if isinstance(request, WriteProject) else 0
    return len(request.pickle or b"") + written


def pieces(request: Request) -> list[bytes]:
    """Return the bytes to write to the child, in pieces, so that the large pickles are not copied."""
    pickles = [one.pickle for one in _ones(request) if one.pickle is not None]
    if isinstance(request, Several):
        bare: Request = Several([_bare(one) for one in request.requests])
    else:
        bare = _bare(request)
    head = msgspec.msgpack.encode(_Head(bare, list(map(len, pickles))))
    return [len(head).to_bytes(SIZE, "big"), head, *pickles]


def _ones(request: Request) -> list[One]:
    return request.requests if isinstance(request, Several) else [request]


def _bare(request: One) -> One:
    """Return *request* without the content of its pickle: empty counts as broken, None would as absent."""
    return request if request.pickle is None else structs.replace(request, pickle=b"")


def received(stream: BinaryIO) -> Request:
    """Read a request that was written in `pieces`."""
    size = int.from_bytes(stream.read(SIZE), "big")
    head = msgspec.msgpack.decode(stream.read(size), type=_Head)
    with_one = [one for one in _ones(head.request) if one.pickle is not None]
    for one, size in zip(with_one, head.sizes, strict=True):
        one.pickle = _exactly(stream, size)
    return head.request


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """Read *size* bytes. Raises EOFError if there are fewer: part of a pickle is not a pickle."""
    found = stream.read(size)
    if len(found) < size:
        raise EOFError(f"{len(found)} bytes of {size}")
    return found


def parts(answer: Answer) -> Iterator[bytes]:
    """Yield the bytes for the parent: a large answer in several messages, so that no process has it twice."""
    if not isinstance(answer, Records):
        yield _sized(answer)
        return
    for start in range(0, len(answer.held) or 1, PORTION):
        more = max(len(answer.held) - start - PORTION, 0)
        yield _sized(Records(answer.held[start : start + PORTION], answer.old, more))


def _sized(answer: Answer) -> bytes:
    message = msgspec.msgpack.encode(answer)
    return len(message).to_bytes(SIZE, "big") + message


class Answers:
    """Assembles an answer from the bytes of `parts`, as they arrive."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._bytes = bytearray()

    @property
    def answer(self) -> Answer | None:
        """The answer; None while it is incomplete: a record that has not arrived yet need not be absent."""
        is_cut = bool(self._bytes) or (isinstance(self._answer, Records) and self._answer.more > 0)
        return None if is_cut else self._answer

    def feed(self, part: bytes) -> None:
        """Add the next bytes. Raises msgspec.DecodeError for bytes that no child sends."""
        self._bytes += part
        while (end := SIZE + int.from_bytes(self._bytes[:SIZE], "big")) <= len(self._bytes):
            with memoryview(self._bytes) as view, view[SIZE:end] as message:
                self._add(msgspec.msgpack.decode(message, type=Answer))
            del self._bytes[:end]

    def _add(self, message: Answer) -> None:
        if isinstance(self._answer, Records) and isinstance(message, Records):
            self._answer.held += message.held
            self._answer.more = message.more
        else:
            self._answer = message
