"""Decide whether the run that a record describes is over."""

from __future__ import annotations

from smtd.records import tags
from smtd.records.record import Record
from smtd.records.tags import Stage


def is_final(record: Record) -> bool:
    """Say whether the run of *record* is over. It is if one of these holds:

    - it has a duration: `smt run` sets that after the program has ended, directly before its last save, and a
      run that is recorded by Sumatra's own API keeps `_initialized_` for ever (`new_record`, `add_record`);
    - its status is a last one: `_finished_`, `_failed_`, `_killed_`, `_succeeded_` or `_crashed_`;
    - it has no status, and anything of the end of the run was captured (Sumatra before 0.8 saved a record
      once, at the end).
    """
    # NaN counts as no duration, as in a relational store.
    if record.duration is not None and record.duration == record.duration:
        return True
    stage = tags.stage(record.tags)
    if stage is not None:
        return stage is Stage.FINAL
    return record.stdout_stderr not in ("Not launched.", "Not yet captured.")
