"""The neural network: the exported layers predict as scikit-learn's network on new rows."""

from __future__ import annotations

import numpy as np

from tasks.models.mlp import Mlp
from tests.contracts.cases import Case

CASES = {"mlp": Case(small={"epochs": 40})}


def test_layers_predict_as_the_library() -> None:
    random = np.random.default_rng(0)
    values, target = random.normal(size=(120, 3)), random.integers(0, 2, 120)
    spec = Mlp(layers=(8, 4), epochs=30)
    learned = spec.learn(values, target, np.ones(120), 7)
    assert learned.own_margins is not None
    assert learned.settings["layers"] == 3
    new = random.normal(size=(40, 3))
    model = spec.served(None, learned.arrays, learned.settings, (1.0, 0.0))  # type: ignore[arg-type]  # no scaler is used
    np.testing.assert_allclose(model.margins(new), learned.own_margins(new), atol=1e-12)
