"""Real shelves with random damage: smtd reads their contents or reports its own error, and runs nothing.

`make soak` tries 100,000 of them, `make test` 800; the same numbers make the same shelves.
"""

from __future__ import annotations

import dbm.dumb
import functools
import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from tests.stores.old_shelves import SHELVES as OLD_SHELVES
from tests.stores.places import CORPUS

SHELVES = [*OLD_SHELVES, "c081_dumb"]
COUNT = int(os.environ.get("SMTD_FUZZ", "800"))
SHARES = 2
#: Opcodes that build, call or memoize; a mutation inserts them anywhere.
OPCODES = (
    b"()]}.0125FGIJKLMNRSTUVX[abcdeghijlopqrstu\x80\x81\x82\x85\x86\x87\x88\x8a\x8b\x8c\x8d\x8e\x93\x94\x95"
)


def mutant(number: int) -> bytes:
    """Return the *number*th mutant."""
    chance = random.Random(number)
    value = bytearray(_pickle(SHELVES[number % len(SHELVES)]))
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        _MUTATIONS[chance.randrange(len(_MUTATIONS))](value, chance)
    return bytes(value)


#: Events that reading a shelf never causes.
WATCHED = ("os.system", "subprocess.Popen", "exec", "open", "import", "socket.connect", "os.exec")


@functools.cache
def _pickle(name: str) -> bytes:
    with dbm.dumb.open(str(CORPUS / name), "r") as shelf:
        return bytes(shelf[b"corpus"])


def _flip(value: bytearray, chance: random.Random) -> None:
    if value:
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)


def _replace(value: bytearray, chance: random.Random) -> None:
    if value:
        value[chance.randrange(len(value))] = chance.choice(OPCODES)


def _insert(value: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(value) + 1)
    value[place:place] = bytes(chance.choices(OPCODES, k=chance.choice((1, 2, 9))))


def _remove(value: bytearray, chance: random.Random) -> None:
    place = chance.randrange(len(value) + 1)
    del value[place : place + chance.choice((1, 2, 50, 5000))]


def _repeat(value: bytearray, chance: random.Random) -> None:
    start, place = chance.randrange(len(value) + 1), chance.randrange(len(value) + 1)
    value[place:place] = value[start : start + chance.choice((5, 50, 500))]


_MUTATIONS = [_flip, _flip, _replace, _replace, _insert, _remove, _repeat]


def try_out(first: int, last: int) -> None:
    """Read each mutant as the child process does, and print how each read ended."""
    from smtd.records.record import decode
    from smtd.stores.shelf import messages, worker

    for name in SHELVES:  # by then everything is imported that reading imports
        assert isinstance(
            worker.answer(messages.Read(_pickle(name), timezone="Europe/Paris")), messages.Records
        )

    def watch(event: str, args: tuple[object, ...]) -> None:
        if event in WATCHED:
            os.write(2, f"{event} {args!r}\n".encode())
            os._exit(66)

    sys.addaudithook(watch)
    for number in range(first, last):
        value = mutant(number)
        answer = worker.answer(messages.Read(value, timezone="Europe/Paris"))
        if isinstance(answer, messages.Records):
            for held in answer.held:
                assert held.problem or decode(held.record).label == held.label
        print(number, type(answer).__name__, flush=True)


RUN = """
import resource, sys
sys.path[:] = {path!r}
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from tests.stores import test_fuzz
test_fuzz.try_out({first}, {last})
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("share", range(SHARES))
def test_altered_shelf_is_read_or_refused(share: int) -> None:
    """Every read ends with an answer; none crashes the process, or runs anything."""
    size = COUNT // SHARES
    first, last = share * size, (share + 1) * size
    path = [str(CORPUS.parents[2]), *filter(None, sys.path)]

    done = subprocess.run(
        [sys.executable, "-c", RUN.format(path=path, first=first, last=last)],
        capture_output=True,
        text=True,
        check=False,
    )

    told = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after mutant {told[-1:]}: {done.stderr[-2000:]}"
    assert [int(number) for number, _ in told] == list(range(first, last))
    ends = Counter(end for _, end in told)
    assert ends.keys() <= {"Records", "Failed", "Refused"}
    assert ends["Records"] > size // 20
    assert ends["Failed"] > size // 20
