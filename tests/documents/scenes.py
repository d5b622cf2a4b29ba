"""What is there before the commands of a page are typed: machines, projects, servers, records."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.build import PROJECT
from tests.documents.blocks import Command, blocks
from tests.documents.machine import PASSWORD, PATIENCE, Done, Machine
from tests.peers.environments import Environment
from tests.peers.project import SumatraProject
from tests.peers.server import SumatraServer
from tests.server.remote_project import PARAMETERS
from tests.servers.process import free_port

CORPUS = Path(__file__).parents[1] / "stores" / "corpus"
#: The record that the pages name.
LABEL = "20261125-1300"
#: Commands whose exit code is 1 while something waits for a person.
WAITING = re.compile(r"smtd(-ctl)? (status|conflicts|holds|sync|resolve|undo|explain|deletes|mirror)\b")


@dataclass
class Scene:
    """The machines of a page; and *names*, what the page calls something, with what it is called here."""

    place: Path
    plain: Environment
    django: Environment
    sumatra_server: SumatraServer
    machines: dict[str, Machine] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    #: What a person does between two blocks, by its mark.
    first: dict[str, Callable[[], None]] = field(default_factory=dict)

    def machine(self, name: str, environment: Environment | None = None) -> Machine:
        """Return the machine *name*, which is there from now on."""
        if name not in self.machines:
            self.machines[name] = Machine(self.place / name.replace(" ", "-"), environment)
        return self.machines[name]

    def here(self, line: str) -> str:
        """Return *line* with the names of what is here."""
        for name in sorted(self.names, key=len, reverse=True):
            line = line.replace(name, self.names[name])
        return line

    def there(self, output: str) -> str:
        """Return *output* as a person reads it, with the names of the page.

        It lacks what was shown for a moment, and what smt says of the Pythons of this machine.
        """
        output = re.sub(r"\x1b\[\?25l.*?\x1b\[1A\x1b\[2K", "", output, flags=re.DOTALL)
        output = re.sub(r"^Multiple versions found.*\n", "", output, flags=re.MULTILINE)
        for name, here in self.names.items():
            output = output.replace(here, name)
        return output

    def play(self, page: str) -> int:
        """Type every command of *page* that is played here; return how many. Fails where one does."""
        played = 0
        for block in blocks(page):
            if not block.is_played_here:
                continue
            if "first" in block.marks:
                self.first[block.marks["first"]]()
            for command in block.commands:
                done = self.machines[block.machine].type(self.here(command.words))
                self._check(command, done)
                played += 1
        return played

    def _check(self, command: Command, done: Done) -> None:
        told = (command.line, done)
        assert "Traceback" not in done.output, told
        assert done.code == 0 or (done.code == 1 and WAITING.match(command.words)), told
        if "user token" in command.words:
            (self.names["TOKEN"],) = re.findall(r"^smtd_\S+$", done.output, re.MULTILINE)
        elif command.output:
            assert as_promised(self.there(done.output), command.output), told

    # What a scene is made of.

    def server(self, name: str, *, started: bool = True, **settings: str) -> tuple[Machine, int]:
        """Make a machine for a server at a port of its own; *started*: with ada as its user, and running."""
        machine, port = self.machine(name), free_port()
        lines = [f'listen = "127.0.0.1:{port}"', *(f'{key} = "{value}"' for key, value in settings.items())]
        machine.write(".config/smtd/config.toml", "\n".join(["[server]", *lines, ""]))
        if started:
            machine.must("smtd user add ada", "smtd user add root --admin", "smtd serve")
        return machine, port

    def lab(self, name: str = "lab", *, started: bool = True) -> int:
        """Make the server that the pages call records.lab.example, or by its port on this machine."""
        _, port = self.server(name, started=started)
        self.names |= {"https://ada@records.lab.example": f"http://ada@127.0.0.1:{port}"}
        self.names |= {"https://ada:TOKEN@records.lab.example": f"http://ada:TOKEN@127.0.0.1:{port}"}
        self.names |= {"https://records.lab.example": f"http://127.0.0.1:{port}"}
        self.names["127.0.0.1:8471"] = f"127.0.0.1:{port}"
        return port

    def laptop(self, name: str = "laptop", *labels: str, shelf: bool = False) -> Machine:
        """Make a machine with the project MyProject, whose runs have these *labels*, and with ada's login."""
        machine = self.machine(name, self.plain if shelf else self.django)
        assert machine.environment is not None
        machine.write(".netrc", f"machine 127.0.0.1 login ada password {PASSWORD}\n")
        project = SumatraProject(machine.home / "projects" / PROJECT, machine.environment)
        project.create_code(PARAMETERS)
        project.init(PROJECT)
        shutil.copy(project.directory / ".home" / ".smtrc", machine.home)
        for label in labels:
            project.run(label=label)
        return machine

    def run_daemon(self, machine: Machine) -> None:
        """Start the daemon of a laptop, as a service would."""
        if not (machine.home / ".config/smtd/config.toml").exists():
            machine.write(".config/smtd/config.toml", "[daemon]\n")
        machine.must("smtd run")

    def mirror(self, machine: Machine, target: str) -> None:
        """Mirror MyProject to *target*, and run the daemon."""
        self.run_daemon(machine)
        machine.must(f"cd ~/projects/{PROJECT} && smtd mirror {self.here(target)} --yes --user ada")
        machine.cwd = machine.home

    def stick(self) -> None:
        """Plug the USB stick in."""
        (self.place / "stick").mkdir()
        self.names["/media/ada/STICK"] = str(self.place / "stick")

    def backups(self) -> None:
        """Make the place for backups."""
        (self.place / "backup").mkdir()
        self.names["/backup"] = str(self.place / "backup")


def as_promised(output: str, promised: str) -> bool:
    """Compare an output with a promise, in which `...` and `…` stand for any text."""
    pattern = re.sub(
        r"(\\ )?(\\\.\\\.\\\.|…)",
        lambda found: " *.*" if found[1] else ".*",
        re.escape(promised.rstrip("\n")),
    )
    shown = re.sub(r" +$", "", output.rstrip("\n"), flags=re.MULTILINE)
    return re.fullmatch(pattern, shown, re.DOTALL) is not None


def until(is_so: Callable[[], bool]) -> None:
    """Wait until *is_so* returns true."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.1)
