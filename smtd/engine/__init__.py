"""One cycle of one pair: finish what a crash left, observe, plan, apply, and save a checkpoint.

Knows stores by their contract only; all policy is in `smtd.merge`.
"""
