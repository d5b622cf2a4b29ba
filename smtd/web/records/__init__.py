"""Records as the pages show them: the search index, what asks it, and the pure parts of the pages.

The index is a file that can be deleted at any time: it only repeats what a store holds. It knows no rights:
its callers name the projects. `index.py` keeps it, `entry.py` says what it holds of a record, `query.py`
what can be asked.
"""
