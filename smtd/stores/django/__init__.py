"""Relational stores in the schema of Sumatra's DjangoRecordStore, read and written without Django.

`schema` knows the tables, `rows` turns them into records and back, `shared_rows` finds the rows that
records share, `store` keeps the contract, and one file a database (`sqlite`) knows the dialect.
"""
