"""The configuration file: the example loads, and all mistakes are reported at once."""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec
import pytest
import tomli

from smtd import config
from smtd.config import (
    Config,
    ConfigError,
    DaemonConfig,
    MaxDeletes,
    Notify,
    PairConfig,
    ServerConfig,
    StoreConfig,
    load,
    seconds,
)

EXAMPLE = Path(__file__).parents[1] / "config.example.toml"
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "daemon": DaemonConfig,
    "stores": StoreConfig,
    "pairs": PairConfig,
    "notify": Notify,
    "server": ServerConfig,
}


def uncommented():
    """Return the example with every commented-out key put to use."""
    text = EXAMPLE.read_text("utf-8")
    return re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)


@pytest.fixture
def written(tmp_path):
    """Write a text into a file that only its user may read (or as *mode* says), and return its path."""

    def write(text, mode=0o600):
        path = tmp_path / "config.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def mistakes(written):
    """Load a text and return the mistakes in it, without the path."""

    def found(text):
        path = written(text)
        with pytest.raises(ConfigError) as told:
            load(path)
        return [line.removeprefix(f"{path}:") for line in str(told.value).split("\n")]

    return found


def test_example_loads():
    """The example is a valid configuration."""
    assert set(load(EXAMPLE).pairs) == {"myproject"}


def test_example_loads_with_all_keys_uncommented(written):
    """The comments of the example are right, too."""
    loaded = load(written(uncommented(), 0o644))

    assert loaded.notify.command == ["notify-send", "smtd"]
    assert loaded.stores["lab"].password_command == ["pass", "show", "lab"]
    assert loaded.pairs["myproject"].max_deletes == MaxDeletes()


@pytest.mark.parametrize("section", SECTIONS)
def test_example_shows_every_key(section):
    """A user finds each key of each section in the example, except passwords."""
    fields = {field.name for field in msgspec.structs.fields(SECTIONS[section])} - {"password"}
    table = tomli.loads(uncommented())[section]
    tables = [table] if section in ("daemon", "notify", "server") else list(table.values())
    shown = {name for each in tables for name in each}
    mentioned = {name for name in fields if re.search(rf"# .*\b{name} = ", EXAMPLE.read_text("utf-8"))}

    assert fields - shown - mentioned == set()
    assert shown - {"password"} <= fields


def test_example_shows_the_defaults():
    """Commented-out values equal the defaults."""
    pair = tomli.loads(uncommented())["pairs"]["myproject"]
    defaults = msgspec.to_builtins(PairConfig("", ""))
    shown = {name: value for name, value in pair.items() if name not in ("left", "right", "projects")}

    assert shown == {name: defaults[name] for name in shown}
    assert uncommented().count(f'log_level = "{DaemonConfig().log_level}"') == 1
    for name in ("history_age", "history_size"):
        assert uncommented().count(f'{name} = "{getattr(DaemonConfig(), name)}"') == 1
    assert uncommented().count(f'poll_interval = "{StoreConfig("").poll_interval}"') == 1


def test_empty_configuration_is_valid(written):
    """Every key is optional."""
    assert load(written("")) == Config()


def test_values_of_a_section_are_found_in_its_object(written):
    """With their types."""
    path = written(
        """
        [daemon]
        state_dir = "/state"
        [stores.a]
        location = "/a"
        [stores."b c"]
        location = "https://records.lab.example/"
        username = "ada"
        [pairs.p]
        left = "a"
        right = "b c"
        projects = { MyProject = "my-project" }
        mode = "left-to-right"
        max_deletes = { count = 3 }
        """
    )

    loaded = load(path)

    assert loaded.daemon.state_dir == "/state"
    assert loaded.stores["b c"].username == "ada"
    assert loaded.pairs["p"].projects == {"MyProject": "my-project"}
    assert loaded.pairs["p"] == PairConfig(
        "a", "b c", {"MyProject": "my-project"}, "left-to-right", max_deletes=MaxDeletes(3)
    )


