"""A table of a user's own, from daily files to the endpoint: columns of numbers, categories, ordered categories and text."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from serving.app import create_app
from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import ScoringTerms
from tasks.errors import ConfigurationError, LeakageFound
from tasks.io.storage import Storage
from tasks.models import MODELS, SERVED
from tasks.models.base import load_model, read_examples
from tasks.stages.features import SPLITS, FeatureRequest, FeatureSpec, build_features, split
from tasks.stages.inference.scoring import score_rows
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.training import train
from tasks.stages.validation import validate
from tests.serving.conftest import client_of, poll_ledger
from tests.serving.installation import Installation
from tests.tasks.call_campaign import EDUCATION, FEATURES, callers, log_odds, write_days

FIRST, DAYS, ROWS = date(2026, 1, 1), 40, 2400
AS_OF = date(2026, 2, 10)
CELLS = {"age": "double", "job": "string", "education": "string", "notes": "string", "seconds": "int", "said": "string"}
SPEC = FeatureSpec(ordinal={"education": EDUCATION}, text=("notes",))
SOURCE = {
    "kind": "daily_files",
    "delimiter": ";",
    "cells": CELLS,
    "columns": {"target": "said"},
    "positive": "yes",
    "leave_out": ["seconds"],
}
SUITE = """
dataset: callers
description: Calls, and the answers.
rules:
  - {rule: answer_known, expect: expect_column_values_to_not_be_null, with: {column: target}, severity: row,
     reason: Without an answer there is nothing to learn., owner: calls}
  - {rule: age_plausible, expect: expect_column_values_to_be_between, with: {column: age, min_value: 16, max_value: 110},
     severity: row, reason: Others are typing errors., owner: calls}
