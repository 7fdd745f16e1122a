"""One cleaning: a cell becomes the same value by ingestion, events, outcomes, batch scoring and the endpoint."""

from __future__ import annotations

import csv
import io
import math
import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from pyspark.sql import SparkSession

from serving.app import create_app
from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.cells import Cell
from tasks.contracts.training import ScoringTerms
from tasks.io.cells import CellReader, LostCell
from tasks.io.events import EventStore
from tasks.io.spark_cells import Wanted, read_cells, value_of
from tasks.models.base import ServedModel
from tasks.models.signature import answer
from tasks.stages.inference.scoring import score_rows
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.sources import SOURCES
from tests.serving.conftest import client_of, poll_ledger
from tests.serving.constant_models import KINDS, TinyRanker
from tests.serving.installation import Installation
from tests.serving.random_cells import CELLS, TEXTS, draw_texts

FIRST = date(2026, 1, 5)
WINDOW = Window(start=FIRST, end=date(2026, 1, 6))


def in_python(cell: Cell, text: str) -> tuple[Any, bool]:
    """The value, and whether the cell is lost."""
    try:
        return CellReader(cell)(text), False
    except LostCell:
        return None, True


@pytest.mark.parametrize("name", sorted(CELLS))
def test_what_was_read_is_read_as_itself(name: str) -> None:
    reader, kept = CellReader(CELLS[name]), 0
    for text in draw_texts(2000, seed=5):
        value, _ = in_python(CELLS[name], text)
        assert value is None or reader(value) == value, ascii(text)
        kept += value is not None
    assert kept > 3, "texts of this column are drawn"


def test_spark_reads_every_cell_as_python_does(spark: SparkSession) -> None:
    texts = draw_texts(3000, seed=11)
    frame = spark.createDataFrame([(text,) for text in texts], "given string")
    read = read_cells(frame, {name: Wanted("given", cell) for name, cell in CELLS.items()}).toPandas()
    for name, cell in CELLS.items():
        for text, value in zip(texts, read[value_of(name)], strict=True):
            expected, _ = in_python(cell, text)
            found = None if isinstance(value, float) and math.isnan(value) else value
            assert found == expected, f"{name}: {text!a}"
    marked = read[c.LOST_CELLS].notna()
    lost = [any(in_python(cell, text)[1] for cell in CELLS.values()) for text in texts]
    assert marked.tolist() == lost, "full cells that became nothing are marked, and no others"


class Echo(ServedModel):
    """Answers with a number that depends on every cell."""

    kind: ClassVar[str] = "echo"

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        return cls()

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        shown = [repr([None if pd.isna(cell) else cell for cell in row]) for row in rows.to_numpy(object)]
        return np.array([random.Random(one).random() for one in shown])


def test_a_cell_is_the_same_in_files_batch_endpoint_and_tables(
    installation: Installation, spark: SparkSession, tmp_path: Path
) -> None:
    """Rows of one random cell a column. Those that ingestion reads get the same answer by every path; the endpoint refuses
    those that ingestion loses."""
    names = tuple(CELLS)
    texts = [dict(zip(names, draw_texts(len(names), seed), strict=True)) for seed in range(300)]
    for row, text in zip(texts, draw_texts(len(texts), seed=1000), strict=True):  # most rows have one full cell
        kept = random.Random(text).choice(names)
        row.update({name: "" for name in names if name != kept and in_python(CELLS[name], row[name])[1]})
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*names, "said"])
    writer.writerows([*row.values(), "yes"] for row in texts)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "2026-01-05.csv").write_bytes(buffer.getvalue().encode())
    entry = {"kind": "daily_files", "cells": {**{name: cell.to_json() for name, cell in CELLS.items()}, "said": "string"}}
    source = SOURCES.parse({**entry, "columns": {"target": "said"}, "positive": "yes", "lost_share": 1.0}, "test")
    raw = ingest("table", source, folder, WINDOW, installation.storage)
    assert raw is not None
    rows = installation.storage.read(raw)
    rows = rows.loc[rows[c.ROW_ID].str.rpartition(":")[2].astype(int).argsort()].reset_index(drop=True)

    terms = ScoringTerms(
        use_case="table", task=TaskKind.CLASSIFICATION, row_columns=names, text_columns=TEXTS, cells=dict(source.requested)
    )
    model = Echo()
    good = rows[c.LOST_CELLS].isna().to_numpy()
    assert 100 < good.sum() < len(rows) - 20
    shape = {"row_columns": names, "text_columns": TEXTS, "cells": terms.cells}
    by_batch = score_rows(model, terms, rows[good]).set_index(c.ROW_ID)[c.PREDICTION][rows[good][c.ROW_ID]].to_numpy()
    sent = [row for row, is_good in zip(texts, good, strict=True) if is_good]
    by_table = answer(model, terms, pd.DataFrame(sent), None)[c.PREDICTION].to_numpy()
    np.testing.assert_array_equal(by_table, by_batch)

    installation.register_and_promote("table", model, TaskKind.CLASSIFICATION, **shape)
    client = client_of(create_app(installation.settings, {**KINDS, Echo.kind: Echo}))
    poll_ledger(client)
    answered = client.post("/v1/table/predictions", json={"rows": sent}).json()["predictions"]
    np.testing.assert_array_equal([one["probability"] for one in answered], by_batch)
    for row, is_good in zip(texts, good, strict=True):
        if not is_good:
            refused = client.post("/v1/table/predictions", json={"rows": [row]})
            assert refused.status_code == 422 and "body.rows.0." in refused.text, ascii(row)


