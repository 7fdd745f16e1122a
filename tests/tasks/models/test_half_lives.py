"""The names of half-life settings: former ones are refused in the YAML and still read from exported models."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import ConfigurationError
from tasks.models import MODELS
from tasks.models.als import AlsModel, Penalties
from tasks.models.ease import EaseModel
from tasks.models.histories import Weighing


@pytest.mark.parametrize(
    ("kind", "former", "name"),
    [
        *((kind, "fade_days", "half_life_days") for kind in ("ials", "hybrid", "bpr", "item_knn", "ease", "content")),
        ("als", "half_life_days", "popular_half_life_days"),
    ],
)
def test_former_names_are_refused(kind: str, former: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"c\[0\]\.{former}: this setting of '{kind}' is now called '{name}'"):
        MODELS.parse({"kind": kind, former: 60.0}, "c[0]")


def test_exports_of_als_with_former_names_load() -> None:
    penalties = Penalties(1.0, 2.0, 3.0, 4.0, 28.0, False, 60.0)
    model = AlsModel(np.array(["a"], dtype=object), np.ones((1, 2)), penalties, None, 1.0)
    settings, arrays = model.state()
    former = dict(settings["penalties"])
    former["fade_days"] = former.pop("half_life_days")
    former["half_life_days"] = former.pop("popular_half_life_days")
    assert former["fade_days"] == 60.0 and former["half_life_days"] == 28.0
    assert AlsModel.from_state({**settings, "penalties": former}, arrays).penalties == model.penalties
    assert AlsModel.from_state(settings, arrays).penalties == model.penalties


def test_exports_of_histories_with_former_names_load() -> None:
    model = EaseModel(np.array(["a"], dtype=object), Weighing(True, 60.0, 28.0), np.zeros((1, 1), np.float32))
    settings, arrays = model.state()
    former = {"count_orders": True, "fade_days": 60.0, "popular_half_life_days": 28.0}
    assert EaseModel.from_state({**settings, "weighing": former}, arrays).weighing == model.weighing
    assert EaseModel.from_state(settings, arrays).weighing == model.weighing
