# mypy: disable-error-code="import-not-found,import-untyped"
"""Let Django take PyMySQL for the driver that it wants, of which there are no wheels for Linux."""

from __future__ import annotations

import pymysql

pymysql.version_info = (1, 4, 6, "final", 0)
pymysql.install_as_MySQLdb()
