"""Log lines: text from records, servers and files can neither control a terminal nor fake lines."""

from __future__ import annotations

import logging
from typing import Any

from smtd.text import shown, shown_lines

#: The priorities that systemd reads at the start of a line (sd-daemon(3)).
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class Formatter(logging.Formatter):
    """Writes each message on one line; only the lines of a traceback are indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return shown(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return "\n".join(f"    {line}" for line in shown_lines(super().formatException(ei)).split("\n"))

    def formatStack(self, stack_info: str) -> str:
        return "\n".join(f"    {line}" for line in shown_lines(super().formatStack(stack_info)).split("\n"))


class SystemdFormatter(Formatter):
    """Writes the priority before each line, as systemd reads it."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 2)}>{super().format(record)}"


def handler(stream: Any, formatter: logging.Formatter) -> logging.Handler:
    """Return a handler that writes log lines to *stream*."""
    made = logging.StreamHandler(stream)
    made.setFormatter(formatter)
    return made
