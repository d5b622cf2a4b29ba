"""Load pickles as data, and write them again unchanged, without importing or calling anything in them.

For every class or function that a pickle names there is a stand-in class. Its instances
only record what the pickle says about them, so that `dump` can write the same again. Only the few
constructors of plain values (dates, sets, bytes) are called.

The C pickler writes the stand-ins under random names, in text; one replacement then puts the
real names in. Nothing called `sumatra` is ever in `sys.modules`.
"""

from __future__ import annotations

import copyreg
import datetime
import hashlib
import io
import os
import pickle
import re
import struct
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

from smtd.errors import RecordUnusable
from smtd.records.parameters import content


class Ref(NamedTuple):
    """The module and the name of a class or a function in a pickle."""

    module: str
    name: str


class StandIn(type):
    """The type of stand-in classes; calling one records the call."""

    ref: Ref
    plain: Callable[..., Any] | None

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.plain is not None:
            try:
                return cls.plain(*args, **kwargs)
            except (TypeError, ValueError, OverflowError, AttributeError):
                pass  # not the arguments of a plain value: record the call like any other
        made: Any = cls.__new__(cls, *args, **kwargs)  # type: ignore[arg-type]
        made.called = True
        return made


#: Makes the pickler write `cls.__new__(cls, *args)`.
_new_object = vars(copyreg)["__newobj__"]


class Inert(metaclass=StandIn):
    """An object that a pickle describes: how it was created, and what it was given after that."""

    __slots__ = ("args", "called", "elements", "kwargs", "pairs", "state")
    ref: ClassVar[Ref] = Ref("builtins", "object")
    plain: ClassVar[Callable[..., Any] | None] = None

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    called: bool
    state: Any
    pairs: dict[Any, Any] | None
    elements: list[Any] | None

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        self = object.__new__(cls)
        self.args = args
        self.kwargs = kwargs
        self.called = False
        self.state = self.pairs = self.elements = None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.pairs is None:
            self.pairs = {}
        self.pairs[key] = value

    def append(self, value: Any) -> None:
        """Record an element: pickles call this on list-like objects."""
        self.extend((value,))

    def extend(self, values: Any) -> None:
        """Record elements: pickles call this on list-like objects."""
        if self.elements is None:
            self.elements = []
        self.elements.extend(values)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        cls = type(self)
        if self.kwargs:
            raise RecordUnusable(f"{'.'.join(cls.ref)} was made in a way that cannot be written")
        made = (cls, self.args) if self.called else (_new_object, (cls, *self.args))
        elements = None if self.elements is None else iter(self.elements)
        pairs = None if self.pairs is None else iter(self.pairs.items())
        return (*made, self.state, elements, pairs)

    def __repr__(self) -> str:
        return f"<{'.'.join(type(self).ref)}>"


_TOKEN = "smtd" + os.urandom(12).hex()
_module = types.ModuleType(_TOKEN)
_classes: dict[tuple[Ref, type], type] = {}
_names: dict[bytes, bytes] = {}
_written = re.compile(rb"c" + _TOKEN.encode() + rb"\n(K[0-9]+)\n")


def stand_in(ref: Ref, base: type = Inert) -> Any:
    """Return the stand-in class, derived from *base*, for *ref*."""
    found = _classes.get((ref, base))
    if found is None:
        if "\n" in ref.module + ref.name:
            raise pickle.UnpicklingError("a name with a line break")
        name = f"K{len(_classes)}"
        extra = {"ref": ref, "plain": _PLAIN.get(ref), "__slots__": ()} if base is Inert else {}
        found = type(base)(name, (base,), {"__module__": _TOKEN, "__qualname__": name, **extra})
        setattr(_module, name, found)
        sys.modules[_TOKEN] = _module
        _classes[ref, base] = found
        _names[name.encode()] = _opcodes(ref)
    return found


def _opcodes(ref: Ref) -> bytes:
    """Return the opcodes of protocol 2 that push the class *ref* onto the stack, without using the memo.

    A class inside a class is written as an attribute of that class, as Python itself does.
    """
    outer, dot, inner = ref.name.rpartition(".")
    if not dot:
        return f"c{ref.module}\n{ref.name}\n".encode()
    name = inner.encode("utf-8", "surrogatepass")
    owner = _opcodes(Ref(ref.module, outer))
    return b"cbuiltins\ngetattr\n" + owner + b"X" + struct.pack("<I", len(name)) + name + b"\x86R"


def new(module: str, name: str, state: Any = None, pairs: dict[Any, Any] | None = None) -> Inert:
    """Return an object of the class *module*.*name*, as a pickle would describe it."""
    cls = stand_in(Ref(module, name))
    made: Inert = cls.__new__(cls)
    made.state = state
    made.pairs = pairs
    return made


def _text_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(encoding)
    return text.encode("latin1")


