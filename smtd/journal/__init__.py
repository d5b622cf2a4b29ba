"""smtd's own SQLite file: what was agreed, which writes are open, what was overwritten."""
