"""The record: Sumatra's JSON of version 4 as typed, frozen values.

Field names and meanings are those of `record2dict` in Sumatra 0.8.1 (sumatra/formatting). Times
have microseconds if the store has them. `opaque` holds what this form cannot express.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import msgspec

from smtd.errors import RecordUnusable

Metadata: TypeAlias = dict[str, Any]


class Key(NamedTuple):
    """What identifies a record inside a store."""

    project: str
    label: str

    def __str__(self) -> str:
        return f"{self.project}/{self.label}"


class Executable(msgspec.Struct, frozen=True, array_like=True):
    """The program that ran."""

    path: str | None
    name: str | None
    version: str | None
    options: str | None = ""


class Repository(msgspec.Struct, frozen=True, array_like=True):
    """The repository of the code; *type* is the name of Sumatra's class, such as GitRepository."""

    type: str
    url: str | None
    upstream: str | None = None


class Parameters(msgspec.Struct, frozen=True, array_like=True):
    """A parameter set: *type* is the class name, *content* the result of `str()` of the set."""

    type: str
    content: str


class Component(msgspec.Struct, frozen=True, array_like=True):
    """A launch mode or a data store: its class name, and its state in Sumatra."""

    type: str
    parameters: dict[str, Any]


class DataKey(msgspec.Struct, frozen=True, array_like=True):
    """One data file, by path and SHA-1; *creation* is aware, in UTC."""

    path: str
    digest: str
    creation: datetime | None = None
    metadata: Metadata = {}


class Dependency(msgspec.Struct, frozen=True, array_like=True):
    """One module that the code used; *module* names the language, as in Sumatra."""

    module: str
    name: str | None
    path: str | None
    version: str | None
    diff: str | None = ""
    source: str | None = None


class Platform(msgspec.Struct, frozen=True, array_like=True):
    """A machine that took part in the run."""

    architecture_bits: str | None = ""
    architecture_linkage: str | None = ""
    machine: str | None = ""
    network_name: str | None = ""
    ip_addr: str | None = ""
    processor: str | None = ""
    release: str | None = ""
    system_name: str | None = ""
    version: str | None = ""


class Pickled(msgspec.Struct, frozen=True, array_like=True):
    """A value that only a shelf can hold whole: its pickle, which is only ever loaded inertly.

    *digest* identifies the value, however it was pickled. *expressed*: the modelled field
    has all of the value that any other store can hold.
    """

    digest: bytes
    data: bytes
    expressed: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True, array_like=True, dict=True):
    """One captured run.

    `timestamp` is aware, in UTC; `duration` is in seconds. `opaque` maps an attribute of the
    pickled record to its value: either one of the fields below that this form cannot express
    whole, or an attribute that only a shelf has, such as `on_changed`.
    """

    label: str
    timestamp: datetime
    reason: str | None = ""
    duration: float | None = None
    executable: Executable | None
    repository: Repository | None
    main_file: str | None = ""
    version: str | None = ""
    parameters: Parameters
    input_data: tuple[DataKey, ...] = ()
    script_arguments: str | None = ""
    launch_mode: Component
    datastore: Component
    input_datastore: Component
    outcome: str | None = ""
    output_data: tuple[DataKey, ...] = ()
    tags: frozenset[str] = frozenset()
    diff: str | None = ""
    user: str | None = ""
    dependencies: tuple[Dependency, ...] = ()
    platforms: tuple[Platform, ...] = ()
    stdout_stderr: str | None = ""
    repeats: str | None = None
    opaque: dict[str, Pickled] = {}

    @property
    def unmodelled_fields(self) -> list[str]:
        """The modelled fields that only a shelf can hold; they have a placeholder here."""
        return [name for name, value in self.opaque.items() if name in FIELDS and not value.expressed]


#: The modelled fields, in Sumatra's order; the label is the record's name, not its content.
FIELDS: tuple[str, ...] = tuple(
    field for field in Record.__struct_fields__ if field not in ("label", "opaque")
)

#: The errors of msgspec for bytes that it did not encode.
BAD_BYTES = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    """Return *record* as bytes that `decode` reads back exactly.

    Raises RecordUnusable for a value that no store but a shelf can hold, such as text that
    is not Unicode.
    """
    if "plain" in record.__dict__:
        return _encoder.encode(record)
    free = [key.metadata for key in (*record.input_data, *record.output_data)]
    free += [each.parameters for each in (record.launch_mode, record.datastore, record.input_datastore)]
    if not all(map(is_plain, free)):
        raise RecordUnusable("a value cannot be written as text: only a shelf can hold it")
    try:
        return _encoder.encode(record)
    except (UnicodeEncodeError, OverflowError, TypeError, RecursionError) as exc:
        raise RecordUnusable(f"a value cannot be written as text: {exc}") from exc


def set_plain(record: Record) -> Record:
    """Return *record*, flagged as plain: its values were all checked with `is_plain`, or came from bytes."""
    record.__dict__["plain"] = True
    return record


def decode(data: bytes) -> Record:
    """Return the record that `encode` wrote. Raises RecordUnusable if the bytes are damaged."""
    try:
        return set_plain(_decoder.decode(data))
    except BAD_BYTES as exc:
        raise RecordUnusable(f"a stored record is damaged: {exc}") from exc


#: The errors that an unexpected value in a record can raise: only this record is unusable then.
BAD_VALUE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


def bad_value(exc: BaseException) -> RecordUnusable:
    """Return the RecordUnusable for *exc*, one of BAD_VALUE, which a value of the record raised."""
    why = in_words(exc) or f"{type(exc).__name__}: {str(exc)[:200]}"
    return RecordUnusable(f"one of its values cannot be used ({why})")


def in_words(exc: BaseException) -> str:
    """Return what *exc*, one of BAD_VALUE, means for users (empty: its own text is clear enough)."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if isinstance(exc, OverflowError):
        return "a number in it is too large"
    if isinstance(exc, MemoryError):
        return "it is too large"
    if isinstance(exc, UnicodeDecodeError):
        return "it is not UTF-8"
    # Only its text distinguishes this ValueError of Python's from others.
    return "a number in it has too many digits" if "set_int_max_str_digits" in str(exc) else ""


def is_plain(value: object) -> bool:
    """Say whether *value* is the same after it was encoded and decoded in a record."""
    try:
        return _is_plain(value)
    except RecursionError:
        return False


def _is_plain(value: object) -> bool:
    if value is None or isinstance(value, (bool, float, bytes)):
        return True
    if isinstance(value, str):
        return value.isascii() or _is_unicode(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(key) and _is_plain(item) for key, item in value.items())
    return isinstance(value, datetime) and value.tzinfo is not None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
