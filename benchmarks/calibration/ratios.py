"""Promised over delivered: the probabilities of everybody whom batch scoring answers, beside what they then bought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.models.data import generated, shop_examples
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ProbabilityOf, ScoringTerms
from tasks.models.base import Examples, FeatureTables, ModelSpec
from tasks.models.ials import Ials
from tasks.models.popularity import Popularity
from tasks.models.propensity_regression import PropensityRegression
from tasks.problems import problem_of, score_model

LABEL_DAYS = 14
SILENT_DAYS = 60.0
CALIBRATION_ERROR = "calibration_error"
MODELS: tuple[ModelSpec, ...] = (
    Popularity(),
    Ials(factors=64, regularization=30.0, alpha=5.0, half_life_days=60),
    PropensityRegression(),
)
Table = dict[str, dict[str, float]]


def measure_calibration_ratios(
    seeds: Sequence[int], days: int, cohorts: int, *, models: Sequence[ModelSpec] = MODELS
) -> tuple[Table, Table]:
    """Of each kind of model: what it promised all known users over what they bought, in generated shops.

    Each cohort is trained, calibrated and answered as by the pipeline: three consecutive windows of labels, of which the last
    one tells what came of the answers. Purchases of all cohorts and seeds are added up, because those of one cohort vary with
    the season and by chance.

    Parameters
    ----------
    seeds : of the generator; each makes one shop.
    days : how many days each shop has.
    cohorts : how many consecutive windows are answered, the newest one last.

    Returns
    -------
    overall : kind -> ratio, promised and delivered purchases, answered users, mean calibration error, and the largest and the
        smallest ratio of one cohort.
    silent : the same ratio for customers who had bought nothing for `SILENT_DAYS`, and their mean probability.
    """
    found: dict[str, list[pd.DataFrame]] = {spec.kind: [] for spec in models}
    errors: dict[str, list[float]] = {spec.kind: [] for spec in models}
    for seed in seeds:
        rows, _ = generated(seed, days)
        end = rows["day"].max() + pd.Timedelta(days=1)
        windows = [_examples(rows, end - pd.Timedelta(days=back * LABEL_DAYS)) for back in range(cohorts + 2, 0, -1)]
        for train, validation, holdout in zip(windows, windows[1:], windows[2:], strict=False):
            for spec in models:
                answers, error = _answer_everybody(spec, train, validation, holdout)
                found[spec.kind].append(answers)
                errors[spec.kind].append(error)
    overall = {kind: _summarise(parts) | {CALIBRATION_ERROR: float(np.mean(errors[kind]))} for kind, parts in found.items()}
    silent = {
        kind: _summarise([part[part["user_recency_days"] >= SILENT_DAYS] for part in parts]) for kind, parts in found.items()
    }
    return overall, silent


def _examples(rows: pd.DataFrame, as_of: pd.Timestamp) -> Examples:
    found = shop_examples(rows, as_of, LABEL_DAYS)
    features = _features(found)
    items = features.users[c.USER_ID].map(features.pairs[c.USER_ID].value_counts()).astype(float)
    return replace(found, features=replace(features, users=features.users.assign(user_items=items)))


def _features(examples: Examples) -> FeatureTables:
    if examples.features is None:
        raise TypeError("expected examples of users and items, got rows")
    return examples.features


def _answer_everybody(spec: ModelSpec, train: Examples, validation: Examples, holdout: Examples) -> tuple[pd.DataFrame, float]:
    """What all known users were promised and bought, one row an item of a list; and the calibration error."""
    terms = ScoringTerms(
        use_case="shop",
        task=TaskKind.PROPENSITY,
        metrics=(CALIBRATION_ERROR,),
        probability_of=ProbabilityOf.ALL_KNOWN_USERS,
    )
    model = spec.fit(train, validation, 7)
    problem_of(terms.task).calibrate(model, validation, terms)
    scored = score_model(model, holdout, terms)
    recency = _features(holdout).users.set_index(c.USER_ID)["user_recency_days"]
    answers = scored.promised.predictions
    return answers.assign(user_recency_days=answers[c.USER_ID].map(recency)), scored.metrics[CALIBRATION_ERROR]


def _summarise(cohorts: Sequence[pd.DataFrame]) -> dict[str, float]:
    promised, delivered = (np.array([part[name].sum() for part in cohorts]) for name in (c.PREDICTION, c.LABEL))
    each = promised / np.maximum(delivered, 1.0)
    return {
        "ratio": float(promised.sum() / max(delivered.sum(), 1.0)),
        "promised": float(promised.sum()),
        "delivered": float(delivered.sum()),
        "users": float(sum(part[c.USER_ID].nunique() for part in cohorts)),
        "mean_probability": float(promised.sum() / max(sum(map(len, cohorts)), 1)),
        "lowest_cohort": float(each.min()),
        "highest_cohort": float(each.max()),
    }
