"""The channels of notifications: a command, and a webhook."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

import anyio
import pytest
import trustme

from smtd.daemon import notify_command, webhook
from smtd.daemon.notice import Notice, Undelivered
from smtd.daemon.notify_command import deliver
from smtd.daemon.webhook import open_webhook
from tests.daemon.process import wait_until
from tests.daemon.receiver import STALL, receiver

NOTICE = Notice(
    "halted", "lab", "2026-01-31T12:00:00Z", "pair lab needs attention; $HOME `id` 'x'", "it is damaged"
)
SECRET = "/hook/s3cret?token=t0ken"


def script(directory: Path, text: str) -> str:
    """Create a shell script."""
    path = directory / "script"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


async def test_command_gets_a_sentence_and_json(tmp_path: Path) -> None:
    """After its own arguments, and unchanged: no shell reads them."""
    program = script(tmp_path, f'printf "%s|" "$@" > {tmp_path}/words; cat > {tmp_path}/input')

    await deliver([program, "two words", "$HOME"], NOTICE)

    assert (tmp_path / "words").read_text() == f"two words|$HOME|{NOTICE.message}|"
    assert json.loads((tmp_path / "input").read_text()) == {
        "event": "halted",
        "pair": "lab",
        "at": "2026-01-31T12:00:00Z",
        "message": NOTICE.message,
        "problem": "it is damaged",
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo so it is; echo bad >&2; exit 3", "failed with code 3: so it is bad"),
        ("exec <&-; exit 4", "failed with code 4"),
        ("kill -9 $$", "failed with code -9"),
        ("head -c 100000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1", "code 1: x+ the end"),
    ],
)
async def test_error_of_a_failed_command_is_short(tmp_path: Path, text: str, why: str) -> None:
    """The name of the command, its exit code, and the end of its output."""
    with pytest.raises(Undelivered, match=why) as told:
        await deliver([script(tmp_path, text), "t0ken"], NOTICE)

    assert len(str(told.value)) < 1000
    assert "t0ken" not in str(told.value)
    assert not told.value.again


async def test_command_with_much_output_that_reads_no_input_succeeds(tmp_path: Path) -> None:
    """The output is dropped."""
    await deliver([script(tmp_path, "head -c 10000000 /dev/zero")], NOTICE)


@pytest.mark.parametrize("name", ["no-such-program", "zero\0byte"])
async def test_command_that_cannot_be_run_is_reported(name: str) -> None:
    """With the reason."""
    with pytest.raises(Undelivered, match=r"the command .* cannot be run: (No such file|it contains a zero)"):
        await deliver([f"/nowhere/{name}"], NOTICE)


async def test_command_that_leaves_a_process_running_has_ended(tmp_path: Path) -> None:
    """Even if that process keeps its output open."""
    with anyio.fail_after(20):
        await deliver([script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child")], NOTICE)

    os.kill(int((tmp_path / "child").read_text()), 9)


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, or is an orphan that its new parent has not waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (ProcessLookupError, FileNotFoundError):
        return True


async def test_command_that_takes_too_long_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery has failed."""
    monkeypatch.setattr(notify_command, "PATIENCE", 0.5)

    with pytest.raises(Undelivered, match="timed out after 0 s and was killed"):
        await deliver([script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")], NOTICE)

    wait_until(lambda: is_gone(int((tmp_path / "child").read_text())))


async def test_command_is_killed_when_the_daemon_stops(tmp_path: Path) -> None:
    """With its children, and at once."""
    os.mkfifo(tmp_path / "child")
    program = script(tmp_path, f"sleep 60 & echo $! > {tmp_path}/child; wait")

    async with anyio.create_task_group() as group:
        group.start_soon(deliver, [program], NOTICE)
        child = int(await anyio.to_thread.run_sync((tmp_path / "child").read_text))
        group.cancel_scope.cancel()

    wait_until(lambda: is_gone(child))


async def test_webhook_gets_json_and_a_heartbeat_is_a_get_request() -> None:
    """By POST; each at the full address."""
    with receiver() as server:
        async with open_webhook(server.url + SECRET) as hook:
            await hook.deliver(NOTICE)
            notice = server.next()
            await hook.beat()
            beat = server.next()

    assert (notice.method, notice.path, notice.body["message"]) == ("POST", SECRET, NOTICE.message)
    assert (beat.method, beat.path, beat.body) == ("GET", SECRET, None)


@pytest.mark.parametrize(
    ("answer", "again", "after"),
    [
        ((500, {}), True, None),
        ((503, {"Retry-After": "120"}), True, 120.0),
        ((429, {"Retry-After": "7"}), True, 7.0),
        ((429, {"Retry-After": "999999"}), True, 3600.0),
        ((429, {"Retry-After": "soon"}), True, None),
        ((408, {}), True, None),
        ((404, {}), False, None),
        ((302, {"Location": "https://elsewhere.example/"}), False, None),
    ],
)
async def test_webhook_failure_is_retried_only_if_it_may_pass(
    answer: tuple[int, dict[str, str]], again: bool, after: float | None
) -> None:
    """An error of the server may pass, after the time that it gives; a rejection or a redirect may not."""
    with receiver(answer) as server:
        async with open_webhook(server.url + SECRET) as hook:
            with pytest.raises(
                Undelivered, match=rf"^127\.0\.0\.1 answered with status {answer[0]}$"
            ) as told:
                await hook.deliver(NOTICE)

    assert (told.value.again, told.value.after) == (again, after)


async def test_webhook_that_does_not_answer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a limited time."""
    monkeypatch.setattr(webhook, "PATIENCE", 0.2)
    with receiver((STALL, {})) as server:
        async with open_webhook(server.url + SECRET) as hook:
            with pytest.raises(Undelivered, match="it does not answer") as told:
                await hook.deliver(NOTICE)

    assert told.value.again


async def test_error_of_an_unknown_webhook_shows_only_its_host() -> None:
    """And not the address."""
    with receiver() as server:
        pass
    async with open_webhook(server.url.replace("//", "//ada:pw@") + SECRET) as hook:
        with pytest.raises(Undelivered) as told:
            await hook.deliver(NOTICE)

    assert told.value.again
    assert str(told.value).startswith("127.0.0.1 cannot be reached (")
    assert told.value.__cause__ is None


async def test_webhook_with_an_invalid_certificate_gets_nothing() -> None:
    """The delivery has failed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with receiver(tls=context) as server:
        async with open_webhook(server.url + SECRET) as hook:
            with pytest.raises(
                Undelivered, match=r"127\.0\.0\.1 cannot be reached \(its certificate is not valid"
            ):
                await hook.deliver(NOTICE)

        assert server.heard.empty()
