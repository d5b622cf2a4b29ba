"""What others do to a store between two cycles, and how often.

Apart from what needs smtd: a process that starts others is counted in the memory of each of them.
"""

from __future__ import annotations

#: Cycles of each kind but the first, and of each kind where a shelf is rewritten; and how many edits follow
#: each other, to see what stays in memory.
ROUNDS, FEW, MANY = 5, 3, 100
#: Another outcome for the first record.
EDIT = "UPDATE django_store_record SET outcome = ? WHERE db_id = (SELECT min(db_id) FROM django_store_record)"
#: Another reason for it: what keeps the outcome that smtd has just written is no edit of an older state.
EDIT_REASON = EDIT.replace("outcome", "reason")
