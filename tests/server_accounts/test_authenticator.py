"""Who a request is from: right credentials pass, whatever others do, and wrong ones are slowed down."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread

from smtd.server.accounts import authenticator, credentials, throttle, users_file
from smtd.server.accounts.authenticator import Authenticator
from smtd.server.accounts.rights import Right, User
from smtd.server.accounts.throttle import FREE_BY_ADDRESS, FREE_BY_NAME, TooManyFailures
from smtd.server.accounts.users import Users
from smtd.server.accounts.users_file import Account, StoredToken, UsersFileError

HERE, THERE = "192.0.2.1", "198.51.100.7"
PASSWORD, TOKEN = "geh:eim ü", f"smtd_{43 * 't'}"
ADA = User("ada", everywhere=Right.READ)


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


RIGHT, WRONG = basic("ada", PASSWORD), basic("ada", "geraten")


@cache
def stored(password: str) -> str:
    return credentials.hashed(password)


def account(name: str = "ada", password: str | None = PASSWORD, **more: object) -> Account:
    return Account(name, password and stored(password), everywhere="read", **more)  # type: ignore[arg-type]


class World:
    """An authenticator by a real file, and the time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.now = 1000.0
        self.slept: list[float] = []
        self.gate = anyio.Event()  # who sleeps goes on when it is open
        self.gate.set()
        self.users = Users(file, clock=lambda: self.now)
        self.auth = Authenticator(
            self.users, clock=lambda: self.now, wall_clock=lambda: self.now, sleep=self._sleep
        )

    def put(self, *accounts: Account) -> None:
        """Let the file hold these accounts."""
        users_file.edit(self.file, lambda _known: {each.name: each for each in accounts})

    async def write(self, *accounts: Account) -> None:
        """Let the file hold these accounts, and let a moment pass."""
        await to_thread.run_sync(self.put, *accounts)
        self.now += 1.0

    async def login(self, header: str | None, address: str = HERE) -> User | int | None:
        """Return who it is, or how long they are to wait."""
        try:
            return await self.auth.authenticate(header, address)
        except TooManyFailures as exc:
            return exc.seconds

    async def fail(self, times: int, header: str = WRONG, address: str = HERE) -> None:
        for _ in range(times):
            await self.login(header, address)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.gate.wait()


@pytest.fixture
async def world(tmp_path: Path) -> World:
    """With ada, who has a password and a token, and bob, who has only a token."""
    made = World(tmp_path / "users")
    token = StoredToken(credentials.token_digest(TOKEN), 0)
    await made.write(account(tokens=(token,)), account("bob", None))
    await made.users.load()
    return made


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were checked by scrypt, which stays as it is."""
    seen: list[str] = []

    def matches(password: str, hashed: str | None) -> bool:
        seen.append(password)
        return real(password, hashed)

    real = credentials.matches
    monkeypatch.setattr(credentials, "matches", matches)
    return seen


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong passwords cost nothing, where a test is not about that."""
    monkeypatch.setattr(
        credentials, "matches", lambda password, hashed: password == PASSWORD and bool(hashed)
    )


@pytest.mark.parametrize(
    "header",
    [
        RIGHT,
        RIGHT.replace("Basic", "basic"),
        f"Bearer {TOKEN}",
        basic("ada", TOKEN),
    ],
    ids=["password", "lower case", "token", "token as password"],
)
async def test_right_credentials_tell_who(world: World, header: str) -> None:
    """By password or by token; Sumatra's clients know Basic only, so a token is a password, too."""
    assert await world.login(header) == ADA
    assert await world.login(header) == ADA


@pytest.mark.parametrize(
    "header",
    [
        WRONG,
        basic("ada", ""),
        basic("Ada", PASSWORD),
        basic("nobody", PASSWORD),
        basic("bob", PASSWORD),
        basic("bob", ""),
        basic("bob", TOKEN),
        basic("", TOKEN),
        f"Bearer {TOKEN}x",
        f"Bearer {credentials.token_digest(TOKEN)}",
        f"Bearer {PASSWORD}",
        basic("ada", stored(PASSWORD)),
    ],
)
async def test_wrong_credentials_log_nobody_in(world: World, header: str) -> None:
    """Neither do the stored hashes, nor a token of another user."""
    assert await world.login(header) is None


