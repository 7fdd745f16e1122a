"""The inputs and outputs of a served model as tables: the signature that MLflow shows for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.cells import Cell
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io.cells import read_column, readers_of
from tasks.models.base import Examples, FeatureTables, ServedModel

if TYPE_CHECKING:
    import pandas as pd


def question_columns(terms: ScoringTerms) -> tuple[str, ...]:
    """The columns of a question: the feature columns of rows, else the user, and the item where pairs are rated."""
    if terms.task.answers_rows:
        return terms.row_columns
    return (c.USER_ID, c.ITEM_ID) if terms.task.rates_pairs else (c.USER_ID,)


def answer(model: ServedModel, terms: ScoringTerms, asked: pd.DataFrame, features: FeatureTables | None) -> pd.DataFrame:
    """Answer a table of questions.

    Parameters
    ----------
    asked : the feature columns for tabular models; user_id and item_id for ratings; user_id for recommenders.
    features : needed by all but tabular models.

    Returns
    -------
    `prediction` of each row, and of tabular models `predicted_class` (0 or 1), as the endpoint and batch scoring have it; for
    recommenders user_id, rank, item_id and prediction, one row for each recommended item.
    """
    import pandas as pd

    asked = _read_cells(terms, asked)
    if terms.task.answers_rows:
        probability = model.predict_rows(asked)
        classes = model.choose_classes(probability).astype("int64")
        return pd.DataFrame({c.PREDICTION: probability, c.PREDICTED_CLASS: classes})
    if features is None:
        raise ModelError(f"{terms.use_case}: a model of the task '{terms.task}' answers from features; got none")
    if terms.task.rates_pairs:
        return pd.DataFrame({c.PREDICTION: model.predict_ratings(asked, features)})
    found = model.recommend([str(user) for user in asked[c.USER_ID]], features, terms.k, terms.exclude_seen)
    rows = [
        (each.user_id, rank, item, score)
        for each in found
        for rank, (item, score) in enumerate(zip(each.items, each.scores, strict=True), start=1)
    ]
    return pd.DataFrame(rows, columns=[c.USER_ID, c.RANK, c.ITEM_ID, c.PREDICTION]).astype({c.RANK: "int64"})


def _read_cells(terms: ScoringTerms, asked: pd.DataFrame) -> pd.DataFrame:
    """The questions with the values that ingestion gives the same cells."""
    import pandas as pd

    ids = {} if terms.task.answers_rows else dict.fromkeys((c.USER_ID, c.ITEM_ID), Cell(type="id"))
    names = [name for name in question_columns(terms) if name in asked]
    read = {}
    for name, reader in readers_of({**ids, **terms.cells}, names, terms.text_columns).items():
        values, lost = read_column(reader.cell, asked[name].tolist())
        if any(lost):
            places = [str(place) for place, is_lost in enumerate(lost) if is_lost][:5]
            raise ModelError(f"{terms.use_case}: column {name!r}, rows {', '.join(places)}: expected {reader.expected}")
        read[name] = pd.Series(values, asked.index, dtype=object if reader.gives_text else "float64")
    return asked.assign(**read)


def example_question(terms: ScoringTerms, examples: Examples, count: int = 5) -> pd.DataFrame:
    """The first `count` questions that the examples suggest; numbers as doubles, because they may be missing later."""
    import pandas as pd

    if examples.rows is not None:
        numbers = dict.fromkeys((name for name in terms.row_columns if name not in terms.text_columns), "float64")
        return examples.rows[list(terms.row_columns)].head(count).astype(numbers)
    if examples.labels is None:
        raise ModelError(f"{terms.use_case}: examples without labels and rows suggest no question")
    return pd.DataFrame(examples.labels[list(question_columns(terms))].drop_duplicates().head(count).reset_index(drop=True))