"""


def validated(folder: Path, storage: Storage, **changes: object) -> list[DatasetRef]:
    table = callers(ROWS, seed=3)
    table.loc[5, "age"] = 999.0
    write_days(table, folder / "calls", FIRST, DAYS)
    (folder / "suites").mkdir()
    (folder / "suites" / "callers.yaml").write_text(SUITE)
    source = SOURCES.parse({**SOURCE, **changes}, "test")
    raw = ingest("callers", source, folder / "calls", Window(start=FIRST, end=AS_OF), storage)
    assert raw is not None and raw.rows == {c.ROWS: ROWS}
    judged = validate(raw, "callers", 0.01, storage, folder / "suites")
    assert judged.report.rows_validated == ROWS - 1, "the row with age 999 is in quarantine"
    return [judged.validated]


def split_callers(history: list[DatasetRef], storage: Storage, spec: FeatureSpec = SPEC) -> Split:
    by_time = SPLITS.parse({"kind": "by_time", "holdout_days": 7}, "test")
    return split(FeatureRequest("callers", TaskKind.CLASSIFICATION, spec, history, AS_OF), by_time, storage, seed=7)


def test_rows_from_daily_files_to_the_endpoint(installation: Installation, spark: SparkSession, tmp_path: Path) -> None:
    storage = installation.storage
    history = validated(tmp_path, storage)
    parts = split_callers(history, storage)
    per_day = ROWS // DAYS
    assert [ref.rows[c.ROWS] for ref in (parts.train, parts.validation, parts.holdout)] == [
        (DAYS - 14) * per_day - 1,
        7 * per_day,
        7 * per_day,
    ]
    assert storage.manifest(parts.train)["facts"]["window"] is None
    assert storage.manifest(parts.holdout)["facts"]["window"] == "2026-02-03..2026-02-10"
    holdout = read_examples(storage, parts.holdout)
    assert holdout.rows is not None and tuple(holdout.rows.columns) == (c.ROW_ID, c.TARGET, c.SPLIT_ORDER, *FEATURES), (
        "no seconds"
    )

    spec = MODELS.parse({"kind": "logistic_regression"}, "test")
    trained = train(
        spec,
        parts,
        ScoringTerms(use_case="callers", task=TaskKind.CLASSIFICATION, metrics=("roc_auc", "log_loss")),
        storage,
        seed=7,
        run_tags={"dag_run": "test"},
    )
    from tasks.io import tracking

    native = tracking.download_native(trained.model_uri, tmp_path / "fetched")
    model, terms = load_model(native, trained.manifest_digest, SERVED)
    assert (terms.row_columns, terms.text_columns) == (FEATURES, ("job", "education", "notes"))
    batch = score_rows(model, terms, holdout.rows)
    truth = roc_auc_score(holdout.rows[c.TARGET], log_odds(holdout.rows))
    found = roc_auc_score(holdout.rows[c.TARGET], batch[c.PREDICTION])
    assert found > truth - 0.02, f"{found:.3f} by the model, {truth:.3f} by the true odds"

    build_features(
        FeatureRequest("callers", TaskKind.CLASSIFICATION, SPEC, history, AS_OF), storage
    )  # what the endpoint warms up with
    shape = {"row_columns": terms.row_columns, "text_columns": terms.text_columns}
    installation.register_and_promote("callers", model, TaskKind.CLASSIFICATION, **shape)
    sample = holdout.rows[:50]
    cells = sample[list(FEATURES)].astype(object)
    rows = cells.where(cells.notna(), None).to_dict("records")
    assert any(value is None for row in rows for value in row.values())
    with client_of(create_app(installation.settings)) as client:
        poll_ledger(client)
        address = "/v1/callers/predictions"
        answer = client.post(address, json={"rows": rows, "row_ids": sample[c.ROW_ID].tolist()}).json()
        online = pd.DataFrame(answer["predictions"]).set_index("row_id")["probability"]
        np.testing.assert_allclose(online, batch.set_index(c.ROW_ID)[c.PREDICTION][online.index], rtol=1e-12)
        unseen = {"age": None, "job": "astronaut", "education": "none", "notes": "unseen words"}
        probability = client.post(address, json={"rows": [unseen]}).json()["predictions"][0]["probability"]
        assert 0.0 < probability < 1.0
        for wrong in ({**unseen, "age": "old"}, {**unseen, "job": 7}, {**unseen, "notes": "x" * 10_001}):
            assert client.post(address, json={"rows": [wrong]}).status_code == 422
        assert client.get("/v1/callers/model").json()["text_columns"] == ["job", "education", "notes"]


def test_column_that_reveals_the_target_stops_the_run(storage: Storage, spark: SparkSession, tmp_path: Path) -> None:
    history = validated(tmp_path, storage, leave_out=[])
    with pytest.raises(LeakageFound, match="feature 'seconds' has one value for each class"):
        split_callers(history, storage)


def test_unknown_columns_in_settings_are_named(storage: Storage, spark: SparkSession, tmp_path: Path) -> None:
    history = validated(tmp_path, storage)
    with pytest.raises(ConfigurationError, match=r"ordinal and text name age, colour; columns that hold text: job, edu"):
        split_callers(history, storage, FeatureSpec(ordinal={"age": ("1", "2")}, text=("colour",)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": {"target": "said", "item_id": "job"}},
            "no canonical column 'item_id'; allowed: event_at, ingested_at, event_id, target",
        ),
        ({"leave_out": ["nothing"]}, "leave_out: no column nothing in cells"),
        ({"columns": {"item_id": "job", "event_at": "age"}}, "positive, negative and leave_out need rows with a target"),
        ({"cells": {**CELLS, "called": "timestamp"}}, "called: a time cannot be a feature"),
        ({"cells": {**CELLS, "label": "string"}}, "label cannot be features"),
        ({"leave_out": ["age", "job", "education", "notes", "seconds"]}, "no column remains as a feature"),
    ],
)
def test_invalid_source_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SOURCES.parse({**SOURCE, **changes}, "test")
