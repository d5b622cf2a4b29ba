"""Tests that need a Python with dbm.gnu and dbm.ndbm, in an environment of `tests/peers`."""
