"""The schema of our own database, as Alembic revisions.

`versions/` holds one module for each revision. Its number is the revision, and the highest number is the schema that the
code needs. To change a table: change its definition in the adapter, and add a module with the next number whose `upgrade`
does the same to a database that has data. A test compares the result with the adapters' definitions.
"""
