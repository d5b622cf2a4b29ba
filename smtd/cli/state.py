"""Where smtd finds its configuration and keeps its state, by the conventions of systemd and XDG."""

from __future__ import annotations

import os
from pathlib import Path

from smtd.config import Config, load


def configuration(chosen: Path | None = None) -> Config:
    """Return the configuration in *chosen*, else in the first file that is there, else the defaults.

    Raises ConfigError for a file with mistakes, or if the one that was asked for is missing.
    """
    given = chosen or (Path(os.environ["SMTD_CONFIG"]) if os.environ.get("SMTD_CONFIG") else None)
    if given is not None:
        return load(given.expanduser())
    home = os.environ.get("XDG_CONFIG_HOME")
    for directory in (Path(home) if home else Path.home() / ".config", Path("/etc")):
        if (file := directory / "smtd" / "config.toml").is_file():
            return load(file)
    return Config()


def state_directory(chosen: Path | None, config: Config) -> Path:
    """Return *chosen*, else the configured directory, else the one of systemd or XDG."""
    if chosen is not None:
        return chosen.expanduser()
    if config.daemon.state_dir is not None:
        return Path(config.daemon.state_dir).expanduser()
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "smtd"
