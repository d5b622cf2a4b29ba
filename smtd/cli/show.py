"""Output of `smtd sync` for people: results on standard output, progress on a terminal's standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from smtd.cli.say import say
from smtd.engine.report import Progress, no_progress
from smtd.output.counts import plural
from smtd.output.local_time import with_local_times
from smtd.output.rate import Rate
from smtd.output.shapes import Shape

#: The most conflicts, holds and failures, each, that are listed.
MOST = 20


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """Yield a callback that draws a progress bar on a terminal, and nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    words = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}")
    rate = Rate()
    with Bar(*words, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scanning", total=None, rate="")

        def draw(phase: str, done: int, total: int) -> None:
            text = rate.text(phase, done, total, time.monotonic())
            bar.update(task, description=phase, completed=done, total=total or None, rate=text)

        yield draw


def report(result: Shape, seconds: float, *, dry_run: bool) -> None:
    """Print what a cycle did, or would do, and the conflicts, holds and failures left."""
    for name in ("left", "right"):
        say(f"{name:<6} {result[name]['location']}  {_counts(result[name], dry_run)}")
    projects = ", ".join(result["projects"]) or "no projects"
    verb = "would be in sync" if dry_run else "in sync"
    say(f"{plural(result['in_sync'], 'record')} of {projects} {verb}  ({seconds:.2f} s)")
    _list(
        "conflict",
        [
            (
                each["project"],
                each["label"],
                f"both sides changed {', '.join(each['fields'])}",
                "make the two records equal, delete one of them, or sync again with --conflicts left, right"
                " or newest; with a running daemon, use smtd resolve for single conflicts",
            )
            for each in result["conflicts"]
        ],
    )
    _list("held", [(each["project"], each["label"], each["reason"], each["next"]) for each in result["held"]])
    _list("failed", [(each["project"], each["label"], each["error"], "") for each in result["failed"]])


def _counts(side: Shape, dry_run: bool) -> str:
    counts = [(name, side[name]) for name in ("created", "updated", "deleted")]
    done = [f"{count} {what}" for what, count in counts if count]
    unchanged = f"read-only: {side['read_only']}" if side["read_only"] else "unchanged"
    return ("would be: " if dry_run and done else "") + (", ".join(done) or unchanged)


def _list(kind: str, rows: list[tuple[str, str, str, str]]) -> None:
    for project, label, what, then in rows[:MOST]:
        sentence = with_local_times(what + (f"; {then}" if then else ""))
        say(f"{kind}: {project}/{label}: {sentence}")
    if len(rows) > MOST:
        say(f"{kind}: and {len(rows) - MOST} more (--json lists all)")
