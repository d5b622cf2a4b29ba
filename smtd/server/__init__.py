"""smtd's own server: the records of one database, for Sumatra's clients and with a feed of changes.

What is decided is in modules without I/O: `targets`, `validators`, `accepting`, `record_form`. `database`
holds the one connection, `writer` the one task that writes, `feed` those who listen. `application` puts them
behind HTTP.
"""
