"""smtd's own SQLite file: the baselines, which writes are open, what was overwritten."""
