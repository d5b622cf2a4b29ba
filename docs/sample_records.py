"""The records of the pictures: a sweep of a model of bursting neurons, as a person would have run it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

from smtd.records.record import (
    Component,
    DataKey,
    Dependency,
    Executable,
    Parameters,
    Platform,
    Record,
    Repository,
)

PROJECT = "Bursting"
#: When the first run began; all others follow.
BEGIN = datetime(2026, 11, 3, 9, 12, 40, tzinfo=timezone.utc)
REASONS = (
    "how does the burst rate depend on g_nap?",
    "the same with twice as many neurons",
    "a finer time step: is the rate stable?",
    "sweep of the coupling, as in figure 2",
    "reproduce the run of last week on the cluster",
)
OUTCOMES = (
    "bursts at {rate:.2f} Hz, as expected",
    "no bursts below g_nap = 1.9",
    "rate {rate:.2f} Hz; the same as with dt = 0.1",
    "silent after 3 s: the initial state matters",
    "",
)
TAGS = ("figure-2", "pilot", "paper", "check")


def records(count: int) -> list[Record]:
    """Return *count* records of finished runs, the oldest first; the same ones each time."""
    chance = random.Random(20261103)
    moment = BEGIN
    made = []
    for number in range(count):
        moment += timedelta(minutes=chance.randint(7, 260))
        made.append(_record(number, moment, chance))
    return made


def _record(number: int, moment: datetime, chance: random.Random) -> Record:
    label = moment.strftime("%Y%m%d-%H%M%S")
    g_nap, neurons = round(1.5 + 0.05 * (number % 23), 2), chance.choice((100, 200, 400))
    rate = max(0.0, (g_nap - 1.8) * 1.7) + chance.random() / 10
    outcome = chance.choice(OUTCOMES).format(rate=rate)
    tags = {"_failed_"} if chance.random() < 0.07 else {"_finished_"}
    tags |= {tag for tag in TAGS if chance.random() < 0.15}
    place = Component("FileSystemDataStore", {"root": "/data/bursting"})
    return Record(
        label=label,
        timestamp=moment,
        reason=REASONS[number // 9 % len(REASONS)],
        duration=round(40 + 300 * chance.random(), 1),
        executable=Executable("/usr/bin/python3", "Python", "3.12.7"),
        repository=Repository(
            "GitRepository", "/home/ada/bursting", "https://code.lab.example/ada/bursting.git"
        ),
        main_file=("simulate.py", "analyse.py")[number % 7 == 6],
        version=f"{chance.getrandbits(160):040x}",
        parameters=Parameters(
            "SimpleParameterSet",
            f"dt = 0.1\nduration = 30.0\ng_nap = {g_nap}\nneurons = {neurons}\nseed = {number}\n",
        ),
        script_arguments="<parameters>",
        launch_mode=Component(
            "SerialLaunchMode", {"working_directory": "/home/ada/bursting", "options": None}
        ),
        datastore=place,
        input_datastore=place,
        outcome=outcome,
        output_data=(
            DataKey(
                f"{label}/rates.csv",
                f"{chance.getrandbits(160):040x}",
                moment,
                {"mimetype": "text/csv", "size": 48213},
            ),
            DataKey(
                f"{label}/raster.png",
                f"{chance.getrandbits(160):040x}",
                moment,
                {"mimetype": "image/png", "size": 91277},
            ),
        ),
        tags=frozenset(tags),
        user="Ada Lovelace <ada@lab.example>",
        dependencies=(
            Dependency("python", "numpy", "/usr/lib/python3/dist-packages/numpy", "2.1.3", "", "attribute"),
            Dependency("python", "neuron", "/opt/neuron", "8.2.6", "", "attribute"),
        ),
        platforms=(
            Platform(
                "64bit", "ELF", "x86_64", "node-07", "192.0.2.17", "", "6.12.9", "Linux", "#1 SMP Debian"
            ),
        ),
        stdout_stderr=f"simulated {neurons} neurons for 30.0 s\nmean rate {rate:.2f} Hz\n",
    )
