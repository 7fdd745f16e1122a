"""A trained model -> files, which are read back and must answer as the model does, before anybody can register them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks.contracts import ServingTerms
from tasks.errors import ModelError
from tasks.models import SERVED
from tasks.models.base import Examples, ServedModel, load_model, save_model
from tasks.models.questions import answer, example_question

if TYPE_CHECKING:
    import pandas as pd

AGREEMENT = 1e-5
QUESTIONS = 200


def export_model(
    model: ServedModel, folder: Path, terms: ServingTerms, examples: Examples, kinds: Mapping[str, type[ServedModel]] = SERVED
) -> str:
    """Save a model, load it again by its digest, and compare the two on questions of the examples; the digest comes back.

    Raises
    ------
    ModelError : what was loaded answers otherwise.
    """
    digest = save_model(model, folder, terms)
    loaded, _ = load_model(folder, digest, dict(kinds))
    asked = example_question(terms, examples, QUESTIONS)
    trained, read_back = (answer(each, terms, asked, examples.features) for each in (model, loaded))
    apart = _distance(trained, read_back)
    if not apart <= AGREEMENT:
        raise ModelError(
            f"{terms.use_case}: the exported model of kind '{model.kind}' answers {len(asked)} questions up to {apart:.3g} "
            f"apart from the trained one, and {AGREEMENT} is allowed; `state` of its class loses what `from_state` needs"
        )
    return digest


def _distance(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """The largest distance of two tables of answers; infinite where they do not answer the same questions alike."""
    keys = [name for name in one.columns if name != c.PREDICTION]
    if list(one.columns) != list(other.columns) or not one[keys].equals(other[keys]):
        return float("inf")
    values = [table[c.PREDICTION].to_numpy(np.float64) for table in (one, other)]
    return float(np.abs(values[0] - values[1]).max(initial=0.0))
