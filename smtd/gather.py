"""Make several calls at once, and raise a single error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from smtd.errors import SmtdError

T = TypeVar("T")


async def gather(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make *calls* at once, and return their results, in their order.

    The first SmtdError of any of them cancels the others and is raised itself, not in an ExceptionGroup.
    """
    if len(calls) == 1:
        return [await calls[0]()]
    results: dict[int, T] = {}
    errors: list[SmtdError] = []

    async def run(number: int) -> None:
        try:
            results[number] = await calls[number]()
        except SmtdError as exc:
            errors.append(exc)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for number in range(len(calls)):
            group.start_soon(run, number)
    _raise_first(errors)
    return [results[number] for number in range(len(calls))]


async def gather_whole(
    calls: Sequence[Callable[[], Awaitable[T]]], at_once: int, results: dict[int, T]
) -> list[T]:
    """Make *calls*, a few *at_once*, and return their results, in their order.

    After the first SmtdError no further call is begun. Those that were begun are not cancelled: what they
    have sent cannot be taken back. Then that error is raised; *results* has the results, by number.
    """
    if len(calls) == 1:
        results[0] = await calls[0]()
        return [results[0]]
    errors: list[SmtdError] = []
    todo = iter(enumerate(calls))

    async def work() -> None:
        for number, call in todo:
            if errors:
                return
            try:
                results[number] = await call()
            except SmtdError as exc:
                errors.append(exc)

    async with anyio.create_task_group() as group:
        for _ in range(min(at_once, len(calls))):
            group.start_soon(work)
    _raise_first(errors)
    return [results[number] for number in range(len(calls))]


def _raise_first(errors: list[SmtdError]) -> None:
    """Raise the first of *errors*, if any, and keep none.

    An error refers to the frames that it passed. If a frame refers to the error, too, all values in these
    frames (a whole answer of a server) stay in memory until the garbage collector runs, which is seldom.
    """
    if not errors:
        return
    first = errors[0]
    errors.clear()
    try:
        raise first
    finally:
        del first
