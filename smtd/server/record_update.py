"""What a PUT on an existing record changes. Pure.

`smt run` saves a record five times: until the run is over, each save replaces the record. A client that
later reads a record from elsewhere and saves it may also change paths, versions and the upstream, though no
user asked for that. So after the run the server takes only what users edit, and where the data are
(`smt migrate`).
"""

from __future__ import annotations

import msgspec

from smtd.records import canonical
from smtd.records.record import FIELDS, Record
from smtd.records.run_status import is_final

#: The fields that a PUT may have without the rest of a record.
ANNOTATIONS = frozenset(("reason", "outcome", "tags"))
#: The fields that a PUT may change in a record whose run is over.
_FIELDS_OF_FINISHED = ANNOTATIONS | {"datastore", "input_datastore"}


class Annotations(msgspec.Struct, frozen=True):
    """The content of a body that has only these fields; None: the body has no value for the field."""

    reason: str | None = None
    outcome: str | None = None
    tags: frozenset[str] | None = None


def updated(stored: Record, sent: Record | Annotations) -> Record:
    """Return the record to store in place of *stored* when a client PUTs *sent*.

    A field whose canonical form is the same keeps its stored value, because clients cut microseconds. Returns
    *stored* itself if nothing changes. Raises RecordUnusable for a field that cannot be compared.
    """
    if isinstance(sent, Annotations):
        return _with_values(
            stored, {name: value for name in ANNOTATIONS if (value := getattr(sent, name)) is not None}
        )
    fields = _FIELDS_OF_FINISHED if is_final(stored) else FIELDS
    return _with_values(stored, {name: getattr(sent, name) for name in fields})


def _with_values(stored: Record, values: dict[str, object]) -> Record:
    wanted = msgspec.structs.replace(stored, **values)
    differing = [name for name in values if not canonical.same(stored, wanted, name)]
    if not differing:
        return stored
    return msgspec.structs.replace(stored, **{name: values[name] for name in differing})
