"""The conformance suite: what `smtd/stores/base.py` promises, for every kind of store.

A kind joins with a class of its own and one fixture (of `ReadContract`, if it is read-only):

    class TestMyStore(StoreContract):
        @pytest.fixture
        def place(self, tmp_path): return MyPlace(tmp_path / "records")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import cast

import anyio
import pytest

from smtd.records import canonical
from smtd.records.canonical import Digest
from smtd.records.record import Key, Parameters, Pickled, Record
from smtd.stores.base import DONE, STALE, Change, Result, ResumedStore, Scan, Store, Token
from smtd.stores.shelf import inert
from tests.build import RUNNING, change, commented, full, key, record, tagged
from tests.sampling import sampled
from tests.stores.asking import create, delete, digests, replace
from tests.stores.interrupting import interrupt, left_behind, running
from tests.stores.places import Place
from tests.stores.samples import ALL, FINAL, GROUPS, OTHER, TYPED, UNFINISHED

WRONG: Digest = canonical.digest(record(outcome="of nobody's"))


async def held(store: Store, *records: Record) -> dict[str, Record]:
    """Return the records of *store* under the labels of *records*."""
    found = await store.read([key(one.label) for one in records])
    return {of.label: one for of, one in found.items()}


def plain(records: dict[str, Record]) -> dict[str, Record]:
    """Return *records* without what only shelves have."""
    return {label: change(one, opaque={}) for label, one in records.items()}


def fitting(place: Place, records: Sequence[Record]) -> list[Record]:
    """Return which of *records* stores of this kind can hold: most of them."""
    found = [one for one in records if place.fits(one)]
    assert len(found) >= len(records) / 2
    return found


class SilentReadContract:
    """The tests for every store, even one that is read-only and cannot tell whether it changed."""

    #: Records of every sort.
    every_sort: Sequence[Record] = ALL

    #: At which waits a look is interrupted: at each (1), at every second (2), …
    look_interrupted_at_every = 1

    # Reading

    async def test_empty_store_has_no_projects_and_records(self, place: Place) -> None:
        """And raises no error."""
        async with place.open() as store:
            assert await store.projects() == []
            assert await store.scan() == Scan({})
            assert await store.read([key("run")]) == {}

    async def test_reading_changes_no_file(self, place: Place) -> None:
        """Whether the store is empty or not."""
        for records in ((), (record(), record("running", tags=RUNNING, duration=None))):
            await place.put(*records)
            before = place.files()

            async with place.open() as store:
                await store.projects()
                await store.scan()
                await store.read([key("run")])
                await store.token()

            assert place.files() == before

    async def test_scan_has_the_digests_of_the_records(self, place: Place) -> None:
        """As they are read, and as they were written."""
        await place.put(*fitting(place, self.every_sort))

        async with place.open() as store:
            scan = await store.scan()
            found = await store.read(scan.digests)

        written = digests(*fitting(place, self.every_sort))
        assert scan.digests == written
        assert {of: canonical.digest(one) for of, one in found.items()} == written
        # Computed again from the records: a store may return them with a digest.
        assert {of: canonical.digest(change(one)) for of, one in found.items()} == written
        assert scan.unreadable == {}

    async def test_writes_of_other_programs_are_seen(self, place: Place) -> None:
        """By a read, which leaves out absent keys, and by the next scan."""
        before, after = record(), commented(record(), "and more")
        await place.put(before, record("gone"))

        async with place.open() as store:
            await store.scan()
            await place.put(after, record("new"))
            await place.remove("gone")
            found = await store.read([key("run"), key("new"), key("gone"), key("run", "Elsewhere")])
            scan = await store.scan()

        assert {of: change(one, opaque={}) for of, one in found.items()} == {
            key("run"): place.kept(after),
            key("new"): place.kept(record("new")),
        }
        assert scan.digests == digests(after, record("new"))

    async def test_projects_are_sorted(self, place: Place) -> None:
        """Whatever their names."""
        names = ["b", "Été", "a", "日本", "A b"]
        for name in names:
            await place.put(record(), project=name)

        async with place.open() as store:
            assert await store.projects() == sorted(names)

    async def test_scan_can_be_limited_to_projects(self, place: Place) -> None:
        """It has all records of the chosen projects, and no others."""
        await place.put(record(), record("run-2"), project="one")
        await place.put(record(), project="two")
        one, two = [Key("one", "run"), Key("one", "run-2")], [Key("two", "run")]
        cases: list[tuple[list[str] | None, list[Key]]] = [
            (None, [*one, *two]),
            (["one"], one),
            (["two", "one"], [*one, *two]),
            (["two", "no such project"], two),
            ([], []),
        ]

        for chosen, expected in cases:
            async with place.open() as store:
                assert sorted((await store.scan(chosen)).digests) == expected, chosen

    async def test_scan_flags_unfinished_runs(self, place: Place) -> None:
        """And no finished ones."""
        unfinished = [record(label, **fields) for label, fields in UNFINISHED.items()]
        final = [record(label, **fields) for label, fields in FINAL.items()]
        await place.put(*unfinished, *final)

        async with place.open() as store:
            scan = await store.scan()

        assert set(scan.unfinished) == {key(one.label) for one in unfinished}
        assert len(scan.digests) == len(unfinished) + len(final)

    async def test_scan_names_unreadable_records(self, place: Place) -> None:
        """With what is wrong; the scan has the other records."""
        await place.put(record("good"), record("bad"))
        await place.spoil("bad")

        async with place.open() as store:
            scan = await store.scan()
            found = await store.read([key("good"), key("bad")])

        assert set(scan.digests) == {key("good")}
        assert set(scan.unreadable) == {key("bad")}
        assert scan.unreadable[key("bad")]
        assert set(found) == {key("good")}

    # Cancellation

    @pytest.mark.parametrize("look", ["scan", "read"])
    async def test_cancelled_look_leaves_the_store_usable(self, place: Place, look: str) -> None:
        """Whenever it is cancelled; it leaves no lock."""
        await place.put(record())
        before = running()

        for step in count(1, self.look_interrupted_at_every):
            async with place.open() as store:
                if not await interrupt(store.scan() if look == "scan" else store.read([key("run")]), step):
                    break
                assert place.is_free()
                found = await held(store, record())
                assert plain(found) == {"run": place.kept(record())}
            assert left_behind(before) == set()


class SilentContract(SilentReadContract):
    """The tests for every store that can be written."""

    #: More changes than a store makes at once.
    many = 230
    #: At which waits a write is interrupted: at each (1), at every second (2), …
    write_interrupted_at_every = 1

    # Reading what was written

    #: Of the groups of records, and of the types of parameters, `make test` tries each, every second, …
    tried_at_every = 1
    groups: Collection[str] = GROUPS

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name, values in (("group", self.groups), ("type_name", TYPED)):
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, sampled(values, self.tried_at_every))

    async def test_records_are_kept_exactly(self, place: Place, group: str) -> None:
        """A record is read exactly as it was written."""
        records = fitting(place, GROUPS[group])

        async with place.open() as store:
            outcomes = await store.write([create(one) for one in records])
            found = await held(store, *records)

        assert outcomes == [DONE] * len(records)
        assert plain(found) == {one.label: place.kept(one) for one in records}

    async def test_parameters_keep_their_meaning(self, place: Place, type_name: str) -> None:
        """However its parameters are written, an accepted record keeps its digest."""
        texts = [Parameters(type_name, text) for text in TYPED[type_name]]
        records = [record(f"run-{n}", parameters=parameters) for n, parameters in enumerate(texts)]

        async with place.open() as store:
            outcomes = await store.write([create(one) for one in [*records, record("last")]])
            scan = await store.scan()

        taken = [
            one for one, outcome in zip([*records, record("last")], outcomes, strict=True) if outcome == DONE
        ]
        assert record("last") in taken
        assert all(outcome.result in (Result.DONE, Result.REFUSED) for outcome in outcomes)
        assert set(scan.digests) == {key(one.label) for one in taken}
        told = [one for one in taken if scan.digests[key(one.label)] != canonical.digest(one)]
        assert [one.parameters.content for one in told] == []

    async def test_same_label_in_two_projects_is_two_records(self, place: Place) -> None:
        """Deleting one leaves the other."""
        await place.put(record(), project="Zweites")
        await place.put(record(outcome="another"), project="Erstes")

        async with place.open() as store:
            one, other = Key("Zweites", "run"), Key("Erstes", "run")
            projects = await store.projects()
            outcomes = await store.write([Change(one, None, canonical.digest(record()))])
            found = await store.read([one, other])

        assert outcomes == [DONE]
        assert {"Erstes", "Zweites"} <= set(projects)
        assert set(found) == {other}

    # Writing

    async def test_outcomes_have_the_order_of_the_changes(self, place: Place) -> None:
        """Whatever their projects."""
        keys = [Key(project, label) for label in ("z", "a") for project in ("two", "one", "three")]
        changes = [Change(of, record(of.label), WRONG if of.project == "one" else None) for of in keys]

        async with place.open() as store:
            outcomes = await store.write(changes)
            scan = await store.scan()

        assert outcomes == [STALE if of.project == "one" else DONE for of in keys]
        assert set(scan.digests) == {of for of in keys if of.project != "one"}

    async def test_write_to_every_field(self, place: Place) -> None:
        """Whichever field changes, the record is afterwards as it was meant to be."""
        changed = [change(full(field), **{field: value}) for field, value in OTHER.items()]
        afters = fitting(place, changed)
        befores = [full(one.label) for one in afters]
        await place.put(*befores)

        async with place.open() as store:
            outcomes = await store.write([replace(*pair) for pair in zip(befores, afters, strict=True)])
            found = await held(store, *afters)

        assert outcomes == [DONE] * len(afters)
        assert plain(found) == {one.label: place.kept(one) for one in afters}

    async def test_write_leaves_other_records_unchanged(self, place: Place) -> None:
        """In the store's own form, down to row numbers."""
        others = [full(f"other-{number}") for number in range(3)]
        old, gone = full("old"), full("gone")
        await place.put(others[0], old, others[1], gone, others[2])
        before = place.forms()

        async with place.open() as store:
            changes = [create(full("new")), replace(old, tagged(old, "good")), delete(gone)]
            assert await store.write(changes) == [DONE, DONE, DONE]

        after = place.forms()
        assert [after[key(one.label)] for one in others] == [before[key(one.label)] for one in others]

    async def test_write_of_an_equal_record_changes_nothing(self, place: Place) -> None:
        """In the store's own form."""
        await place.put(*fitting(place, self.every_sort))
        before = place.forms()

        async with place.open() as store:
            found = await store.read([key(one.label) for one in fitting(place, self.every_sort)])
            outcomes = await store.write(
                [Change(of, one, canonical.digest(one)) for of, one in found.items()]
            )

        assert set(outcomes) == {DONE}
        assert place.forms() == before

    async def test_change_lands_only_on_the_expected_digest(self, place: Place) -> None:
        """Otherwise it is stale."""
        there, new = record(), commented(record(), "new")
        right, nothing = canonical.digest(there), None
        cases = {
            "absent-as-expected": (nothing, new, nothing, DONE, new),
            "absent-as-expected-and-stays-so": (nothing, None, nothing, DONE, nothing),
            "gone": (nothing, new, right, STALE, nothing),
            "gone-already": (nothing, None, right, STALE, nothing),
            "as-expected": (there, new, right, DONE, new),
            "as-expected-to-be-deleted": (there, None, right, DONE, nothing),
            "changed": (there, new, WRONG, STALE, there),
            "changed-to-be-deleted": (there, None, WRONG, STALE, there),
            "there-already": (there, new, nothing, STALE, there),
            "there-to-be-nothing": (there, None, nothing, STALE, there),
        }
        bearing = {label: change(case[0], label=label) for label, case in cases.items() if case[0]}
        await place.put(*bearing.values())

        async with place.open() as store:
            outcomes = await store.write(
                [
                    Change(key(label), wanted and change(wanted, label=label), expected)
                    for label, (_, wanted, expected, _, _) in cases.items()
                ]
            )
            found = await store.read([key(label) for label in cases])
            scan = await store.scan()

        assert dict(zip(cases, outcomes, strict=True)) == {label: case[3] for label, case in cases.items()}
        assert {of.label: canonical.digest(one) for of, one in found.items()} == {
            label: canonical.digest(case[4]) for label, case in cases.items() if case[4]
        }
        assert scan.digests == {of: canonical.digest(one) for of, one in found.items()}

    async def test_change_decided_before_another_program_wrote_does_not_land(self, place: Place) -> None:
        """It is stale."""
        before, theirs = record(), commented(record(), "theirs")
        await place.put(before)

        async with place.open() as store:
            await store.scan()
            await place.put(theirs)
            outcomes = await store.write([replace(before, commented(before, "ours"))])
            found = await held(store, before)

        assert outcomes == [STALE]
        assert found["run"].outcome == "theirs"

    async def test_refused_record_holds_back_no_other(self, place: Place) -> None:
        """A record that the store cannot hold is refused with a reason; the others land."""
        unfit = [create(one) for one in place.unfit]

        async with place.open() as store:
            first, *refused, last = await store.write(
                [create(record("first")), *unfit, create(record("last"))]
            )
            scan = await store.scan()

        assert (first, last) == (DONE, DONE)
        assert {
            of.key.label for of, outcome in zip(unfit, refused, strict=True) if not outcome.reason
        } == set()
        assert all(outcome.result is Result.REFUSED for outcome in refused)
        assert set(scan.digests) == {key("first"), key("last")}

    async def test_change_does_not_land_on_an_unreadable_record(self, place: Place) -> None:
        """The other changes land."""
        await place.put(record("good"), record("bad"), record("worse"))
        await place.spoil("bad")
        await place.spoil("worse")
        before = place.forms()

        async with place.open() as store:
            bad, worse, good = await store.write(
                [create(record("bad")), delete(record("worse")), delete(record("good"))]
            )

        assert good == DONE
        assert DONE not in (bad, worse)
        assert place.forms() == {of: form for of, form in before.items() if of != key("good")}

    async def test_write_makes_any_number_of_changes(self, place: Place) -> None:
        """More than the store writes at once."""
        records = [record(f"run-{number}", outcome=str(number)) for number in range(self.many)]

        async with place.open() as store:
            created = await store.write([create(one) for one in records])
            deleted = await store.write([delete(one) for one in records[: self.many // 2]])
            scan = await store.scan()

        assert set(created) == set(deleted) == {DONE}
        assert set(scan.digests) == {key(one.label) for one in records[self.many // 2 :]}

    async def test_deleted_label_can_be_used_again(self, place: Place) -> None:
        """For another record."""
        async with place.open() as store:
            for number in range(2):
                again = record(outcome=str(number))
                assert await store.write([create(again)]) == [DONE]
                assert (await held(store, again))["run"].outcome == str(number)
                assert await store.write([delete(again)]) == [DONE]

            assert await store.scan() == Scan({})

    async def test_data_that_only_shelves_can_hold_is_kept_or_dropped(self, place: Place) -> None:
        """A store that says that it keeps such data keeps it; in others it does no harm."""
        file = inert.load(inert.dump("run.json"))
        opaque = {"parameter_file": Pickled(inert.digest(file), inert.dump(file))}
        one = record(opaque=opaque)

        async with place.open() as store:
            assert await store.write([create(one)]) == [DONE]
            found = (await held(store, one))["run"]

        kept = found.opaque.get("parameter_file") == opaque["parameter_file"]
        assert kept is store.capabilities.keeps_opaque
        assert canonical.differences(found, one) == []

    # Several at once, and cancellation

    async def test_two_writers_lose_nothing(self, place: Place) -> None:
        """All changes of two objects that write to one store at once land."""

        async def fill(name: str) -> None:
            async with place.open() as store:
                for number in range(4):
                    todo = [create(record(f"{name}-{number}"))]
                    while await store.write(todo) != [DONE]:
                        pass

        await place.put(record())
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(fill, "one")
                group.start_soon(fill, "other")

        labels = {f"{name}-{number}" for name in ("one", "other") for number in range(4)}
        assert {of.label for of in place.forms()} == labels | {"run"}

    async def test_only_one_of_two_writers_of_a_key_succeeds(self, place: Place) -> None:
        """Both change the same record at once; the other one gets STALE."""
        results = {}

        async def comment(name: str) -> None:
            async with place.open() as store:
                (outcome,) = await store.write([replace(record(), commented(record(), name))])
            results[name] = outcome.result

        await place.put(record())
        async with anyio.create_task_group() as group:
            group.start_soon(comment, "one")
            group.start_soon(comment, "other")
        async with place.open() as store:
            outcome = (await held(store, record()))["run"].outcome

        assert sorted(results.values(), key=str) == [Result.DONE, Result.STALE]
        assert results[str(outcome)] is Result.DONE

    async def finished(self, place: Place) -> None:
        """Wait until the server has finished requests that it did not answer."""

    async def test_cancelled_write_makes_each_change_whole_or_not_at_all(self, place: Place) -> None:
        """Whenever it is cancelled."""
        old, gone, new = full("old"), full("gone"), full("new")
        after = full("old", **{field: OTHER[field] for field in ("outcome", "tags", "output_data")})
        before = running()

        for step in count(1, self.write_interrupted_at_every):
            project = f"step {step}"
            await place.put(old, gone, project=project)
            changes = [
                Change(Key(project, one.label), wanted, expected)
                for one, wanted, expected in (
                    (old, after, canonical.digest(old)),
                    (gone, None, canonical.digest(gone)),
                    (new, new, None),
                )
            ]
            async with place.open() as store:
                if not await interrupt(store.write(changes), step):
                    break
                assert place.is_free()
                await self.finished(place)
                found = await store.read([one.key for one in changes])
                again = await store.write([Change(Key(project, "free"), record("free"), None)])
            digests = {of.label: canonical.digest(one) for of, one in found.items()}
            assert digests.get("old") in (canonical.digest(old), canonical.digest(after))
            assert digests.get("gone") in (canonical.digest(gone), None)
            assert digests.get("new") in (canonical.digest(new), None)
            assert again == [DONE]
            assert left_behind(before) == set()


class ReadContract(SilentReadContract):
    """The tests for every store that can tell whether it changed, even if it is read-only."""

    async def test_unchanged_store_matches_the_token_of_its_scan(self, place: Place) -> None:
        """Nothing wrote since. Before the scan it has none, as it was never looked at."""
        await place.put(record())

        async with place.open() as store:
            assert await store.token() is None
            await store.scan()
            token = await store.token()
            await store.scan()

            assert token is not None
            assert await store.unchanged_since(token)
            assert await store.token() == token

    async def test_store_works_after_a_rest_as_before(self, place: Place) -> None:
        """It releases what can be read again."""
        await place.put(record(), record("other"))

        async with place.open() as store:
            scan, token = await store.scan(), await store.token()
            found, capabilities = await held(store, record()), store.capabilities
            store.rest()

            assert store.capabilities == capabilities
            assert await store.token() == token
            assert await held(store, record()) == found
            assert await store.scan() == scan
            assert await store.token() == token

    async def test_token_is_void_after_a_write_of_another_program(self, place: Place) -> None:
        """Since the scan; whether it creates, changes or deletes a record.

        Only another scan renews it: a read has not seen what the other program did to other records.
        """
        writes: list[Callable[[], Awaitable[None]]] = [
            lambda: place.put(record("theirs")),
            lambda: place.put(tagged(record(), "theirs")),
            lambda: place.remove("run"),
        ]
        await place.put(record(), record("other"))

        for number, write in enumerate(writes):
            async with place.open() as store:
                await store.scan()
                before = await store.token()
                await write()

                assert before is not None, number
                assert not await store.unchanged_since(before), number
                await store.read([key("other")])
                assert await store.token() is None, number

                await store.scan()
                after = await store.token()
                assert after is not None, number
                assert await store.unchanged_since(after), number


class StoreContract(SilentContract, ReadContract):
    """The tests for every store that can be written, and can tell whether it changed."""

    async def test_own_writes_change_the_token_and_require_no_scan(self, place: Place) -> None:
        """The store object has read them back, and no longer matches the token from before."""
        await place.put(record())

        async with place.open() as store:
            await store.scan()
            before = await store.token()
            assert await store.write([create(record("new")), delete(record())]) == [DONE, DONE]
            await store.read([key("new"), key("run")])
            after = await store.token()

            assert before is not None
            assert not await store.unchanged_since(before)
            assert after is not None
            assert await store.unchanged_since(after)

    async def test_own_writes_do_not_hide_a_write_of_another_program(self, place: Place) -> None:
        """It wrote between the scan and them."""
        await place.put(record())

        async with place.open() as store:
            await store.scan()
            await place.put(record("theirs"))
            assert await store.write([create(record("ours"))]) == [DONE]
            await store.read([key("ours")])

            assert await store.token() is None

    async def test_token_of_an_earlier_process_is_valid_until_a_program_writes(self, place: Place) -> None:
        """For any object that opens the store later."""
        async with place.open() as store:
            await store.write([create(record())])
            await store.scan()
            token = await store.token()
        async with place.open() as store:
            assert token is not None
            unchanged = await store.unchanged_since(token)
        await place.put(record("theirs"))
        async with place.open() as store:
            changed = not await store.unchanged_since(token)

        assert unchanged
        assert changed


class ResumedContract(StoreContract):
    """Further tests for a store that continues from a token of an earlier process."""

    async def scanned(self, place: Place) -> Token:
        """Return the token of a store that was scanned by a process that has ended."""
        await place.put(record(), record("other"))
        async with place.open() as store:
            assert store.capabilities.resumes
            await store.scan()
            token = await store.token()
            assert token is not None
            return token

    async def test_own_writes_after_a_resume_give_a_valid_token(self, place: Place) -> None:
        """The next process continues from the token of this one, as if it had scanned the store."""
        token = await self.scanned(place)

        async with resumed(place) as store:
            assert await store.resume(token)
            assert await store.token() == token
            changes = [
                create(record("new")),
                replace(record(), tagged(record(), "own")),
                delete(record("other")),
            ]
            assert await store.write(changes) == [DONE] * 3
            assert set(await held(store, record("new"), record(), record("other"))) == {"new", "run"}
            after = await store.token()

        assert after not in (None, token)
        async with resumed(place) as store:
            assert after is not None
            assert not await store.resume(token)
            assert await store.resume(after)
            assert len((await store.scan()).digests) == 2

    async def test_store_changed_by_others_is_not_resumed(self, place: Place) -> None:
        """It has to be scanned."""
        token = await self.scanned(place)
        await place.put(tagged(record(), "theirs"))

        async with resumed(place) as store:
            assert not await store.resume(token)
            assert await store.token() is None
            await store.scan()
            assert await store.token() is not None

    @pytest.mark.parametrize("when", ["before own writes", "after own writes"])
    async def test_write_of_another_program_after_a_resume_is_noticed(self, place: Place, when: str) -> None:
        """Own writes do not hide it."""
        token = await self.scanned(place)

        async with resumed(place) as store:
            assert await store.resume(token)
            if when == "before own writes":
                await place.put(record("theirs"))
            assert await store.write([create(record("ours"))]) == [DONE]
            await store.read([key("ours")])
            if when == "after own writes":
                await place.put(record("theirs"))

            assert await store.token() is None

    async def test_change_of_an_outdated_record_is_stale_after_a_resume(self, place: Place) -> None:
        """The scan of another process is not trusted more than an own one."""
        token = await self.scanned(place)

        async with resumed(place) as store:
            assert await store.resume(token)
            await place.put(tagged(record(), "theirs"))

            assert await store.write([replace(record(), commented(record(), "ours"))]) == [STALE]


@asynccontextmanager
async def resumed(place: Place) -> AsyncIterator[ResumedStore]:
    """Open the store at *place*, which can continue from a token."""
    async with place.open() as store:
        yield cast(ResumedStore, store)
