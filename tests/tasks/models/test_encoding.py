"""Text columns become numbers by an encoding of the training rows, which every model of rows exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.models import MODELS, SERVED
from tasks.models.base import ColumnKinds, Examples, ModelSpec, load_model, save_model
from tasks.models.encoding import LEVELS, WORDS, Encoding
from tests.tasks.call_campaign import CALLERS_KINDS, callers, log_odds

KINDS = ColumnKinds(ordinal={"size": ("small", "medium", "large")}, text=("note",))
NAMES = ("colour", "age", "size", "note")
ROWS = pd.DataFrame(
    {
        "colour": ["red", "blue", "red", None],
        "age": [1.0, np.nan, 3.0, 4.0],
        "size": ["large", "small", "huge", None],
        "note": ["A red BALL", "the ball", None, "unique words"],
    }
)


def test_each_kind_of_column_by_hand() -> None:
    encoding = Encoding.learn(ROWS, NAMES, KINDS)
    assert encoding.outputs == ("colour=", "colour=blue", "colour=red", "age", "size", "note~ball")
    np.testing.assert_array_equal(
        encoding.read(ROWS, "a test"),
        [[0, 0, 1, 1, 2, 1], [0, 1, 0, np.nan, 0, 1], [0, 0, 1, 3, np.nan, 0], [1, 0, 0, 4, np.nan, 0]],
    )
    later = pd.DataFrame({"note": ["balls, Ball!"], "size": ["medium"], "age": [9], "colour": ["green"]})
    np.testing.assert_array_equal(encoding.read(later, "a test"), [[0, 0, 0, 9, 1, 1]])
    assert Encoding.from_json(json.loads(json.dumps(encoding.to_json()))) == encoding


def test_only_the_most_frequent_values_and_words_are_learned() -> None:
    many = pd.DataFrame({"place": [f"p{n % 500:03}" for n in range(700)], "note": [f"w{n // 2:03}" for n in range(700)]})
    encoding = Encoding.learn(many, ("place", "note"), ColumnKinds(text=("note",)))
    assert len(encoding.encoders["place"][1]) == LEVELS and "p199" not in encoding.encoders["place"][1]
    assert encoding.encoders["place"][1] == tuple(f"p{n:03}" for n in range(LEVELS)), "those of two rows come first"
    assert len(encoding.encoders["note"][1]) == WORDS


def test_unreadable_columns_are_named() -> None:
    encoding = Encoding.learn(ROWS, NAMES, KINDS)
    with pytest.raises(ModelError, match=r"needs the columns colour, note.*they have: age, size"):
        encoding.read(ROWS[["age", "size"]], "the model")
    with pytest.raises(ModelError, match="the columns age hold numbers"):
        encoding.read(ROWS.assign(age="old"), "the model")


CLASSIFIERS = sorted(
    kind
    for kind, spec in MODELS.kinds.items()
    if issubclass(spec, ModelSpec) and TaskKind.CLASSIFICATION in spec.tasks and kind != "prior"
)


@pytest.mark.parametrize("kind", [kind for kind in CLASSIFIERS if not kind.startswith("spark")])
def test_every_classifier_encodes_text(kind: str, tmp_path: Path) -> None:
    table = callers(1200, seed=5)
    train, held_out = table[:800], table[800:].reset_index(drop=True)
    model = MODELS.parse({"kind": kind}, "test").fit(Examples(rows=train, kinds=CALLERS_KINDS), Examples(), 7)
    predicted = model.predict_rows(held_out)
    assert np.corrcoef(predicted, 1 / (1 + np.exp(-log_odds(held_out))))[0, 1] > 0.6, "it learns the known odds"
    blind = held_out.assign(job="nobody has it", education=None, notes="")
    assert np.std(model.predict_rows(blind)) < np.std(predicted)

    terms = ScoringTerms(use_case="callers", task=TaskKind.CLASSIFICATION)
    loaded, _ = load_model(tmp_path / "native", save_model(model, tmp_path / "native", terms), SERVED)
    np.testing.assert_array_equal(loaded.predict_rows(held_out), predicted)
    names = tuple(name for name in table.columns if name not in (c.ROW_ID, c.TARGET))
    np.testing.assert_array_equal(loaded.predict_values(held_out[list(names)].to_numpy(dtype=object), names), predicted)
