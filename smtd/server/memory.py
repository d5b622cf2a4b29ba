"""What the server keeps in memory of its database, as of one commit: requests need it often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from smtd.server import change_log
from smtd.server.accounts.rights import Right
from smtd.server.change_log import Eras
from smtd.stores.django.connection import DatabaseConnection
from smtd.text import encodable

#: The SQL condition for a right in a project that another program deleted; the server itself deletes the
#: rights in a project together with it.
STALE_RIGHT = "(project NOT IN (SELECT id FROM django_store_project))"

#: The views of a user that keep their numbers: so many servers with different users files may show others.
MOST_VIEWS = 16


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """The name and description that users give a project; its id identifies it."""

    name: str = ""
    description: str = ""


class ProjectAccess(NamedTuple):
    """The projects, and by user name the project, user name and level of each right.

    *has_stale_rights*: the table has rights in projects that other programs deleted; they do not count.
    """

    projects: dict[str, ProjectInfo]
    rights: dict[str, list[tuple[str, str, str]]]
    has_stale_rights: bool


class SeenView(NamedTuple):
    """A view of a user: its *number*, and the number of the last change *before* it was first asked for.

    Who has this view needs no deletions from before: they may be of a project that had the name of another
    one, and whose labels this user was not allowed to see.
    """

    number: int
    before: int = 0

    def stored(self, fingerprint: str) -> str:
        """Return what the table has of a view with this `View.fingerprint`."""
        return f"{fingerprint} {self.before}"


def seen_view(stored: str, number: int) -> tuple[str, SeenView]:
    """Return the fingerprint of a view that has *stored* and *number* in the table, and the view."""
    fingerprint, _, before = stored.partition(" ")
    return fingerprint, SeenView(number, int(before or 0))  # earlier versions stored the fingerprint alone


class Everything(NamedTuple):
    """All that memory holds besides the number of the last change.

    *has_all_records*: the log has every record, as far as the database says.
    """

    access: ProjectAccess
    views: dict[str, dict[str, SeenView]]
    eras: Eras
    has_all_records: bool


class Memory:
    """What the server keeps in memory. Mutate it only in the event loop, between two awaits."""

    def __init__(self) -> None:
        #: The number of the last change.
        self.head = 0
        self.eras = Eras(())
        self.projects: dict[str, ProjectInfo] = {}
        #: The number of the last change when a project appeared, for those that were not there at the start.
        #: What is older belongs to another project, which had the same name.
        self.appeared: dict[str, int] = {}
        #: By user name: project, user name and level of each right.
        self.rights: Mapping[str, list[tuple[str, str, str]]] = {}
        #: By user name: each view that the user had lately, by `View.fingerprint`.
        self.views: dict[str, dict[str, SeenView]] = {}
        self.has_stale_rights = False
        #: The log has every record, as far as the database says.
        self.has_all_records = False

    def replace_access(self, access: ProjectAccess) -> None:
        """Replace the projects and rights, both at once, because requests run between two awaits."""
        known, appeared = self.projects, self.appeared
        self.projects, self.rights, self.has_stale_rights = access
        self.appeared = {
            project: appeared.get(project, self.head)
            for project in self.projects
            if project in appeared or project not in known
        }

    def store_project(self, project: str, info: ProjectInfo) -> None:
        """Store a committed *project*."""
        if project not in self.projects:
            self.appeared[project] = self.head
        self.projects[project] = info

    def store_owner(self, project: str, username: str) -> None:
        """Store the committed owner of a new *project*."""
        own = sorted([*self.rights.get(username, ()), (project, username, Right.OWNER.word)])
        self.rights = {**self.rights, username: own}

    def store_view(self, username: str, fingerprint: str, view: SeenView) -> None:
        """Store a committed *view* of a user; older views are dropped, as in the table."""
        known = {**self.views.get(username, {}), fingerprint: view}
        oldest = view.number - MOST_VIEWS
        self.views[username] = {name: each for name, each in known.items() if each.number > oldest}

    def remove_project(self, project: str) -> None:
        """Remove *project* and all rights in it: it was deleted, or will be added again."""
        self.projects.pop(project, None)
        self.appeared.pop(project, None)
        kept = {name: [one for one in rights if one[0] != project] for name, rights in self.rights.items()}
        self.rights = {name: rights for name, rights in kept.items() if rights}


async def find_project(db: DatabaseConnection, name: str) -> ProjectInfo | None:
    """Return the project whose id is *name*; None if there is none."""
    query = "SELECT id, name, description FROM django_store_project WHERE id = ?"
    for found, title, text in await db.fetch(query, (name,)):
        if found == name:  # a database may take ids for equal that differ in case
            return _info(title, text)
    return None


async def load_access(db: DatabaseConnection) -> ProjectAccess:
    """Read the projects and rights."""
    found = await db.fetch("SELECT id, name, description FROM django_store_project")
    projects = {
        name: _info(title, text)
        for name, title, text in found
        if isinstance(name, str) and encodable(name) == name  # no address can contain any other id
    }
    rights: dict[str, list[tuple[str, str, str]]] = {}
    query = (
        f"SELECT project, username, level FROM smtd_right WHERE NOT {STALE_RIGHT} ORDER BY username, project"
    )
    for project, user, level in await db.fetch(query):
        rights.setdefault(str(user), []).append((str(project), str(user), str(level)))
    stale = await db.value(f"SELECT count(*) FROM smtd_right WHERE {STALE_RIGHT}")
    return ProjectAccess(projects, rights, bool(stale))


def _info(title: object, text: object) -> ProjectInfo:
    return ProjectInfo(encodable(str(title or "")), encodable(str(text or "")))


async def load_views(db: DatabaseConnection) -> dict[str, dict[str, SeenView]]:
    """Read the views that users had lately."""
    views: dict[str, dict[str, SeenView]] = {}
    for user, stored, number in await db.fetch("SELECT username, mark, number FROM smtd_seen"):
        fingerprint, view = seen_view(str(stored), int(number))
        views.setdefault(str(user), {})[fingerprint] = view
    return views


async def load_everything(db: DatabaseConnection) -> Everything:
    """Read all that memory holds besides the number of the last change. Call it inside a transaction."""
    form = await db.value("SELECT form FROM smtd_head")
    return Everything(
        await load_access(db),
        await load_views(db),
        await change_log.all_eras(db),
        str(form) == change_log.DIGEST_PREFIX,
    )
