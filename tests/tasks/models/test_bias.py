"""The bias model: its effects by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.models.base import Examples
from tasks.models.bias import Bias
from tests.tasks.models.checkerboard import features_of, tables


def test_bias_by_hand() -> None:
    met = pd.DataFrame(
        [("ann", "heat", 5.0), ("bob", "heat", 4.0), ("bob", "up", 2.0)], columns=[c.USER_ID, c.ITEM_ID, c.LABEL]
    )
    examples = Examples(tables(met, TaskKind.RATING))
    model = Bias(item_damping=0.0, user_damping=1.0).fit(examples, examples, 7)
    mean = 11 / 3
    pairs = pd.DataFrame({c.USER_ID: ["ann", "bob", "eve", "ann"], c.ITEM_ID: ["heat", "up", "heat", "new"]})
    ann, bob = 0.5 / 2, (-0.5 + 0.0) / 3  # what the item effects 4.5 and 2 leave over, pulled by one more rating
    assert model.predict_ratings(pairs, features_of(examples)).tolist() == pytest.approx([4.5 + ann, 2.0, 4.5, mean + ann])
    scores, path = model.score_items("bob", features_of(examples))
    assert (path, scores.tolist()) == ("model", pytest.approx([4.5 + bob, 2.0 + bob]))
