"""What is exported answers as what was trained; what does not is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.models.base import ModelSpec, ServedModel, save_model
from tasks.models.bias import Bias, BiasModel, measure_scale
from tasks.models.ials import Ials
from tasks.models.item_knn import ItemKnn
from tasks.models.platt import Calibration
from tasks.models.popularity import PopularityModel
from tasks.models.support_vectors import LinearSvm
from tasks.stages.training.export import export_model
from tests.tasks.models.checkerboard import checkerboard

RATING = ScoringTerms(use_case="films", task=TaskKind.RATING, k=3)


def test_a_correct_model_is_exported(tmp_path: Path) -> None:
    examples = checkerboard(TaskKind.RATING)
    model = BiasModel(measure_scale(examples), 10.0, 10.0)
    digest = export_model(model, tmp_path / "model", RATING, examples)
    assert digest == save_model(model, tmp_path / "again", RATING)


def test_a_model_that_loses_its_damping_is_refused(tmp_path: Path) -> None:
    class Forgetful(BiasModel):
        @classmethod
        def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Forgetful:
            return super().from_state({**settings, "item_damping": 0.0}, arrays)

    examples = checkerboard(TaskKind.RATING)
    model = Forgetful(measure_scale(examples), 10.0, 10.0)
    with pytest.raises(ModelError, match=r"kind 'bias' answers 48 questions up to .* apart"):
        export_model(model, tmp_path / "model", RATING, examples, {"bias": Forgetful})


def test_a_model_that_reverses_its_list_is_refused(tmp_path: Path) -> None:
    class Reversed(PopularityModel):
        @classmethod
        def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Reversed:
            model = super().from_state(settings, arrays)
            kept = model.scores_of
            model.scores_of = lambda features: -kept(features)  # type: ignore[assignment]
            return model

    terms = RATING.model_copy(update={"task": TaskKind.RECOMMENDATION})
    examples = checkerboard(TaskKind.RECOMMENDATION)
    with pytest.raises(ModelError, match="up to inf apart"):
        export_model(Reversed(28.0), tmp_path / "model", terms, examples, {"popularity": Reversed})


COLUMNS = ("mean radius", "mean texture", "worst area")
CLASSES = ScoringTerms(use_case="ward", task=TaskKind.CLASSIFICATION, row_columns=COLUMNS)


def altered(kind: type[ServedModel], change: Callable[[Any], None]) -> type[ServedModel]:
    """The same kind, which comes back changed."""

    def from_state(cls: type[ServedModel], settings: dict[str, Any], arrays: dict[str, Any]) -> ServedModel:
        model = kind.from_state(settings, arrays)
        change(model)
        return model

    return type(kind.__name__, (kind,), {"from_state": classmethod(from_state)})


def refused(spec: ModelSpec, task: TaskKind, change: Callable[[Any], None], folder: Path) -> str:
    """How the export of a fitted model is refused that comes back changed."""
    examples, columns = checkerboard(task), COLUMNS if task.answers_rows else ()
    terms = ScoringTerms(use_case="board", task=task, k=5, row_columns=columns)
    model = spec.fit(examples, examples, 7)
    if task is TaskKind.PROPENSITY:
        model.calibration = Calibration(0.0, -1.0)  # flat: every item gets the same probability
    with pytest.raises(ModelError) as error:
        export_model(model, folder / spec.kind, terms, examples, {spec.kind: altered(type(model), change)})
    return str(error.value)


def test_a_flat_calibration_hides_no_difference(tmp_path: Path) -> None:
    def grow(model: Any) -> None:
        model.factors = model.factors * (1 + 1e-4)

    assert "apart from the trained one" in refused(Ials(factors=4), TaskKind.PROPENSITY, grow, tmp_path)


def test_a_difference_for_unknown_users_is_found(tmp_path: Path) -> None:
    def forget_the_scale(model: Any) -> None:
        model.typical_best *= 2.0

    def forget_the_gaps(model: Any) -> None:
        model.scaler = replace(model.scaler, means=model.scaler.means + 0.1)

    assert "apart" in refused(ItemKnn(), TaskKind.PROPENSITY, forget_the_scale, tmp_path)
    assert "apart" in refused(LinearSvm(), TaskKind.CLASSIFICATION, forget_the_gaps, tmp_path)


def test_the_lists_of_a_rating_model_are_compared(tmp_path: Path) -> None:
    def stranger_things(model: Any) -> None:
        kept = model.score_items
        model.score_items = lambda user, features: (kept(user, features)[0] + 1e-4, kept(user, features)[1])

    assert "apart" in refused(Bias(), TaskKind.RATING, stranger_things, tmp_path)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e-4])
def test_one_wrong_prediction_is_refused(wrong: float, tmp_path: Path) -> None:
    def spoil(model: Any) -> None:
        kept = model.predict_rows
        model.predict_rows = lambda rows: kept(rows) + np.where(np.arange(len(rows)) == 3, wrong, 0.0)

    assert "apart" in refused(LinearSvm(), TaskKind.CLASSIFICATION, spoil, tmp_path)


def test_a_difference_of_five_millionths_passes(tmp_path: Path) -> None:
    examples = checkerboard(TaskKind.CLASSIFICATION)
    model = LinearSvm().fit(examples, examples, 7)

    def nudge(model: Any) -> None:
        kept = model.predict_rows
        model.predict_rows = lambda rows: kept(rows) + 5e-6

    export_model(model, tmp_path / "model", CLASSES, examples, {"linear_svm": altered(type(model), nudge)})