@pytest.fixture
def shop(cached: Installation) -> TestClient:
    """A shop whose ids are in capitals, whose words of events are its own, and whose prices are German."""
    cells = {
        c.USER_ID: Cell(type="id"),
        c.ITEM_ID: Cell(type="id", case="upper"),
        c.EVENT_TYPE: Cell(allowed=c.EVENT_TYPES, words={"addtocart": "cart", "transaction": "purchase"}),
        c.VALUE: CELLS["german"],
    }
    cached.register_and_promote("shop", TinyRanker(1.0), TaskKind.PROPENSITY, cells=cells)
    cached.publish_features("shop")
    client = client_of(create_app(cached.settings, KINDS))
    poll_ledger(client)
    return client


def send_event(client: TestClient, **changes: Any) -> Any:
    event = {"event_id": "e", "user_id": "u1", "item_id": "a", "event_type": "view", "event_at": "2026-01-01T00:00:00Z"}
    return client.post("/v1/shop/events", json={"events": [{**event, **changes}]})


def test_events_and_outcomes_are_read_as_files_are(shop: TestClient, cached: Installation) -> None:
    expected: dict[str, tuple[Any, ...]] = {}
    labels: dict[str, str] = {}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for place, text in enumerate(draw_texts(300, seed=21)):
        if not text or len(text) > 200:
            continue
        user, item, value = (in_python(CELLS[name], text) for name in ("name", "code", "german"))
        sent = send_event(shop, event_id=f"u{place}", user_id=text)
        assert (sent.status_code == 200) == (user[0] is not None), ascii(text)
        sent = send_event(shop, event_id=f"v{place}", item_id=text, value=text, event_type="Transaction")
        assert (sent.status_code == 200) == (item[0] is not None and not value[1]), ascii(text)
        if user[0] is not None:
            expected[f"u{place}"] = (user[0], "A", c.VIEW, None)
        if item[0] is not None and not value[1]:
            expected[f"v{place}"] = ("u1", item[0], c.PURCHASE, value[0])
        outcome = {"prediction_id": f"p{place}", "item_id": text, "label": "Yes", "happened_at": at.isoformat()}
        answer = shop.post("/v1/shop/outcomes", json={"outcomes": [outcome]})
        assert (answer.status_code == 200) == (item[0] is not None), ascii(text)
        if item[0] is not None:
            labels[f"p{place}"] = str(item[0])
    store = EventStore(cached.settings.events_url)
    kept = {one.event_id: (one.user_id, one.item_id, one.event_type, one.value) for one in store.events_after(0)}
    assert kept == expected and len(kept) > 100
    ever = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    found = list(store.outcomes_between("shop", *ever))
    assert {one.prediction_id: one.item_id for one in found} == labels and {one.label for one in found} == {1.0}


def test_ids_of_requests_are_cleaned(shop: TestClient) -> None:
    plain = shop.get("/v1/shop/recommendations/u1").json()
    for spelling in (" u1", "u1\u00a0", "\u200bu1"):
        found = shop.get(f"/v1/shop/recommendations/{spelling}").json()
        assert (found["user_id"], found["path"], found["items"]) == ("u1", "model", plain["items"])
    many = shop.post("/v1/shop/recommendations", json={"users": [" u1", "null"]})
    assert many.status_code == 422 and "body.users.1" in many.text and "missing id" in many.text
    assert shop.get("/v1/shop/similar-items/a1").status_code == shop.get("/v1/shop/similar-items/A1 ").status_code
