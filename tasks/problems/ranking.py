"""Problems that rank items for a user: recommendation, and propensity, whose lists carry probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.metrics import Scored
from tasks.metrics.scoring import read_interactions, score_lists
from tasks.models.base import Examples, ServedModel
from tasks.problems.base import Defaults
from tasks.problems.interactions import InteractionProblem
from tasks.problems.wording import PROBABILITY_AXES, GainAxes, Wording


class Recommendation(InteractionProblem):
    """The top k items of a user. Labels are purchases, and every purchased item is relevant."""

    task: ClassVar[TaskKind] = TaskKind.RECOMMENDATION
    label_event: ClassVar[str | None] = c.PURCHASE
    keeps_lists: ClassVar[bool] = True
    silence_is_negative: ClassVar[bool] = True
    plots: ClassVar[tuple[str, ...]] = ("precision_by_rank",)
    defaults: ClassVar[Defaults] = Defaults(
        suite="interactions",
        candidates=("popularity", "item_knn", "ials"),
        metrics=("ndcg_at_10", "recall_at_10", "hit_rate_at_10", "catalog_coverage_at_10"),
        effect=0.02,
    )
    wording: ClassVar[Wording] = Wording(
        label="purchase",
        labels="purchases",
        errors="Share of purchases in the lists, by kind of purchase",
        cases="The ten users that cost the metric most",
        case_columns=("user", "list", "purchases"),
        gain=GainAxes(
            title="Share of purchases in the lists",
            x_label="items in the list",
            y_label="share of all purchases",
            is_ranked=True,
            note="Best possible: lists without mistakes. A list cannot contain more purchases than its length.",
        ),
        calibration=None,
        no_calibration="There is no calibration curve: the scores of a recommendation rank items and are not probabilities.",
    )

    def score(self, model: ServedModel, examples: Examples, terms: ScoringTerms) -> Scored:
        """Measure the lists of all users who have a label, and their probabilities by the users of `terms.probability_of`."""
        metrics = self.metrics_of(terms)
        features, labels = read_interactions(examples)
        return score_lists(model, features, labels, metrics, terms)


class Propensity(Recommendation):
    """The top k items of a user, each with the probability that the user buys it in the label window.

    Whose probability that is, of all known users or of those who buy something, `ScoringTerms.probability_of` says.
    """

    task: ClassVar[TaskKind] = TaskKind.PROPENSITY
    plots: ClassVar[tuple[str, ...]] = ("precision_by_rank", "calibration")
    calibrates: ClassVar[bool] = True
    defaults: ClassVar[Defaults] = replace(
        Recommendation.defaults,
        candidates=("popularity", "ials", "propensity_regression"),
        metrics=(*Recommendation.defaults.metrics, "calibration_error"),
    )
    wording: ClassVar[Wording] = replace(
        Recommendation.wording,
        calibration=PROBABILITY_AXES,
        no_calibration="",
    )
