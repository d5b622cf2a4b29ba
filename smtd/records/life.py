"""Is the run that a record describes over?"""

from __future__ import annotations

from smtd.records import tags
from smtd.records.record import Record
from smtd.records.tags import Stage


def is_final(record: Record) -> bool:
    """Say whether the run of *record* is over, as far as the record tells.

    Without a status the run is over if anything of its end was captured (Sumatra before 0.8
    saved a record once, at the end).
    """
    stage = tags.stage(record.tags)
    if stage is not None:
        return stage is Stage.FINAL
    return record.duration is not None or record.stdout_stderr not in ("Not launched.", "Not yet captured.")
