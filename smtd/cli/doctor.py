"""`smtd doctor`: what a bug report needs, without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import tomli
from anyio import to_thread

from smtd import denied, private, regular
from smtd.cli import check_stores, doctor_machine, doctor_state, redaction
from smtd.cli.check_stores import DatabaseChanges, StoreFinding
from smtd.cli.progress_line import working_on
from smtd.cli.say import complain, say_lines
from smtd.cli.state import configuration_file, state_directory, usual_files
from smtd.cli.stores import located
from smtd.config import Config, load
from smtd.errors import SmtdError, UsageError
from smtd.paths import expanded
from smtd.stores.location import Location
from smtd.text import shown
from smtd.textfile import decode

#: The most seconds for one store: a report must not wait for a server that is silent.
PATIENCE = 20.0


def run(chosen: Path | None, output: Path | None, *, as_json: bool) -> int:
    """Print or write the report, and return the exit code."""
    report = collect(chosen)
    text = json.dumps(report, indent=2) if as_json else "\n".join(lines(report))
    if output is None:
        say_lines([text])
        return 0
    path = expanded(output)
    try:
        with os.fdopen(private.create(path), "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except FileExistsError:
        raise UsageError(f"{shown(str(path))} already exists; name a new file") from None
    except OSError as exc:
        raise UsageError(f"{shown(str(path))} cannot be written: {denied.unwritten(exc)}") from exc
    complain(f"smtd: the report is in {path}; read it before you send it")
    return 0


def collect(chosen: Path | None) -> dict[str, Any]:
    """Return all facts as plain values, without secrets. Blocks."""
    file = configuration_file(chosen)
    document, config, described = _configuration(file)
    report: dict[str, Any] = {
        "versions": doctor_machine.versions(),
        "surroundings": doctor_machine.surroundings(),
        "configuration": described,
    }
    try:
        report["state"] = doctor_state.state(state_directory(None, config or Config()).absolute())
    except SmtdError as exc:
        report["state"] = {"problem": str(exc)}
    report["daemon"] = doctor_state.daemon()
    report["log"] = doctor_state.log_tail()
    report["stores"] = [] if config is None else anyio.run(_stores, config)
    hidden = redaction.secrets(document)
    # The configuration is redacted by its keys; to search it would hide the names that are like a secret.
    return {
        name: part if name == "configuration" else redaction.without(part, hidden)
        for name, part in report.items()
    }


def _configuration(file: Path | None) -> tuple[dict[str, Any], Config | None, dict[str, Any]]:
    """Return the configuration as it is written, as it is understood, and what to say of it."""
    described: dict[str, Any] = {"searched": [str(each) for each in usual_files()]}
    if file is None:
        return {}, Config(), described | {"file": None}
    described["file"] = doctor_machine.place(file)
    document: dict[str, Any] = {}
    try:
        document = tomli.loads(decode(regular.read(file, regular.SMALL)))
        described["content"] = redaction.redacted(document)
    except (OSError, ValueError, RecursionError):
        pass  # `load` says what is wrong
    try:
        return document, load(file), described
    except SmtdError as exc:
        return (
            document,
            None,
            described | {"problem": redaction.without(str(exc), redaction.secrets(document))},
        )


async def _stores(config: Config) -> list[dict[str, Any]]:
    locate = partial(located, config=config, timezone=None, may_be_new=True)
    found = []
    for name in config.stores:
        with working_on(name):
            found.append(await _store(name, config, locate))
    return found


async def _store(name: str, config: Config, locate: Callable[[str], Location]) -> dict[str, Any]:
    """Return kind, version and state of a store; it is only read."""
    seen = StoreFinding(name)
    with anyio.move_on_after(PATIENCE) as limit:
        seen = await check_stores.check(name, config, DatabaseChanges(), locate)
    described: dict[str, Any] = {"store": name, "notes": seen.notes, "warnings": seen.warnings}
    described["problems"] = [str(error) for error in seen.errors]
    if limit.cancelled_caught:
        described["problems"].append(f"it did not answer within {PATIENCE:.0f} s")
    location = seen.location
    if location is not None:
        described |= {"kind": location.driver.name, "location": redaction.address(str(location))}
        described["files"] = await to_thread.run_sync(_files, location)
        if location.files:
            directory = location.files[0].parent
            described["directory"] = await to_thread.run_sync(doctor_machine.place, directory)
        described["version"] = await _version(location)
    return described


def _files(location: Location) -> list[dict[str, Any]]:
    return [doctor_machine.status(file) for file in location.files if file.exists()]


async def _version(location: Location) -> str | None:
    """Return the version of a database server (None: it is none, or it cannot be asked)."""
    server = location.driver.server
    if server is None or server.administer is None:
        return None
    try:
        async with server.administer(location) as database:
            return await database.version()
    except SmtdError:
        return None


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people: what is nested is indented."""
    yield "smtd doctor: this report has no secret that smtd knows; read it before you send it"
    for name, part in report.items():
        yield ""
        yield f"{name}:"
        if name == "stores":  # each has several lines
            for each in part:
                yield from _indented({each["store"]: each}, "  ")
        else:
            yield from _indented(part, "  ")


def _indented(value: Any, indent: str) -> Iterator[str]:
    """Yield a line for each entry of a table or list; a table in a list is one line."""
    if isinstance(value, list):
        for each in value:
            text = each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
            yield f"{indent}- {shown(text)}"
        return
    for key, each in value.items():
        if isinstance(each, dict | list) and each:
            yield f"{indent}{shown(str(key))}:"
            yield from _indented(each, f"{indent}  ")
        else:
            yield f"{indent}{shown(str(key))}: {shown(_text(each))}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return "none"
    return f"{value:,}" if isinstance(value, int) and abs(value) > 9999 else str(value)
