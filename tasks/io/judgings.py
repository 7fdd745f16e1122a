"""Adapter: which holdouts judged, and the alpha that each judging spent, in SQL.

The table lies in the database of the ledger. A judging is keyed by who was judged against whom on what, so that a retry or a
replay of a training is no second judging.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    UniqueConstraint,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from tasks.contracts.judging import JudgedHoldout, PastJudging, Spending
from tasks.errors import ServiceUnavailable
from tasks.io.database import open_database, tables

_TRIES = 20  # of judgings at the same time, each of which takes the next number
_judgings = Table(
    "judgings",
    tables,
    Column("use_case", String(63), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("idempotency_key", String(64), nullable=False),
    Column("holdout", Text, nullable=False),
    Column("spending", Text, nullable=False),
    Column("found_better", Boolean),
    Column("p_better", Float),
    UniqueConstraint("use_case", "idempotency_key"),
)


class JudgingLog:
    """The judgings of all use cases behind one SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        self._db = open_database(url)

    def begin(
        self, use_case: str, key: str, holdout: JudgedHoldout, spend: Callable[[Sequence[PastJudging]], Spending]
    ) -> Spending:
        """Record a judging before it is made, and what it spends. The same key again gives what it spent the first time.

        Parameters
        ----------
        spend : what a judging may spend after the earlier ones of the use case, oldest first.

        Raises
        ------
        ServiceUnavailable : other judgings took the next number again and again.
        """
        for _ in range(_TRIES):
            with self._db.connect() as connection:
                mine = _judgings.c.use_case == use_case
                rows = connection.execute(select(_judgings).where(mine).order_by(_judgings.c.sequence)).mappings().all()
            known = next((row for row in rows if row["idempotency_key"] == key), None)
            if known is not None:
                return Spending.from_json(json.loads(known["spending"]))
            spending = spend([_past(row) for row in rows])
            values = {
                "use_case": use_case,
                "sequence": 1 + max((row["sequence"] for row in rows), default=0),
                "idempotency_key": key,
                "holdout": json.dumps(holdout.to_json(), sort_keys=True),
                "spending": json.dumps(spending.to_json(), sort_keys=True),
            }
            try:
                with self._db.begin() as connection:
                    connection.execute(insert(_judgings).values(values))
            except IntegrityError:  # another judging took the number; what may be spent is computed after it
                continue
            return spending
        raise ServiceUnavailable(f"{use_case}: {_TRIES} other judgings were recorded at the same time; try again")

    def settle(self, use_case: str, key: str, *, found_better: bool, p_better: float | None) -> None:
        """Record whether a judging found a gain that passed, and the p-value of the gain."""
        this = (_judgings.c.use_case == use_case) & (_judgings.c.idempotency_key == key)
        with self._db.begin() as connection:
            connection.execute(update(_judgings).where(this).values(found_better=found_better, p_better=p_better))

    def judgings(self, use_case: str) -> list[PastJudging]:
        """Every judging of a use case, oldest first."""
        query = select(_judgings).where(_judgings.c.use_case == use_case).order_by(_judgings.c.sequence)
        with self._db.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [_past(row) for row in rows]


def _past(row: RowMapping) -> PastJudging:
    """A row as a contract. A judging that was not finished found nothing."""
    return PastJudging(
        holdout=JudgedHoldout.from_json(json.loads(row["holdout"])),
        alpha=Spending.from_json(json.loads(row["spending"])).alpha,
        found_better=bool(row["found_better"]),
        p_better=row["p_better"],
    )
