"""The canonical form of a record: when two records are equal, and their digest.

Stores lose detail, each in its own way. Details that any of them loses do not count here, so that no
pair of stores sends a record to and fro for ever (measured losses: docs/explanation/what-stores-forget.md).
The form has a version: digests of different versions never compare equal.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import tags
from smtd.records.parameters import content
from smtd.records.record import (
    BAD_VALUE,
    FIELDS,
    Component,
    DataKey,
    Dependency,
    Executable,
    Platform,
    Record,
    Repository,
    bad_value,
)

Digest: TypeAlias = bytes

#: Increase this with any change of the form; pairs are then adopted again.
VERSION = 2
DIGEST_SIZE = 16
#: What Sumatra itself stores as the version of a program that does not report one.
NO_VERSION = "unknown"

_encoder = msgspec.msgpack.Encoder(order="sorted")


def digest(record: Record) -> Digest:
    """Return the digest of the content of *record*, without its label.

    It is computed once for each object: records are immutable. Raises RecordUnusable for a
    record whose content cannot be read without running code, or cannot be compared.
    """
    known: Digest | None = record.__dict__.get("digest")
    if known is None:
        try:
            form = [VERSION, *_values(record)]
            known = hashlib.blake2b(_bytes(form), digest_size=DIGEST_SIZE).digest()
        except BAD_VALUE as exc:
            raise bad_value(exc) from exc
        set_digest(record, known)
    return known


def set_digest(record: Record, known: Digest) -> None:
    """Set the digest of *record* to *known*, which was computed elsewhere."""
    record.__dict__["digest"] = known


def differences(left: Record, right: Record) -> list[str]:
    """Return the fields in which the records differ, in Sumatra's order."""
    return [field for field in FIELDS if not same(left, right, field)]


def identical(left: Record, right: Record) -> bool:
    """Say whether all fields have identical values: then the digests are equal, and this is quicker."""
    if left.unmodelled_fields or right.unmodelled_fields:
        return False
    try:
        return bool(_encoder.encode(_fields(left)) == _encoder.encode(_fields(right)))
    except (UnicodeEncodeError, OverflowError, TypeError, RecursionError):
        return False


def _fields(record: Record) -> tuple[Any, ...]:
    """Return the values of FIELDS, which are all fields of a record between `label` and `opaque`."""
    return msgspec.structs.astuple(record)[1:-1]


def same(left: Record, right: Record, field: str) -> bool:
    """Say whether *field* is equal in both records."""
    return bool(_bytes(_value(left, field)) == _bytes(_value(right, field)))


def lacks(record: Record, other: Record, field: str) -> bool:
    """Say whether the list *field* of *record* lacks items of that of *other*, and has no others."""
    held, wanted = ({_bytes(item) for item in _value(each, field)} for each in (record, other))
    return held < wanted


#: The fields that are lists.
_MANY = ("input_data", "output_data", "dependencies", "platforms")


def is_part(record: Record, other: Record) -> bool:
    """Say whether *record* only lacks data, dependencies or platforms of *other*.

    A server that fails in the middle of a record leaves such a part; tags may be missing, too.
    """
    differing = differences(record, other)
    lacking = [field for field in differing if field in _MANY]
    return (
        bool(lacking)
        and {*lacking, "tags"}.issuperset(differing)
        and ("tags" not in differing or set(_value(record, "tags")) < set(_value(other, "tags")))
        and all(lacks(record, other, field) for field in lacking)
    )


def _bytes(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        # Text that is not Unicode (a lone surrogate) can be in a shelf only.
        return _encoder.encode(_escaped(value))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {
            str(key).encode("utf-8", "backslashreplace").decode(): _escaped(item)
            for key, item in value.items()
        }
    return value


def _values(record: Record) -> list[Any]:
    """Return the canonical values of all fields, in one pass if none of them is odd."""
    if not record.unmodelled_fields:
        with suppress(RecordUnusable):  # raised again below, with the name of the field
            return [form(value) for form, value in zip(_FORM_OF_EACH, _fields(record), strict=True)]
    return [_value(record, field) for field in FIELDS]


def _value(record: Record, field: str) -> Any:
    """Return the canonical value of one field, made of plain values only."""
    pickled = record.opaque.get(field)
    if pickled is not None and not pickled.expressed:
        return ["\0opaque", pickled.digest]
    value = getattr(record, field)
    try:
        return _FORMS.get(field, _text)(value)
    except RecordUnusable as exc:
        raise RecordUnusable(f"{field}: {exc}") from exc


def _text(value: str | None) -> str:
    """Return a text; None counts as an empty one."""
    return value or ""


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ONE_SECOND = timedelta(seconds=1)


def _second(moment: datetime | None) -> int | None:
    """Return a time in whole seconds: Sumatra's JSON and its server keep no fractions."""
    return None if moment is None else (moment - _EPOCH) // _ONE_SECOND


def _duration(seconds: float | None) -> Any:
    """Return a duration; not-a-number counts as None, since a relational store keeps it as NULL."""
    return None if seconds is None or seconds != seconds else content.plain(float(seconds))


def _executable(value: Executable | None) -> Any:
    return value and [value.path or "", value.name or "", _version(value.version), value.options or ""]


def _version(text: str | None) -> str:
    return "" if text is None or text == NO_VERSION else text


def _repository(value: Repository | None) -> Any:
    return value and [value.type, value.url or "", value.upstream or ""]


def _component(value: Component) -> Any:
    return [value.type, content.plain(value.parameters)]


def _set_of(form: Callable[[Any], Any]) -> Callable[[Iterable[Any]], Any]:
    """Return the form of a list that counts as a set: a relational store loses order and repetitions."""

    def canonical(values: Iterable[Any]) -> Any:
        plain = [form(value) for value in values]
        if len(plain) < 2:
            return plain
        forms = {_bytes(each): each for each in plain}
        return [forms[encoded] for encoded in sorted(forms)]

    return canonical


def _data_key(key: DataKey) -> Any:
    return [key.path, key.digest, _second(key.creation), content.plain(key.metadata)]


def _dependency(value: Dependency) -> Any:
    return [
        value.module,
        value.name or "",
        value.path or "",
        value.version or "",
        value.diff or "",
        value.source or "",
    ]


def _platform(value: Platform) -> Any:
    return [
        value.architecture_bits or "",
        value.architecture_linkage or "",
        value.machine or "",
        value.network_name or "",
        _address(value.ip_addr or ""),
        value.processor or "",
        value.release or "",
        value.system_name or "",
        value.version or "",
    ]


@lru_cache(maxsize=256)
def _address(text: str) -> str:
    """Return an IP address in one form; of an IPv6 address the bytes.

    A relational store returns IPv6 addresses in their shortest form, which Pythons write differently.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    return address.packed.hex() if address.version == 6 else address.compressed


_FORMS: dict[str, Callable[[Any], Any]] = {
    "timestamp": _second,
    "duration": _duration,
    "executable": _executable,
    "repository": _repository,
    "parameters": content.meaning,
    "input_data": _set_of(_data_key),
    "output_data": _set_of(_data_key),
    "launch_mode": _component,
    "datastore": _component,
    "input_datastore": _component,
    "tags": lambda value: sorted(tags.normalized(value)),
    "dependencies": _set_of(_dependency),
    "platforms": _set_of(_platform),
}
_FORM_OF_EACH = [_FORMS.get(field, _text) for field in FIELDS]
