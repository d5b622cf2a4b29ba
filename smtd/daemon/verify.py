"""Verify pairs for clients of the control socket, and report progress."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, TypeAlias

import anyio

from smtd.daemon.jobs import Verification
from smtd.daemon.scrubber import Scrubber
from smtd.errors import SmtdError
from smtd.output import shapes

Waiting: TypeAlias = Sequence[tuple[Scrubber, Verification]]


async def verified(
    scrubbers: Sequence[Scrubber], *, deep: bool, progress: float | None
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the progress of the scrubs every *progress* seconds (None: never), and finally their results.

    If the client leaves before the end, the scrubs are cancelled.
    """
    began = anyio.current_time()
    waiting = [(scrubber, Verification(deep)) for scrubber in scrubbers]
    for scrubber, job in waiting:
        scrubber.submit_nowait(job)
    try:
        while not all(job.done.is_set() for _, job in waiting):
            with anyio.move_on_after(float("inf") if progress is None else progress):
                for _, job in waiting:
                    await job.done.wait()
            if progress is not None:
                yield {"progress": [_progress(scrubber, job) for scrubber, job in waiting]}
    finally:
        for _, job in waiting:
            job.scope.cancel()
    yield _results(anyio.current_time() - began, waiting)


def _progress(scrubber: Scrubber, job: Verification) -> dict[str, Any]:
    """Return the progress of a scrub, with the keys of a pair's status."""
    state = "done" if job.done.is_set() else "proving"
    return {
        "pair": scrubber.worker.name,
        "state": state,
        "pending": scrubber.total - scrubber.done,
        "total": scrubber.total,
    }


def _results(seconds: float, waiting: Waiting) -> dict[str, Any]:
    reports, errors = [], list[Mapping[str, Any]]()
    for scrubber, job in waiting:
        assert job.outcome is not None, "it is done"
        if isinstance(job.outcome, SmtdError):
            code, error = job.outcome.exit_code, str(job.outcome)
            errors.append({"pair": scrubber.worker.name, "error": error, "code": code})
        else:
            reports.append(job.outcome)
    return shapes.verify(seconds, reports, errors)
