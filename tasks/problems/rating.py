"""The problem of ratings: the value that a user would give an item, and lists ordered by it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import UNIT, USER_COVERAGE, WEIGHT, Scored
from tasks.metrics.scoring import read_interactions, score_lists, score_ratings
from tasks.models.base import Examples, ServedModel
from tasks.problems.base import Defaults
from tasks.problems.interactions import InteractionProblem
from tasks.problems.wording import GainAxes, Wording


class Rating(InteractionProblem):
    """The rating of a user and an item. Labels are given ratings."""

    task: ClassVar[TaskKind] = TaskKind.RATING
    label_event: ClassVar[str | None] = c.RATING
    plots: ClassVar[tuple[str, ...]] = ("predicted_and_given",)
    defaults: ClassVar[Defaults] = Defaults(
        suite="ratings", candidates=("bias", "als", "rating_regression"), metrics=("rmse", "mae"), effect=0.02
    )
    wording: ClassVar[Wording] = Wording(
        label="rating",
        labels="ratings",
        errors="Root mean squared error by given rating",
        cases="The ten users that cost the metric most",
        case_columns=("user", "largest rating errors"),
        gain=GainAxes("Cumulative gain", "rows taken, highest prediction first", "share of relevant ratings found"),
        are_shares=False,
        calibration=("predicted rating, mean of each tenth", "given rating, mean"),
    )

    def complete_terms(self, terms: ScoringTerms, train: Examples) -> ScoringTerms:
        """The same terms.

        Raises
        ------
        ConfigurationError : lists are measured, and none or all of the training ratings are relevant.
        """
        if train.labels is not None and any(metric.k for metric in self.metrics_of(terms)):
            _demand_a_difference(train.labels[c.LABEL].to_numpy(np.float64), terms.relevant_from)
        return terms

    def score(self, model: ServedModel, examples: Examples, terms: ScoringTerms) -> Scored:
        """Measure the predicted ratings, and the lists where a metric needs them.

        In a list, the items with a given rating of at least `terms.relevant_from` are relevant.

        Raises
        ------
        NotEnoughData : no rating is relevant.
        """
        metrics = self.metrics_of(terms)
        features, labels = read_interactions(examples)
        scored = score_ratings(model, features, labels, [metric for metric in metrics if metric.k is None])
        by_list = [metric for metric in metrics if metric.k is not None]
        if not by_list:
            return scored
        liked = labels.assign(**{c.LABEL: (labels[c.LABEL] >= terms.relevant_from).astype(np.float64)})
        if not liked[c.LABEL].any():
            raise NotEnoughData(
                f"none of {len(labels)} ratings, the highest {labels[c.LABEL].max():g}, reaches recommend.relevant_from "
                f"({terms.relevant_from:g}), so that no list can be right; lower it, or widen holdout_days"
            )
        lists = score_lists(model, features, liked, by_list, terms)
        # Who only rated again what lists may not show is measured by the ratings, and has no weight in a list's metric.
        of_lists = lists.units.drop(columns=[USER_COVERAGE, USER_COVERAGE + WEIGHT])
        units = scored.units.merge(of_lists, on=UNIT, how="left").fillna(dict.fromkeys(of_lists.columns.drop(UNIT), 0.0))
        whom = f"{lists.populations[0].whom}, ratings of {terms.relevant_from:g} or more being relevant"
        change = {"metrics": tuple(metric.name for metric in by_list), "whom": whom}
        ranked = lists.populations[0].model_copy(update=change)
        return Scored({**lists.metrics, **scored.metrics}, units, scored.predictions, (*scored.populations, ranked))


def _demand_a_difference(ratings: Floats, relevant_from: float) -> None:
    relevant = float((ratings >= relevant_from).mean())
    if 0.0 < relevant < 1.0:
        return
    values = np.unique(ratings)
    raise ConfigurationError(
        f"recommend.relevant_from ({relevant_from:g}): {'all' if relevant else 'none'} of the {len(ratings)} ratings of the "
        f"training window, from {values[0]:g} to {values[-1]:g}, reach it, so that metrics of lists would tell nothing. Set it "
        f"within the scale: relevant_from: {values[(2 * len(values)) // 3]:g}"
    )
