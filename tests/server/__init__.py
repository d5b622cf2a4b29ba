"""Tests of smtd's own server; those of its accounts are in `tests/server_accounts`."""
