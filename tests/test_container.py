"""The Containerfile: its promises, and each step that needs no container."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.packages.lending import PROJECT, ROOT, lend
from tests.server.process import server_process

#: The instructions in order, each with its words; a line that ends with a backslash continues.
STEPS = [
    (name, words.strip())
    for name, words in re.findall(
        r"^([A-Z]+) (.*)$",
        re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text("utf-8")),
        re.MULTILINE,
    )
]
#: The instructions of the last stage.
LAST = STEPS[max(number for number, (name, _) in enumerate(STEPS) if name == "FROM") :]


def of(name: str, steps: list[tuple[str, str]] = LAST) -> list[str]:
    return [words for each, words in steps if each == name]


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for words in of("ENV") for word in words.split())


def test_every_instruction_is_valid() -> None:
    """And no line is lost."""
    known = {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    text = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]

    assert {name for name, _ in STEPS} == {*known, "CMD"}
    assert len(lines) == len(STEPS)


def test_container_runs_as_a_user_with_a_volume() -> None:
    """Not as root; smtd's files, and the user's home, are in the volume."""
    assert of("USER") == ["8471"]
    (made,) = [words for words in of("RUN") if words.startswith("useradd")]
    assert "--uid 8471 " in made
    assert of("VOLUME") == of("WORKDIR") == ["/var/lib/smtd"]
    assert {environment()[name] for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")} == {"/var/lib"}
    assert environment()["PYTHONMALLOC"] == "malloc"
    assert json.loads(of("CMD")[0]) == ["smtd", "run"]


def test_no_secret_gets_into_a_layer() -> None:
    """Files are copied by name, and are those of the repository; the build has no arguments."""
    copied = [word for words in of("COPY", STEPS) for word in words.split()[:-1] if not word.startswith("--")]
    tracked = subprocess.run(
        ["git", "ls-files", *(word for word in copied if not word.startswith("/"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert "." not in copied
    assert {path.partition("/")[0] for path in tracked} == {
        path.partition("/")[0] for path in copied if not path.startswith("/")
    }
    assert not re.search(r"passw|secret|token|key", json.dumps(STEPS), re.IGNORECASE)


def test_build_installs_smtd_from_the_copied_files(tmp_path: Path) -> None:
    """Each RUN of the first stage, in a directory with no other files.

    What smtd and its build require comes from the environment of the tests, and not from a registry.
    """
    hook = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    (tmp_path / "for-the-build").mkdir()
    lend([*PROJECT["build-system"]["requires"], *hook["dependencies"]], tmp_path / "for-the-build")
    first = STEPS[: len(STEPS) - len(LAST)]
    for words in of("COPY", first):
        *sources, target = words.split()
        for source in sources:
            place = tmp_path / target.strip("/")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    # Nothing but --version runs what is installed here.
    pip = {"PIP_COMPILE": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}
    # By pip's rules for variables, 0 means: without isolation.
    build = {**pip, "PIP_NO_BUILD_ISOLATION": "0", "PYTHONPATH": str(tmp_path / "for-the-build")}
    making, installing = of("RUN", first)
    for words in (making, installing):
        here = words.replace("/opt/", f"{tmp_path}/opt/").replace("/src", f"{tmp_path}/src")
        here = re.sub(r"^python ", f"{sys.executable} ", here)
        done = subprocess.run(
            here,
            shell=True,
            cwd=tmp_path,
            env=os.environ | build,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if words == making:
            (packages,) = tmp_path.glob("opt/smtd/lib/python3*/site-packages")
            extras = PROJECT["project"]["optional-dependencies"]
            lend([*PROJECT["project"]["dependencies"], *extras["postgres"], *extras["mysql"]], packages)

    assert "WARNING" not in done.stdout + done.stderr
    program = tmp_path / "opt" / "smtd" / "bin" / "smtd"
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("smtd, version ")
    subprocess.run([program.parent / "python", "-c", "import asyncpg, asyncmy"], check=True)


def test_health_check_reflects_the_server(tmp_path: Path) -> None:
    """It passes while the server answers, whatever proxy the environment has, and fails after it."""
    (words,) = of("HEALTHCHECK")
    command = [sys.executable, *json.loads(words.partition("CMD ")[2])[1:]]

    def health(root: str) -> int:
        more = {"SMTD_HEALTH": f"{root}healthz", "http_proxy": "http://127.0.0.1:9"}
        return subprocess.run(
            command, env={**os.environ, **more}, capture_output=True, check=False
        ).returncode

    with server_process(tmp_path) as server:
        root = server.root
        assert health(root) == 0
    assert health(root) != 0


def test_daemon_of_the_container_has_everything_in_its_volume(tmp_path: Path) -> None:
    """`smtd run` with the environment of the container: configuration, users, store and socket."""
    here = {name: value.replace("/var/lib", str(tmp_path)) for name, value in environment().items()}
    here["PATH"] = os.environ["PATH"]
    home = tmp_path / "smtd"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('[server]\nlisten = "127.0.0.1:0"\n', "utf-8")
    smtd = [sys.executable, "-m", "smtd"]
    added = subprocess.run(
        [*smtd, "user", "add", "ada", "--password-stdin"],
        env=here,
        cwd=home,
        input="s3cret\n",
        capture_output=True,
        text=True,
        check=False,
    )
    daemon = subprocess.Popen([*smtd, "run"], env=here, cwd=home, stderr=subprocess.PIPE, text=True)
    try:
        assert daemon.stderr is not None
        told = daemon.stderr.readline()
    finally:
        daemon.terminate()
        daemon.communicate(timeout=60)

    assert added.returncode == 0, added.stderr
    assert f"serving {home}/server/records.sqlite at http://127.0.0.1:" in told
    assert {"config.toml", "users", "server", "journal.sqlite"} <= {path.name for path in home.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["smtd"]
