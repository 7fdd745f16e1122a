"""The tables as they were before the database had migrations.

An installation of that time has some of these tables, because each adapter made its own on first use. Some of them lack the
columns that were added later, all of them nullable. This revision adds whatever is missing and changes nothing else.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_tables = sa.MetaData()
sa.Table(
    "ledger",
    _tables,
    sa.Column("use_case", sa.String(63), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("previous_version", sa.Integer),
    sa.Column("manifest_digest", sa.String(64), nullable=False),
    sa.Column("data_digest", sa.String(64), nullable=False),
    sa.Column("report_digest", sa.String(64), nullable=False),
    sa.Column("code_version", sa.String(64), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("trust", sa.String(16)),
    sa.Column("is_override", sa.Boolean),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("dag_run", sa.String(250), nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("entry_digest", sa.String(64), nullable=False),
    sa.Column("previous_digest", sa.String(64), nullable=False),
)
sa.Table(
    "retrain_decisions",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("use_case", sa.String(63), nullable=False),
    sa.Column("idempotency_key", sa.String(200), nullable=False),
    sa.Column("window_start", sa.String(10), nullable=False),
    sa.Column("window_end", sa.String(10), nullable=False),
    sa.Column("retrain", sa.Integer, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.UniqueConstraint("use_case", "idempotency_key"),
)
sa.Table(
    "retrain_requests",
    _tables,
    sa.Column("use_case", sa.String(63), primary_key=True),
    sa.Column("idempotency_key", sa.String(200), primary_key=True),
    sa.Column("as_of", sa.String(10), nullable=False),
    sa.Column("taken_by", sa.String(250), nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("passed", sa.Boolean),
)
sa.Table(
    "drift_reports",
    _tables,
    sa.Column("use_case", sa.String(63), primary_key=True),
    sa.Column("evidence", sa.String(64), primary_key=True),
    sa.Column("window_end", sa.String(10), nullable=False),
    sa.Column("report", sa.Text, nullable=False),
)
sa.Table("alerts", _tables, sa.Column("key", sa.String(64), primary_key=True))
sa.Table(
    "reviews",
    _tables,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("use_case", sa.String(63), nullable=False),
    sa.Column("idempotency_key", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("report_digest", sa.String(64), nullable=False),
    sa.Column("said", sa.String(100), nullable=False),
    sa.Column("actor", sa.String(200), nullable=False),
    sa.Column("trust", sa.String(16)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("door", sa.String(16), nullable=False),
    sa.Column("dag_run", sa.String(250), nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("why_not", sa.Text, nullable=False),
    sa.UniqueConstraint("use_case", "idempotency_key"),
)
sa.Table(
    "api_keys",
    _tables,
    sa.Column("key_id", sa.String(16), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("scopes", sa.String(100), nullable=False),
    sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
)
sa.Table(
    "events",
    _tables,
    sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("use_case", sa.String(63), nullable=False),
    sa.Column("event_id", sa.String(200), nullable=False),
    sa.Column("user_id", sa.String(200), nullable=False),
    sa.Column("item_id", sa.String(200), nullable=False),
    sa.Column("event_type", sa.String(16), nullable=False),
    sa.Column("event_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("quantity", sa.Float, nullable=False),
    sa.UniqueConstraint("use_case", "event_id"),
    sa.Index("events_of_user", "use_case", "user_id"),
)
sa.Table(
    "outcomes",
    _tables,
    sa.Column("use_case", sa.String(63), primary_key=True),
    sa.Column("prediction_id", sa.String(200), primary_key=True),
    sa.Column("item_id", sa.String(200), primary_key=True),
    sa.Column("label", sa.Float, nullable=False),
    sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=False),
)


def upgrade() -> None:
    """Create the tables that do not exist, and add the columns that an existing table lacks."""
    connection = op.get_bind()
    existing = set(sa.inspect(connection).get_table_names())
    _tables.create_all(connection)
    for table in _tables.sorted_tables:
        if table.name in existing:
            present = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
            for column in table.columns:
                if column.name not in present:
                    op.add_column(table.name, sa.Column(column.name, column.type))
