"""A campaign at the one `smtd serve` that serves a database of MariaDB, and is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from campaigns.laptops import campaign as laptops
from campaigns.laptops.server import Server
from tests.campaigns.test_two_servers import check, told_at
from tests.servers.served import new_store, served
from tests.servers.server import DatabaseServer


@pytest.mark.slow
def test_laptops_at_a_server_on_mariadb_that_is_killed_lose_nothing(
    tmp_path: Path, mariadb_server: DatabaseServer
) -> None:
    """Nor is anything there twice or without a reason."""
    database = new_store(mariadb_server)
    with served(tmp_path / "servers", database) as servers:
        check(told_at(Server(laptops.urls(servers), database.run, servers), tmp_path))
