"""Warm interpreters, which have loaded smtd and fork for each process that a test starts."""
