"""SimpleParameterSet: lines of `name = value # comment` (sumatra/parameters.py)."""

from __future__ import annotations

import ast
import builtins
import re
from typing import Any

from smtd.errors import RecordUnusable
from smtd.records import literal

#: The numbers and the text that Sumatra writes, which need no parser.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*(e[+-]?[0-9]+)?|[0-9]+e[+-]?[0-9]+)\Z")
_QUOTED = re.compile(r"\"[^\"\\#\x00-\x1f\x7f-\U0010ffff]*\"\Z")
#: A string that can stand between double quotes as it is, as Sumatra writes it.
_BARE = re.compile(r"[^\"\\#\x00-\x1f\x7f\u0085\u2028\u2029]*\Z")
#: The parts of an expression that have no effect; a name that is not defined makes Sumatra
#: take the whole text as a string.
_HARMLESS = (
    ast.Name,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.UnaryOp,
    ast.USub,
    ast.UAdd,
    ast.Load,
)
#: Names that are defined where Sumatra evaluates a value (sumatra/parameters.py): builtin ones, those
#: of newer Pythons and of interactive ones too, those of its module, and those of its function.
_DEFINED = frozenset(
    (
        *dir(builtins),
        *("aiter", "anext", "EncodingWarning", "BaseExceptionGroup", "ExceptionGroup"),
        *("PythonFinalizationError", "_IncompleteInputError"),
        *("exit", "quit", "copyright", "credits", "license"),
        *("os", "shutil", "abc", "re", "filterfalse", "Path", "StringIO", "ConfigParser"),
        *("MissingSectionHeaderError", "NoOptionError", "json", "yaml", "yaml_loaded", "parameters"),
        *("component", "component_type", "get_registered_components", "conditional_component"),
        *("POP_NONE", "ParameterSet", "_dict_diff", "YAMLParameterSet", "NTParameterSet"),
        *("SimpleParameterSet", "ConfigParserParameterSet", "JSONParameterSet", "build_parameters"),
        *("self", "line", "parts", "name", "value"),
    )
)


def read(content: str) -> dict[str, Any]:
    """Return the values by name, in order. Raises RecordUnusable for text that is not such a set."""
    values: dict[str, Any] = {}
    for line in content.split("\n"):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise RecordUnusable(f"{literal.shortened(text)} is not of the form name = value")
        values[name.strip()] = _value(value)
    return values


def comments(content: str) -> dict[str, str]:
    """Return the comments by name: all text after the first `#` of a line, as Sumatra reads it."""
    found = {}
    for line in content.split("\n"):
        text = line.strip()
        name, _, comment = text.partition("#")
        if comment and "=" in name:
            found[name.partition("=")[0].strip()] = comment
    return found


def _value(text: str) -> Any:
    stripped = text.strip()
    if _INTEGER.match(stripped):
        return int(stripped)
    if _FLOAT.match(stripped):
        return float(stripped)
    if _QUOTED.match(stripped):
        return stripped[1:-1]
    try:
        return literal.read(stripped)
    except literal.NotLiteral:
        if _is_undefined_name(stripped):
            return text
        raise


def _is_undefined_name(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    nodes = list(ast.walk(tree.body))
    return all(isinstance(node, _HARMLESS) and not _is_defined(node) for node in nodes)


def _is_defined(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and (node.id in _DEFINED or node.id.startswith("__"))


def write(values: dict[str, Any], comments: dict[str, str]) -> str:
    """Return the text of a set, which Sumatra can read whatever its strings contain.

    Sumatra's own text breaks on quotes, backslashes, `#` and infinities; those values are
    written as escaped literals. Raises RecordUnusable for a value that has no literal.
    """
    lines = []
    for name, value in values.items():
        if not isinstance(name, str) or not _is_name(name):
            raise RecordUnusable(f"the parameter name {literal.shortened(str(name))} cannot be written")
        line = f"{name} = {_text(value)}"
        if comment := comments.get(name):
            line += " #" + " ".join(comment.splitlines())
        lines.append(line)
    return "\n".join(lines)


def _is_name(name: str) -> bool:
    return bool(name) and not name.startswith("#") and name == name.strip() and not set(name) & {"=", "\n"}


def _text(value: Any) -> str:
    if type(value) is str and _BARE.match(value):
        return f'"{value}"'
    return literal.write(value).replace("#", "\\x23")
