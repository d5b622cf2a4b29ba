"""smtd as a later version with another canonical form, and so with other digests; run as a program."""

from __future__ import annotations

from smtd.records import canonical

PROGRAM = ["-m", "tests.server.other_digests"]
#: How its digests begin.
PREFIX = f"{canonical.VERSION + 1}-"

if __name__ == "__main__":
    canonical.VERSION += 1  # before the modules that build their prefixes from it

    from smtd.cli.main import main

    main()
