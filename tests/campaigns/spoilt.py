"""Readings that do what none may do, each in its third case."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from campaigns.fuzz import child


def _third(spoilt: Callable[[], object]) -> Callable[[Random, Path], None]:
    calls: list[None] = []

    def read(_chance: Random, _scratch: Path) -> None:
        calls.append(None)
        if len(calls) == child.WARM_UP + 3:
            spoilt()

    return read


def _hang() -> None:
    time.sleep(3600)


crash = _third(lambda: 1 / 0)
run = _third(lambda: os.system("true"))
end = _third(lambda: os._exit(9))
grow = _third(lambda: bytearray(1 << 30))
hang = _third(_hang)
