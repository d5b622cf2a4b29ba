"""`smtd check` tries whether a database on a server could be written, without leaving a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build import PROJECT
from tests.command import Answer, Smtd
from tests.servers.server import Database, DatabaseServer

pytestmark = pytest.mark.slow

#: How each server creates a user who may read all of a database, and write all but one table of tags.
READER = {
    "postgresql": (
        "CREATE ROLE {user} LOGIN PASSWORD 'pw'",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}",
    ),
    "mariadb": ("CREATE USER {user}@'%' IDENTIFIED BY 'pw'", "GRANT SELECT ON {database}.* TO {user}@'%'"),
}
WRITER = {
    "postgresql": (
        "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}",
        "REVOKE DELETE ON django_store_taggeditem FROM {user}",
    ),
    "mariadb": (
        "GRANT INSERT, UPDATE ON {database}.* TO {user}@'%'",
        *(
            f"GRANT DELETE ON {{database}}.django_store_{table} TO {{user}}@'%'"
            for table in (
                *("record", "datakey", "record_input_data", "record_dependencies", "record_platforms"),
            )
        ),
    ),
}


def checked(smtd: Smtd, database: Database, user: str = "") -> Answer:
    """Return the result of `smtd check` of the database, for another *user* if one is named."""
    config = smtd.directory / "config.toml"
    url = database.url.replace("smt:pw-of-smt@", f"{user}:pw@" if user else "smt:pw-of-smt@")
    config.touch(0o600)
    config.write_text(
        f'[stores.left]\nlocation = "{smtd.directory}/left.sqlite"\n[stores.lab]\nlocation = "{url}"\n'
        f'[pairs.pair]\nleft = "left"\nright = "lab"\n',
        "utf-8",
    )
    return smtd("-c", config, "check")


def test_user_who_may_write_is_told_so_and_nothing_changes(
    smtd: Smtd, database_server: DatabaseServer
) -> None:
    """Not even a number of a row is used up."""
    database = database_server.new()
    tables = database.run("SELECT count(*) FROM django_store_record")

    answer = checked(smtd, database)
    database.run("INSERT INTO django_store_tag (name) VALUES ('one')")

    assert answer.code == 0, answer.out
    assert f"{database.shown.partition(':')[2]}  0 records of no projects; can be written\n" in answer.out
    assert database.run("SELECT count(*) FROM django_store_record") == tables
    assert database.run("SELECT id FROM django_store_tag") == [(1,)]


def test_user_who_may_not_write_keeps_the_pair_from_syncing(
    smtd: Smtd, database_server: DatabaseServer, tmp_path: Path
) -> None:
    """It may read; and a single privilege may be missing."""
    database = database_server.new()
    scheme, user = database_server.scheme, f"reader_{database.name}"
    names = {"user": user, "database": database.name}

    database.run_all(*[(each.format(**names), ()) for each in READER[scheme]])
    reader = checked(smtd, database, user)
    database.run_all(*[(each.format(**names), ()) for each in WRITER[scheme]])
    nearly = checked(smtd, database, user)

    for answer, table in ((reader, "django_store_"), (nearly, "django_store_taggeditem")):
        assert answer.code == 4
        (lab, pair) = [line for line in answer.out.splitlines() if line[0] == "\u2717"]
        assert lab.startswith("\u2717 lab          permission denied: ")
        assert table in lab
        assert "GRANT" in lab
        assert pair == "\u2717 pair pair    its right store lab cannot be written; see there"
    assert PROJECT not in reader.out


def test_user_from_whom_records_may_be_hidden_is_told_so(
    smtd: Smtd, postgresql_server: DatabaseServer
) -> None:
    """What such a user does not see would count as deleted."""
    database = postgresql_server.new()
    user = f"guest_{database.name}"
    database.run_all(
        (f"CREATE ROLE {user} LOGIN PASSWORD 'pw'", ()),
        (f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}", ()),
        (f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {user}", ()),
    )
    before = checked(smtd, database, user)
    database.run_all(
        ("ALTER TABLE django_store_record ENABLE ROW LEVEL SECURITY", ()),
        (f"CREATE POLICY own ON django_store_record TO {user} USING (label LIKE 'guest%')", ()),
    )
    after = checked(smtd, database, user)

    assert (before.code, after.code) == (0, 4)
    (lab, _) = [line for line in after.out.splitlines() if line[0] == "\u2717"]
    assert "row-level security may hide records in django_store_record of" in lab
    assert lab.endswith("use a user who sees every row (BYPASSRLS)")
