"""`smtd check` checks the configuration and reaches every store, and reports all problems at once."""

from __future__ import annotations

from pathlib import Path

from smtd.config import PairConfig
from smtd.daemon import added
from tests.build import PROJECT, full
from tests.command import Answer, Smtd
from tests.daemon.sqlite_stores import put
from tests.peers.server import PASSWORD, SumatraServer


def checked(smtd: Smtd, text: str) -> Answer:
    """Return the result of `smtd check` for the private configuration *text*."""
    config = smtd.directory / "config.toml"
    config.touch(0o600)
    config.write_text(text, "utf-8")
    return smtd("-c", config, "check")


def test_check_reaches_and_reports_each_store(smtd: Smtd, tmp_path: Path, server: SumatraServer) -> None:
    """What it holds, or that the first sync will create it."""
    put(tmp_path / "left.sqlite", full("run"))
    server.make_project("Mine")

    answer = checked(
        smtd,
        f"""
        [stores.left]
        location = "{tmp_path}/left.sqlite"
        [stores.new]
        location = "{tmp_path}/new.sqlite"
        [stores.lab]
        location = "{server.url}"
        username = "ada"
        password = "{PASSWORD}"
        [pairs.one]
        left = "left"
        right = "new"
        """,
    )

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        f"\u2713 left         {tmp_path}/left.sqlite  1 record of {PROJECT}; can be written",
        f"\u2713 new          {tmp_path}/new.sqlite  does not exist yet; the first sync creates it",
        f"\u2713 lab          {server.url}  Mine; whether this user may write cannot be tried on a Sumatra"
        " Server without a trace",
        f"\u2713 state        {smtd.home}/smtd",
        "\u2713 pair one     left <-> new  all projects",
        "3 stores, 1 pair: all is well",
    ]
    assert not (tmp_path / "new.sqlite").exists()
    assert not (smtd.home / "smtd").exists()


def test_all_unreachable_stores_are_reported_at_once(
    smtd: Smtd, tmp_path: Path, server: SumatraServer
) -> None:
    """With the name of each, and what to do; the others are reported as well."""
    put(tmp_path / "left.sqlite", full("run"))
    (tmp_path / "broken").write_bytes(b"neither a shelf nor a database")

    answer = checked(
        smtd,
        f"""
        [stores.left]
        location = "{tmp_path}/left.sqlite"
        [stores.same]
        location = "{tmp_path}/../{tmp_path.name}/left.sqlite"
        [stores.broken]
        location = "{tmp_path}/broken"
        [stores.away]
        location = "{tmp_path}/away/store.sqlite"
        [stores.lab]
        location = "{server.url}"
        username = "ada"
        password = "mistaken"
        [pairs.one]
        left = "left"
        right = "same"
        """,
    )

    assert answer.code == 4
    assert answer.out.splitlines()[0].startswith("\u2713 left ")
    told = [line for line in answer.out.splitlines() if line[0] == "\u2717"]
    assert [line[2:15].rstrip() for line in told] == ["broken", "away", "lab", "pair one"]
    assert "is not a record store" in told[0]
    assert "there is no directory" in told[1]
    assert "shows no projects to this user: check the user name and the password" in told[2]
    assert "is on both sides; name two different stores" in told[3]
    assert answer.out.splitlines()[-1] == "5 stores, 1 pair: 4 problems"
    assert "mistaken" not in answer.out + answer.err


def test_mistakes_in_the_configuration_are_reported_before_any_store(smtd: Smtd) -> None:
    """All of them, each with its line; no store is opened."""
    answer = checked(
        smtd, '[stores.lab]\nlocation = "https://lab.invalid/"\npoll = "3s"\n[pairs.one]\nleft = "la"\n'
    )

    assert (answer.code, answer.out) == (2, "")
    assert [line.split(":", 2)[1:] for line in answer.err.splitlines()][1:] == [
        ["4", " pairs.one: it needs the key right"],
        ["5", " pairs.one.left: there is no store 'la'; did you mean 'lab'?"],
    ]


