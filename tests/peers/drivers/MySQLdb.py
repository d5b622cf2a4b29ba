# mypy: disable-error-code="import-not-found,import-untyped"
"""Make Django use PyMySQL for the driver that it wants, which has no wheels for Linux."""

from __future__ import annotations

import pymysql

pymysql.version_info = (1, 4, 6, "final", 0)
pymysql.install_as_MySQLdb()
