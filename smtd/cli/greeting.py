"""What `smtd run` and `smtd serve` say on a terminal when everything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from smtd import __version__
from smtd.cli.shell_words import command
from smtd.cli.status_table import ARROWS
from smtd.daemon.settings import PairSettings


def lines(
    config: Path | None, socket: str, pairs: Sequence[PairSettings], *, is_usual: bool, keeps_pairs: bool
) -> Iterator[str]:
    """Yield the version, what is synced, and how to look at it and to stop it.

    *config* None: there is no configuration. *is_usual*: `smtd` finds the *socket* from any shell.
    Without *keeps_pairs* the daemon only serves a store.
    """
    program = ["smtd"] if is_usual else ["smtd", "--socket", socket]
    yield f"smtd {__version__}"
    yield _line("configuration", str(config) if config is not None else "none; smtd init makes one")
    if keeps_pairs:
        named = [
            f"{one.name}: {one.words.left} {ARROWS[one.policy.mode.value]} {one.words.right}" for one in pairs
        ]
        for number, text in enumerate(named or ["none; add one with smtd mirror, or in the configuration"]):
            yield _line("" if number else "pairs", text)
    yield _line("socket", socket)
    if keeps_pairs:
        yield _line("page", f"{command(*program, 'web')} opens it in a browser")
        yield _line("stop", f"Ctrl-C, or {command(*program, 'stop')}")
    else:
        yield _line("page", "the address of the records without records/, in a browser")
        # Without the socket, smtd would mean the daemon of this user, if one runs.
        yield _line("stop", f"Ctrl-C, or {command('smtd', '--socket', socket, 'stop')}")


def _line(what: str, text: str) -> str:
    return f"  {what:<14} {text}"
