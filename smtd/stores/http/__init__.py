"""The store behind a Sumatra Server: whole records over HTTP.

`session` sends requests, `address` makes their paths, `form` converts records to and from the JSON of
version 4, `writer` writes a record and checks the outcome, `store` implements the contract.
What the server does is in docs/formats.md, "HTTP".
"""
