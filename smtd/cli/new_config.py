"""`smtd init`: write a commented configuration where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from smtd import denied, durable, private
from smtd.cli.config_edit import ConfigFile
from smtd.cli.say import complain, say, say_json
from smtd.cli.state import configuration_file, usual_files
from smtd.errors import UsageError
from smtd.paths import shipped
from smtd.stores.discovery import current_project

#: The sections that may be empty, and then change nothing: keys below them can be set by removing a `#`.
_EMPTY = ("[daemon]", "[notify]")
#: The store of the example that is a project directory.
_PROJECT = "laptop"


def run(chosen: Path | None, *, as_json: bool) -> int:
    """Write the configuration, say what to do next, and return the exit code.

    It is the file *chosen*, else the usual one of this user. Raises UsageError if there is a configuration
    already, or if the file cannot be written.
    """
    file = (configuration_file(chosen) or usual_files()[0]).absolute()
    directory = _project()
    name = None if directory is None else ConfigFile(file).free_name(directory.name, ())
    example = shipped("config.example.toml", "config.example.toml").read_text("utf-8")
    _write(file, text(example, name, directory))
    if as_json:
        say_json({"file": str(file), "store": name, "project": None if directory is None else str(directory)})
        return 0
    say(f"wrote {file}; only you can read it")
    if name is not None:
        say(f"it has the store {name}, which is the project in {directory}")
        complain("next: smtd mirror TARGET adds a pair with this project; or edit the file, then smtd check")
    else:
        complain(
            "next: edit the file, then smtd check; or run smtd mirror TARGET in the directory of a project"
        )
    return 0


def text(example: str, name: str | None, directory: Path | None) -> str:
    """Return *example* with each line commented out that would define a store, a pair or a server.

    With a *name*, the first store stays, and is the project in *directory* under that name.
    """
    return "\n".join(_lines(example.splitlines(), name, directory)) + "\n"


def _lines(lines: list[str], name: str | None, directory: Path | None) -> Iterator[str]:
    section = ""
    for line in lines:
        if line.startswith("["):
            section = line
        is_comment = not line.strip() or line.lstrip().startswith("#") or line in _EMPTY
        if name is not None and section == f"[stores.{_PROJECT}]" and not is_comment:
            yield f"[stores.{name}]" if line == section else f"location = {_quoted(str(directory))}"
        elif is_comment:
            yield line
        else:
            yield f"# {line.replace(_quoted(_PROJECT), _quoted(name or _PROJECT))}"


def _quoted(value: str) -> str:
    import tomlkit

    return tomlkit.string(value).as_string()


def _project() -> Path | None:
    """Return the directory of the project that the current directory belongs to (None: there is none)."""
    try:
        directory = current_project(Path.cwd())
        str(directory).encode()
    except (UsageError, OSError, UnicodeEncodeError):  # a path that is not Unicode fits into no configuration
        return None
    return directory


def _write(file: Path, content: str) -> None:
    """Create the private *file* with *content*, durably. Raises UsageError; no part of a file is left."""
    place = f"the configuration {file}"
    try:
        private.make_directory(file.parent)
        try:
            handle = private.create(file)
        except FileExistsError:
            raise UsageError(
                f"there is a configuration already: {file}; smtd check checks it, smtd mirror adds a pair to"
                " it, and smtd init -c FILE writes another one"
            ) from None
    except OSError as exc:
        raise UsageError(
            f"{place} cannot be created: {denied.why(exc)}; or name another file with -c"
        ) from exc
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(content)
        durable.sync([file])
    except OSError as exc:
        file.unlink(missing_ok=True)
        raise UsageError(f"{place} cannot be written: {denied.why(exc)}") from exc
