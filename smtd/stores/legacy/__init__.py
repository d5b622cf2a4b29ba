"""What smtd only reads: databases of Sumatra 0.2 to 0.7, and exports. Work on today's stores never needs it.

`sources` has what they have in common, `databases` and `export` read them whole, and `snapshot` makes a store
of that. Shelves of those Sumatras are brought into today's form where they are read (`shelf/old.py`).
"""
