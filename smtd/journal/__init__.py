"""smtd's own SQLite file: what was agreed, what is under way, what was overwritten."""
