"""A large holdout, judged as the training DAG judges it: from the snapshots on disk to the verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, GateMode, Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io.storage import Storage, frame_writer
from tasks.metrics import UNIT, WEIGHT, get_metric
from tasks.stages.evaluation import Scores, judge
from tasks.stages.evaluation.gates import GATES

SLICES, METRICS, ROUNDS = 8, ("log_loss", "roc_auc", "accuracy"), 3
CASE, TASK = "bench", TaskKind.CLASSIFICATION


def _checks(resamples: int) -> list[dict[str, Any]]:
    return [
        {"kind": "prediction_sanity"},
        {"kind": "beats_champion", "metric": METRICS[0], "resamples": resamples},
        {"kind": "no_slice_regression", "metrics": dict.fromkeys(METRICS, 0.01), "slices": ["site"], "resamples": resamples},
    ]


def measure_judging(rows: int, resamples: int) -> float:
    """Seconds to judge one challenger on a holdout of so many rows, median of the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder))
        holdout = _publish(storage, c.EXAMPLES, {c.ROWS: _rows(rows)})
        evaluations = [_evaluate(storage, holdout, "challenger", 0.5), _evaluate(storage, holdout, "champion", 0.8)]
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            verdict = _judge(storage, evaluations, resamples)
            took.append(time.perf_counter() - began)
    compared = sum(len(gate.comparisons) for gate in verdict.gates)
    if not verdict.passed or compared != SLICES * len(METRICS):
        raise RuntimeError(
            f"expected {SLICES * len(METRICS)} comparisons of slices and a passed verdict; got {compared} and {verdict.reasons}"
        )
    return median(took)


def _rows(count: int) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    x = generator.normal(size=count)
    target = (generator.random(count) < 1 / (1 + np.exp(-x))).astype("int64")
    ids = [f"r{row:06d}" for row in range(count)]
    site = generator.integers(0, SLICES, count).astype(float)
    return pd.DataFrame({c.ROW_ID: ids, c.TARGET: target, "x": x, "site": site})


def _publish(storage: Storage, layer: str, tables: dict[str, pd.DataFrame], name: str = "2026-01-01") -> DatasetRef:
    writers = {table: frame_writer(frame) for table, frame in tables.items()}
    return storage.publish(use_case=CASE, layer=layer, partition=name, tables=writers, facts={"k": 10})


def _evaluate(storage: Storage, holdout: DatasetRef, subject: str, noise: float) -> Evaluation:
    """A classifier that sees x through a noise of this size."""
    rows = storage.read(holdout, c.ROWS).sort_values(c.ROW_ID, ignore_index=True)
    seen = rows["x"].to_numpy() + noise * np.random.default_rng(len(subject)).normal(size=len(rows))
    prediction, label = 1 / (1 + np.exp(-seen)), rows[c.TARGET].to_numpy(np.float64)
    units, predictions = {UNIT: rows[c.ROW_ID]}, {c.ROW_ID: rows[c.ROW_ID], c.PREDICTION: prediction, c.LABEL: label}
    measured = {}
    for name in METRICS:
        metric = get_metric(name, TASK)
        if metric.per_unit:
            units[name], units[name + WEIGHT] = metric.parts(prediction, label)
    frames = {"units": pd.DataFrame(units), c.PREDICTIONS: pd.DataFrame(predictions)}
    for name in METRICS:
        metric = get_metric(name, TASK)
        measured[name] = float(metric.compute(frames["units"], frames[c.PREDICTIONS], np.ones((1, len(rows))))[0])
    ref = _publish(storage, c.EVALUATION, frames, f"2026-01-01.{subject}")
    return Evaluation(subject=subject, name=subject, model_uri="models:/m-0", holdout=holdout, metrics=measured, units=ref)


def _judge(storage: Storage, evaluations: Sequence[Evaluation], resamples: int) -> Verdict:
    holdout = evaluations[0].holdout
    split = Split(as_of=date(2026, 1, 1), train=holdout, validation=holdout, holdout=holdout)
    known = {"use_case": CASE, "run_id": "r", "model_uri": "models:/m-0", "kind": "x", "manifest_digest": "0" * 64}
    candidate = Candidate(**known, name="challenger", split=split, code_version="x", metrics={}, fit_seconds=0.0)
    champion = ModelVersion(
        **known, version=1, data_digest="1" * 64, report_digest="2" * 64, code_version="x", passed=True, as_of=date(2025, 1, 1)
    )
    gates = [GATES.parse(check, "benchmark") for check in _checks(resamples)]
    return judge(
        candidate,
        Scores(tuple(evaluations)),
        gates,
        ScoringTerms(use_case=CASE, task=TASK),
        storage,
        mode=GateMode.ENABLED,
        champion=champion,
        seed=7,
    )