@pytest.mark.parametrize("header", [None, "", "Basic", "Basic !", "Digest x", "Basic YWRh"])
async def test_request_without_credentials_has_not_failed(world: World, header: str | None) -> None:
    """Clients send their first request without any."""
    await world.fail(100, header)  # type: ignore[arg-type]

    assert await world.login(WRONG) is None


@pytest.mark.usefixtures("quick")
async def test_failures_by_name_are_slowed_down(world: World) -> None:
    """From any address; others are not."""
    for number in range(FREE_BY_NAME):
        assert await world.login(WRONG, f"192.0.2.{number}") is None

    assert [await world.login(WRONG, THERE) for _ in range(4)] == [1, 2, 4, 8]
    assert await world.login(basic("bob", "geraten"), THERE) is None


@pytest.mark.usefixtures("quick")
async def test_failures_by_address_are_slowed_down(world: World) -> None:
    """For every name, and for tokens."""
    for number in range(FREE_BY_ADDRESS):
        assert await world.login(basic(f"user{number}", "geraten")) is None

    assert await world.login(basic("other", "geraten")) == 1
    assert await world.login("Bearer smtd_wrong") == 2
    assert await world.login("Bearer smtd_wrong", THERE) is None


@pytest.mark.usefixtures("quick")
async def test_wait_ends(world: World) -> None:
    """Then the next failure is a plain one, or waits longer."""
    await world.fail(FREE_BY_NAME + 1)
    world.now += throttle.FORGET

    assert await world.login(WRONG) is None


@pytest.mark.parametrize("header", [RIGHT, f"Bearer {TOKEN}", basic("ada", TOKEN)])
@pytest.mark.usefixtures("quick")
async def test_right_credentials_pass_while_others_fail(world: World, header: str) -> None:
    """An attacker with the same name and address locks no user out, first login or not."""
    await world.fail(100)
    assert await world.login(WRONG) == 60

    assert await world.login(header) == ADA
    assert await world.login(WRONG) == 60
    assert await world.login(header) == ADA


@pytest.mark.usefixtures("quick")
async def test_success_takes_back_no_failure(world: World) -> None:
    """Else an attacker would only have to wait for the user's next request."""
    await world.fail(FREE_BY_NAME + 1)
    await world.login(RIGHT)

    assert await world.login(WRONG) == 2


async def test_password_that_was_right_is_not_checked_again(world: World, checks: list[str]) -> None:
    """For five minutes; then it is."""
    for _ in range(5):
        assert await world.login(RIGHT) == ADA
    assert checks == [PASSWORD]

    world.now += authenticator.REMEMBERED
    assert await world.login(RIGHT) == ADA
    assert checks == [PASSWORD] * 2


async def test_password_that_was_wrong_is_checked_again(world: World, checks: list[str]) -> None:
    """It may be the right one in a second."""
    assert await world.login(WRONG) is None
    await world.write(account(password="geraten"))

    assert await world.login(WRONG) == ADA
    assert len(checks) == 2


async def test_many_requests_at_once_check_a_password_once(world: World, checks: list[str]) -> None:
    """A client that starts sends several."""
    found: list[User | int | None] = []

    async def login() -> None:
        found.append(await world.login(RIGHT))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(login)

    assert found == [ADA] * 20
    assert len(checks) <= 2


