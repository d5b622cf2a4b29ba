"""The witness reveals a state directory that was restored whole; ordinary use does not look like that."""

from __future__ import annotations

import os
import shutil

import pytest

from smtd.journal import witness
from smtd.journal.journal import open_journal
from tests.backups import copied, copied_with_times, mirrored, moved, run, unpacked
from tests.build import key, record
from tests.journal.test_copies import NOTHING, cycle, events, known

A, B, C = record("a"), record("b"), record("c")


def kept(state):
    """Back up the state directory, and return the backup."""
    run("cp", "-a", state, state.with_name("backup"))
    return state.with_name("backup")


MEANS = [copied, copied_with_times, moved, mirrored, unpacked]


@pytest.mark.parametrize("means", MEANS)
async def test_state_directory_restored_whole_is_not_trusted_with_its_baselines(tmp_path, means):
    """Journal, note and witness are of the same day, but a copy cannot have their times of change (ctime)."""
    state = tmp_path / "state"
    await cycle(state, A)
    backup = kept(state)
    await cycle(state, B)

    means(backup, state)

    assert await known(state) == NOTHING
    assert [what for _, what in await events(state)] == ["journal put back"]
    await cycle(state, C)
    assert (await known(state))[0] == {key("c")}


@pytest.mark.parametrize("means", MEANS)
async def test_copy_made_while_smtd_ran_is_recognized_too(tmp_path, means):
    """As most backups are, with the log of what is not in the file yet."""
    state = tmp_path / "state"
    await cycle(state, A)
    async with open_journal(state), open_journal(state) as journal, journal.pair("left", "right") as pair:
        await pair.begin_cycle()
        backup = kept(state)
    await cycle(state, B)

    means(backup, state)

    assert await known(state) == NOTHING


async def test_journal_restored_alone_is_recognized_even_without_a_new_cycle(tmp_path):
    """Events had numbers, which must not be used twice."""
    await cycle(tmp_path, A)
    shutil.copy(tmp_path / "journal.sqlite", tmp_path / "older")
    async with open_journal(tmp_path) as journal:
        await journal.events.add(["{}"])
    shutil.move(tmp_path / "older", tmp_path / "journal.sqlite")

    assert await known(tmp_path) == NOTHING


async def test_copy_in_another_place_is_not_trusted(tmp_path):
    """The stores are synced with the original."""
    await cycle(tmp_path / "state", A)
    backup = kept(tmp_path / "state")

    assert await known(backup) == NOTHING
    assert (await known(tmp_path / "state"))[0] == {key("a")}


async def test_missing_or_empty_witness_makes_the_journal_untrusted(tmp_path):
    """smtd cannot know why; it writes a new one, once."""
    for spoil in (os.unlink, lambda path: os.truncate(path, 0)):
        await cycle(tmp_path, A)
        spoil(tmp_path / "journal.witness")
        assert await known(tmp_path) == NOTHING

    await cycle(tmp_path, A)
    assert (await known(tmp_path))[0] == {key("a")}


async def test_ordinary_use_does_not_look_like_a_restore(tmp_path):
    """The directory is renamed, read, copied from, archived and linked; smtd starts and ends."""
    state = tmp_path / "state"
    await cycle(state, A)
    kept(state)
    run("tar", "-cf", tmp_path / "backup.tar", "-C", state, ".")
    state.rename(tmp_path / "elsewhere")
    state.symlink_to(tmp_path / "elsewhere")
    run("chmod", "755", tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "notes.txt").write_text("of a person")

    async with open_journal(state) as journal, open_journal(state):
        await journal.events.add(["{}"])

    assert (await known(state))[0] == {key("a")}


@pytest.mark.parametrize("killed_after", ["the first note of it", "it was written"])
async def test_crash_during_the_renewal_leaves_a_matching_witness(tmp_path, monkeypatch, killed_after):
    """The old one, or the one that the journal was about to store."""
    await cycle(tmp_path, A)
    real = witness._write

    def killed(place, content):
        if killed_after == "it was written":
            real(place, content)
        raise RuntimeError("killed")

    with monkeypatch.context() as crash:
        crash.setattr(witness, "_write", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await cycle(tmp_path, B)

    assert (await known(tmp_path))[0] == {key("a"), key("b")}
    assert await events(tmp_path) == []


async def test_journal_is_trusted_if_no_witness_can_be_written(tmp_path):
    """For example on a full disk: smtd works, but no longer recognizes copies of the whole directory."""
    (tmp_path / "journal.witness").mkdir()

    await cycle(tmp_path, A)

    assert (await known(tmp_path))[0] == {key("a")}
    assert await events(tmp_path) == []


async def test_new_witness_is_durable_before_the_journal_stores_it(tmp_path, monkeypatch):
    """Otherwise a power cut loses only the file, and the directory looks like a copy."""
    place, synced, remembered = tmp_path / "state" / "journal.witness", [], []
    fsync, remember = os.fsync, witness._remember

    def noting(handle):
        synced.append((os.fstat(handle).st_ino, place.exists()))
        fsync(handle)

    async def remembering(db, seen, following, state):
        remembered.append((following, list(synced)))
        await remember(db, seen, following, state)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(witness, "_remember", remembering)
    await cycle(tmp_path / "state", A)

    first = next(synced for following, synced in remembered if following == "")
    assert {(place.stat().st_ino, True), (place.parent.stat().st_ino, True)} <= {*first}
