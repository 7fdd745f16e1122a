"""Scoring: units, labels, and users without a prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.training import ScoringTerms
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.metrics import get_metric
from tasks.models.base import Examples, FeatureTables, ServedModel
from tasks.problems import score_model


class Fixed(ServedModel):
    """Returns given scores: user -> scores of items a, b, c, d."""

    kind = "fixed"

    def __init__(self, scores: dict[str, list[float]]) -> None:
        self.scores = scores

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"scores": self.scores}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Fixed:
        return cls(settings["scores"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Any, AnswerPath]:
        return np.array(self.scores.get(user_id, [-np.inf] * 4), dtype=float), AnswerPath.MODEL

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Any:
        return np.array([self.scores[u]["abcd".index(i)] for u, i in zip(pairs["user_id"], pairs["item_id"], strict=True)])

    def predict_rows(self, rows: pd.DataFrame) -> Any:
        return rows["x"].to_numpy(float)


def examples(labels: list[tuple[str, str, float]]) -> Examples:
    features = FeatureTables(
        users=pd.DataFrame({"user_id": ["u", "v"]}),
        items=pd.DataFrame({"item_id": list("abcd")}),
        pairs=pd.DataFrame({"user_id": ["u"], "item_id": ["a"]}),
    )
    return Examples(features=features, labels=pd.DataFrame(labels, columns=["user_id", "item_id", "label"]))


BOUGHT = [("u", "a", 1.0), ("u", "b", 1.0), ("v", "d", 1.0), ("w", "a", 1.0)]
NAMES = ("ndcg_at_2", "recall_at_2", "precision_at_2", "catalog_coverage_at_2", "hit_rate_at_2")


def test_a_user_without_an_answer_counts_as_zero() -> None:
    model = Fixed({"u": [4, 3, 2, 1], "v": [1, 2, 3, 4]})
    scored = score_model(
        model, examples(BOUGHT), ScoringTerms(use_case="test", task=TaskKind.RECOMMENDATION, metrics=NAMES, k=2)
    )
    assert scored.units["unit"].tolist() == ["u", "v", "w"]
    assert scored.metrics["recall_at_2"] == pytest.approx(2 / 3)
    assert scored.metrics["ndcg_at_2"] == pytest.approx(2 / 3)
    assert scored.metrics["precision_at_2"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert scored.metrics["catalog_coverage_at_2"] == 1.0
    assert scored.metrics["user_coverage"] == pytest.approx(2 / 3)
    assert scored.predictions[["user_id", "rank"]].values.tolist() == [["u", 1], ["u", 2], ["v", 1], ["v", 2]]
    assert list(scored.predictions) == ["user_id", "item_id", "rank", "raw_score", "prediction", "label"]


def test_seen_items_are_excluded_on_request() -> None:
    model = Fixed({"u": [4, 3, 2, 1], "v": [1, 2, 3, 4], "w": [4, 3, 2, 1]})
    found = [
        score_model(
            model,
            examples(BOUGHT),
            ScoringTerms(use_case="test", task=TaskKind.RECOMMENDATION, metrics=("recall_at_1",), k=1, exclude_seen=hide),
        ).metrics["recall_at_1"]
        for hide in (False, True)
    ]
    assert found == pytest.approx([(0.5 + 1 + 1) / 3, 1.0]), "u finds b instead of a, which is not wanted of the list"


HIDING = ScoringTerms(
    use_case="test", task=TaskKind.RECOMMENDATION, metrics=("ndcg_at_2", "recall_at_2"), k=2, exclude_seen=True
)


def test_lists_are_not_asked_for_what_they_may_not_show() -> None:
    """Half of the labels are repeats: a perfect model has an nDCG of 1."""
    model = Fixed({"u": [4, 3, 2, 1], "v": [1, 2, 3, 4]})
    scored = score_model(model, examples([("u", "a", 1.0), ("u", "b", 1.0), ("v", "d", 1.0)]), HIDING)
    assert scored.metrics["ndcg_at_2"] == scored.metrics["recall_at_2"] == 1.0
    shown = score_model(model, examples([("u", "a", 1.0), ("v", "d", 1.0)]), HIDING.model_copy(update={"exclude_seen": False}))
    assert shown.units["unit"].tolist() == ["u", "v"] and shown.populations[0].left_out == ""


def test_who_only_repeats_is_left_out_and_counted() -> None:
    model = Fixed({"u": [4, 3, 2, 1], "v": [1, 2, 3, 4]})
    scored = score_model(model, examples([("u", "a", 1.0), ("v", "d", 1.0)]), HIDING)
    assert scored.units["unit"].tolist() == ["v"]
    assert str(scored.populations[0]) == (
        "1 users who bought in the label window (1 others only items that they had met before)"
    )
    with pytest.raises(NotEnoughData, match="each of the 1 labels is of an item that its user had met before"):
        score_model(model, examples([("u", "a", 1.0)]), HIDING)


def test_ratings_of_what_lists_may_not_show_keep_their_error() -> None:
    model = Fixed({"u": [4, 3, 2, 1], "v": [1, 2, 3, 4]})
    terms = HIDING.model_copy(update={"task": TaskKind.RATING, "metrics": ("rmse", "recall_at_1")})
    scored = score_model(model, examples([("u", "a", 5.0), ("v", "d", 4.0)]), terms)
    assert scored.units["unit"].tolist() == ["u", "v"]
    assert scored.metrics["rmse"] == pytest.approx(np.sqrt(0.5))
    assert scored.metrics["recall_at_1"] == 1.0, "u's repeated rating is not asked for"
    assert [(one.metrics, one.units) for one in scored.populations] == [(("rmse", "user_coverage"), 2), (("recall_at_1",), 1)]


def test_a_metric_may_have_a_larger_k() -> None:
    model = Fixed({"u": [1, 2, 3, 4]})
    scored = score_model(
        model,
        examples(BOUGHT[:2]),
        ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=("recall_at_4", "calibration_error"), k=1),
    )
    assert scored.metrics["recall_at_4"] == 1.0
    assert len(scored.predictions) == 1, "predictions are the k that are recommended"


def test_a_model_without_answers() -> None:
    scored = score_model(
        Fixed({}),
        examples(BOUGHT),
        ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=(*NAMES, "calibration_error"), k=2),
    )
    assert [scored.metrics[name] for name in NAMES] == [0.0] * 5
    assert scored.metrics["user_coverage"] == 0.0
    assert np.isnan(scored.metrics["calibration_error"])


def test_pairs_weigh_ratings_and_lists_count_from_four() -> None:
    rated = [("u", "a", 5.0), ("u", "b", 1.0), ("v", "d", 2.0)]
    model = Fixed({"u": [4, 1, 0, 0], "v": [0, 0, 0, 4]})
    scored = score_model(
        model, examples(rated), ScoringTerms(use_case="test", task=TaskKind.RATING, metrics=("rmse", "mae", "recall_at_1"), k=2)
    )
    assert scored.metrics["rmse"] == pytest.approx(np.sqrt((1 + 0 + 4) / 3))
    assert scored.metrics["mae"] == pytest.approx(1.0)
    assert scored.metrics["recall_at_1"] == 1.0, "v liked nothing, so v has no weight"
    assert list(scored.predictions) == ["user_id", "item_id", "prediction", "label"]
    perfect = Fixed({"u": [5, 1, 0, 0], "v": [0, 0, 0, 2]})
    assert (
        score_model(
            perfect, examples(rated), ScoringTerms(use_case="test", task=TaskKind.RATING, metrics=("rmse",), k=2)
        ).metrics["rmse"]
        == 0.0
    )


def test_rows() -> None:
    rows = pd.DataFrame({"row_id": ["2", "1", "3"], "target": [1, 0, 1], "x": [0.9, 0.2, 0.4]})
    names = ("roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "log_loss", "brier", "calibration_error")
    scored = score_model(
        Fixed({}), Examples(rows=rows), ScoringTerms(use_case="test", task=TaskKind.CLASSIFICATION, metrics=names)
    )
    assert set(scored.metrics) == set(names)
    assert scored.metrics["roc_auc"] == 1.0
    assert scored.metrics["accuracy"] == pytest.approx(2 / 3)
    assert scored.metrics["recall"] == 0.5
    assert scored.units["unit"].tolist() == ["1", "2", "3"]
    assert scored.predictions["prediction"].tolist() == [0.2, 0.9, 0.4]


def test_nothing_to_score() -> None:
    with pytest.raises(NotEnoughData, match="not one label"):
        score_model(Fixed({}), examples([]), ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=NAMES, k=2))
    with pytest.raises(NotEnoughData, match="not one row"):
        score_model(
            Fixed({}), Examples(), ScoringTerms(use_case="test", task=TaskKind.CLASSIFICATION, metrics=("accuracy",), k=2)
        )


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("ndcg", TaskKind.PROPENSITY),
        ("ndcg_at_0", TaskKind.PROPENSITY),
        ("ndcg_at_10", TaskKind.CLASSIFICATION),
        ("rmse_at_3", TaskKind.RATING),
        ("recall", TaskKind.RATING),
        ("recall_at", TaskKind.RATING),
        ("", TaskKind.RATING),
        ("calibration_error", TaskKind.RECOMMENDATION),
        ("recall_at_10", TaskKind.CLASSIFICATION),
    ],
)
def test_unknown_names_list_the_allowed_ones(name: str, task: TaskKind) -> None:
    with pytest.raises(ConfigurationError, match=f"no metric '{name}' for the task '{task}'; allowed: .*(ndcg_at_<k>|roc_auc)"):
        get_metric(name, task)


def test_names_carry_their_k() -> None:
    metric = get_metric("recall_at_10", TaskKind.RATING)
    assert (metric.k, metric.greater_is_better, metric.per_unit) == (10, True, True)
    assert not get_metric("log_loss", TaskKind.CLASSIFICATION).greater_is_better
    assert not get_metric("roc_auc", TaskKind.CLASSIFICATION).per_unit
    assert get_metric("roc_auc", TaskKind.CLASSIFICATION).resamples
    assert not get_metric("catalog_coverage_at_10", TaskKind.RATING).resamples
    assert not get_metric("calibration_error", TaskKind.PROPENSITY).resamples
