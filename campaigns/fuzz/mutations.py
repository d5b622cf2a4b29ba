"""Alter bytes at random, with a liking for what the format under them uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias

Mutation: TypeAlias = Callable[[bytearray, Random, Sequence[bytes]], None]


def mutated(value: bytes, chance: Random, tokens: Sequence[bytes]) -> bytes:
    """Return *value* altered in one to twenty places; *tokens* are what the format is made of."""
    altered = bytearray(value)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        chance.choice(MUTATIONS)(altered, chance, tokens)
    return bytes(altered)


def flip(value: bytearray, chance: Random, _tokens: Sequence[bytes]) -> None:
    """Flip a bit."""
    if value:
        value[chance.randrange(len(value))] ^= 1 << chance.randrange(8)


def replace(value: bytearray, chance: Random, tokens: Sequence[bytes]) -> None:
    """Write a token over what is there."""
    token = chance.choice(tokens)
    place = chance.randrange(len(value) + 1)
    value[place : place + len(token)] = token


def insert(value: bytearray, chance: Random, tokens: Sequence[bytes]) -> None:
    """Put tokens where they do not belong."""
    place = chance.randrange(len(value) + 1)
    value[place:place] = b"".join(chance.choices(tokens, k=chance.choice((1, 2, 9))))


def remove(value: bytearray, chance: Random, _tokens: Sequence[bytes]) -> None:
    """Cut something out, or off."""
    place = chance.randrange(len(value) + 1)
    del value[place : place + chance.choice((1, 2, 50, 5000))]


def repeat(value: bytearray, chance: Random, _tokens: Sequence[bytes]) -> None:
    """Say something once more, somewhere else."""
    start, place = chance.randrange(len(value) + 1), chance.randrange(len(value) + 1)
    value[place:place] = value[start : start + chance.choice((5, 50, 500))]


MUTATIONS: list[Mutation] = [flip, flip, replace, replace, insert, remove, repeat]
