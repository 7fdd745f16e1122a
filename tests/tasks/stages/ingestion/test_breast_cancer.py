"""The tumours that scikit-learn ships."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession
from sklearn.datasets import load_breast_cancer

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.io.storage import Storage
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.breast_cancer import BreastCancer
from tests.tasks.stages.ingestion.source_examples import sample


@sample("breast_cancer")
def breast_cancer_folder(_folder: Path) -> tuple[None, Window]:
    return None, Window(start=date(2026, 1, 1), end=date(2026, 1, 2))


def test_malignant_is_class_one_and_features_keep_their_names(storage: Storage, spark: SparkSession) -> None:
    bunch = load_breast_cancer()
    ref = ingest("test", BreastCancer(), None, Window(start=date(2026, 1, 1), end=date(2026, 2, 1)), storage)
    assert ref is not None
    frame = storage.read(ref).set_index(c.ROW_ID).loc[[f"breast_cancer:{n}" for n in range(1, 570)]]
    assert frame[c.TARGET].sum() == 212  # malignant, as the data set's description says
    assert (frame[[str(name) for name in bunch.feature_names]].to_numpy() == bunch.data).all()
    assert '"diagnosis": "malignant"' in frame[c.AS_IT_CAME].iloc[0]


def test_every_window_has_the_same_rows(storage: Storage, spark: SparkSession) -> None:
    january, july = (Window(start=date(2026, m, 1), end=date(2026, m, 8)) for m in (1, 7))
    refs = [ingest("test", BreastCancer(), None, window, storage) for window in (january, july)]
    first, second = (storage.read(ref).sort_values(c.ROW_ID).drop(columns=[c.EVENT_AT, c.INGESTED_AT]) for ref in refs if ref)
    assert first.reset_index(drop=True).equals(second.reset_index(drop=True))