EVERYTHING_WRONG = """\
[daemon]
log_level = "loud"
statedir = "/state"

[stores.laptop]
location = "/a"
pol_interval = "30s"

[stores.lab]
username = 7
poll_interval = "soon"

[pairs.one]
left = "laptob"
right = "laptop"
mode = "both-ways"
max_deletes = { count = "many", share = "20" }

[pairs.two]
left = "lab"
right = "lab"
settle = "200"
projects = 3

[pairs.three]
right = "lab"

[notifiy]
command = "mail"
"""


def test_all_mistakes_are_reported_at_once_with_line_and_spelling(mistakes):
    """One look at the message is enough to repair the whole file."""
    assert mistakes(EVERYTHING_WRONG) == [
        "2: daemon.log_level: Invalid enum value 'loud'",
        "3: daemon.statedir: unknown key 'statedir'; did you mean 'state_dir'?",
        "7: stores.laptop.pol_interval: unknown key 'pol_interval'; did you mean 'poll_interval'?",
        "9: stores.lab: it needs the key location",
        "10: stores.lab.username: Expected `str | null`, got `int`",
        "11: stores.lab.poll_interval: 'soon' is not a duration such as '200ms', '30s' or '5m'",
        "14: pairs.one.left: there is no store 'laptob'; did you mean 'laptop'?",
        "16: pairs.one.mode: Invalid enum value 'both-ways'",
        "17: pairs.one.max_deletes.count: Expected `int`, got `str`",
        "17: pairs.one.max_deletes.share: '20' is not a percentage such as '20%'",
        "21: pairs.two.right: both sides are the same store",
        "22: pairs.two.settle: '200' is not a duration such as '200ms', '30s' or '5m'",
        "23: pairs.two.projects: Expected `object | array | null`, got `int`",
        "25: pairs.three: it needs the key left",
        "28: notifiy: unknown key 'notifiy'; did you mean 'notify'?",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[daemon]\nhistory_age = 'long'", "2: daemon.history_age: 'long' is not a duration such as"),
        ("[daemon]\nhistory_age = '9999999d'", "2: daemon.history_age: '9999999d' is not a duration such as"),
        (
            "[daemon]\nhistory_size = '9999999999TB'",
            "2: daemon.history_size: '9999999999TB' is not a size such",
        ),
        ("[pairs.'../x']", "1: pairs.../x: '../x' cannot be the name of a pair: it looks like a path"),
        (
            "[pairs.--help]",
            "1: pairs.--help: '--help' cannot be the name of a pair: it looks like an option",
        ),
        ("[daemon]\n\nhistory_size = '1'", "3: daemon.history_size: '1' is not a size such as '500MB'"),
        ("[daemon]\nhistory_size = 1", "2: daemon.history_size: Expected `str`, got `int`"),
        ("daemon = 3", "1: daemon: Expected `object`, got `int`"),
        ("stores = []", "1: stores: Expected `object`, got `array`"),
        ("\n[stores]\na = 'path'", "3: stores.a: Expected `object`, got `str`"),
        ("[stores.a]\nlocation = [\n  '/a',\n]", "4: stores.a.location: Expected `str`, got `array`"),
        (
            "[pairs.p]\nleft = 'a'\nright = 'zzz'\n[stores.a]\nlocation = ''",
            "3: pairs.p.right: there is no store 'zzz'",
        ),
        ("xyzzy = 1", "1: xyzzy: unknown key 'xyzzy'"),
        ("[stores.a]\nlocation = 'x'\npassword_command = 'pass'", "3: stores.a.password_command: Expected"),
        (
            "[pairs.p]\nleft = 'p'\nright = 'q'\nmax_deletes = 3",
            "4: pairs.p.max_deletes: Expected `object`, got `int`",
        ),
        (
            "[pairs.p]\nleft = 'p'\nright = 'q'\nprojects = { A = 'x', B = 'x' }",
            "4: pairs.p.projects: two projects cannot both be called 'x' on the right",
        ),
        (  # a part of a list is no TOML, so the message has its last line
            "[pairs.p]\nleft = 'p'\nright = 'q'\nprojects = [\n1,\n2,\n]\n[stores.p]\nlocation = 'x'\n",
            "7: pairs.p.projects: ",
        ),
        ("[notify]\ncommand = []", "2: notify.command: it names no program"),
        ("[notify]\noffline_after = 'soon'", "2: notify.offline_after: 'soon' is not a duration such as"),
        (
            "[daemon]\nlog_level = 'debgu'",
            "2: daemon.log_level: Invalid enum value 'debgu'; did you mean 'debug'?",
        ),
        ("[notify]\nweb_hook = 'x'", "2: notify.web_hook: unknown key 'web_hook'; did you mean 'webhook'?"),
        (
            "[stores.a]\nlocation = '/a'\npoll_interval = '0s'",
            "3: stores.a.poll_interval: '0s' would overload the server; use at least 100ms",
        ),
    ],
)
def test_mistake_is_reported_with_its_line(mistakes, text, mistake):
    """The line of its key."""
    assert [line for line in mistakes(text) if line.startswith(mistake)] != []


