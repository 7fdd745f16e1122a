"""The endpoint's own logs as sources."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.predictions import Prediction
from tasks.errors import SourceError
from tasks.io.events import EventStore
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.settings import get_settings
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.endpoint_logs import AnswerLog, EventLog
from tests.tasks.stages.ingestion.source_examples import sample

DAY = Window(start=date(2026, 1, 5), end=date(2026, 1, 6))
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)


def answer(name: str, at: datetime) -> Prediction:
    """An online answer of two items."""
    return Prediction(
        prediction_id=name,
        made_at=at,
        use_case="shop",
        channel="online",
        subject="ann",
        model_version=1,
        path="model",
        manifest_digest="a" * 64,
        features_version="f" * 16,
        items=("mug", "pen"),
        scores=(0.5, 0.25),
        latency_ms=1.0,
    )


@sample("answer_log", of="shop")
def answers_folder(folder: Path) -> tuple[Path, Window]:
    PredictionLog(get_settings().predictions_root).append([answer("p1", NOON)])
    return folder, DAY


@sample("event_log", of="shop")
def events_folder(folder: Path) -> tuple[Path, Window]:
    taken, by = datetime(2026, 1, 5, 12, tzinfo=UTC), {"user_id": "ann", "item_id": "mug", "quantity": 2.0}
    get_settings().home.mkdir(exist_ok=True)
    EventStore(get_settings().events_url).add_events(
        "shop",
        [
            {"event_id": "e2", "event_type": "view", "event_at": taken - timedelta(days=2), "value": None, **by},
            {"event_id": "e1", "event_type": "purchase", "event_at": taken, "value": 5.0, **by},
        ],
        taken,
    )
    return folder, Window(start=date(2026, 1, 5), end=date(2026, 1, 6))


def record_event(event_id: str, taken: datetime, use_case: str = "shop", **changes: object) -> None:
    get_settings().home.mkdir(exist_ok=True)
    event = {"event_id": event_id, "user_id": "ann", "item_id": "mug", "event_type": "purchase", "event_at": NOON}
    EventStore(get_settings().events_url).add_events(use_case, [event | {"value": 5.0, "quantity": 2.0} | changes], taken)


def test_the_event_log_is_a_source(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    record_event("late", NOON, event_at=NOON - timedelta(days=9), event_type="rating", value=4.0, quantity=1.0)
    record_event("bought", MIDNIGHT - timedelta(microseconds=1))
    record_event("looked", NOON, event_type="view", value=None, quantity=1.0)
    record_event("tomorrow", MIDNIGHT)
    record_event("elsewhere", NOON, use_case="other")
    source = EventLog(of="shop")
    ref = ingest("shop", source, tmp_path / "extracts", DAY, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values(c.EVENT_ID)
    assert frame[[c.EVENT_ID, c.EVENT_TYPE, c.USER_ID, c.ITEM_ID, c.QUANTITY]].to_numpy().tolist() == [
        ["bought", "purchase", "ann", "mug", 2.0],
        ["late", "rating", "ann", "mug", 1.0],
        ["looked", "view", "ann", "mug", 1.0],
    ]
    assert frame[c.VALUE].fillna(-1.0).tolist() == [5.0, 4.0, -1.0]
    assert frame[c.UNIT_PRICE].fillna(-1.0).tolist() == [2.5, -1.0, -1.0]
    assert frame[c.EVENT_AT].tolist()[1] == pd.Timestamp("2025-12-27 12:00"), "it came late"
    assert frame[c.INGESTED_AT].tolist()[1] == pd.Timestamp("2026-01-05 12:00"), "and was not known before"
    assert set(frame[c.SOURCE_FILE]) == {"event_log@2026-01-05"}

    assert ingest("shop", source, tmp_path / "extracts", DAY, storage) == ref, "the same events change nothing"
    EventStore(get_settings().events_url).forget("shop", "ann", [])
    record_event("again", NOON, user_id="bob")
    corrected = ingest("shop", source, tmp_path / "extracts", DAY, storage)
    assert corrected is not None
    assert storage.read(corrected)[c.USER_ID].tolist() == ["bob"]
    facts = storage.manifest(corrected)["facts"]
    assert facts["superseded"] == storage.manifest(ref)["facts"]["files"]


def test_the_answer_log_is_a_source_sealed_or_not(tmp_path: Path, storage: Storage, spark: SparkSession) -> None:
    log = PredictionLog(get_settings().predictions_root)

    def answers(name: str, at: datetime, channel: str = "online") -> list[Prediction]:
        return [
            Prediction(
                prediction_id=f"{name}{place}",
                made_at=at,
                use_case="shop",
                channel=channel,
                subject="ann",
                model_version=1,
                manifest_digest="a" * 64,
                features_version="f" * 16,
                path="model",
                items=("mug", "pen")[:place],
                scores=(0.5, 0.25)[:place],
                latency_ms=1.0,
            )
            for place in (1, 2)
        ]

    log.append(answers("sealed", NOON))
    log.rotate()
    assert log.seal() == 1
    log.append([*answers("open", NOON), *answers("tomorrow", MIDNIGHT)])
    log.write_batch("shop", "v1.x", answers("batch", NOON, "batch"))
    ref = ingest("shop", AnswerLog(of="shop"), tmp_path / "extracts", DAY, storage)
    assert ref is not None
    frame = storage.read(ref).sort_values([c.EVENT_ID, c.VALUE], ascending=[True, False])
    assert frame[[c.EVENT_ID, c.USER_ID, c.ITEM_ID, c.VALUE, c.EVENT_TYPE, c.SEGMENT]].to_numpy().tolist() == [
        [f"{name}{place}", "ann", item, value, "recommended", "model"]
        for name in ("open", "sealed")
        for place, item, value in ((1, "mug", 0.5), (2, "mug", 0.5), (2, "pen", 0.25))
    ]
    log.rotate()
    log.seal()
    assert ingest("shop", AnswerLog(of="shop"), tmp_path / "extracts", DAY, storage) == ref, "sealing changes nothing"


def test_answers_are_of_local_days() -> None:
    """The day of New York begins at 05:00 in UTC, so the log is read over two days in UTC."""
    made = {"before": 4.99, "first": 5, "last": 28.99, "after": 29}
    log = PredictionLog(get_settings().predictions_root)
    begins = datetime(2026, 1, 5, tzinfo=UTC)
    for name, hours in made.items():
        log.append([answer(name, begins + timedelta(hours=hours))])
    source = AnswerLog(of="shop").in_days_of(ZoneInfo("America/New_York"))
    assert [one[c.EVENT_ID] for one in source.rows(DAY)] == ["first", "first", "last", "last"], "two items of each"


@pytest.mark.parametrize("source", [EventLog(of="shop"), AnswerLog(of="shop")], ids=lambda source: source.kind)
def test_a_log_without_rows_in_the_window_has_no_file(source: EventLog | AnswerLog, tmp_path: Path, own_home: Path) -> None:
    own_home.mkdir()
    assert source.files(tmp_path, DAY) == []
    assert list(tmp_path.iterdir()) == [own_home], "no debris"


def test_a_store_that_cannot_be_read_is_an_error(tmp_path: Path, own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "events.db").write_text("this is no database" * 100)
    with pytest.raises(SourceError, match=r"source event_log: the event store cannot be read: .*is not a database"):
        EventLog(of="shop").files(tmp_path / "extracts", DAY)
    assert list((tmp_path / "extracts").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot be created"):
        EventLog(of="shop").files(tmp_path / "file", DAY)
    with pytest.raises(SourceError, match="no folder for extracts is configured"):
        EventLog(of="shop").files(None, DAY)
