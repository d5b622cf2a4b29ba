"""Every verb of `smtd-ctl` is a command of `smtd`: with the same words, options, help and exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from smtd.cli import ctl
from smtd.cli.main import main
from smtd.cli.parser import VerbParser
from smtd.cli.verb_groups import GROUPS
from tests.build import PROJECT, change, record
from tests.command import Answer, Smtd
from tests.daemon.process import DaemonProcess, daemon_process, pair_of
from tests.daemon.sqlite_stores import put

#: What stands before the answer of a program.
PROGRAMS = {"smtd": ["-m", "smtd"], "smtd-ctl": ["-m", "smtd.cli.ctl"]}


class Programs:
    """Both programs, run with the same words."""

    def __init__(self, smtd: Smtd) -> None:
        self._smtd = smtd

    def __call__(self, program: str, *words: str | Path, cwd: Path | None = None) -> Answer:
        self._smtd.program = PROGRAMS[program]
        return self._smtd(*words, cwd=cwd)

    def both(self, *words: str | Path) -> Answer:
        """Return the answer of `smtd`, which must be that of `smtd-ctl` but for its name."""
        one, other = self("smtd", *words), self("smtd-ctl", *words)
        expected = (other.code, named(other.out), named(other.err))
        assert (one.code, one.out, one.err) == expected
        return one


def named(text: str) -> str:
    """Return *text* of `smtd-ctl` as `smtd` would say it."""
    return re.sub(r"(?m)^((?:Usage: | *)?)smtd-ctl", r"\1smtd", text)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon whose pair has a conflict and a record in sync."""
    directory = tmp_path_factory.mktemp("one")
    for name, version in (("left", "1111"), ("right", "2222")):
        put(directory / f"{name}.sqlite", change(record("both"), version=version), record("same"))
    text = pair_of(directory / "left.sqlite", directory / "right.sqlite")
    with daemon_process(directory, text) as process:
        process.ctl("sync", "now")
        yield process


@pytest.fixture
def programs(daemon: DaemonProcess) -> Programs:
    return Programs(daemon.smtd)


@pytest.fixture
def alone(tmp_path: Path) -> Programs:
    """Both programs, without a daemon."""
    smtd = Smtd(tmp_path)
    smtd.more["SMTD_SOCKET"] = str(tmp_path / "no.sock")
    return Programs(smtd)


def commands(command: click.Command, name: str = "smtd") -> Iterator[tuple[str, click.Command]]:
    """Yield *command* and all below it, each with the words that call it."""
    yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {word}")


def verbs(parser: VerbParser) -> Iterator[str]:
    """Yield the words of all verbs below *parser*."""
    for name, below in parser.verbs.items():
        yield name
        yield from (f"{name} {word}" for word in verbs(below))


def test_each_verb_of_smtd_ctl_is_a_command_of_smtd() -> None:
    names = {name.removeprefix("smtd ") for name, _ in commands(main)}

    assert [verb for verb in verbs(ctl.parser()) if verb not in names] == []


def test_each_command_is_in_one_group_of_the_help_on_one_line(alone: Programs) -> None:
    """So that the help can be read at one glance."""
    placed = [name for _, names in GROUPS for name in names]

    assert sorted(set(placed)) == sorted(placed)
    assert [name for name in main.commands if name not in placed] == []
    lines = re.findall(r"^  (\w+)  +[A-Z].*\.$", alone("smtd", "--help").out, re.MULTILINE)
    assert sorted(lines) == sorted(main.commands)


@pytest.mark.parametrize("words", [["--help"], ["resolve", "--help"], ["sync", "now", "-h"]])
def test_help_has_one_form(alone: Programs, words: list[str]) -> None:
    """Usage, text, arguments, commands and options, in this order, in both programs."""
    one, other = alone("smtd", *words), alone("smtd-ctl", *words)

    for answer in (one, other):
        headings = re.findall(r"^([A-Z][\w ]+):", answer.out, re.MULTILINE)
        assert (answer.code, answer.err, headings[0]) == (0, "", "Usage")
        assert answer.out.count("-h, --help") == 1
        assert max(map(len, answer.out.splitlines())) <= 80
    if words != ["--help"]:
        assert one.out == named(other.out)