def test_invalid_toml_is_reported_with_line_and_column(mistakes):
    """In one sentence."""
    assert mistakes("[daemon]\nlog_level = \n") == [" Invalid value (at line 2, column 13)"]


def test_mistake_at_the_end_of_a_long_file_is_found_quickly(mistakes):
    """Parsing each beginning of 20,000 lines would take most of a minute."""
    text = "# a comment\n" * 20_000 + "[daemon]\ncolour = 1\n"
    began = time.process_time()
    assert mistakes(text) == ["20002: daemon.colour: unknown key 'colour'"]
    assert time.process_time() - began < 5


def test_deeply_nested_lists_are_a_mistake(mistakes):
    """However deep."""
    assert mistakes("x = " + "[" * 100_000) == [
        " its arrays or tables are nested too deeply; write them flat"
    ]


def test_file_name_cannot_forge_lines_of_the_error(tmp_path):
    """Each line of the error is one mistake, whatever the file is called."""
    path = tmp_path / "a\nb: all is well"
    path.write_text("colour = 1\n", "utf-8")
    for place in (path, tmp_path / "c\nd"):
        with pytest.raises(ConfigError) as told:
            load(place)
        assert "\n" not in str(told.value)


UNREADABLE = {
    "absent": (lambda path: None, "it does not exist; write it with smtd init -c .*, or name another file"),
    "not text": (lambda path: path.write_bytes(b"\xff\xfe"), "it is saved as UTF-16"),
    "a loop": (lambda path: path.symlink_to(path), "Too many levels of symbolic links; fix this, or name"),
    "a directory": (
        lambda path: path.mkdir(),
        "config.toml is a directory, not a file; put the file back",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_file_is_an_error(tmp_path, case):
    """With its path, the reason and what to do, and without the wording of the system's library."""
    path = tmp_path / "config.toml"
    make, why = UNREADABLE[case]
    make(path)

    with pytest.raises(ConfigError, match=rf"the configuration {re.escape(str(path))} cannot be read: {why}"):
        load(path)


def test_file_of_any_editor_is_read(written):
    """With a byte order mark, and with line ends as on Windows."""
    path = written(b'\xef\xbb\xbf[daemon]\r\nlog_level = "debug"\r\n')

    assert load(path).daemon.log_level == "debug"


LATIN = '[stores.a]\nlocation = "/home/thèse"\n'


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        *(
            (name, "it is saved as UTF-16 .*; save it as UTF-8")
            for name in ("utf-16", "utf-16-le", "utf-16-be")
        ),
        ("latin-1", "line 2 is not UTF-8; save it as UTF-8"),
    ],
)
def test_file_in_another_encoding_is_an_error(written, encoding, told):
    """UTF-16 is what some editors call Unicode.

    For others the message has the first line that is not UTF-8.
    """
    with pytest.raises(ConfigError, match=told):
        load(written(LATIN.encode(encoding)))


