"""Have pairs proven for whoever asks over the control socket, and tell how that goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, TypeAlias

import anyio

from smtd.daemon.prover import Prover
from smtd.daemon.request import ProofRequest
from smtd.engine.findings import as_json
from smtd.errors import SmtdError

Waiting: TypeAlias = Sequence[tuple[Prover, ProofRequest]]


async def verified(
    provers: Sequence[Prover], *, deep: bool, progress: float | None
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield how the proofs go on every *progress* seconds (None: never), and at last what they found.

    Whoever does not wait for the end ends them.
    """
    began = anyio.current_time()
    waiting = [(prover, ProofRequest(deep)) for prover in provers]
    for prover, request in waiting:
        prover.request(request)
    try:
        while not all(request.done.is_set() for _, request in waiting):
            with anyio.move_on_after(float("inf") if progress is None else progress):
                for _, request in waiting:
                    await request.done.wait()
            if progress is not None:
                yield {"progress": [_progress(prover, request) for prover, request in waiting]}
    finally:
        for _, request in waiting:
            request.scope.cancel()
    yield _results(anyio.current_time() - began, waiting)


def _progress(prover: Prover, request: ProofRequest) -> dict[str, Any]:
    """Return how far a proof is, in the keys of a pair's status."""
    state = "done" if request.done.is_set() else "proving"
    return {
        "pair": prover.keeper.name,
        "state": state,
        "pending": prover.total - prover.done,
        "total": prover.total,
    }


def _results(seconds: float, waiting: Waiting) -> dict[str, Any]:
    reports, errors = [], list[Mapping[str, Any]]()
    for prover, request in waiting:
        assert request.outcome is not None, "it is done"
        if isinstance(request.outcome, SmtdError):
            code, error = request.outcome.exit_code, str(request.outcome)
            errors.append({"pair": prover.keeper.name, "error": error, "code": code})
        else:
            reports.append(request.outcome)
    return as_json(seconds, reports, errors)
