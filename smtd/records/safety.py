"""What real Sumatra would run, fetch or open when it reads a record, and how to keep it from that.

A database and a server keep texts, of which Sumatra makes objects by calling constructors. Some of
these act on what they are given (seen with Sumatra 0.8.1, tests/stores/test_harm.py):

- the program of an executable without a version is run in a shell, to learn its version;
- the `mpirun` of a launch mode is too, if there is such a program: MPI runs have no other form, so the
  name or the full path of one program is let through, and nothing else;
- the text of a parameter set is first taken for the name of a file, and read from that;
- what follows `file://` anywhere in an NTParameterSet is a file, whose content is evaluated;
- a WebDAV data store connects to its address.

The addresses of repositories and mirrors are not opened, and what Sumatra would evaluate is refused
by `parameters.content`. From a shelf objects come back by their state, and none of this happens. From
everywhere the directory of a data store is made, empty, and `hg` is asked about that of a Mercurial
repository: every such record has one.
"""

from __future__ import annotations

import re

import msgspec

from smtd.errors import RecordUnusable
from smtd.records import literal
from smtd.records.canonical import NO_VERSION
from smtd.records.parameters import content
from smtd.records.record import Component, Executable, Parameters, Record

_FILE = "file://"
#: A name or a full path, of what a shell takes for one word and nothing else (as `shlex.quote` has it).
_PROGRAM = re.compile(r"(/?[\w@%+=:,.-]+|(/(?!\.\.?/)[\w@%+=:,.-]+)+)\Z", re.ASCII)
#: With these before its first slash a text names a file only in a directory that was made for it.
_NO_DIRECTORY = frozenset("=:{}[]()\"'#\n")
#: With these a text without a slash does. Sumatra writes no set without them but `1`, `true` and so on.
_NO_FILE = frozenset(" \n\"'{}[]()")


def disarmed(record: Record) -> Record:
    """Return *record* as it may be written where Sumatra makes its objects by calling constructors.

    It says the same. Raises RecordUnusable for what has no form that is harmless there.
    """
    _check_launch_mode(record.launch_mode)
    _check_data_store(record.datastore)
    _check_data_store(record.input_datastore)
    executable, parameters = _with_version(record.executable), _without_file(record.parameters)
    if executable is record.executable and parameters is record.parameters:
        return record
    return msgspec.structs.replace(record, executable=executable, parameters=parameters)


def _with_version(value: Executable | None) -> Executable | None:
    if value is None or value.version:
        return value
    return msgspec.structs.replace(value, version=NO_VERSION)


def _without_file(parameters: Parameters) -> Parameters:
    """Return the set in a text that neither is nor holds the name of a file that anybody has.

    A line break in front says nothing in any of the formats. Who can put a file of any name,
    such as `tau = 20`, into the directory in which Sumatra works, needs no record for his purposes.
    """
    text = parameters.content
    if parameters.type == "NTParameterSet" and _FILE in text:
        return content.write(parameters.type, content.read(parameters))  # writes it with an escape
    if parameters.type in _FROM_FILES and _names_a_file(text):
        return Parameters(parameters.type, "\n" + text)
    return parameters


_FROM_FILES = frozenset(
    ("SimpleParameterSet", "JSONParameterSet", "YAMLParameterSet", "ConfigParserParameterSet")
)


def _names_a_file(text: str) -> bool:
    directory, slash, _ = text.partition("/")
    return text != "" and not set(directory) & (_NO_DIRECTORY if slash else _NO_FILE)


def _check_launch_mode(value: Component) -> None:
    program = value.parameters.get("mpirun")
    if isinstance(program, str) and not _PROGRAM.match(program):
        raise RecordUnusable(
            f"Sumatra would run its mpirun {literal.shortened(program)} in a shell, but it is neither the"
            " name nor the full path of a program; record the run again with the path of a program"
        )


def _check_data_store(value: Component) -> None:
    if value.type == "DavFsDataStore":
        raise RecordUnusable(
            "Sumatra would connect to the address of its DavFsDataStore whenever it lists the project;"
            " keep the record in a shelf"
        )
