"""Prove pairs for clients of the control socket, and report progress."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, TypeAlias

import anyio

from smtd.daemon.jobs import Proof
from smtd.daemon.prover import Prover
from smtd.errors import SmtdError
from smtd.output import shapes

Waiting: TypeAlias = Sequence[tuple[Prover, Proof]]


async def verified(
    provers: Sequence[Prover], *, deep: bool, progress: float | None
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield how the proofs go on every *progress* seconds (None: never), and at last what they found.

    A client that does not wait for the end cancels them.
    """
    began = anyio.current_time()
    waiting = [(prover, Proof(deep)) for prover in provers]
    for prover, job in waiting:
        prover.submit_nowait(job)
    try:
        while not all(job.done.is_set() for _, job in waiting):
            with anyio.move_on_after(float("inf") if progress is None else progress):
                for _, job in waiting:
                    await job.done.wait()
            if progress is not None:
                yield {"progress": [_progress(prover, job) for prover, job in waiting]}
    finally:
        for _, job in waiting:
            job.scope.cancel()
    yield _results(anyio.current_time() - began, waiting)


def _progress(prover: Prover, job: Proof) -> dict[str, Any]:
    """Return how far a proof is, in the keys of a pair's status."""
    state = "done" if job.done.is_set() else "proving"
    return {
        "pair": prover.worker.name,
        "state": state,
        "pending": prover.total - prover.done,
        "total": prover.total,
    }


def _results(seconds: float, waiting: Waiting) -> dict[str, Any]:
    reports, errors = [], list[Mapping[str, Any]]()
    for prover, job in waiting:
        assert job.outcome is not None, "it is done"
        if isinstance(job.outcome, SmtdError):
            code, error = job.outcome.exit_code, str(job.outcome)
            errors.append({"pair": prover.worker.name, "error": error, "code": code})
        else:
            reports.append(job.outcome)
    return shapes.verify(seconds, reports, errors)
