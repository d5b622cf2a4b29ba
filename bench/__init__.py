"""Measurements side by side with real Sumatra and with the least that the work can cost."""
