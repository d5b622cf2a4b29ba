"""Stores that smtd only reads: databases of Sumatra 0.2 to 0.7, and exports. Current stores never need this.

`sources` has what they have in common, `databases` and `export` read them whole, and `snapshot` makes a store
of that. Shelves of those Sumatras are converted where shelves are read (`shelf/upgrade.py`).
"""
