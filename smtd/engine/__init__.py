"""One cycle of one pair: scan, plan, apply, advance.

Knows stores by their contract only; all policy is in `smtd.merge`.
"""
