"""The clock that a backtest sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from tasks import clock
from tasks.contracts.promotion import Action, Trust
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage, frame_writer

PAST = datetime(2011, 3, 1, 12, tzinfo=UTC)


def test_the_clock_is_the_machine_s_outside_of_a_simulation() -> None:
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    with pytest.raises(RuntimeError), clock.simulated(PAST):
        raise RuntimeError
    assert clock.now() > PAST + timedelta(days=365)


def test_a_simulated_clock_runs_from_its_moment() -> None:
    with clock.simulated(PAST.replace(tzinfo=None)):
        first, second = clock.now(), clock.now()
        assert PAST <= first <= second < PAST + timedelta(minutes=5) and second.tzinfo is UTC
        assert clock.now_ms() // 1000 - int(PAST.timestamp()) < 300
        with clock.simulated(datetime(2012, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))):
            assert clock.now().date().isoformat() == "2012-01-01"
        assert clock.now().year == 2011


def test_what_adapters_record_has_the_simulated_time(storage: Storage, store: Path) -> None:
    import pandas as pd

    digest = "0" * 64
    with clock.simulated(PAST):
        ref = storage.publish(
            use_case="shop", layer="raw", partition="p", tables={"rows": frame_writer(pd.DataFrame({"x": [1]}))}
        )
        entry = Ledger(f"sqlite:///{store / 'ledger.db'}").append(
            use_case="shop",
            action=Action.PROMOTE,
            version=1,
            expected_head=None,
            manifest_digest=digest,
            data_digest=digest,
            report_digest=digest,
            code_version="c",
            actor="a",
            trust=Trust.POLICY,
            reason="r",
            dag_run="d",
        )
        with tracking.start_run("shop", "a run", "key", {}) as run:
            run.log_metrics({"m": 1.0})
    info = tracking.get_client().get_run(run.run_id).info
    times = [
        datetime.fromisoformat(storage.manifest(ref)["made"]["at"]),
        entry.at,
        *(datetime.fromtimestamp(ms / 1000, UTC) for ms in (info.start_time, info.end_time)),
    ]
    assert all(PAST - timedelta(seconds=1) <= at < PAST + timedelta(minutes=5) for at in times), times