SECRET = "correct-horse"
SECRETIVE = [
    {"location": "https://records.lab.example/", "username": "ada", "password": SECRET},
    {"location": f"https://ada:{SECRET}@records.lab.example/"},
    {"location": f"postgres://ada:{SECRET}@db.lab.example/records"},
    {"location": "/a", "password_command": ["echo", SECRET]},
    {"location": "https://records.lab.example/", "token_command": ["echo", SECRET]},
]


@pytest.mark.parametrize("store", SECRETIVE, ids=["password", "URL", "database", "command", "token"])
def test_password_is_never_shown(tmp_path, store):
    """In a log line or a traceback, by a store or by what holds it."""
    loaded = msgspec.convert({"stores": {"lab": store}}, Config)

    assert SECRET not in repr(loaded.stores["lab"])
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded)
    assert SECRET not in f"{loaded.stores}"


@pytest.mark.parametrize("store", SECRETIVE[:3], ids=["password", "URL", "database"])
def test_password_is_not_shown_among_mistakes(mistakes, store):
    """A mistake beside a password does not print it."""
    lines = [f"{name} = {value!r}" for name, value in store.items()]

    told = mistakes("\n".join(["[stores.lab]", *lines, "pasword = 1", "[pairs.p]", "left = 'lab'"]))

    assert [line for line in told if SECRET in line] == []
    assert len(told) == 2


WEB = "https://records.lab.example/"


@pytest.mark.parametrize(
    ("store", "mistake"),
    [
        ({"location": "/a"}, "a token needs a location such as"),
        ({"location": "~/projects/MyProject"}, "a token needs a location such as"),
        ({"location": "postgresql://db.lab.example/lab"}, "a token needs a location such as"),
        ({"location": f"https://ada:{SECRET}@lab.example/"}, "there is a password, too; keep one"),
        ({"location": WEB, "password": SECRET}, "there is a password, too; keep one"),
        ({"location": WEB, "password_file": "x"}, "there is a password, too; keep one"),
        ({"location": WEB, "credential": "x"}, "there is a password, too; keep one"),
        ({"location": WEB, "token_env": "X"}, "keep one of token_command, token_file, token_env"),
    ],
)
def test_token_needs_one_address_and_no_other_secret(mistakes, store, mistake):
    """A project directory may lead to another server tomorrow; and of two secrets one would be ignored."""
    lines = [f"{name} = {value!r}" for name, value in {"token_file": "t", **store}.items()]

    (told,) = mistakes("\n".join(["[stores.lab]", *lines]))

    assert re.match(rf"\d: stores\.lab\.token_file: {mistake}", told)
    assert SECRET not in told


def test_mistake_in_the_server_section_is_reported_with_its_key(mistakes):
    """As in every other section, although this one may be missing."""
    told = mistakes("[server]\nanonymous = 'write'\nuser_file = 'x'\n")

    assert re.match(r"2: server\.anonymous: Invalid enum value 'write'", told[0])
    assert told[1] == "3: server.user_file: unknown key 'user_file'; did you mean 'users_file'?"
    assert Config().server is None


def test_token_may_have_a_user_name_beside_it(tmp_path):
    """The server ignores it, but it may have been there before."""
    path = tmp_path / "config.toml"
    path.write_text(f"[stores.lab]\nlocation = '{WEB}'\nusername = 'ada'\ntoken_env = 'X'\n", "utf-8")

    assert load(path).stores["lab"].has_token
    assert not StoreConfig(WEB, password_env="X").has_token


