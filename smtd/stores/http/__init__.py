"""The store behind a Sumatra Server: whole records over HTTP.

`session` sends requests, `address` knows where they go, `form` turns records into the JSON of version
4 and back, `writer` writes a record and looks at what came of it, `store` keeps the contract.
What the server does is in docs/formats.md, "HTTP".
"""
