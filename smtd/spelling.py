"""Find the name that a user most likely meant by a misspelt one; the only place that decides this."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

#: The least likeness (difflib's ratio, 0 to 1) of two names of which one may be a misspelling of the other.
_ALIKE: Final = 0.7
#: The least letters of a word that may be the beginning of a longer name.
_PREFIX: Final = 3
#: The most names that are compared letter by letter: 1,000 take 20 ms.
_MOST: Final = 1000


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that the unknown *word* most likely stands for.

    It differs in upper and lower case only, or in the order of its letters, or it is the only one that begins
    with *word*, or it is the most alike. None: none is alike, several are equally likely, or the likely one
    differs in its digits only. Names with other digits are other things: the pair lab2 is no misspelt lab1.
    """
    if any(letter in word for letter in "*?["):  # a glob, which may match nothing
        return None
    names = list(known)
    folded = word.casefold()
    for fitting in (
        [name for name in names if name.casefold() == folded],
        [name for name in names if _is_reordered(folded, name)],
        [name for name in names if len(folded) >= _PREFIX and name.casefold().startswith(folded)],
        _most_alike(folded, names) if len(names) <= _MOST else [],
    ):
        if len(fitting) == 1:
            return fitting[0]
    return None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return the end of an error about the unknown *word*: the likely name as a question, else *otherwise*.

    It begins with a semicolon, or is empty.
    """
    likely = nearest(word, known)
    if likely is not None:
        return f"; did you mean {likely!r}?"
    return f"; {otherwise}" if otherwise else ""


def _most_alike(folded: str, names: Sequence[str]) -> list[str]:
    """Return the *names* that are most like *folded*, a word in lower case."""
    from difflib import SequenceMatcher  # here: most commands have no mistake

    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(folded)  # which difflib remembers
    best = _ALIKE
    found: list[str] = []
    for name in names:
        matcher.set_seq1(name.casefold())
        if matcher.real_quick_ratio() < best or matcher.quick_ratio() < best or matcher.ratio() < best:
            continue
        if matcher.ratio() > best:
            best, found = matcher.ratio(), []
        found.append(name)
    return [] if any(_digits_differ(folded, name) for name in found) else found


def _is_reordered(folded: str, name: str) -> bool:
    return sorted(name.casefold()) == sorted(folded) and not _digits_differ(folded, name)


def _digits_differ(folded: str, name: str) -> bool:
    """Say whether *name* differs from *folded* in its digits only."""
    return re.sub(r"\d+", "0", folded) == re.sub(r"\d+", "0", name.casefold())
