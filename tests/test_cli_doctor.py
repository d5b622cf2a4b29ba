"""`smtd doctor` collects what a bug report needs, and shows no secret."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from smtd.cli import redaction
from smtd.config import DaemonConfig, Notify, PairConfig, ServerConfig, StoreConfig
from tests.build import full
from tests.command import Smtd
from tests.daemon.process import daemon_process, pair_of, synced
from tests.daemon.sqlite_stores import put

#: Everything in this configuration that contains `s3cr` is a secret, and so is a mistyped key.
SECRETS = """
state = "s3cr-unknown-section-key"
[daemon]
state_dir = "{home}/state"
[stores.file]
location = "{home}/left.sqlite"
password = "s3cr-password"
[stores.web]
location = "https://ada:s3cr-in%40address@127.0.0.1:9/records/?key=s3cr-query#s3cr-fragment"
password_command = ["false", "--token=s3cr-option", "s3cr-argument"]
[stores.base]
location = "postgresql://ada:s3cr/p@ss@127.0.0.1:9/lab?password=s3cr-parameter"
[stores.token]
location = "http://127.0.0.1:9/records/"
token_command = ["printf", "s3cr-token"]
[stores.mistyped]
location = "{home}/left.sqlite"
pasword = "s3cr-mistyped"
[pairs.pair]
left = "file"
right = "https://ada:s3cr-in-pair@host/"
[notify]
command = ["curl", "-H", "Authorization: Bearer s3cr-header"]
webhook = "https://ada:s3cr-hook@hooks.invalid/services/s3cr-path/s3cr-more"
heartbeat_url = "https://monitor.invalid/ping/s3cr-ping"
[server]
url = "https://ada:s3cr-server@lab.invalid/"
[more]
anything = ["s3cr-list", {{ deep = "s3cr-deep" }}]
"""


def configured(smtd: Smtd, text: str) -> Path:
    """Return the private configuration with *text*."""
    file = smtd.directory / "config.toml"
    file.touch(0o600)
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize(
    "is_right", [pytest.param(True, marks=pytest.mark.slow), False], ids=["usable", "with mistakes"]
)
def test_no_secret_of_a_configuration_is_shown(smtd: Smtd, tmp_path: Path, *, is_right: bool) -> None:
    """In no part of the report, also where a message of a store, or of a mistake, could have one."""
    put(tmp_path / "left.sqlite", full("run"))
    text = SECRETS.format(home=tmp_path)
    if is_right:
        wrong = ("state =", "pasword", "[more]", "anything", "[pairs.pair]", "left =", "right =", "url =")
        lines = [line for line in text.splitlines() if not line.startswith(wrong)]
        text = "\n".join(lines)
    smtd.more["https_proxy"] = "http://ada:s3cr-proxy@127.0.0.1:9/"
    config = configured(smtd, text)

    plain, as_json = smtd("-c", config, "doctor"), smtd("-c", config, "doctor", "--json")

    assert (plain.code, plain.err, as_json.code, as_json.err) == (0, "", 0, "")
    assert "s3cr" not in plain.out + as_json.out
    content = as_json.json["configuration"]["content"]
    assert content["stores"]["file"]["password"] == redaction.HIDDEN
    assert content["stores"]["web"]["location"] == f"https://{redaction.HIDDEN}@127.0.0.1:9/records/"
    assert content["notify"]["command"] == ["curl", redaction.HIDDEN]
    assert (as_json.json["configuration"].get("problem") is None) is is_right
    assert [each["store"] for each in as_json.json["stores"]] == (
        ["file", "web", "base", "token", "mistyped"] if is_right else []
    )


@pytest.mark.slow
def test_report_has_what_a_bug_report_needs(smtd: Smtd, tmp_path: Path) -> None:
    """Of a running daemon: versions, configuration, journal, pairs, stores and disks."""
    left = tmp_path / "left.sqlite"
    put(left, full("run"))
    with daemon_process(tmp_path, pair_of(left, tmp_path / "right.sqlite")) as daemon:
        daemon.wait_event(synced)
        report = daemon.smtd("-c", daemon.config, "doctor", "--json").json
        text = daemon.smtd("-c", daemon.config, "doctor").out

    assert {"smtd", "python", "sqlite", "libraries", "platform"} <= report["versions"].keys()
    assert report["configuration"]["content"]["pairs"] == {"pair": {"left": "left", "right": "right"}}
    journal = report["state"]["journal"]
    assert (journal["version"], journal["integrity"]) == (journal["expected_version"], ["ok"])
    assert journal["rows"]["pair"] == 1
    assert "journal.sqlite" in [Path(each["path"]).name for each in report["state"]["files"]]
    assert report["state"]["directory"]["free_bytes"] > 0
    assert report["state"]["directory"]["file_system"]
    assert [pair["state"] for pair in report["daemon"]["status"]["pairs"]] == ["idle"]
    assert report["surroundings"]["open_files"]["soft"] > 0
    assert [(each["kind"], each["notes"]) for each in report["stores"]] == [
        ("django", ["1 record of MyProject"])
    ] * 2
    assert "\n  journal:\n    expected_version: " in text
    assert "\nstores:\n  left:\n" in text


def test_report_is_written_to_a_private_file(smtd: Smtd, tmp_path: Path) -> None:
    """A new one; and smtd leaves nothing else behind."""
    config = configured(smtd, "")
    before = {*tmp_path.iterdir()}

    answer = smtd("-c", config, "doctor", "--output", tmp_path / "report.txt")
    again = smtd("-c", config, "doctor", "--output", tmp_path / "report.txt")

    assert (answer.code, answer.out) == (0, "")
    assert answer.err == f"smtd: the report is in {tmp_path}/report.txt; read it before you send it\n"
    assert stat.S_IMODE((tmp_path / "report.txt").stat().st_mode) == 0o600
    assert "configuration:" in (tmp_path / "report.txt").read_text("utf-8")
    assert (again.code, again.err) == (2, f"smtd: {tmp_path}/report.txt already exists; name a new file\n")
    assert {*tmp_path.iterdir()} == before | {tmp_path / "report.txt"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/p@th", "/home/ada/p@th"),
        ("https://host/records/", "https://host/records/"),
        ("https://ada@host/", "https://(not shown)@host/"),
        ("mysql://ada:p@ss/w@rd@host/lab", "mysql://(not shown)@host/lab"),
        ("postgresql://host/lab?password=x#y", "postgresql://host/lab"),
        ("https://[::1]:8471/records/", "https://[::1]:8471/records/"),
    ],
)
def test_address_is_shown_without_login_and_query(text: str, expected: str) -> None:
    """Whatever characters the password has."""
    assert redaction.address(text) == expected


def test_short_words_are_left_in_texts() -> None:
    """A command's name in a message is no secret; an argument that is long may be one."""
    document = {"notify": {"command": ["notify-send", "smtd", "--key=0123456789", "Bearer abcdefgh"]}}

    hidden = redaction.secrets(document)

    assert hidden == {"0123456789", "Bearer abcdefgh"}
    assert redaction.without({"smtd": ["key 0123456789", 3, None]}, hidden) == {
        "smtd": [f"key {redaction.HIDDEN}", 3, None]
    }


