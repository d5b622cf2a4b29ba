"""Relational stores in the schema of Sumatra's DjangoRecordStore, read and written without Django.

`schema` defines the tables, `rows` converts them into records and back, `shared_rows` finds or inserts the
rows that records share, `store` implements the contract, and one module for each kind of database (such as
`sqlite`) has its dialect.
"""
