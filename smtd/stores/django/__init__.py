"""Relational stores in the schema of Sumatra's DjangoRecordStore, read and written without Django.

`schema` defines the tables, `rows` converts them into records and back, `shared_rows` finds or inserts the
rows that records share. `store` reads and writes, `sqlite_store` and `server_store` also find what others
have changed, and one module for each kind of database (such as `sqlite`) has its dialect.
"""
