"""The campaigns that there are."""

from __future__ import annotations

from campaigns import endurance, races, steady, stories
from campaigns.campaign import Campaign
from campaigns.fuzz import campaign as fuzz
from campaigns.kills import campaign as kills
from campaigns.laptops import campaign as laptops
from campaigns.partition import campaign as partition
from campaigns.registers import campaign as registers
from campaigns.serve import campaign as serve

CAMPAIGNS = {
    "stories": Campaign("what people, machines and chance do to two stores, in any order", stories.run, 1000),
    "races": Campaign("programs that save a shelf as they read it before, in memory", races.run, 2000),
    "laptops": Campaign("laptops and others at one Sumatra Server, by bad lines", laptops.run, 300),
    "meetings": Campaign(
        "laptops and others at one server of smtd's own, by bad lines", laptops.run_at_own_server, 300
    ),
    "meetings-postgresql": Campaign(
        "laptops and others at two servers of one PostgreSQL, one killed, by bad lines",
        laptops.run_at_postgresql,
        300,
    ),
    "kills": Campaign("cycles killed, or failed by the machine, while `smt` works", kills.run, 1000),
    "serve": Campaign("clients at `smtd serve`, which is killed all the time", serve.run, 200),
    "registers": Campaign("clients at the same records of `smtd serve`: linearizable?", registers.run, 200),
    "registers-postgresql": Campaign(
        "clients at the same records of two servers of one PostgreSQL: linearizable?",
        registers.run_at_postgresql,
        100,
    ),
    "partition": Campaign(
        "two daemons cut off from `smtd serve`, 1,000 changes on each side", partition.run, 600
    ),
    "steady": Campaign("a daemon with pairs that change all the time", steady.run, 600),
    "endurance": Campaign("100 clients of `smtd serve`, and ten changes a second", endurance.run, 1800),
    "fuzz": Campaign("altered bytes, for every parser of what others wrote", fuzz.run, 100_000),
}
