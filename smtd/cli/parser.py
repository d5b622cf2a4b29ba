"""The parser of `smtd-ctl`: argparse, with help and errors like those of `smtd`. No slow imports."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from smtd.cli.say import complain
from smtd.cli.verb_groups import grouped, unknown
from smtd.spelling import did_you_mean

if TYPE_CHECKING:
    from smtd.cli.help_page import HelpPage, Row

_REQUIRED = "the following arguments are required: "
#: What argparse says, and what smtd says.
_WORDINGS = (
    (r"argument (\S+): expected (one|at least one) argument", r"option '\1' needs a value"),
    (r"argument (\S+): invalid int value: (.*)", r"invalid value for '\1': \2 is not a whole number"),
    (r"argument (\S+): invalid float value: (.*)", r"invalid value for '\1': \2 is not a number"),
    (r"argument (\S+): (.*)", r"invalid value for '\1': \2"),
)


class VerbParser(argparse.ArgumentParser):
    """Parses the words of one verb, or of all."""

    def __init__(self, **options: Any) -> None:
        super().__init__(add_help=False, **options)
        self.add_argument("-h", "--help", action="help", help="Show this message and exit.")

    @property
    def verbs(self) -> dict[str, VerbParser]:
        """The parsers of the verbs below this one, by name; none if it is a verb itself."""
        return {} if (found := self._below) is None else dict(found.choices)

    @property
    def positionals(self) -> list[argparse.Action]:
        """The positional arguments."""
        return [each for each in self._actions if not each.option_strings and each is not self._below]

    @property
    def options(self) -> list[argparse.Action]:
        """The options."""
        return [each for each in self._actions if each.option_strings]

    @property
    def _below(self) -> argparse._SubParsersAction[VerbParser] | None:
        return next((each for each in self._actions if isinstance(each, argparse._SubParsersAction)), None)

    def format_help(self) -> str:
        """Return the help, in the form that both programs have."""
        from click import HelpFormatter  # here: it takes longer than most verbs

        from smtd.cli import help_page

        formatter = HelpFormatter()
        help_page.write(self.page(), formatter)
        return formatter.getvalue()

    def page(self) -> HelpPage:
        """Return what the help says."""
        from smtd.cli.help_page import HelpPage

        below = self._below
        texts = {} if below is None else {each.dest: each.help or "" for each in below._choices_actions}
        is_top = " " not in self.prog
        groups = list(grouped(texts)) if is_top else [("Commands", list(texts))] if texts else []
        pieces = ["[OPTIONS]", *map(usage_piece, self.positionals), *(["COMMAND [ARGS]..."] if texts else [])]
        return HelpPage(
            self.prog,
            [" ".join(pieces)],
            self.description or "",
            [(name_of(each), each.help or "") for each in self.positionals],
            [(heading, [(name, texts[name]) for name in names]) for heading, names in groups],
            [_option_row(each) for each in self.options],
            self.epilog or "",
        )

    def parse_words(self, words: Sequence[str]) -> argparse.Namespace:
        """Return what *words* mean. Exits with a sentence about a mistake in them."""
        found, more = self.parse_known_args(words)
        if more:
            parser: VerbParser = getattr(found, "parser", self)
            parser.error(parser._about_unknown(more[0]))
        return found

    def _about_unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"got unexpected extra argument ({word})"
        name = word.partition("=")[0]
        return f"no option {name!r}" + did_you_mean(
            name, [each for one in self.options for each in one.option_strings]
        )

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Reject a *value* that is none of the choices of *action*; name the likely one."""
        if action.choices is None or value in action.choices:
            return
        if action is self._below:
            self.error(unknown(value, self.verbs, self.prog))
        known = ", ".join(map(repr, action.choices))
        hint = did_you_mean(value, action.choices)
        self.error(f"invalid value for {name_of(action)!r}: {value!r} is not one of {known}{hint}")

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one sentence, and exit with the code of wrong usage."""
        if message.startswith(_REQUIRED):
            optional = [name_of(each) for each in self.positionals if each.nargs in ("?", "*")]
            names = [name for name in message.removeprefix(_REQUIRED).split(", ") if name not in optional]
            if self.verbs:
                self.print_help(sys.stderr)
                self.exit(2)
            kinds = [f"{'option' if name.startswith('-') else 'argument'} {name!r}" for name in names]
            message = f"missing {', '.join(kinds)}"
        for theirs, ours in _WORDINGS:
            message = re.sub(rf"\A{theirs}\Z", ours, message, flags=re.DOTALL)
        complain(mistake(self.prog, message))
        self.exit(2)


def mistake(command: str, sentence: str) -> str:
    """Return the line about the mistake *sentence* in the words after *command*."""
    is_helped = sentence.endswith("?") or f"{command} --help" in sentence
    return f"{command}: {sentence}" + ("" if is_helped else f"; see {command} --help")


def name_of(action: argparse.Action) -> str:
    """Return the name by which the help calls *action*."""
    return action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest.upper())


def usage_piece(action: argparse.Action) -> str:
    """Return the positional argument *action* as a usage line shows it."""
    name = name_of(action)
    return {"?": f"[{name}]", "*": f"[{name}]...", "+": f"{name}..."}.get(str(action.nargs), name)


def _option_row(action: argparse.Action) -> Row:
    value = ""
    if action.nargs != 0:
        value = f" [{'|'.join(map(str, action.choices))}]" if action.choices else f" {action.metavar}"
    return ", ".join(action.option_strings) + value, (action.help or "") + (
        "  [required]" if action.required else ""
    )