def _inner_class(owner: Any, name: Any) -> Any:
    if not isinstance(owner, StandIn) or type(name) is not str:
        raise TypeError("not a class inside a class")
    return stand_in(Ref(owner.ref.module, f"{owner.ref.name}.{name}"))


def _no_bytes() -> bytes:
    return b""


#: The calls that create plain values, as pickles of protocols 0 to 5 write them.
_PLAIN: dict[Ref, Callable[..., Any]] = {
    Ref("datetime", "datetime"): datetime.datetime,
    Ref("datetime", "date"): datetime.date,
    Ref("datetime", "time"): datetime.time,
    Ref("datetime", "timedelta"): datetime.timedelta,
    Ref("datetime", "timezone"): datetime.timezone,
    Ref("builtins", "set"): set,
    Ref("__builtin__", "set"): set,
    Ref("builtins", "frozenset"): frozenset,
    Ref("__builtin__", "frozenset"): frozenset,
    Ref("_codecs", "encode"): _text_bytes,
    Ref("builtins", "getattr"): _inner_class,
    Ref("__builtin__", "getattr"): _inner_class,
    Ref("builtins", "bytes"): _no_bytes,
    Ref("__builtin__", "bytes"): _no_bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return stand_in(Ref(module, name))


def load(data: bytes) -> Any:
    """Return what the pickle *data* describes, as plain values and Inert objects.

    Bytes after the end of the pickle are ignored. Raises RecordUnusable for bytes that are not a
    pickle. The caller's process must limit memory and time.
    """
    # A stream with `peek` takes half the time: without it, each opcode of a pickle without frames is a call.
    stream = io.BufferedReader(io.BytesIO(data))
    reader = _Unpickler(stream, encoding="utf-8", errors="surrogateescape", fix_imports=False)
    try:
        return reader.load()
    except MemoryError as exc:
        raise RecordUnusable("it asks for more memory than its size allows") from exc
    except Exception as exc:  # a broken pickle raises almost anything
        why = " ".join(str(exc).split())
        raise RecordUnusable(f"it is not a complete pickle ({type(exc).__name__}: {why})") from exc


def dump(value: Any) -> bytes:
    """Return a pickle of *value*, of protocol 2, in which Inert objects have their real names."""
    data = pickle.dumps(value, protocol=2, fix_imports=False)
    return _written.sub(lambda found: _names[found.group(1)], data)


def globals_used(value: Any) -> Iterator[tuple[Ref, bool]]:
    """Yield the classes and functions that *value* names, and whether it calls them; some more than once."""
    return _globals_used(value, set())


def _globals_used(value: Any, seen: set[int]) -> Iterator[tuple[Ref, bool]]:
    if isinstance(value, StandIn):
        yield value.ref, False
    elif isinstance(value, (Inert, dict, list, tuple, set, frozenset)) and id(value) not in seen:
        seen.add(id(value))
        parts: Any = value
        if isinstance(value, Inert):
            yield type(value).ref, value.called
            parts = (value.args, value.kwargs, value.state, value.pairs, value.elements)
        elif isinstance(value, dict):
            parts = (*value.keys(), *value.values())
        for part in parts:
            yield from _globals_used(part, seen)


def digest(value: Any) -> bytes:
    """Return a digest of *value*, independent of the order of its sets and of the pickle's memo."""
    return _digest(value, {})


def _digest(value: Any, seen: dict[int, bytes]) -> bytes:
    if not isinstance(value, (Inert, list, dict, tuple)):
        return _hashed(_parts(value, seen))
    if (known := seen.get(id(value))) is None:
        seen[id(value)] = b"itself"  # for a part that contains the whole
        known = seen[id(value)] = _hashed(_parts(value, seen))
    return known


def _hashed(parts: list[bytes]) -> bytes:
    return hashlib.blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16).digest()


def _parts(value: Any, seen: dict[int, bytes]) -> list[bytes]:
    """Return the parts that distinguish *value*: its type, then the digests of its content."""
    kind = type(value).__name__.encode()
    if isinstance(value, StandIn):
        return [b"class", *(part.encode() for part in value.ref)]
    if isinstance(value, Inert):
        held = (value.called, value.args, value.kwargs, value.state, value.elements, value.pairs)
        return [*(part.encode() for part in type(value).ref), *(_digest(part, seen) for part in held)]
    if isinstance(value, (list, tuple)):
        return [kind, *(_digest(item, seen) for item in value)]
    if isinstance(value, dict):
        return [kind, *(_digest(part, seen) for pair in value.items() for part in pair)]
    if isinstance(value, (set, frozenset)):
        return [kind, *sorted(_digest(item, seen) for item in value)]
    try:
        said = content.plain(value)
    except RecordUnusable:
        said = value
    return [kind, repr(said).encode("utf-8", "backslashreplace")]