async def test_passwords_are_checked_two_at_once_at_most(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 16 MB and a core, and those who fail already only one."""
    now = most = 0

    def matches(_password: str, _hashed: str | None) -> bool:
        nonlocal now, most
        now += 1
        most = max(most, now)
        time.sleep(0.002)
        now -= 1
        return False

    async def many(address: Callable[[int], str]) -> int:
        nonlocal most
        most = 0
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(world.login, basic(f"user{number}", "x"), address(number))
        return most

    monkeypatch.setattr(credentials, "matches", matches)
    assert await many(lambda number: f"192.0.2.{number}") == 2
    await world.fail(FREE_BY_ADDRESS)
    assert await many(lambda _number: HERE) == 1


@pytest.mark.usefixtures("quick")
async def test_wrong_password_keeps_the_next_waiting_where_many_failed(world: World) -> None:
    """So an attacker has few guesses, with however many connections; correct logins delay no other."""
    await world.fail(FREE_BY_NAME)
    assert world.slept == []
    await world.fail(1)

    await world.fail(3)
    await world.login(RIGHT)

    assert world.slept == [authenticator.PACE] * 3


@pytest.mark.usefixtures("quick")
async def test_first_login_waits_for_few_of_a_crowd_of_attackers(world: World) -> None:
    """Each address has its turn: a login waits for at most one attempt of each other address."""
    await world.fail(FREE_BY_NAME + 1)
    order: list[str] = []

    async def login(header: str, address: str) -> None:
        await world.login(header, address)
        order.append(address)

    world.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(login, WRONG, HERE)
        while not world.slept:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(login, RIGHT, THERE)
        await anyio.wait_all_tasks_blocked()
        world.gate.set()

    assert order[:2] == [HERE, THERE]
    assert len(order) == 51


@pytest.mark.usefixtures("quick")
async def test_password_that_was_right_once_waits_for_no_attacker(world: World) -> None:
    """Though five minutes have passed, and it is checked again."""
    assert await world.login(RIGHT) == ADA
    await world.fail(100)
    world.now += authenticator.REMEMBERED
    await world.fail(1)
    world.gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(world.login, WRONG)
        await anyio.wait_all_tasks_blocked()

        with anyio.fail_after(1):
            assert await world.login(RIGHT) == ADA

        world.gate.set()


@pytest.mark.usefixtures("quick")
async def test_guesses_that_come_all_at_once_are_slow(world: World) -> None:
    """Before the first of them has failed: those beyond a few."""
    async with anyio.create_task_group() as tasks:
        for number in range(authenticator.FEW_AT_ONCE + 20):
            tasks.start_soon(world.login, basic(f"user{number}", "x"))

    assert world.slept == [authenticator.PACE] * 20


@pytest.mark.usefixtures("quick")
async def test_logins_that_wait_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One address holds no more than so many; a password that was right before passes even then."""
    monkeypatch.setattr(authenticator, "MOST_WAITING", 5)
    assert await world.login(RIGHT) == ADA
    found: list[User | int | None] = []

    async def login(number: int) -> None:
        found.append(await world.login(basic(f"user{number}", "x")))

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(login, number)
        await anyio.lowlevel.checkpoint()
        assert await world.login(RIGHT) == ADA
        assert await world.login(RIGHT, THERE) == ADA

    assert found[:3] == [1, 1, 1]
    assert found[3:] == [None] * 5


async def test_cancelled_login_leaves_nothing_behind(world: World) -> None:
    """A client that goes away takes its place in the line along."""
    await world.fail(FREE_BY_NAME + 1)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(world.login, WRONG)
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert world.auth._lines == {}
    assert await world.login(RIGHT) == ADA


@pytest.mark.parametrize("name", ["ada", "bob", "nobody", "", "a" * 1000])
async def test_unknown_user_costs_the_same_as_a_wrong_password(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every name costs one hash: the time does not reveal which users exist."""
    costs: list[dict[str, object]] = []

    def scrypt(password: bytes, *, salt: bytes, **cost: object) -> bytes:
        costs.append(cost)
        assert (password, len(salt)) == (b"geraten", 16)
        return bytes(32)

    monkeypatch.setattr(hashlib, "scrypt", scrypt)

    assert await world.login(basic(name, "geraten")) is None
    assert costs == [{"n": 2**14, "r": 8, "p": 1, "maxmem": 2**26, "dklen": 32}]


async def test_change_of_the_file_counts_within_a_second(world: World) -> None:
    """A new user, a new password, and one who is gone."""
    assert await world.login(RIGHT) == ADA
    assert await world.login(f"Bearer {TOKEN}") == ADA

    await world.write(account(password="neu"))
    assert await world.login(RIGHT) is None
    assert await world.login(f"Bearer {TOKEN}") is None
    assert await world.login(basic("ada", "neu")) == ADA

    await world.write(account("eve", "neu", admin=True))
    assert await world.login(basic("ada", "neu")) is None
    assert await world.login(basic("eve", "neu")) == User("eve", admin=True, everywhere=Right.READ)

    world.file.unlink()
    world.now += 1.0
    assert await world.login(basic("eve", "neu")) is None


async def test_file_is_not_looked_at_for_each_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor read if it has not changed."""
    looks: list[Path] = []

    def read(path: Path) -> dict[str, Account]:
        looks.append(path)
        return {}

    await world.login(f"Bearer {TOKEN}")
    monkeypatch.setattr(users_file, "read", read)
    for _ in range(10):
        await world.login(f"Bearer {TOKEN}")
        world.now += 1.0

    assert looks == []


async def test_change_of_one_user_is_none_of_another(world: World, checks: list[str]) -> None:
    """A new token for one user does not make a hundred laptops prove their passwords again."""
    await world.login(RIGHT)
    await world.write(account(tokens=world.users.accounts["ada"].tokens), account("eve", "neu"))

    assert await world.login(RIGHT) == ADA
    assert checks == [PASSWORD]


async def test_token_expires(world: World) -> None:
    """At its second, also as a password."""
    token = StoredToken(credentials.token_digest("smtd_short"), 0, int(world.now) + 10)
    await world.write(account(tokens=(token,)))

    assert await world.login("Bearer smtd_short") == ADA
    world.now = float(token.expires or 0)
    assert await world.login("Bearer smtd_short") is None
    assert await world.login(basic("ada", "smtd_short")) is None


async def test_spoilt_file_changes_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in the file locks no user out; it is logged once, and so is its end."""
    before = world.file.read_bytes()
    assert await world.login(RIGHT) == ADA

    for _ in range(3):
        world.file.write_bytes(b'{"name": "geheimer name"}\n')
        world.now += 1.0
        assert await world.login(RIGHT) == ADA
        assert await world.login(f"Bearer {TOKEN}") == ADA
    assert world.users.problem.startswith("line 1 of the users file")
    world.file.write_bytes(before)
    world.now += 1.0
    assert await world.login(RIGHT) == ADA

    assert world.users.problem == ""
    messages = [each.getMessage() for each in caplog.records]
    assert [" is not valid" in messages[0], "can be used again" in messages[1]] == [True] * 2
    assert len(messages) == 2
    assert "geheimer" not in caplog.text


async def test_file_that_others_can_read_is_refused_at_the_start(world: World) -> None:
    """A server does not start with it."""
    world.file.chmod(0o644)
    fresh = Users(world.file)

    with pytest.raises(UsersFileError, match="others can use"):
        await fresh.load()
    world.file.chmod(0o600)
    await Users(world.file).load()


@pytest.mark.usefixtures("quick")
async def test_no_secret_is_logged_or_shown(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the most talkative level, not in an error, and not in what a debugger prints of the objects."""
    caplog.set_level(logging.DEBUG)
    shown = [f"{world.auth!r}", f"{world.users!r}", f"{ADA!r}"]
    for header in (RIGHT, WRONG, f"Bearer {TOKEN}", "Bearer smtd_wrong", basic(PASSWORD, "x")):
        for _ in range(FREE_BY_ADDRESS + 2):
            try:
                shown.append(f"{await world.auth.authenticate(header, HERE)!r}")
            except TooManyFailures as exc:
                shown.append(f"{exc!r}{exc}")
    shown.append(f"{vars(world.auth)!r}{vars(world.users)!r}{vars(world.auth._throttle)!r}")

    text = f"{caplog.text}{shown}"
    assert "failed logins from 192.0.2.1 are slowed down" in caplog.text
    for secret in (PASSWORD, "geraten", "smtd_wrong", TOKEN, RIGHT.split()[1], WRONG.split()[1]):
        assert secret not in text
    for kept in (stored(PASSWORD), credentials.token_digest(TOKEN)):
        assert kept not in f"{caplog.text}{shown[:-1]}"


async def test_evil_address_makes_up_no_line_of_a_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A proxy may hand on anything for one."""
    for number in range(FREE_BY_ADDRESS + 1):
        await world.login(f"Bearer smtd_{number}", "evil\nline\x1b[2J")

    assert [each.getMessage() for each in caplog.records] == [
        r"failed logins from evil\nline\x1b[2J are slowed down"
    ]


async def test_two_users_of_one_process_do_not_share_what_is_remembered(world: World, tmp_path: Path) -> None:
    """The key of the hash is each authenticator's own, so it is of no use elsewhere."""
    other = Authenticator(world.users)
    await world.login(RIGHT)
    await other.authenticate(RIGHT, HERE)

    assert world.auth._remembered.keys() & other._remembered.keys() == set()
