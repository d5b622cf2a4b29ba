"""smtd's own server: it offers the records of one database to Sumatra's clients, with a feed of changes.

`targets`, `validators`, `record_update` and `record_form` do no I/O. `database` has the one connection,
`writer` the one task that writes, `feed` the clients that wait for changes. `application` answers HTTP
requests.
"""
