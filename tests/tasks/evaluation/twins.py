"""The broken twins: for each kind of gate a challenger that it must refuse, and one beside it that it lets pass.

Each entry: the gate's settings, then (good, broken) contexts.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts import Candidate, DatasetRef, Evaluation, Split, TaskKind
from tasks.evaluation.gates import Context
from tasks.evaluation.paired import Answers
from tasks.metrics import UNIT, USER_COVERAGE, WEIGHT

REF = DatasetRef(use_case="shop", layer="evaluation", partition="p", version="0" * 16, digest="0" * 64, rows={"units": 1})
UNITS = 200


def answers(subject: str, name: str, skill: float, *, seed: int = 0, units: int = UNITS, **change: Any) -> Answers:
    """A model whose users have an nDCG around `skill`; `change` replaces columns of its predictions."""
    shared, own = np.random.default_rng(1), np.random.default_rng([2, seed])
    values = np.clip(skill + 0.2 * shared.normal(size=units) + 0.05 * own.normal(size=units), 0, 1)
    users = [f"u{row:04d}" for row in range(units)]
    frame = pd.DataFrame({UNIT: users, "ndcg_at_10": values, "ndcg_at_10" + WEIGHT: 1.0, USER_COVERAGE: 1.0})
    predictions = pd.DataFrame(
        {
            c.USER_ID: users,
            c.ITEM_ID: "i",
            c.RANK: 1,
            c.RAW_SCORE: own.random(units),
            c.PREDICTION: own.random(units),
            c.LABEL: 1.0,
        }
    ).assign(**{key: value for key, value in change.items() if key != USER_COVERAGE})
    metrics = {"ndcg_at_10": float(values.mean()), USER_COVERAGE: float(change.get(USER_COVERAGE, 1.0))}
    evaluation = Evaluation(subject=subject, name=name, model_uri="models:/m-1", holdout=REF, metrics=metrics, units=REF)
    return Answers(evaluation, frame, predictions)


def rows(name: str, prediction: np.ndarray, label: np.ndarray) -> Answers:
    """A classifier's answers, one unit a row."""
    ids = [f"r{row:04d}" for row in range(len(label))]
    evaluation = Evaluation(subject=name, name=name, model_uri="models:/m-1", holdout=REF, metrics={}, units=REF)
    predictions = pd.DataFrame({c.ROW_ID: ids, c.PREDICTION: prediction, c.LABEL: label})
    return Answers(evaluation, pd.DataFrame({UNIT: ids}), predictions)


def candidate(name: str = "als") -> Candidate:
    split = Split(as_of=date(2011, 6, 1), train=REF, validation=REF, holdout=REF)
    return Candidate(
        use_case="shop", name=name, kind="als", run_id="r", model_uri="models:/m-1", manifest_digest="0" * 64, split=split,
        code_version="test", metrics={}, fit_seconds=1.0,
    )  # fmt: skip


def context(challenger: Answers, champion: Answers | None = None, baseline: Answers | None = None) -> Context:
    return Context(
        task=TaskKind.PROPENSITY, candidate=candidate(challenger.evaluation.name), challenger=challenger, champion=champion,
        champion_version=None if champion is None else 3, baseline=baseline, seed=7,
    )  # fmt: skip


CHAMPION = answers("champion", "version_3", 0.40, seed=1)
BASELINE = answers("baseline", "popularity", 0.40, seed=1)
BETTER, WORSE, EQUAL = (answers("challenger", "als", skill, seed=2) for skill in (0.45, 0.35, 0.40))

TWINS: dict[str, list[tuple[dict[str, Any], Context, Context]]] = {
    "beats_champion": [
        ({"metric": "ndcg_at_10"}, context(BETTER, CHAMPION), context(WORSE, CHAMPION)),
        ({"metric": "ndcg_at_10"}, context(BETTER, None), context(EQUAL, CHAMPION)),
        (
            {"metric": "ndcg_at_10", "margin": 0.02, "accept": ["better", "not_worse"]},
            context(EQUAL, CHAMPION),
            context(WORSE, CHAMPION),
        ),
    ],
    "minimum_metric": [
        ({"metric": "ndcg_at_10", "at_least": 0.4}, context(BETTER), context(WORSE)),
        ({"metric": "ndcg_at_10", "at_most": 0.4}, context(WORSE), context(BETTER)),
        (
            {"metric": "ndcg_at_10", "over_baseline": "popularity"},
            context(BETTER, baseline=BASELINE),
            context(EQUAL, baseline=BASELINE),
        ),
        ({"metric": "ndcg_at_10", "over_baseline": "popularity"}, context(BETTER, baseline=BASELINE), context(BETTER)),
        (
            {"metric": "ndcg_at_10", "over_baseline": "popularity"},
            context(BETTER, baseline=BASELINE),
            context(answers("challenger", "popularity", 0.9)),
        ),
    ],
    "prediction_sanity": [
        ({}, context(BETTER), context(answers("challenger", "als", 0.4, **change)))
        for change in (
            {c.RAW_SCORE: [np.nan] + [0.5] * (UNITS - 1)},
            {c.PREDICTION: [np.inf] + [0.5] * (UNITS - 1)},
            {c.PREDICTION: [1.5] + [0.5] * (UNITS - 1)},
            {c.RAW_SCORE: 0.5},
            {USER_COVERAGE: 0.9},
        )
    ],
}
