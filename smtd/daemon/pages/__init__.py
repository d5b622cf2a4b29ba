"""The daemon's pages on loopback, for its own user: how the mirrors are, what to decide, what smtd wrote.

They ask the daemon by the verbs of the control socket, and know nothing else of it.
"""
