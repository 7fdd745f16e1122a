"""The judgings of each use case, and the alpha that they spent.

Judgings of the time before are not known: each use case begins with its initial wealth.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "judgings",
        sa.Column("use_case", sa.String(63), primary_key=True),
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("holdout", sa.Text, nullable=False),
        sa.Column("spending", sa.Text, nullable=False),
        sa.Column("found_better", sa.Boolean),
        sa.Column("p_better", sa.Float),
        sa.UniqueConstraint("use_case", "idempotency_key"),
    )
