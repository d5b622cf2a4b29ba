"""The store behind a Sumatra Server: whole records over HTTP.

`session` sends requests, `form` turns records into the JSON of version 4 and back, `store` keeps the
contract. What the server does is in docs/formats.md, "HTTP".
"""
