"""Read text files that users save with any editor, on any system."""

from __future__ import annotations

import codecs

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode(data: bytes) -> str:
    """Return the text of a file in UTF-8, without a byte order mark, and with Unix line breaks.

    Raises ValueError for any other encoding; its text is a clause with the problem and what to do.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.startswith(_UTF_16) or b"\0" in data[:2]:
        raise ValueError("it is saved as UTF-16 (which Windows calls Unicode); save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"line {line} is not UTF-8; save it as UTF-8") from exc
    return text.replace("\r\n", "\n")
