"""The reference of exit codes and reasons, made from the code that gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from smtd import errors
from smtd.cli import ctl, main
from smtd.merge.reasons import Code, Reason, because
from smtd.merge.sides import Side
from smtd.output.english import next_step, sentence

#: Not an error of smtd: a person pressed Ctrl-C.
INTERRUPTED = (130, "interrupted; the next run continues from there")


def exit_codes() -> str:
    """Return a table of the exit codes, and the errors that lead to each."""
    meanings = dict([*_documented(), INTERRUPTED])
    rows = [f"| {code} | {meaning} | {_raised(code)} |" for code, meaning in sorted(meanings.items())]
    return "\n".join(["| code | means | errors |", "|---|---|---|", *rows])


def _documented() -> Iterator[tuple[int, str]]:
    """Yield the codes that the help of the commands explains."""
    told = ctl.parser().epilog or ""
    for part in told.partition("Exit codes: ")[2].rstrip(".").split("; "):
        code, _, meaning = part.partition(" ")
        yield int(code), meaning


def _raised(code: int) -> str:
    found = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SmtdError)
    ]
    return ", ".join(
        f"`{kind.__name__}`" for kind in found if kind.exit_code == code and kind is not errors.SmtdError
    )


def table() -> str:
    """Return a table of the reasons that scripts get as `code`, with their sentences and next steps."""
    rows = [f"| `{code.value}` | {_told(code)} | {_step(code)} |" for code in Code if code is not Code.TEXT]
    return "\n".join(["| `code` | says | next |", "|---|---|---|", *rows])


def _told(code: Code) -> str:
    return _shown(sentence(_example(code), fields="FIELDS", pair="PAIR"))


def _step(code: Code) -> str:
    return _shown(next_step(_example(code), fields="FIELDS", pair="PAIR"))


def _example(code: Code) -> Reason:
    return because(code, Side.LEFT, "…", "…", cause=because(Code.UNUSABLE, None, "…"))


def _shown(text: str) -> str:
    """Return *text* with its commands as code."""
    verbs = "|".join(main.main.commands)
    command = rf"smtd(?:-ctl)? (?:{verbs})\b(?: (?:now|approve|reject|PAIR)\b)*"
    return re.sub(rf"({command}|--[a-z-]+(?: mirror)?)", r"`\1`", text)
