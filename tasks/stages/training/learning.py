"""The learning curve of a candidate: the same settings, fitted on shares of the training data."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.training import Candidate, LearningCurve, LearningPoint, ScoringTerms
from tasks.errors import NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models.base import Examples, ModelSpec, read_examples
from tasks.pages.charts import chart_learning
from tasks.problems import problem_of
from tasks.stages.training.spec import with_settings

SHARES = (0.1, 0.25, 0.5)
LEAST_BUDGET_SECONDS = 60.0
BUCKETS = 10_000


def draw_learning_curve(
    candidate: Candidate, spec: ModelSpec, terms: ScoringTerms, storage: Storage, *, seed: int
) -> LearningCurve:
    """Fit the candidate's settings (those that tuning chose, too) on shares of its data, smallest first, and log the curve.

    What the run has already is read, not computed. The budget is twice the time that the candidate took to fit, or a
    minute: a share that would exceed it is left out, and `stopped` gives the reason.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    if tracking.has_artifact(candidate.run_id, tracking.LEARNING_CURVE):
        return LearningCurve.from_json(tracking.read_run_dict(candidate.run_id, tracking.LEARNING_CURVE))
    spec = with_settings(spec, candidate.settings)
    train, validation = read_examples(storage, candidate.split.train), read_examples(storage, candidate.split.validation)
    budget_seconds = max(LEAST_BUDGET_SECONDS, 2 * candidate.fit_seconds)
    curve = measure(spec, train, validation, terms, seed=seed, budget_seconds=budget_seconds)
    with tracking.reopen_run(candidate.run_id) as run:
        chart = chart_learning(curve, f"{candidate.use_case}: {candidate.name}, learning curve")
        run.log_figure(chart.to_figure(), "plots/learning_curve.png")
        run.log_dict(curve.to_json(), tracking.LEARNING_CURVE)  # last: its presence means that the rest is there
    return curve


def measure(
    spec: ModelSpec,
    train: Examples,
    validation: Examples,
    terms: ScoringTerms,
    *,
    seed: int,
    budget_seconds: float,
    shares: Sequence[float] = SHARES,
) -> LearningCurve:
    """Points at the shares and at 1.0, each measured on the whole validation window.

    Users are drawn with all that they did, by a hash of their id; the features of items stay those of all users. Rows are
    drawn by a hash of theirs. So a larger share holds the smaller ones.
    """
    points: list[LearningPoint] = []
    stopped, spent, rate = "", 0.0, 0.0
    for share in (*shares, 1.0):
        if spent + rate * share > budget_seconds:
            stopped = f"{share:.0%} of the data and more: beyond the budget of {budget_seconds:.0f} s"
            break
        began = perf_counter()
        try:
            point = _measure_share(spec, train, validation, terms, seed=seed, share=share)
        except NotEnoughData as error:
            stopped = f"{share:.0%} of the data: {error}"[:300]
            continue
        points.append(point)
        took = perf_counter() - began
        spent, rate = spent + took, max(rate, took / share) if share >= 0.25 else rate
    problem = problem_of(terms.task)
    return LearningCurve(
        metric=terms.primary,
        unit=problem.unit,
        greater_is_better=problem.get_metric(terms.primary).greater_is_better,
        points=tuple(points),
        stopped=stopped,
    )


def _measure_share(
    spec: ModelSpec, train: Examples, validation: Examples, terms: ScoringTerms, *, seed: int, share: float
) -> LearningPoint:
    problem, part = problem_of(terms.task), take_share(train, share)
    model = spec.fit(part, take_share(validation, share), seed)
    measured = terms.measured_by(terms.primary)
    on_validation = problem.measure_apart(model, validation, measured, seed)[terms.primary]
    problem.calibrate(model, validation, terms)
    on_part = problem.score(model, part, measured).metrics[terms.primary] if problem.measures_fit else None
    drawn = part.rows if part.features is None else part.features.users
    units = 0 if drawn is None else len(drawn)
    return LearningPoint(share=share, units=units, fitted=on_part, validation=on_validation)


def take_share(examples: Examples, share: float) -> Examples:
    """The examples of a share of the users, or of the rows; all of them at 1.0."""
    if share >= 1.0:
        return examples
    if examples.rows is not None:
        return replace(examples, rows=examples.rows[_drawn(examples.rows[c.ROW_ID], share)].reset_index(drop=True))
    features, labels = examples.features, examples.labels
    if features is not None:
        users = features.users[_drawn(features.users[c.USER_ID], share)].reset_index(drop=True)
        pairs = features.pairs[_drawn(features.pairs[c.USER_ID], share)].reset_index(drop=True)
        features = replace(features, users=users, pairs=pairs)
    if labels is not None:
        labels = labels[_drawn(labels[c.USER_ID], share)].reset_index(drop=True)
    return Examples(features=features, labels=labels)


def _drawn(ids: Any, share: float) -> NDArray[np.bool_]:
    buckets = np.fromiter((zlib.crc32(str(one).encode()) % BUCKETS for one in ids), dtype=np.int64, count=len(ids))
    return buckets < share * BUCKETS