@pytest.mark.parametrize(
    ("section", "values"),
    [
        *(("stores.lab", store) for store in SECRETIVE[:3]),
        ("notify", {"webhook": f"https://ada:{SECRET}@host/"}),
    ],
    ids=["password", "URL", "database", "webhook"],
)
def test_password_that_others_can_read_is_a_mistake(written, section, values):
    """Only a private file may contain one."""
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    path = written("\n".join([f"[{section}]", *lines]), 0o644)

    told = rf"\d: {section}\.\w+: others can read this password: chmod 600 the file"
    told += "" if section == "notify" else ", or use"
    with pytest.raises(ConfigError, match=told) as refused:
        load(path)

    assert SECRET not in str(refused.value)
    path.chmod(0o600)
    assert load(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200ms", 0.2),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("90d", 7776000.0),
        ("1.5s", 1.5),
        ("0s", 0.0),
    ],
)
def test_duration_is_in_seconds(text, expected):
    """Users write durations with a unit."""
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1 s", "1w", "1s2", "1,5s", "1s\n", "infs"])
def test_invalid_duration_is_a_mistake(text):
    """A duration without a unit, or with an unknown one, is not guessed."""
    with pytest.raises(ValueError, match=rf"^{re.escape(text)}$"):
        seconds(text)


def test_every_duration_of_the_example_is_valid():
    """As the checks accept it, smtd can use it."""
    loaded = load(EXAMPLE)
    durations = [store.poll_interval for store in loaded.stores.values()]
    durations += [text for pair in loaded.pairs.values() for text in (pair.settle, pair.prove_within)]

    assert [seconds(text) for text in durations] == [30.0, 30.0, 0.2, 604_800.0]


def test_every_struct_of_the_configuration_forbids_unknown_keys():
    """No section ignores a misspelt key."""
    structs = [
        each for each in vars(config).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)
    ]

    assert {each.__name__ for each in structs} == {
        "Config",
        "DaemonConfig",
        "MaxDeletes",
        "Notify",
        "PairConfig",
        "ServerConfig",
        "StoreConfig",
    }
    assert all(each.__struct_config__.forbid_unknown_fields for each in structs)


@pytest.mark.parametrize(
    "url",
    ["ftp://host/t0ken", "host/t0ken", "https:///t0ken", "https://[::1/t0ken", "https://host:x/t0ken", ""],
)
def test_unusable_notification_address_is_a_mistake(mistakes, url):
    """With its line, and without the address, which may contain a secret."""
    text = f'[notify]\nwebhook = "{url}"\nheartbeat_url = "{url}"\n'

    assert mistakes(text) == [
        "2: notify.webhook: it is not an address such as 'https://host/path'",
        "3: notify.heartbeat_url: it is not an address such as 'https://host/path'",
    ]


def test_notification_addresses_are_not_shown():
    """Wherever a configuration is shown."""
    notify = Notify(["tell", "t0ken"], "https://ada:t0ken@host/", "https://host/t0ken")

    assert "t0ken" not in f"{notify} {Config(notify=notify)!r}"


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("stores.lab", "password_command = ['pass', 'lab']"),
        ("stores.lab", "token_command = ['pass', 'lab']"),
        ("stores.lab", "python = '/usr/bin/python3'"),
        ("notify", "command = ['tell']"),
    ],
)
def test_program_in_a_file_that_others_can_write_is_a_mistake(tmp_path, table, name):
    """Another user could run any command as smtd's user; a private file may name one."""
    path = tmp_path / "my config.toml"
    location = "location = 'https://lab.example/'\n" if table == "stores.lab" else ""
    path.write_text(f"[{table}]\n{location}{name}\n", "utf-8")
    path.chmod(0o666)

    with pytest.raises(ConfigError) as told:
        load(path)

    key = f"{table}.{name.partition(' ')[0]}"
    assert f"{key}: everyone can change this program: chmod go-w '{path}'" in str(told.value)
    path.chmod(0o644)
    assert load(path)


def test_world_writable_configuration_without_programs_is_read(written):
    """It lets no other user run anything."""
    path = written("[stores.lab]\nlocation = 'https://lab.example/'\n", 0o666)

    assert load(path).stores["lab"].location == "https://lab.example/"