@pytest.mark.parametrize(("name", "command"), [*commands(main)])
def test_each_option_and_argument_is_explained_in_sentences(name: str, command: click.Command) -> None:
    """With a capital letter and a full stop, and the options that most commands have at the end."""
    page = command.get_help(click.Context(command, info_name=name, help_option_names=["-h", "--help"]))
    _, _, options = page.rpartition("Options:\n")

    rows = re.findall(r"^  (\S.*?)(?:\n {4,}|  +)(\S(?:.|\n {4,})*)", options, re.MULTILINE)
    texts = [" ".join(text.split()) for _, text in rows if text]
    assert texts
    assert [text for text in texts if not re.match(r"[A-Z'].*(\.|\])\Z", text)] == []
    assert re.search(r"-h, --help +Show this message and exit\.", options)


def test_verb_has_the_same_answer_in_both_programs(programs: Programs) -> None:
    """Results, messages, exit codes, and commands to paste that name the program."""
    conflicts = programs("smtd", "conflicts")

    assert programs.both("conflicts", "pair", "--json").code == 1
    assert programs.both("holds").code == 0
    assert programs.both("explain", "pair", PROJECT, "same").code == 0
    assert (
        programs.both("history", "nobody").err
        == "smtd: there is no pair nobody; smtd pair list shows the pairs\n"
    )
    assert (conflicts.code, f"smtd resolve --take left pair {PROJECT} both" in conflicts.out) == (1, True)


def test_no_daemon_is_the_same_exit_code_in_both_programs(alone: Programs) -> None:
    assert alone.both("status").code == 3
    assert alone.both("sync", "now").code == 3


