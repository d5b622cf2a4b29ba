"""Prevent that real Sumatra runs, fetches or opens something when it reads a record.

A database and a server store texts, from which Sumatra creates objects by calling constructors. Some of
these act on their arguments (seen with Sumatra 0.8.1, tests/stores/test_harm.py):

- the program of an executable without a version is run in a shell, to find out its version;
- the `mpirun` of a launch mode is too, if there is such a program: MPI runs have no other form, so smtd
  accepts the name or the full path of one program, and nothing else;
- the text of a parameter set is first taken for the name of a file, and that file is read;
- what follows `file://` anywhere in an NTParameterSet is a file, whose content is evaluated;
- a WebDAV data store connects to its address.

The addresses of repositories and mirrors are not opened, and `parameters.content` rejects what Sumatra
would evaluate. Objects in a shelf are restored from their state, and none of this happens. From every kind of
store Sumatra creates the empty directory of a data store, and runs `hg` on that of a Mercurial repository:
smtd cannot prevent that, since every such record has one.
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
#: A name or a full path that a shell reads as a single word (as in `shlex.quote`).
_PROGRAM = re.compile(r"(/?[\w@%+=:,.-]+|(/(?!\.\.?/)[\w@%+=:,.-]+)+)\Z", re.ASCII)
#: A text with one of these before its first slash is the name of a file only in a directory made for that.
_NO_DIRECTORY = frozenset("=:{}[]()\"'#\n")
#: The same for a text without a slash. Sumatra writes no set without one of these, except `1`, `true` etc.
_NO_FILE = frozenset(" \n\"'{}[]()")


def sanitized(record: Record) -> Record:
    """Return *record* in a form that is safe in stores from which Sumatra creates objects by constructors.

    It has the same meaning. Raises RecordUnusable if no form of it is harmless there.
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
    """Return the set with a text that neither is nor contains the name of a file that may exist.

    A line break at the start has no meaning in any of the formats. An attacker who can create a file with any
    name, such as `tau = 20`, in the directory in which Sumatra works needs no record to do harm.
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
