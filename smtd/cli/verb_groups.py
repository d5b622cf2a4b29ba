"""In which groups the help shows the commands of both programs, and what other tools call them.

No slow imports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from smtd.spelling import did_you_mean

#: The headings, and the commands below each, in the order of the help. `smtd-ctl` has some of them.
GROUPS = (
    ("Set up", ("demo", "init", "mirror", "unmirror", "check", "service")),
    ("Every day", ("status", "sync", "list", "web", "pause", "resume")),
    ("Decide", ("conflicts", "holds", "show", "explain", "resolve", "deletes")),
    ("Look back", ("history", "undo", "restore", "verify", "events")),
    ("Daemon", ("run", "reload", "stop", "pair", "forget", "backup", "doctor")),
    ("Server", ("serve", "user")),
)
#: Words of other tools, and the command that does the same here.
_ELSEWHERE = {
    "add": "pair add",
    "approve": "deletes approve",
    "browse": "web",
    "config": "init",
    "daemon": "run",
    "diff": "show",
    "exit": "stop",
    "help": "--help",
    "log": "history",
    "ls": "list",
    "now": "sync now",
    "plan": "sync plan",
    "quit": "stop",
    "reject": "deletes reject",
    "remove": "unmirror",
    "revert": "undo",
    "rm": "unmirror",
    "setup": "mirror",
    "start": "run",
    "version": "--version",
    "watch": "status --watch",
}


def grouped(names: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the heading of each group that has any of *names*, and those in their order."""
    known = {name for _, group in GROUPS for name in group}
    others = [name for name in names if name not in known]
    for heading, group in (*GROUPS, ("Other", others)):
        if found := [name for name in group if name in names]:
            yield heading, found


def unknown(word: str, names: Collection[str], program: str) -> str:
    """Return the error that *program*, whose commands are *names*, has no command *word*."""
    what = f"no command {word!r}"
    if " " in program:  # a command with commands of its own
        return what + did_you_mean(word, names, f"see {program} --help")
    meant = _ELSEWHERE.get(word, word)
    first = meant.partition(" ")[0]
    if meant != word and (first in names or first.startswith("-")):
        return f"{what}; did you mean {meant!r}?"
    if first not in names and any(first in group for _, group in GROUPS):
        return f"{what}; did you mean 'smtd {meant}'?"
    return what + did_you_mean(word, names, f"see {program} --help")
