"""What to do with each key: pure decisions, no I/O, no await."""
