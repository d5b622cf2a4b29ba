"""Clients at a real `smtd serve`, which is killed under them again and again."""