def test_options_stand_before_and_after_the_verb(
    programs: Programs, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """In both programs, also before and after a word that verbs follow."""
    no_socket = str(tmp_path / "no.sock")
    for program in PROGRAMS:
        for words in (["--json", "pair", "list"], ["pair", "--json", "list"], ["pair", "list", "--json"]):
            assert programs(program, *words).json["pairs"][0]["pair"] == "pair"
        for words in (["--socket", no_socket, "status"], ["status", f"--socket={no_socket}"]):
            assert programs(program, *words).code == 3
        for words in (["-c", str(daemon.config), "status"], ["status", "--config", str(daemon.config)]):
            assert programs(program, *words).code == 1
    for words in (["--json", "sync", "now"], ["sync", "--json", "now"]):
        assert programs("smtd", *words).json["pairs"][0]["pair"] == "pair"


def test_socket_leads_a_command_of_smtd_to_the_daemon_that_has_the_pair(
    alone: Programs, daemon: DaemonProcess
) -> None:
    """As SMTD_SOCKET does: a sync of its two stores is its own."""
    stores = [str(daemon.directory / name) for name in ("left.sqlite", "right.sqlite")]
    state = ["--state", str(daemon.state)]

    synced = alone("smtd", "--socket", daemon.socket, "sync", *stores, *state)

    assert (synced.code, "the running daemon syncs this pair (pair)" in synced.err) == (1, True), synced.err


def test_configuration_and_socket_stand_before_and_after_a_command_of_smtd_alone(
    alone: Programs, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[demon]\n")

    places: list[list[str | Path]] = [
        ["-c", wrong, "run"],
        ["run", "-c", wrong],
        ["run", f"--config={wrong}", "--socket", "x"],
    ]
    for words in places:
        answer = alone("smtd", *words)
        assert (answer.code, answer.err) == (
            2,
            f"smtd: {wrong}:1: demon: unknown key 'demon'; did you mean 'daemon'?\n",
        )
    assert alone("smtd", "--json", "user", "list").json == {"users": []}
    assert alone("smtd", "--json", "run").err == "smtd run: no option '--json'; see smtd run --help\n"


def test_sync_alone_names_both_ways(alone: Programs) -> None:
    answer = alone("smtd", "sync")

    assert answer.code == 2
    assert "smtd sync LEFT RIGHT" in answer.err
    assert "smtd sync now" in answer.err


def test_store_that_is_called_like_a_verb_is_not_guessed(alone: Programs, tmp_path: Path) -> None:
    """Nobody can tell which of the two is meant, so smtd says how to write each."""
    put(tmp_path / "now", record("run"))
    put(tmp_path / "store.sqlite")
    (tmp_path / "plan").mkdir()
    config = tmp_path / "config.toml"
    config.write_text(f'[stores.plan]\nlocation = "{tmp_path}/now"\n')

    guessed, named_one = (
        alone("smtd", "sync", "now", "store.sqlite"),
        alone("smtd", "sync", "plan", "-c", config),
    )
    synced = alone("smtd", "sync", "./now", "store.sqlite")
    literally = alone("smtd", "-c", config, "sync", "--json", "--", "plan", "store.sqlite")
    no_store = alone("smtd", "sync", "plan")

    assert (guessed.code, named_one.code) == (2, 2)
    assert f"{tmp_path}/now is a store, too: write smtd sync ./now" in guessed.err
    assert "plan is a store of the configuration, too: write smtd sync -- plan" in named_one.err
    assert "to ask the daemon, run smtd-ctl sync now" in guessed.err
    assert (synced.code, literally.code, literally.pair["in_sync"]) == (0, 0, 1), synced.err
    assert no_store.code == 3  # the directory is no store


@pytest.mark.slow
def test_daemon_is_asked_from_a_directory_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    words = f"cd gone && rmdir ../gone && exec {sys.executable} -m smtd sync now"
    environment = Smtd(tmp_path).variables() | {"SMTD_SOCKET": str(tmp_path / "no.sock")}

    done = subprocess.run(
        ["sh", "-c", words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr.startswith("smtd: no daemon answers at ")) == (3, True), done.stderr


def test_backup_copies_the_journal_or_the_store_of_the_server(
    programs: Programs, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """What each form copied before, it copies still; the same words mean the same in both programs."""
    forms: dict[str, list[str | Path]] = {
        "smtd": ["backup", "--journal", "--json", tmp_path / "one"],
        "smtd-ctl": ["backup", "--journal", tmp_path / "two", "--json"],
    }
    copied = [programs(program, *words) for program, words in forms.items()]
    plain = programs("smtd-ctl", "backup", tmp_path / "three", "--json")
    store = programs("smtd", "backup", daemon.directory / "left.sqlite", "--store", "nowhere")
    none = programs("smtd", "backup", tmp_path / "four")
    contrary = programs("smtd", "backup", tmp_path / "four", "--journal", "--store", "left")
    of_store = programs(
        "smtd", "backup", tmp_path / "five", "--store", daemon.directory / "left.sqlite", "--json"
    )

    assert [Path(each.json["file"]).name for each in [*copied, plain]] == ["one", "two", "three"]
    assert (store.code, none.code, contrary.code) == (4, 2, 2)
    assert "--journal copies the daemon's journal" in none.err
    assert (of_store.code, of_store.json["bytes"]) == (0, (tmp_path / "five").stat().st_size)


@pytest.mark.parametrize(
    ("program", "words", "sentence"),
    [
        ("smtd", ["stauts"], "smtd: no command 'stauts'; did you mean 'status'?"),
        ("smtd-ctl", ["stauts"], "smtd-ctl: no command 'stauts'; did you mean 'status'?"),
        ("smtd", ["start"], "smtd: no command 'start'; did you mean 'run'?"),
        ("smtd-ctl", ["start"], "smtd-ctl: no command 'start'; did you mean 'smtd run'?"),
        ("smtd", ["frobnicate"], "smtd: no command 'frobnicate'; see smtd --help"),
        ("smtd", ["user", "ad", "ada"], "smtd user: no command 'ad'; did you mean 'add'?"),
        ("smtd-ctl", ["sync", "nwo"], "smtd-ctl sync: no command 'nwo'; did you mean 'now'?"),
        ("smtd", ["status", "--wach"], "smtd status: no option '--wach'; did you mean '--watch'?"),
        ("smtd", ["list", "--jsn", "x"], "smtd list: no option '--jsn'; did you mean '--json'?"),
        (
            "smtd",
            ["resolve", "pair", "P", "x", "--take", "lef"],
            "smtd resolve: invalid value for '--take': 'lef' is not one of 'left', 'right', 'both';"
            " did you mean 'left'?",
        ),
        (
            "smtd",
            ["sync", "a", "b", "--deletes", "kep"],
            "smtd sync: invalid value for '--deletes': 'kep' is not one of 'propagate', 'keep';"
            " did you mean 'keep'?",
        ),
        ("smtd-ctl", ["pause"], "smtd-ctl pause: missing argument 'PAIR'; see smtd-ctl pause --help"),
        (
            "smtd-ctl",
            ["undo", "x"],
            "smtd-ctl undo: invalid value for 'CYCLE': 'x' is not a whole number; see",
        ),
        (
            "smtd-ctl",
            ["show", "pair", "P", "x", "--socket"],
            "smtd-ctl show: option '--socket' needs a value; see",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_misspelt_word_is_one_sentence_with_the_likely_one(
    alone: Programs, program: str, words: list[str], sentence: str
) -> None:
    answer = alone(program, *words)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(sentence)
    assert answer.err.count("\n") == 1


def test_misspelt_pair_and_store_are_met_with_the_likely_ones(
    programs: Programs, daemon: DaemonProcess
) -> None:
    """By the daemon, and by what reads the configuration."""
    pair = programs("smtd", "status", "piar")
    store = programs("smtd", "list", "lefft", "-c", daemon.config)
    added = programs("smtd", "pair", "add", "new", "rihgt", "left")

    assert pair.err == "smtd: there is no pair piar; did you mean 'pair'?\n"
    assert "did you mean the configured store 'left'?" in store.err
    assert added.err == "smtd: there is no store rihgt; did you mean 'right'?\n"


def test_misspelt_file_and_project_are_met_with_the_likely_ones(alone: Programs, tmp_path: Path) -> None:
    """A project that no store has is no error, as it may come; but the answer names it."""
    put(tmp_path / "left.sqlite", record("run"))
    put(tmp_path / "right.sqlite")

    file = alone("smtd", "list", "lefft.sqlite")
    unlike = alone("smtd", "list", "nowhere")
    listed = alone("smtd", "list", "left.sqlite", "--project", "MyProjet", "--project", PROJECT)
    synced = alone("smtd", "sync", "left.sqlite", "right.sqlite", "--project", "MyProjet")

    assert "there is no record store at lefft.sqlite; did you mean 'left.sqlite'?" in file.err
    assert unlike.err == "smtd: there is no record store at nowhere\n"
    assert f"there is no project 'MyProjet'; did you mean '{PROJECT}'?" in listed.err
    assert (listed.code, f"{PROJECT}/run" in listed.out) == (0, True)
    assert (synced.code, synced.err) == (
        0,
        f"smtd: there is no project 'MyProjet'; did you mean '{PROJECT}'?\n",
    )


def test_shell_completes_verbs_and_pairs_of_smtd(programs: Programs, daemon: DaemonProcess) -> None:
    """As bash asks for them."""
    lines = {"smtd pau": "pause", "smtd pause pa": "pair", "smtd sync no": "now", "smtd sync now pa": "pair"}
    for line, offered in lines.items():
        daemon.smtd.more |= {
            "_SMTD_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        answer = programs("smtd")
        assert answer.out.split()[0] == f"plain,{offered}"
    for name in ("_SMTD_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        del daemon.smtd.more[name]
