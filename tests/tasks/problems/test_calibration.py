"""Raw scores -> probabilities: a known curve is found, and scores without information give a flat one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ProbabilityOf, ScoringTerms
from tasks.errors import ModelError
from tasks.models.base import Examples, FeatureTables
from tasks.models.platt import Calibration, fit_calibration, fit_curve, sigmoid
from tasks.models.popularity import Popularity
from tasks.problems import problem_of, score_model
from tests.tasks.models.checkerboard import checkerboard


def test_a_known_curve_is_found() -> None:
    random = np.random.default_rng(3)
    raw = random.normal(50.0, 20.0, 40_000)
    label = (random.random(len(raw)) < sigmoid(0.05 * raw - 4.0)).astype(float)
    slope, intercept = fit_curve(raw, label)
    assert slope == pytest.approx(0.05, rel=0.05)
    assert intercept == pytest.approx(-4.0, rel=0.05)


@pytest.mark.parametrize(
    ("raw", "label", "share"),
    [
        ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], 1 / 5),
        ([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], 4 / 5),
        ([2.0, 2.0, 2.0, 2.0], [1.0, 0.0, 0.0, 0.0], 2 / 6),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, 0.0], 3 / 6),
        ([], [], 1 / 2),
    ],
    ids=["no label", "only labels", "all scores equal", "upside down", "nothing"],
)
def test_uninformative_scores_get_the_base_rate(raw: list[float], label: list[float], share: float) -> None:
    slope, intercept = fit_curve(np.array(raw), np.array(label))
    assert slope == 0.0
    assert sigmoid(np.array([intercept]))[0] == pytest.approx(share)


def test_calibration_keeps_the_order_and_lowers_the_error() -> None:
    examples = checkerboard(TaskKind.PROPENSITY)
    model = Popularity().fit(examples, examples, 7)
    terms = ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=("ndcg_at_5", "calibration_error"), k=5)
    before = score_model(model, examples, terms.measured_by("ndcg_at_5"))
    problem_of(TaskKind.PROPENSITY).calibrate(model, examples, terms)
    after = score_model(model, examples, terms)
    assert after.metrics["ndcg_at_5"] == before.metrics["ndcg_at_5"]
    assert after.metrics["calibration_error"] < 0.05


@pytest.mark.parametrize("task", [TaskKind.RECOMMENDATION, TaskKind.RATING])
def test_other_tasks_are_not_calibrated(task: TaskKind) -> None:
    examples = checkerboard(task)
    model = Popularity().fit(examples, examples, 7)
    problem_of(task).calibrate(model, examples, ScoringTerms(use_case="test", task=task))
    assert model.calibration is None


# whom probabilities are about

ITEMS = 12


def shop(seed: int, users: int = 1500) -> Examples:
    """A shop in which half of the customers left a year ago, one in twenty of whom comes in the window; of the others half do.

    Who comes buys each of the twelve items with a probability of its own, from 0.05 to 0.6.
    """
    random = np.random.default_rng(seed)
    names = [f"u{number:04d}" for number in range(users)]
    is_silent = np.arange(users) % 2 == 0
    comes = random.random(users) < np.where(is_silent, 0.05, 0.5)
    bought = comes[:, None] & (random.random((users, ITEMS)) < np.linspace(0.6, 0.05, ITEMS))
    who, what = np.nonzero(bought)
    items = [f"i{number:02d}" for number in range(ITEMS)]
    features = FeatureTables(
        users=pd.DataFrame({c.USER_ID: names, "user_recency_days": np.where(is_silent, 365.0, 10.0)}),
        items=pd.DataFrame({c.ITEM_ID: items, "item_buyers_28d": np.linspace(0.6, 0.05, ITEMS) * users}),
        pairs=pd.DataFrame({c.USER_ID: [names[0]], c.ITEM_ID: [items[0]], "pair_orders": [1.0]}),
    )
    labels = {c.USER_ID: np.array(names)[who], c.ITEM_ID: np.array(items)[what], c.LABEL: 1.0}
    return Examples(features=features, labels=pd.DataFrame(labels))


@pytest.mark.parametrize(("of", "promised"), [(ProbabilityOf.ALL_KNOWN_USERS, "everybody"), (ProbabilityOf.BUYERS, "buyers")])
def test_probabilities_come_true_for_those_whom_they_are_about(of: ProbabilityOf, promised: str) -> None:
    validation, holdout = shop(1), shop(2)
    model = Popularity(recent_days=28).fit(validation, validation, 7)
    metrics = ("ndcg_at_5", "calibration_error")
    terms = ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=metrics, k=5, probability_of=of)
    problem_of(TaskKind.PROPENSITY).calibrate(model, validation, terms)
    assert holdout.features is not None and holdout.labels is not None
    everybody = holdout.features.users[c.USER_ID]
    buyers = set(holdout.labels[c.USER_ID])
    bought = set(zip(holdout.labels[c.USER_ID], holdout.labels[c.ITEM_ID], strict=True))

    def ratio(users: list[str]) -> float:
        answers = model.recommend(users, holdout.features, 5)  # type: ignore[arg-type]  # asserted above
        delivered = sum((one.user_id, item) in bought for one in answers for item in one.items)
        return sum(sum(one.scores) for one in answers) / delivered

    ratios = {"everybody": ratio(sorted(everybody)), "buyers": ratio(sorted(buyers))}
    assert 0.9 < ratios.pop(promised) < 1.1
    assert not 0.8 < next(iter(ratios.values())) < 1.25, "the two are different questions"
    scored = score_model(model, holdout, terms)
    assert scored.metrics["calibration_error"] < 0.03
    of_lists, of_probabilities = scored.populations
    assert (of_lists.units, of_lists.metrics) == (len(buyers), ("ndcg_at_5", "user_coverage"))
    assert of_probabilities.units == (len(everybody) if promised == "everybody" else len(buyers))
    assert of_probabilities.metrics == ("probability", "calibration_error") and of_probabilities.whom == of.words
    assert len(scored.units) == len(buyers), "lists are measured by those who bought something"
    assert len(scored.promised.units) == of_probabilities.units


def test_silent_customers_are_promised_little() -> None:
    validation, holdout = shop(1), shop(2)
    model = Popularity(recent_days=28).fit(validation, validation, 7)
    problem_of(TaskKind.PROPENSITY).calibrate(model, validation, ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, k=5))
    assert holdout.features is not None
    answers = model.recommend(["u0002", "u0003", "nobody"], holdout.features, 5)
    silent, active, unknown = (one.scores[0] for one in answers)
    assert silent == pytest.approx(0.05 * 0.6, abs=0.02)
    assert active == pytest.approx(0.5 * 0.6, abs=0.05)
    assert silent < unknown < active, "an unknown user counts as one of mean activity"
    assert len({one.items for one in answers}) == 1, "activity changes no list"
    without = FeatureTables(holdout.features.users[[c.USER_ID]], holdout.features.items, holdout.features.pairs)
    with pytest.raises(ModelError, match="the calibration needs the users' column user_recency_days, which the features lack"):
        model.recommend(["u0002"], without, 5)


def test_activity_needs_enough_of_both_classes() -> None:
    random = np.random.default_rng(5)
    raw, recency = random.normal(size=400), random.normal(size=400)
    label = (np.arange(400) < 15).astype(float)
    assert fit_calibration(raw, label, {"user_recency_days": recency}).activity == {}
    label = (random.random(400) < sigmoid(raw - recency)).astype(float)
    found = fit_calibration(raw, label, {"user_recency_days": recency, "user_items": np.ones(400)})
    assert set(found.activity) == {"user_recency_days"}, "a column that is the same for all says nothing"
    assert found.slope == pytest.approx(1.0, abs=0.35)
    assert found.activity["user_recency_days"][0] == pytest.approx(-1.0, abs=0.35)
    against = fit_calibration(-raw, label, {"user_recency_days": recency})
    assert against.slope == 0.0 and against.activity, "the order of a list is never turned round"


def test_calibrations_of_earlier_exports_are_read() -> None:
    assert Calibration.from_json([0.5, -1.0]) == Calibration(0.5, -1.0)
    one = Calibration(0.5, -1.0, {"user_recency_days": (-0.7, 2.5)})
    assert Calibration.from_json(one.to_json()) == one


def test_known_users_are_those_whom_batch_scoring_answers() -> None:
    terms = ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=("calibration_error",), k=5, active_days=30)
    examples = shop(1)
    scored = score_model(Popularity(recent_days=28).fit(examples, examples, 7), examples, terms)
    assert scored.populations[-1].units == len(scored.promised.units) == 750, "half of 1,500 came in the newest 30 days"
