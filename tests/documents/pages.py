"""The scene of each page that shows commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import trustme

from tests.build import PROJECT, change, full, record
from tests.daemon.sqlite_stores import held, write
from tests.documents.machine import PASSWORD
from tests.documents.scenes import CORPUS, LABEL, Scene, until
from tests.peers.project import SumatraProject
from tests.peers.stores import copy_store
from tests.server.remote_project import PARAMETERS
from tests.web.filling import Filler


def readme(scene: Scene) -> None:
    """A project whose old store was moved aside, the daemon, and the lab's server."""
    scene.lab()
    laptop = scene.laptop("laptop", LABEL)
    scene.run_daemon(laptop)
    old = scene.laptop("earlier", "20110309-141849", shelf=True)
    smt = laptop.home / "projects" / PROJECT / ".smt_orig"
    (old.home / "projects" / PROJECT / ".smt").rename(smt)
    scene.server("other server", started=False)


def first_server(scene: Scene) -> None:
    """A project, and a machine for the server; the person writes an outcome on a page."""
    port = scene.lab("server", started=False)
    laptop = scene.laptop("laptop", "first", "second")
    (laptop.home / ".netrc").unlink()
    store = laptop.home / "projects" / PROJECT / ".smt" / "records"
    scene.names = {"127.0.0.1:8471": f"127.0.0.1:{port}", "/home/ada": str(laptop.home)}

    def record_arrives() -> None:
        until(lambda: "third" in laptop.type("smtd list server").output)

    def outcome_is_written() -> None:
        Filler(f"http://127.0.0.1:{port}/", "ada").annotate("third", outcome="it does")
        until(lambda: held(store)["third"].outcome == "it does")

    scene.first["the record arrives"] = record_arrives

    scene.first["the outcome is written on the page"] = outcome_is_written


def shelf_to_database(scene: Scene) -> None:
    """A project that began without Django, with two records in a shelf."""
    machine = scene.machine("transcript", scene.plain)
    project = SumatraProject(machine.home / PROJECT, scene.plain)
    project.init(PROJECT)
    for label in ("20110309-141849", "20110309-141853"):
        project.run(label=label)
    machine.write(".smtrc", (project.directory / ".home" / ".smtrc").read_text("utf-8"))
    machine.cwd = project.directory
    machine.becomes("pip", scene.django)  # what is typed next finds Django
    scene.names["/home/ada"] = str(machine.home)


def usb_stick(scene: Scene) -> None:
    """Two laptops with one project, and a stick."""
    scene.stick()
    scene.laptop("laptop", LABEL)
    scene.laptop("second")


def mirror(scene: Scene) -> None:
    """A laptop, another one without a daemon, the lab's server, and a stick."""
    scene.lab()
    scene.stick()
    scene.laptop("laptop", LABEL)
    once = scene.laptop("once", LABEL)
    once.cwd = once.home / "projects" / PROJECT


def lab_server(scene: Scene) -> None:
    """A machine for the server, code on a laptop, and a project there."""
    scene.lab("server", started=False)
    laptop = scene.laptop("laptop", LABEL)
    code = SumatraProject(laptop.home / "code", scene.django)
    code.create_code(PARAMETERS)
    laptop.cwd = code.directory
    scene.run_daemon(laptop)


def tls(scene: Scene) -> None:
    """A machine for the server, with a certificate."""
    certificates = trustme.CA().issue_cert("records.lab.example")
    server = scene.machine("server")
    scene.server("server", started=False, cert_file="~/cert.pem", key_file="~/key.pem")
    server.write("cert.pem", "".join(each.bytes().decode() for each in certificates.cert_chain_pems))
    server.write("key.pem", certificates.private_key_pem.bytes().decode())
    server.must("smtd user add ada")


def several_people(scene: Scene) -> None:
    """A server without users yet, a laptop with a daemon, and a directory that a group shares."""
    scene.lab("server", started=False)
    scene.machine("server").must("smtd serve")
    scene.run_daemon(scene.laptop("laptop", LABEL))
    (scene.place / "srv").mkdir()
    scene.names["/srv/records"] = str(scene.place / "srv")


