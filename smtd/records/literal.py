"""Read and write Python literals without ever running code.

Sumatra writes parameter sets, launch modes and data stores as Python expressions and reads them
back with `eval`. This module reads the same expressions as data and refuses all others.
"""

from __future__ import annotations

import ast
import math
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from smtd.errors import RecordUnusable

#: Constructors that a NeuroTools parameter set may hold (package `parameters`, read_from_str).
CONSTRUCTORS = frozenset({"ParameterRange", "GammaDist", "UniformDist", "NormalDist", "ref"})
_NAMES: dict[str, Any] = {
    "pi": math.pi,
    "true": True,
    "false": False,
    "nan": math.nan,
    "inf": math.inf,
}

#: Expressions that `eval` turns into the floats that have no literal.
_INFINITY, _NAN = "1e999", "(1e999-1e999)"


class Call(NamedTuple):
    """A constructor and its arguments, as data: `GammaDist(m=2.0, s=1.0)`."""

    name: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]


class NotLiteral(RecordUnusable):
    """An expression that Sumatra would run and smtd will not."""


def read(text: str, *, names: bool = False) -> Any:
    """Return the value of the literal *text*.

    With *names*, also the names and constructors that a parameter set may hold. Raises
    NotLiteral for anything else.
    """
    try:
        return _Reader(names).value(_parsed(text).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError) as exc:
        raise NotLiteral(f"{shortened(text)} is not a literal value") from exc


def names_in(text: str) -> set[str]:
    """Return the names in the expression *text*, which `read` accepts."""
    return {node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name)}


#: Python has one list of warning filters for all threads.
_one_at_a_time = threading.Lock()


def _parsed(text: str) -> ast.Expression:
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes that Python will not support for ever
        return ast.parse(text.strip(), mode="eval")


def shortened(text: str, width: int = 60) -> str:
    """Return *text* quoted, on one line, and cut to *width* characters."""
    quoted = repr(text)
    return quoted if len(quoted) <= width else quoted[: width - 2] + "…'"


class _Reader:
    """Turns a syntax tree into data; ValueError for a node that is not data."""

    def __init__(self, names: bool) -> None:
        self._names = names

    def value(self, node: ast.expr) -> Any:
        kind = getattr(self, type(node).__name__.lower(), None)
        if kind is None:
            raise ValueError(type(node).__name__)
        return kind(node)

    def constant(self, node: ast.Constant) -> Any:
        if node.value is ...:
            raise ValueError("...")
        return node.value

    def list(self, node: ast.List) -> Any:
        return [self.value(item) for item in node.elts]

    def tuple(self, node: ast.Tuple) -> Any:
        return tuple(self.value(item) for item in node.elts)

    def set(self, node: ast.Set) -> Any:
        return {self.value(item) for item in node.elts}

    def dict(self, node: ast.Dict) -> Any:
        if any(key is None for key in node.keys):
            raise ValueError("**")
        return {
            self.value(key): self.value(item)
            for key, item in zip(node.keys, node.values, strict=True)
            if key is not None
        }

    def unaryop(self, node: ast.UnaryOp) -> Any:
        number = self.value(node.operand)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ValueError("sign")
        if isinstance(node.op, ast.USub):
            return -number
        if isinstance(node.op, ast.UAdd):
            return number
        raise ValueError("operator")

    def binop(self, node: ast.BinOp) -> Any:
        """Read the one sum that smtd itself writes: infinity minus infinity is not a number."""
        if isinstance(node.op, ast.Sub) and self.value(node.left) == self.value(node.right) == math.inf:
            return math.nan
        raise ValueError("operator")

    def name(self, node: ast.Name) -> Any:
        if not self._names or node.id not in _NAMES:
            raise ValueError(node.id)
        return _NAMES[node.id]

    def call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if not self._names or name not in CONSTRUCTORS:
            raise ValueError("call")
        keywords = tuple((word.arg, self.value(word.value)) for word in node.keywords)
        if len({word for word, _ in keywords} - {None}) < len(keywords):
            raise ValueError("** or a repeated keyword")
        return Call(name, tuple(self.value(item) for item in node.args), keywords)  # type: ignore[arg-type]


def write(value: Any) -> str:
    """Return an expression that both `eval` and `read` turn into *value*.

    Raises RecordUnusable for a value that has no literal. A `file://` inside a string is
    written with an escape, since Sumatra would open the file that it names.
    """
    try:
        return _write(value)
    except (ValueError, RecursionError) as exc:
        raise RecordUnusable(f"a value has no literal form: {exc}") from exc


def _write(value: Any) -> str:
    if type(value) in (str, bytes):
        return repr(value).replace("file://", "file:\\x2f/")
    if value is None or type(value) in (bool, int):
        return repr(value)
    writer = _WRITERS.get(type(value))
    if writer is None:
        raise RecordUnusable(f"a value of type {type(value).__name__} has no literal form")
    return writer(value)


def _write_float(value: float) -> str:
    if math.isnan(value):
        return _NAN
    if math.isinf(value):
        return _INFINITY if value > 0 else "-" + _INFINITY
    return repr(value)


def _write_tuple(value: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(_write, value)) + ("," if len(value) == 1 else "") + ")"


def _write_call(value: Call) -> str:
    words = [_write(item) for item in value.arguments]
    words += [f"{word}={_write(item)}" for word, item in value.keywords]
    return f"{value.name}({', '.join(words)})"


_WRITERS: dict[type, Callable[[Any], str]] = {
    float: _write_float,
    list: lambda value: "[" + ", ".join(map(_write, value)) + "]",
    tuple: _write_tuple,
    dict: lambda value: "{" + ", ".join(f"{_write(k)}: {_write(v)}" for k, v in value.items()) + "}",
    Call: _write_call,
}
