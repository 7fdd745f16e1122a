"""What Alembic runs for each migration. The connection and its transaction are the caller's: see `tasks.io.database`."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table=context.config.attributes["version_table"])
context.run_migrations()
