"""What a PUT on a record that is there already changes. Pure.

`smt run` saves a record five times: until its run is over, what was sent replaces it. After that clients
change paths, versions and upstream of what they read from elsewhere, without anybody's wish: so only what
people edit is taken, and where the data lie (`smt migrate`).
"""

from __future__ import annotations

import msgspec

from smtd.records import canonical
from smtd.records.record import FIELDS, Record
from smtd.records.run_status import is_final

#: What a PUT may say alone.
ANNOTATIONS = frozenset(("reason", "outcome", "tags"))
#: What is taken of a record whose run is over.
_OF_FINAL = ANNOTATIONS | {"datastore", "input_datastore"}


class Annotations(msgspec.Struct, frozen=True):
    """What a body says that has nothing but these; None: it does not say it."""

    reason: str | None = None
    outcome: str | None = None
    tags: frozenset[str] | None = None


def accepted(held: Record, sent: Record | Annotations) -> Record:
    """Return what is to be there instead of *held* once *sent* was put there.

    A field that says the same keeps its bytes: clients cut microseconds. It is *held* itself if nothing
    changes. Raises RecordUnusable for what cannot be compared.
    """
    if isinstance(sent, Annotations):
        return _replaced(
            held, {name: value for name in ANNOTATIONS if (value := getattr(sent, name)) is not None}
        )
    fields = _OF_FINAL if is_final(held) else FIELDS
    return _replaced(held, {name: getattr(sent, name) for name in fields})


def _replaced(held: Record, values: dict[str, object]) -> Record:
    wanted = msgspec.structs.replace(held, **values)
    differing = [name for name in values if not canonical.same(held, wanted, name)]
    if not differing:
        return held
    return msgspec.structs.replace(held, **{name: values[name] for name in differing})
