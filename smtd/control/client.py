"""Send requests to the daemon. Without asyncio, so that a simple request is quick."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from smtd.control.protocol import addressed
from smtd.errors import DaemonNotRunning, SmtdError

Result: TypeAlias = dict[str, Any]


def result(
    path: str,
    request: dict[str, Any],
    timeout: float | None,
    progressed: Callable[[list[Result]], None] = lambda _: None,
) -> Result:
    """Return the result of *request* as `ask` does; *progressed* gets the progress of pairs until then."""
    for found in ask(path, request, timeout):
        if "progress" not in found:
            return found
        progressed(found["progress"])
    raise DaemonNotRunning("the daemon stopped without an answer; run the command again, or see its log")


def ask(path: str, request: dict[str, Any], timeout: float | None = None) -> Iterator[Result]:
    """Send *request* to the daemon at the socket *path*, and yield the results in its answers.

    *timeout*: seconds to wait for each (None: no limit). Raises DaemonNotRunning if no daemon answers, and
    the error that it answers with.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            with addressed(path) as address:
                connection.connect(address)
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                for line in answers:
                    answer = _answer(line)
                    if not answer.get("ok"):
                        raise _error(answer)
                    yield answer["result"]
        except TimeoutError:
            raise DaemonNotRunning(f"the daemon at {path} does not answer in time; see its log") from None
        except PermissionError:
            what = (
                "it or its directory belongs to another user; run smtd as that user, join its group if it"
                " has one (control_group), or name another socket with --socket"
            )
            raise DaemonNotRunning(f"permission denied at the control socket {path}: {what}") from None
        except (OSError, ValueError, RecursionError) as exc:
            raise DaemonNotRunning(
                f"no daemon answers at {path}; start it with smtd run ({_why(exc)})"
            ) from None


def _answer(line: bytes) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("its answer is not an object")
    return found


def _error(answer: dict[str, Any]) -> SmtdError:
    error = SmtdError(answer.get("error", "the daemon gave no reason; see its log"))
    error.exit_code = int(answer.get("code", 1))
    return error


def _why(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    return (
        "its answer cannot be read"
        if isinstance(exc, json.JSONDecodeError | UnicodeDecodeError)
        else str(exc)
    )
