"""Run campaigns: `python -m campaigns` for all, `python -m campaigns kills --count 100` for some.

With `--write` what came of them goes into docs/reliability.md, too. Ends with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from campaigns.campaign import Tally
from campaigns.campaigns import CAMPAIGNS
from docs.measured import Cells, Table, provenance
from tests.peers.environments import PeerFailed
from tests.servers.programs import NoServer

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
HEAD = ("campaign", "count", "lost", "doubled", "unexplained", "seconds", "faults injected", "again")
TABLE = Table(DOCUMENT, "python -m campaigns ", HEAD, list(CAMPAIGNS))
#: Faults that are printed, at the most.
SHOWN = 20


def main() -> None:
    """Run what the command line asks for, and print or write what came of it."""
    arguments = command_line()
    names = [name for name in CAMPAIGNS if name in arguments.campaigns or not arguments.campaigns]
    title = provenance()
    rows, wrong = [], []
    for name in names:
        tally = one(name, arguments.count)
        rows.append(cells(name, tally))
        wrong += tally.wrong
    print(f"{title}\n\n{TABLE.text(rows)}")
    if arguments.write:
        TABLE.write(title, names, rows)
    if wrong:
        sys.exit("\n".join(["", f"{len(wrong)} things are wrong:", *wrong[:SHOWN]]))


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description=__doc__)
    every = ", ".join(CAMPAIGNS)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"one of {every}; default: all")
    parser.add_argument(
        "--count", "--seconds", type=int, help="how often, or for how many seconds; default: as each needs"
    )
    parser.add_argument("--write", action="store_true", help="put the results into docs/reliability.md")
    arguments = parser.parse_args()
    if unknown := set(arguments.campaigns) - set(CAMPAIGNS):
        parser.error(f"there is no campaign {', '.join(sorted(unknown))}; there are {every}")
    return arguments


def one(name: str, count: int | None) -> Tally:
    """Run the campaign *name* in a directory of its own."""
    campaign = CAMPAIGNS[name]
    print(f"{name}: {campaign.what} …", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix=f"smtd-{name}-") as directory:
        return campaign.run(Path(directory), count or campaign.count, progress)


def progress(text: str) -> None:
    """Print how far a campaign is."""
    print(f"  {text}", file=sys.stderr)


def cells(name: str, tally: Tally) -> Cells:
    """Return the line of the campaign *name*."""
    counts = (len(tally.losses), len(tally.doubles), len(tally.differences))
    return TABLE.line(
        name,
        CAMPAIGNS[name].what,
        f"{tally.count:,} {tally.unit}",
        *map(str, counts),
        f"{tally.seconds:,.0f}",
        tally.summary,
    )


if __name__ == "__main__":
    try:
        main()
    except (PeerFailed, NoServer) as exc:
        sys.exit(f"campaigns: {exc}")
