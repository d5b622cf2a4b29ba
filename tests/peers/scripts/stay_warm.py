"""Runs other scripts of this environment, each in a process of its own that has Sumatra loaded already.

Reads requests from standard input, a JSON object each, and answers each with the exit code when its process
has ended. Most of the time of a command of Sumatra's is spent on loading modules. What a script finds is what
it would find in a new interpreter: its arguments, directory, environment and standard streams.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import sys
import threading
import time
from contextlib import suppress

#: What Sumatra loads, of what can be loaded before Django is set up.
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
    *("git", "parameters", "sqlite3", "shelve", "dbm.dumb", "argparse", "tempfile", "yaml", "docutils.core"),
)


def main():
    """Answer requests until there are no more."""
    for module in MODULES:
        with suppress(ImportError):
            importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answers.close()
            run(**json.loads(line))
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def run(arguments, cwd, env, out, err):
    """Run the script, and end the process with its exit code."""
    code = 1
    try:
        enter(cwd, env, out, err)
        code = script(arguments)
        end()
    finally:
        os._exit(code)


def enter(cwd, env, out, err):
    """Take the directory, the environment and the streams of the script."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY),
        (2, err, os.O_WRONLY),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)


def script(arguments):
    """Run the script and return its exit code; what it does not catch is told, as an interpreter tells it."""
    sys.argv[:] = arguments
    sys.path[0] = os.path.dirname(arguments[0])
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as exc:
        return ended(exc.code)
    except BaseException:  # noqa: BLE001 - told, and the process ends with it
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def end():
    """Do what an interpreter does at its end, of what matters to a script."""
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        if not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


def ended(said):
    """Return the exit code for what a script has said at its end, as Python does."""
    if said is None:
        return 0
    if isinstance(said, int):
        return said & 0xFF
    print(said, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
