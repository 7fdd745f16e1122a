"""The problem of ratings: the value that a user would give an item, and lists ordered by it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.metrics import UNIT, USER_COVERAGE, WEIGHT, Scored
from tasks.metrics.scoring import read_interactions, score_lists, score_ratings
from tasks.models.base import Examples, ServedModel
from tasks.problems.interactions import InteractionProblem
from tasks.problems.wording import GainAxes, Wording

RELEVANT_RATING = 4.0  # from which a rated item counts as relevant in a list


class Rating(InteractionProblem):
    """The rating of a user and an item. Labels are given ratings."""

    task: ClassVar[TaskKind] = TaskKind.RATING
    label_event: ClassVar[str | None] = c.RATING
    plots: ClassVar[tuple[str, ...]] = ("predicted_and_given",)
    wording: ClassVar[Wording] = Wording(
        label="rating",
        labels="ratings",
        errors="Root mean squared error by given rating",
        cases="The ten users that cost the metric most",
        case_columns=("user", "largest rating errors"),
        gain=GainAxes("Cumulative gain", "rows taken, highest prediction first", "share of ratings ≥ 4 found"),
        are_shares=False,
        calibration=("predicted rating, mean of each tenth", "given rating, mean"),
    )

    def score(self, model: ServedModel, examples: Examples, terms: ScoringTerms) -> Scored:
        """Measure the predicted ratings, and the lists where a metric needs them.

        In a list, the items with a given rating of at least `RELEVANT_RATING` are relevant.
        """
        metrics = self.metrics_of(terms)
        features, labels = read_interactions(examples)
        scored = score_ratings(model, features, labels, [metric for metric in metrics if metric.k is None])
        by_list = [metric for metric in metrics if metric.k is not None]
        if not by_list:
            return scored
        liked = labels.assign(**{c.LABEL: (labels[c.LABEL] >= RELEVANT_RATING).astype(np.float64)})
        lists = score_lists(model, features, liked, by_list, k=terms.k, exclude_seen=terms.exclude_seen)
        units = scored.units.merge(lists.units.drop(columns=[USER_COVERAGE, USER_COVERAGE + WEIGHT]), on=UNIT)
        return Scored({**lists.metrics, **scored.metrics}, units, scored.predictions)
