"""Which notifications were delivered: a file in the state directory, so that a restart repeats none."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import anyio
import msgspec
from anyio import to_thread

from smtd import denied, private, regular
from smtd.daemon.notice import Delivered
from smtd.records.record import BAD_BYTES

log = logging.getLogger("smtd")


class DeliveredFile:
    """What each channel has delivered, for each pair; see `read`.

    A damaged or lost file costs a repetition: current problems are delivered once more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._delivered: dict[str, dict[str, Delivered]] = {}
        self._failing = False
        self._saving = anyio.Lock()  # two writers at once would use the same temporary file

    async def read(self) -> None:
        """Load the file, if it can be read."""
        try:
            data = await to_thread.run_sync(regular.read, self._path, regular.SMALL)
            self._delivered = msgspec.json.decode(data, type=dict[str, dict[str, Delivered]])
        except FileNotFoundError:
            pass
        except (OSError, *BAD_BYTES) as exc:
            log.warning("%s cannot be read (%s); notifications may be repeated once", self._path, exc)

    def get(self, channel: str, pair: str) -> Delivered:
        """Return what *channel* has delivered about *pair*."""
        return self._delivered.get(channel, {}).get(pair, Delivered())

    async def put(self, channel: str, pair: str, delivered: Delivered) -> None:
        """Save what *channel* has delivered about *pair*."""
        if delivered != self.get(channel, pair):
            self._delivered.setdefault(channel, {})[pair] = delivered
            await self._save()

    async def keep(self, pairs: Collection[str]) -> None:
        """Forget all pairs but *pairs*."""
        kept = {
            channel: {name: delivered for name, delivered in each.items() if name in pairs}
            for channel, each in self._delivered.items()
        }
        if kept != self._delivered:
            self._delivered = kept
            await self._save()

    async def _save(self) -> None:
        data = msgspec.json.encode(self._delivered, order="deterministic")
        try:
            with anyio.CancelScope(shield=True):  # otherwise a restart would deliver it again
                async with self._saving:
                    await to_thread.run_sync(private.replace, self._path, data)
        except OSError as exc:
            if not self._failing:
                log.error(
                    "%s cannot be written: %s; a restart may repeat notifications",
                    *(self._path, denied.unwritten(exc)),
                )
            self._failing = True
        else:
            self._failing = False
