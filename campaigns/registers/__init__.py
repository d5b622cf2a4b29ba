"""Clients of the same few records of a real `smtd serve`; what they saw must be linearizable."""
