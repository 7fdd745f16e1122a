"""The learning curve: nested shares, a model that memorizes, a budget that stops, and nothing done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import Split
from tasks.contracts.training import ScoringTerms
from tasks.errors import NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models.base import Examples, ModelSpec, ServedModel
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.models.popularity import Popularity
from tasks.stages.training import draw_learning_curve
from tasks.stages.training.learning import measure, take_share
from tests.tasks import synthetic_classification
from tests.tasks.models.checkerboard import checkerboard
from tests.tasks.stages.training.overfitting import find_overfitting

LOG_LOSS = ScoringTerms(use_case="test", task=TaskKind.CLASSIFICATION, metrics=("log_loss",), k=5)


class Memorizing(ServedModel):
    """Knows the rows that it was fitted to, and no others."""

    kind = "memorizing"

    def __init__(self, seen: dict[float, float]) -> None:
        self.seen = seen

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"seen": self.seen}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Memorizing:
        return cls(settings["seen"])

    def predict_rows(self, rows: pd.DataFrame) -> Any:
        return np.array([self.seen.get(x, 0.5) for x in rows["x"]], dtype=float)


class MemorizingSpec(ModelSpec):
    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["memorizing"] = "memorizing"
    fitted: ClassVar[list[int]] = []

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        assert train.rows is not None
        self.fitted.append(len(train.rows))
        return Memorizing({x: 0.01 + 0.98 * y for x, y in zip(train.rows["x"], train.rows[c.TARGET], strict=True)})


def classes(count: int, seed: int) -> Examples:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=count)
    target = (x + generator.normal(size=count) > 0).astype(int)
    return Examples(rows=pd.DataFrame({c.ROW_ID: [f"r{seed}-{row}" for row in range(count)], "x": x, c.TARGET: target}))


def curve(spec: ModelSpec, budget_seconds: float = 60.0, metric: str = "log_loss") -> Any:
    return measure(
        spec,
        classes(600, 1),
        classes(300, 2),
        ScoringTerms(use_case="test", task=TaskKind.CLASSIFICATION, metrics=(metric,), k=5),
        seed=7,
        budget_seconds=budget_seconds,
    )


def test_a_larger_share_holds_the_smaller_one() -> None:
    whole = checkerboard(TaskKind.PROPENSITY)
    assert whole.features is not None and whole.labels is not None
    held: set[str] = set()
    for share in (0.25, 0.5, 0.75):
        part = take_share(whole, share)
        assert part.features is not None and part.labels is not None
        users = set(part.features.users[c.USER_ID])
        assert held < users < set(whole.features.users[c.USER_ID])
        assert set(part.features.pairs[c.USER_ID]) <= users and set(part.labels[c.USER_ID]) <= users
        assert part.features.items is whole.features.items
        held = users
    assert take_share(whole, 1.0) is whole


def test_a_memorizing_model_fits_only_known_rows() -> None:
    found = curve(MemorizingSpec())
    assert [point.share for point in found.points] == [0.1, 0.25, 0.5, 1.0]
    assert found.points[-1].units == 600 and found.unit == "rows" and not found.greater_is_better
    assert all(point.fitted == pytest.approx(-np.log(0.99)) for point in found.points)
    assert all(point.validation == pytest.approx(np.log(2)) for point in found.points)


def test_a_regression_has_no_overfitting_gap() -> None:
    found = curve(LogisticRegressionSpec())
    last = found.points[-1]
    assert abs(last.fitted - last.validation) < 0.1 < last.validation
    assert not found.is_overfitting and curve(MemorizingSpec()).is_overfitting


def test_only_the_raw_svm_is_flagged_as_overfitting() -> None:
    """Breast cancer: a Gaussian kernel on unscaled columns fits only the training rows."""
    found = find_overfitting(["kernel_svm"])
    raw, ours = found["raw_svm"], found["kernel_svm"]
    assert raw["accuracy_fitted"] > 0.99 and raw["accuracy"] < 0.7 and raw["flagged"] == 1.0
    assert ours["accuracy"] > 0.94 and ours["flagged"] == 0.0


def test_the_budget_ends_the_curve() -> None:
    found = curve(MemorizingSpec(), budget_seconds=1e-9)
    assert [point.share for point in found.points] == [0.1]
    assert found.stopped == "25% of the data and more: beyond the budget of 0 s"


def test_a_share_that_is_too_small_is_left_out() -> None:
    class NeedsRows(MemorizingSpec):
        def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
            assert train.rows is not None
            if len(train.rows) < 100:
                raise NotEnoughData(f"needs 100 rows; got {len(train.rows)}")
            return super().fit(train, history, seed)

    found = curve(NeedsRows())
    assert [point.share for point in found.points] == [0.25, 0.5, 1.0]
    assert found.stopped.startswith("10% of the data: needs 100 rows")


def test_users_are_measured_on_the_whole_window() -> None:
    train, validation = checkerboard(TaskKind.PROPENSITY), checkerboard(TaskKind.PROPENSITY)
    found = measure(
        Popularity(),
        train,
        validation,
        ScoringTerms(use_case="test", task=TaskKind.PROPENSITY, metrics=("ndcg_at_5",), k=5),
        seed=7,
        budget_seconds=60.0,
    )
    assert train.features is not None
    assert found.points[-1].units == len(train.features.users) and found.points[-1].fitted is None


def test_a_logged_curve_is_read_again(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    synthetic_classification.open_store(synthetic_classification.make_empty_store(tmp_path / "empty"), tmp_path, monkeypatch)
    examples = synthetic_classification.tabular(storage, "shop")
    candidate = synthetic_classification.log_candidate(
        "shop", "memorizing", synthetic_classification.Skilled(np.ones((1, 1))), examples, tmp_path
    )
    candidate = candidate.model_copy(
        update={"split": Split(as_of=candidate.split.as_of, train=examples, validation=examples, holdout=examples)}
    )

    def draw() -> Any:
        return draw_learning_curve(candidate, MemorizingSpec(), LOG_LOSS, storage, seed=7)

    MemorizingSpec.fitted.clear()
    first = draw()
    assert len(MemorizingSpec.fitted) == 4 and tracking.has_artifact(candidate.run_id, "plots/learning_curve.png")
    assert draw() == first
    assert len(MemorizingSpec.fitted) == 4, "the second time it is read"
