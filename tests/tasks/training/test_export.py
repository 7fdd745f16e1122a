"""What is exported answers as what was trained; what does not is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import ServingTerms, TaskKind
from tasks.errors import ModelError
from tasks.models.base import save_model
from tasks.models.bias import BiasModel, measure_scale
from tasks.models.popularity import PopularityModel
from tasks.training.export import export_model
from tests.tasks.models.checkerboard import checkerboard

RATING = ServingTerms(use_case="films", task=TaskKind.RATING, k=3)


def test_an_honest_model_is_exported(tmp_path: Path) -> None:
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


def test_a_model_that_turns_its_list_round_is_refused(tmp_path: Path) -> None:
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
