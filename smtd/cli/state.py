"""Find smtd's configuration and state directory, by the conventions of systemd and XDG."""

from __future__ import annotations

import os
from pathlib import Path

from smtd.config import Config, load
from smtd.errors import UsageError
from smtd.paths import expanded


def configuration(chosen: Path | None = None) -> Config:
    """Return the configuration in *chosen*, else in the first usual file that exists, else the defaults.

    Raises ConfigError for a file with mistakes, or if the chosen file is missing.
    """
    file = configuration_file(chosen)
    return Config() if file is None else load(file)


def configuration_file(chosen: Path | None = None) -> Path | None:
    """Return *chosen*, else the file in SMTD_CONFIG, else the first usual one that exists, if any."""
    if chosen is not None:
        return expanded(chosen)
    if given := os.environ.get("SMTD_CONFIG"):
        return expanded(Path(given))
    return next((file for file in usual_files() if _may_be_there(file)), None)


def _may_be_there(file: Path) -> bool:
    """Say whether *file* exists, or may exist but is inaccessible: reading it gives the error."""
    try:
        return file.is_file()
    except PermissionError:
        return True


def required_file(chosen: Path | None) -> Path:
    """Return the configuration file as `configuration_file` does. Raises UsageError if there is none."""
    if (file := configuration_file(chosen)) is None:
        raise UsageError(no_configuration())
    return file


def no_configuration() -> str:
    """Return the sentence that there is no configuration: where smtd looked, and what makes one."""
    places = " nor ".join(map(str, usual_files()))
    return (
        f"no configuration found: neither {places} exists; smtd init writes one, smtd mirror sets up the"
        " mirror of a project, and -c names another file"
    )


def usual_files() -> list[Path]:
    """Return the files that may have the configuration if no file is named, in this order."""
    home = _directory("XDG_CONFIG_HOME", ".config")
    directories = [*([] if home is None else [home]), Path("/etc")]
    return [directory / "smtd" / "config.toml" for directory in directories]


def state_directory(chosen: Path | None, config: Config) -> Path:
    """Return *chosen*, else the configured directory, else the one of systemd or XDG.

    Raises UsageError if nothing names one and the home directory of this user is unknown.
    """
    if chosen is not None:
        return expanded(chosen)
    if config.daemon.state_dir is not None:
        return expanded(config.daemon.state_dir)
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    directory = _directory("XDG_STATE_HOME", ".local/state")
    if directory is None:
        raise UsageError(
            "this user has no home directory for the state; name a directory with smtd sync --state,"
            " state_dir in the configuration, or XDG_STATE_HOME"
        )
    return directory / "smtd"


def _directory(variable: str, default: str) -> Path | None:
    """Return the directory in *variable*, else *default* in this user's home directory (None: unknown)."""
    if given := os.environ.get(variable):
        return Path(given)
    home = os.path.expanduser("~")
    return None if home == "~" else Path(home) / default
