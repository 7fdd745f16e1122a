"""The paired bootstrap of the gate, beside scipy's, on the same users."""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import pandas as pd

from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Evaluation
from tasks.metrics import UNIT, get_metric
from tasks.stages.evaluation.paired import Answers, compare

ROUNDS = 3


def measure_bootstrap(users: int, resamples: int) -> dict[str, float]:
    """Seconds of both in turn, and the distance between their intervals, in units of the interval's width."""
    from scipy.stats import bootstrap

    generator = np.random.default_rng(7)
    champion = generator.beta(2, 5, users)
    challenger = np.clip(champion + generator.normal(0.002, 0.05, users), 0, 1)
    metric = get_metric("ndcg_at_10", TaskKind.PROPENSITY)
    ours, theirs, gap = [], [], 0.0
    for seed in range(ROUNDS):
        began = time.perf_counter()
        found = compare(
            metric,
            _answers("challenger", challenger),
            _answers("champion", champion),
            seed=seed,
            confidence=0.95,
            resamples=resamples,
            margin=0.0,
        )
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        settings = {"n_resamples": resamples, "method": "percentile", "batch": 100, "rng": np.random.default_rng(seed)}
        peer = bootstrap((challenger - champion,), np.mean, **settings).confidence_interval
        theirs.append(time.perf_counter() - began)
        gap = max(gap, max(abs(found.low - peer.low), abs(found.high - peer.high)) / (peer.high - peer.low))
    return {
        "bootstrap_seconds": median(ours),
        "bootstrap_scipy_ratio": median(ours) / median(theirs),
        "bootstrap_interval_gap": gap,
    }


def _answers(subject: str, values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Answers:
    ref = DatasetRef(use_case="bench", layer="examples", partition="2026-01-01", version="0" * 16, digest="0" * 64, rows={})
    evaluation = Evaluation(subject=subject, name=subject, model_uri="models:/m-0", holdout=ref, metrics={}, units=ref)
    units = pd.DataFrame({UNIT: [f"u{i}" for i in range(len(values))], "ndcg_at_10": values, "ndcg_at_10__weight": 1.0})
    return Answers(evaluation, units, pd.DataFrame())
