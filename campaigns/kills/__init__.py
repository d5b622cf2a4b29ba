"""Cycles that are killed, or that the machine fails, while real `smt` works on the stores."""
