"""Commands of Sumatra as forks of a Python that has loaded it: they then take a quarter of the time."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.forkserver.client import ForkServer, captured, read_at_start

#: Modules of Sumatra that can be loaded before Django is set up.
MODULES = (
    *("sumatra.cli.smt", "sumatra.commands", "sumatra.recordstore", "sumatra.formatting"),
    *(
        "django.core.management",
        "django.core.management.commands.migrate",
        "django.core.mail",
        "django.core.paginator",
    ),
    *("django.db.models", "django.db.migrations.autodetector", "django.db.migrations.executor"),
    *("django.db.backends.sqlite3.base", "django.core.serializers.json", "django.core.serializers.python"),
    *("django.http", "django.urls", "django.views.generic", "django.template.response", "django.utils.log"),
    *("django.template.defaultfilters", "django.template.defaulttags", "logging.config"),
    *("django.template.loader_tags", "django.templatetags.i18n", "django.utils.translation.reloader"),
    *("django.views.debug", "django.db.models.sql.compiler", "django.contrib.contenttypes.checks"),
    *("django.contrib.contenttypes.management", "django.contrib.contenttypes.apps"),
    *("sumatra.recordstore.django_store.tagging_utils", "encodings.idna", "mimetypes"),
    *("git", "parameters", "sqlite3", "shelve", "dbm.dumb", "argparse", "tempfile", "yaml", "docutils.core"),
)


def run(
    python: Path, command: list[str], cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a script and its arguments with a warm *python*; any number of threads may call it at once."""
    kind = (python, *sorted(read_at_start(env).items()))
    if kind not in _servers:
        _servers[kind] = ForkServer(MODULES, python=python, env=env, prepare=["mimetypes:init"])
    server = _servers[kind]
    return captured(command, lambda out, err: server.child(command, cwd, env, stdout=out, stderr=err))


#: Shared by this process and those that it forks.
_servers: dict[tuple[object, ...], ForkServer] = {}