def decide(scene: Scene) -> None:
    """A pair with one conflict, 24 held deletions, and a history."""
    laptop = scene.machine("laptop")
    left, right = laptop.home / "laptop.sqlite", laptop.home / "lab.sqlite"
    others = [full(f"run-{number}") for number in range(30)]
    write(left, record(LABEL), *others)
    stores = [f'[stores.{path.stem}]\nlocation = "{path}"' for path in (left, right)]
    laptop.write(
        ".config/smtd/config.toml",
        "\n".join([*stores, '[pairs.myproject]\nleft = "laptop"\nright = "lab"\n']),
    )
    scene.run_daemon(laptop)
    until(lambda: right.exists() and len(held(right)) == 31)
    before = datetime.now(timezone.utc).isoformat()
    laptop.must("smtd-ctl pause myproject")
    write(left, change(record(LABEL), version="1111"))
    write(right, change(record(LABEL), version="2222"), deleted=[each.label for each in others[:24]])
    assert laptop.type("smtd-ctl sync now").code == 1
    scene.names["smtd undo 17"] = "smtd undo 1"
    scene.names["--at 2h"] = f"--at {before}"  # two hours ago there was no smtd here


def monitoring(scene: Scene) -> None:
    """A pair of a laptop and a server."""
    scene.lab("server")
    laptop = scene.laptop("laptop", LABEL)
    scene.mirror(laptop, "https://records.lab.example/")
    scene.names["/home/ada"] = str(laptop.home)


def backup(scene: Scene) -> None:
    """A server with a record, and a laptop with a pair."""
    monitoring(scene)
    scene.backups()


def moving(scene: Scene) -> None:
    """The same, and a machine to which the server moves."""
    backup(scene)
    machine, port = scene.server("new server", started=False)
    (machine.home / ".config/smtd/config.toml").rename(machine.home / "config.toml")
    scene.names["mkdir -p -m 700 ~/.local"] = "mv ~/config.toml ~/.config/smtd/; mkdir -p -m 700 ~/.local"
    scene.names["s|records.lab.example|records.new.example|"] = (
        f"s|{scene.names['127.0.0.1:8471']}|127.0.0.1:{port}|"
    )


def from_sumatra_server(scene: Scene) -> None:
    """A Sumatra Server with a record, and smtd's own."""
    old = scene.sumatra_server
    old.clear()
    scene.lab("server")
    server = scene.machine("server")
    source = server.home / "own.sqlite"
    write(source, full("run"))
    server.must(f"smtd sync own.sqlite {old.address} --project '*'")
    port = scene.names["127.0.0.1:8471"]
    scene.names["https://ada@old.lab.example/"] = old.address
    scene.names["https://root@records.lab.example"] = f"http://root:{PASSWORD}@{port}"
    scene.names["Sweep"] = PROJECT


def old_sumatra(scene: Scene) -> None:
    """A store of Sumatra 0.7, and a project with one."""
    old = scene.machine("old")
    copy_store(CORPUS / "django074.sqlite", old.home / "OLD.sqlite")
    scene.names["/home/ada"] = str(old.home)
    upgraded = scene.laptop("upgraded")
    upgraded.cwd = upgraded.home / "projects" / PROJECT
    (upgraded.cwd / ".smt" / "records").unlink()
    copy_store(CORPUS / "django074.sqlite", upgraded.cwd / ".smt" / "records")


def cluster(scene: Scene) -> None:
    """A project on the login node, which reaches the lab's server."""
    scene.lab()
    scene.laptop("laptop", LABEL)


def users(scene: Scene) -> None:
    """A server with a project."""
    scene.lab("server", started=False)
    server = scene.machine("server")
    server.must("smtd user add root --admin", "smtd serve")
    Filler(scene.here("http://127.0.0.1:8471/"), "root").make(PROJECT)


SCENES: dict[str, Callable[[Scene], None]] = {
    "README.md": readme,
    "docs/start/server.md": first_server,
    "docs/start/database.md": shelf_to_database,
    "docs/start/usb-stick.md": usb_stick,
    "docs/how-to/mirror.md": mirror,
    "docs/how-to/lab-server.md": lab_server,
    "docs/how-to/tls.md": tls,
    "docs/how-to/several-people.md": several_people,
    "docs/how-to/decide.md": decide,
    "docs/how-to/monitoring.md": monitoring,
    "docs/how-to/backup.md": backup,
    "docs/how-to/moving.md": moving,
    "docs/how-to/from-sumatra-server.md": from_sumatra_server,
    "docs/how-to/old-sumatra.md": old_sumatra,
    "docs/how-to/cluster.md": cluster,
    "docs/troubleshooting.md": decide,
    "docs/reference/users.md": users,
    "docs/reference/pages.md": monitoring,
    "docs/reference/journal.md": monitoring,
}
