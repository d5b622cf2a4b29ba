"""ConfigParserParameterSet: sections of options, all of them text (stdlib configparser)."""

from __future__ import annotations

import configparser
import io
from typing import TypeAlias

from smtd.errors import RecordUnusable

Sections: TypeAlias = dict[str, dict[str, str]]


def read(content: str) -> Sections:
    """Return the options by section, defaults under DEFAULT. Raises RecordUnusable."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(content)
    except configparser.Error as exc:
        raise RecordUnusable(f"not a configuration file: {exc.message.splitlines()[0]}") from exc
    sections = {name: dict(parser[name]) for name in parser.sections()}
    defaults = dict(parser.defaults())
    own = {
        name: {word: text for word, text in options.items() if defaults.get(word) != text}
        for name, options in sections.items()
    }
    return ({parser.default_section: defaults} if defaults else {}) | own


def write(sections: Sections) -> str:
    """Return the text as ConfigParser writes it. Raises RecordUnusable if it cannot."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_dict(sections)
        output = io.StringIO()
        parser.write(output)
    except (configparser.Error, TypeError, AttributeError, ValueError) as exc:
        raise RecordUnusable(f"not a configuration: {exc}") from exc
    return output.getvalue()
