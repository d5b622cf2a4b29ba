"""The control socket: what travels on it, who serves it, and who asks."""