def test_server_that_shows_no_project_is_exit_code_1(smtd: Smtd, server: SumatraServer) -> None:
    """smtd cannot tell a useless login from an empty server, so it reports that."""
    answer = checked(
        smtd, f'[stores.lab]\nlocation = "{server.url}"\nusername = "ada"\npassword = "mistaken"\n'
    )

    assert (answer.code, answer.err) == (1, "")
    assert answer.out.startswith(f"\u2717 lab          {server.url} shows no projects to this user")


def test_project_that_neither_store_has_is_exit_code_1(smtd: Smtd, tmp_path: Path) -> None:
    """With a similar name; a project that one store has, under its name there, is fine."""
    put(tmp_path / "left.sqlite", full("run"))
    stores = "".join(
        f'[stores.{name}]\nlocation = "{tmp_path}/{name}.sqlite"\n' for name in ("left", "right")
    )
    pair = '[pairs.one]\nleft = "left"\nright = "right"\nprojects = '

    missing = checked(smtd, f'{stores}{pair}["{PROJECT}", "MyProjet", "xyz"]')
    renamed = checked(smtd, f'{stores}{pair}{{ "{PROJECT}" = "mine" }}')

    assert missing.code == 1
    assert [line for line in missing.out.splitlines() if line[0] == "\u2717"] == [
        f"\u2717 pair one     neither store has a project 'MyProjet'; did you mean '{PROJECT}'?",
        "\u2717 pair one     neither store has a project 'xyz'; smtd list shows what a store has",
    ]
    assert (renamed.code, renamed.err) == (0, "")


def test_missing_configuration_is_an_error_with_the_places_searched(smtd: Smtd) -> None:
    """It is wrong usage: nothing can be checked."""
    answer = smtd("check")

    usual = smtd.home / "smtd" / "config.toml"
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"smtd: no configuration found: neither {usual} nor /etc/smtd/config.toml exists;"
        " smtd init writes one, smtd mirror sets up the mirror of a project, and -c names another file\n"
    )


def test_configuration_is_named_before_or_after_the_verb(smtd: Smtd) -> None:
    """If there are two, the one after the verb counts."""
    (smtd.directory / "good.toml").write_text("", "utf-8")
    (smtd.directory / "bad.toml").write_text("xyzzy = 1", "utf-8")

    assert smtd("-c", "good.toml", "check").code == 0
    assert smtd("check", "-c", "good.toml").code == 0
    assert smtd("-c", "bad.toml", "check", "--config", "good.toml").code == 0
    assert [smtd(*words, "-c", "bad.toml").code for words in (["check"], ["run"], ["list", "x"])] == [2, 2, 2]
    assert "bad.toml:1: xyzzy: unknown key" in smtd("sync", "a", "b", "-c", "bad.toml").err


def test_check_of_a_new_configuration_says_how_to_go_on(smtd: Smtd) -> None:
    """It does not claim that all is well where nothing is synced."""
    answer = checked(smtd, "")

    assert answer.code == 0
    assert answer.out.splitlines()[-1] == (
        "0 stores, 0 pairs: nothing is synced yet; smtd mirror TARGET, in a project, adds a pair"
    )


def test_check_covers_pairs_that_were_added_to_a_daemon(smtd: Smtd, tmp_path: Path) -> None:
    """With stores that have no name; a store that is gone is a problem of that pair."""
    put(tmp_path / "left.sqlite", full("run"))
    left, gone = str(tmp_path / "left.sqlite"), str(tmp_path / "gone" / "right.sqlite")
    smtd.home.joinpath("smtd").mkdir(mode=0o700, parents=True)
    added.write(smtd.home / "smtd" / added.FILE, {"mine": PairConfig(left, gone)})

    answer = checked(smtd, "")

    assert answer.code == 4
    assert f"\u2717 {gone}" in answer.out
    assert "\u2717 pair mine" in answer.out
    assert "2 stores, 1 pair: 2 problems" in answer.out
