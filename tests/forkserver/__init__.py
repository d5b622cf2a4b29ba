"""Interpreters that have loaded smtd already, and fork for each process that a test starts."""
