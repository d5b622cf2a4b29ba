"""`smtd serve` as a process of its own, with users that `smtd user` made."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from smtd.server.accounts import users_file
from tests.daemon.process import PATIENCE, DaemonProcess
from tests.server.served import PASSWORD, USERS


class ServerProcess(DaemonProcess):
    """A server in *directory*, of the store *location* (None: one of its own)."""

    def __init__(self, directory: Path, text: str = "", location: str | Path | None = None) -> None:
        super().__init__(directory, text)
        words = [] if location is None else [str(location)]
        self.verb = ["serve", *words, *(() if "listen" in text else ("--listen", "127.0.0.1:0"))]
        users_file.edit(directory / "users", lambda _: USERS)

    @property
    def root(self) -> str:
        """The address that it prints."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.findall(r"at (https?://\S+/)records/", self.log.read_text("utf-8"))):
            assert time.monotonic() < deadline, "the server printed no address"
            time.sleep(0.005)
        return str(found[-1])

    @property
    def address(self) -> str:
        """What a person names it by, with the name and the password of the first user."""
        return self.root.replace("://", f"://ada:{PASSWORD}@") + "records/"

    @property
    def store(self) -> Path:
        """The file of its own store."""
        return self.state / "server" / "records.sqlite"


@contextmanager
def server_process(
    directory: Path,
    text: str = "",
    location: str | Path | None = None,
    *,
    start: bool = True,
    program: Sequence[str] = ("-m", "smtd"),
) -> Iterator[ServerProcess]:
    """Give a server, started unless it is not to be; *program*: what Python runs."""
    directory.mkdir(exist_ok=True)
    made = ServerProcess(directory, text, location)
    made.smtd.program = [*program]
    try:
        if start:
            made.start()
        yield made
    finally:
        made.close()
