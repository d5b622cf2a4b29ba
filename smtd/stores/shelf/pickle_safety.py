"""Find pickled values that would run code when they are loaded: smtd copies none of them to another shelf.

Loading a shelf imports every module that it names, and makes every call in it. A value for which smtd has no
field goes from shelf to shelf as it was pickled, so smtd checks each of these values first.
"""

from __future__ import annotations

import sys
from typing import Any

from smtd.errors import RecordUnusable
from smtd.stores.shelf import inert
from smtd.stores.shelf.inert import Ref

_BUILTINS = ("builtins", "__builtin__")
#: Classes of plain values. `bytearray` is none: it allocates as many bytes as the pickle says.
_PLAIN = ("object", "type", "set", "frozenset", "dict", "list", "tuple", "complex")
_TYPES = ("bool", "int", "long", "float", "str", "unicode", "bytes")
#: What pickles of plain values call. Those of numpy create an array from bytes in the pickle.
_CALLS = {
    *(Ref(module, name) for module in _BUILTINS for name in _PLAIN),
    *(Ref("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")),
    *(Ref("collections", name) for name in ("OrderedDict", "deque")),
    *(Ref(module, "_reconstructor") for module in ("copy_reg", "copyreg")),
    *(Ref("pathlib", f"{pure}{kind}Path") for pure in ("", "Pure") for kind in ("Posix", "Windows")),
    *(Ref(f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
    *(Ref(f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    Ref("numpy", "dtype"),
    Ref("_codecs", "encode"),
    Ref("decimal", "Decimal"),
    Ref("fractions", "Fraction"),
    Ref("re", "_compile"),
}
#: What else of Python itself may be named: classes that are only instantiated, and given their state.
_NAMED = {
    *(Ref(module, name) for module in _BUILTINS for name in _TYPES),
    *(
        Ref(module, name)
        for module in ("configparser", "ConfigParser")
        for name in ("ConfigParser", "RawConfigParser")
    ),
    *(Ref("configparser", name) for name in ("SafeConfigParser", "BasicInterpolation", "Interpolation")),
    *(Ref("configparser", name) for name in ("LegacyInterpolation", "ConverterMapping", "SectionProxy")),
    Ref("uuid", "UUID"),
    Ref("uuid", "SafeUUID"),
}


def checked(value: Any) -> Any:
    """Return *value*, from `inert.load`, unchanged. Raises RecordUnusable if loading it would run code.

    Classes of a user's own modules, about which nothing is known, may be named, but not called.
    """
    for ref, called in inert.globals_used(value):
        if called and ref not in _CALLS:
            raise RecordUnusable(
                f"it holds a call of {'.'.join(ref)}, which Sumatra would make whenever it loads the shelf;"
                " smtd does not sync it"
            )
        if ref in _CALLS or ref in _NAMED:
            continue
        if ref.module.partition(".")[0] in sys.stdlib_module_names:
            raise RecordUnusable(
                f"it names {'.'.join(ref)}, which Sumatra would import whenever it loads the shelf;"
                " smtd does not sync it"
            )
    return value
