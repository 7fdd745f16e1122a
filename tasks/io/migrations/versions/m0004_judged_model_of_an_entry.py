"""An entry of the ledger names the model that was judged, where another fit of it serves.

Entries that are there keep their digests, which leave the column out where it is null.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column."""
    op.add_column("ledger", sa.Column("judged_digest", sa.String(64)))