def test_journal_is_not_changed_by_looking(smtd: Smtd, tmp_path: Path) -> None:
    """A log left beside it would make the next start check all of it."""
    put(tmp_path / "left.sqlite", full("run"))
    smtd.sync("left.sqlite", "right.sqlite")
    before = {file: file.stat().st_mtime_ns for file in (smtd.home / "smtd").iterdir()}

    report = smtd("-c", configured(smtd, ""), "doctor", "--json").json

    assert report["state"]["journal"]["integrity"] == ["ok"]
    assert {file: file.stat().st_mtime_ns for file in (smtd.home / "smtd").iterdir()} == before
    assert os.access(smtd.home / "smtd", os.W_OK)


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        ("daemon", DaemonConfig),
        ("stores", StoreConfig),
        ("pairs", PairConfig),
        ("notify", Notify),
        ("server", ServerConfig),
    ],
)
def test_each_key_is_shown_or_hidden_on_purpose(section: str, keys: type[msgspec.Struct]) -> None:
    """In its own section: a key that is listed under another one would be hidden, as its value everywhere."""
    values = {field.encode_name: "a value" for field in msgspec.structs.fields(keys)}
    table = {"name": values} if section in ("stores", "pairs") else values
    found = redaction.redacted({section: table})[section]
    hidden = {key for key, value in found.get("name", found).items() if value == redaction.HIDDEN}

    assert hidden == {"stores": {"password", "password_command", "token_command"}, "notify": {"command"}}.get(
        section, set()
    )
