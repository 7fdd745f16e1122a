"""A trained model -> files, which are read back and must predict as the model does, before they can be registered."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks import columns as c
from tasks import models
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io.tracking import NATIVE, TrackedRun
from tasks.models import SERVED
from tasks.models.base import AGREEMENT, Examples, FeatureTables, ServedModel, load_model, save_model
from tasks.models.signature import answer, example_question
from tasks.models.smoke_test import UNKNOWN_ID

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = 200
_WRAPPER = Path(models.__file__).parent / "as_pyfunc.py"


def log_model(run: TrackedRun, model: ServedModel, terms: ScoringTerms, examples: Examples, kind: str) -> tuple[str, str]:
    """Export a model and log it in a run: its address, and its manifest's digest. What was exported is compared first.

    Raises
    ------
    ModelError : from `export_model`. No model is logged.
    """
    question = example_question(terms, examples)
    answered = answer(model, terms, question, examples.features)
    with tempfile.TemporaryDirectory() as folder:
        native = Path(folder) / NATIVE
        digest = export_model(model, native, terms, examples)
        return run.log_model(native, _WRAPPER, question, answered, {"kind": kind, "manifest_digest": digest}), digest


def export_model(
    model: ServedModel, folder: Path, terms: ScoringTerms, examples: Examples, kinds: Mapping[str, type[ServedModel]] = SERVED
) -> str:
    """Save a model, load it again by its digest, and compare the two on questions of the examples; the digest comes back.

    The questions are up to `QUESTIONS` rows, pairs and users, and unknown ones: a row of gaps, an unknown user and an unknown
    item. All scores are compared, raw ones too, because a flat calibration would hide their distance.

    Raises
    ------
    ModelError : the loaded model predicts other values, or has other terms.
    """
    digest = save_model(model, folder, terms)
    loaded, loaded_terms = load_model(folder, digest, dict(kinds))
    if loaded_terms != terms:
        raise ModelError(f"{terms.use_case}: exported on the terms {terms}, and read back on {loaded_terms}")
    question = example_question(terms, examples, QUESTIONS)
    tables = zip(_answers(model, terms, question, examples), _answers(loaded, terms, question, examples), strict=True)
    apart = float(np.max([_distance(trained, read_back) for trained, read_back in tables]))  # Python's max would lose a NaN
    if not apart <= AGREEMENT:
        raise ModelError(
            f"{terms.use_case}: the exported model of kind '{model.kind}' answers {len(question)} questions up to {apart:.3g} "
            f"apart from the trained one, and {AGREEMENT} is allowed; `state` of its class loses what `from_state` needs"
        )
    return digest


def _answers(model: ServedModel, terms: ScoringTerms, question: pd.DataFrame, examples: Examples) -> list[pd.DataFrame]:
    """All answers that the endpoint could request of a model of this task, one table a kind of answer."""
    import pandas as pd

    if examples.features is None:
        gaps = {name: pd.Series([None if name in terms.text_columns else np.nan]) for name in question.columns}
        rows = pd.concat([question, pd.DataFrame(gaps).astype(question.dtypes.to_dict())], ignore_index=True)
        return [pd.DataFrame({c.PREDICTION: model.predict_rows(rows)})]
    users = [*dict.fromkeys(str(user) for user in question[c.USER_ID]), UNKNOWN_ID]
    lists = _lists(model, terms, users, examples.features)
    if not terms.task.rates_pairs:
        return [lists]
    pairs = question[[c.USER_ID, c.ITEM_ID]]
    first = pairs[:1]
    strange = [
        first.assign(user_id=UNKNOWN_ID),
        first.assign(item_id=UNKNOWN_ID),
        first.assign(user_id=UNKNOWN_ID, item_id=UNKNOWN_ID),
    ]
    pairs = pd.concat([pairs, *strange], ignore_index=True)
    return [lists, pairs.assign(**{c.PREDICTION: model.predict_ratings(pairs, examples.features)})]


def _lists(model: ServedModel, terms: ScoringTerms, users: list[str], features: FeatureTables) -> pd.DataFrame:
    import pandas as pd

    rows = [
        (answer.user_id, answer.path, *one)
        for answer in model.recommend(users, features, terms.k, terms.exclude_seen)
        for one in zip(answer.items, answer.raw_scores, answer.scores, strict=True)
    ]
    return pd.DataFrame(rows, columns=[c.USER_ID, "path", c.ITEM_ID, c.RAW_SCORE, c.PREDICTION])


def _distance(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """The largest distance of two tables of answers; infinite where they do not answer the same questions alike."""
    scores = [name for name in one.columns if name in (c.RAW_SCORE, c.PREDICTION)]
    keys = [name for name in one.columns if name not in scores]
    if list(one.columns) != list(other.columns) or not one[keys].equals(other[keys]):
        return float("inf")
    trained, read_back = (table[scores].to_numpy(np.float64) for table in (one, other))
    return float(np.abs(trained - read_back).max(initial=0.0))
