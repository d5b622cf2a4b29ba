"""Clients of a real `smtd serve`, which the campaign kills again and again."""
