"""Snapshots that policies share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from tasks import clock
from tasks import columns as c
from tasks.backtest.sharing import AFTERWARDS, adopt_until, makes_the_same
from tasks.contracts.data import DatasetRef
from tasks.io.storage import Storage, frame_writer
from tasks.use_case import UseCase, load_use_case

MARCH, APRIL, MAY = (datetime(2011, month, 1, tzinfo=UTC) for month in (3, 4, 5))


def publish(storage: Storage, layer: str, value: float, at: datetime) -> DatasetRef:
    with clock.simulated(at):
        tables = {c.ROWS: frame_writer(pd.DataFrame({"x": [value]}))}
        return storage.publish(use_case="shop", layer=layer, partition="p", tables=tables)


def test_what_came_before_a_moment_is_taken_over_and_nothing_later(tmp_path: Path) -> None:
    donor, own = Storage(tmp_path / "donor", run="donor"), Storage(tmp_path / "own", run="own")
    old = publish(donor, c.RAW, 1.0, MARCH)
    new = publish(donor, c.RAW, 2.0, APRIL)
    publish(donor, c.PREDICTIONS, 3.0, MARCH)
    adopt_until("shop", own, donor, APRIL)
    assert own.current("shop", c.RAW, "p") == old
    assert own.current("shop", c.PREDICTIONS, "p") is None, "what a policy predicts is its own"
    adopt_until("shop", own, donor, MAY)
    adopt_until("shop", own, donor, MAY)
    assert own.current("shop", c.RAW, "p") == new
    assert own.current_versions("shop", c.RAW, "p") == donor.current_versions("shop", c.RAW, "p")
    own.verify(new)
    part = next(own.table(new).glob("*.parquet"))
    assert part.stat().st_nlink == 2, "rows are not copied"


def test_use_cases_share_only_if_they_make_the_same() -> None:
    case = load_use_case("purchase_propensity")
    assert makes_the_same(case, case.model_copy(update=dict.fromkeys(AFTERWARDS)))
    for part in set(UseCase.model_fields) - AFTERWARDS:
        assert not makes_the_same(case, case.model_copy(update={part: "another"})), part
