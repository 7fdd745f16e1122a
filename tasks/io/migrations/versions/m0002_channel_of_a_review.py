"""The column `door` of the reviews is named `channel`.

The key of a review is a digest of its fields with their names, so that the same answer in the same run is kept once. The keys
are computed again from the new names.
"""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_FIELDS = (
    "use_case",
    "version",
    "report_digest",
    "said",
    "actor",
    "trust",
    "reason",
    "channel",
    "dag_run",
    "why_not",
)


def upgrade() -> None:
    """Rename the column, then write the keys that the new name gives."""
    op.alter_column("reviews", "door", new_column_name="channel")
    reviews = sa.table("reviews", *(sa.column(name) for name in ("id", "idempotency_key", *_FIELDS)))
    connection = op.get_bind()
    for row in connection.execute(sa.select(reviews)).mappings().all():
        fields = json.dumps({name: row[name] for name in _FIELDS}, sort_keys=True)
        key = hashlib.sha256(fields.encode()).hexdigest()
        connection.execute(sa.update(reviews).where(reviews.c.id == row["id"]).values(idempotency_key=key))
