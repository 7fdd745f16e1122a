"""Random cells on five paths: ingestion, events, outcomes, tables of a batch, and rows at the endpoint. All must agree."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from serving.deployment.bundle import Bundle
from serving.http import cells as requests
from serving.http import messages
from serving.http.problems import Refusal
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.cells import Cell
from tasks.contracts.training import ScoringTerms
from tasks.io.cells import read_column
from tasks.io.spark import spark_for
from tasks.io.spark_cells import Wanted, quote, read_cells, value_of
from tasks.models.base import ServedModel
from tests.serving.random_cells import CELLS, TEXTS, draw_texts

LOST = object()
AT = datetime(2026, 1, 1, tzinfo=UTC)
COUNT = 10_000


def measure_cells(size: Any) -> dict[str, Any]:
    """How many cells another path reads otherwise than ingestion."""
    texts = draw_texts(COUNT // size.every, seed=31)
    expected = _by_ingestion(texts)
    counted = dict.fromkeys(("batch", "endpoint", "events", "outcomes"), 0)
    wrong: list[dict[str, str]] = []
    compared = 0
    for path, name, read in _paths():
        for text, value, found in zip(texts, expected[name], read(texts), strict=True):
            is_same = found is value or found == value
            if path in {"events", "outcomes"} and found is LOST:  # an id or a label that is missing is refused, too
                is_same = value is LOST or value is None
            compared += 1
            if not is_same:
                counted[path] += 1
                wrong.append({"path": path, "cell": name, "text": ascii(text), "ingestion": repr(value), "found": repr(found)})
    kept = sum(value is not LOST and value is not None for values in expected.values() for value in values)
    return {
        "cells": compared,
        "cells_with_a_value": kept,
        "normalization_difference": sum(counted.values()),
        "normalization_table": wrong[:20],
    }


def _by_ingestion(texts: Sequence[str]) -> dict[str, list[Any]]:
    with spark_for(len(texts)) as spark:
        given = spark.createDataFrame(list(enumerate(texts)), "place int, given string")
        frame = given.selectExpr("place", *(f"given AS {quote(name)}" for name in CELLS))
        rows = read_cells(frame, {name: Wanted(name, cell) for name, cell in CELLS.items()}).orderBy("place").collect()
    lost = [json.loads(f"[{row[c.LOST_CELLS] or ''}]") for row in rows]
    return {
        name: [LOST if name in marked else row[value_of(name)] for row, marked in zip(rows, lost, strict=True)]
        for name in CELLS
    }


def _paths() -> list[tuple[str, str, Callable[[Sequence[str]], list[Any]]]]:
    batch = [("batch", name, _batch_of(cell)) for name, cell in CELLS.items()]
    rows = [("endpoint", name, _endpoint_of(name)) for name in CELLS]
    events = [
        ("events", *one)
        for one in (("name", _event_of(c.USER_ID)), ("code", _event_of(c.ITEM_ID)), ("german", _event_of(c.VALUE)))
    ]
    outcomes = [("outcomes", "code", _outcome_of("item_id")), ("outcomes", "flag", _outcome_of("label"))]
    return [*batch, *rows, *events, *outcomes]


def _batch_of(cell: Cell) -> Callable[[Sequence[str]], list[Any]]:
    def read(texts: Sequence[str]) -> list[Any]:
        return [LOST if is_lost else value for value, is_lost in zip(*read_column(cell, texts), strict=True)]

    return read


def _bundle(**terms: Any) -> Bundle:
    """What answers requests, without a model: it is not asked."""
    shape = ScoringTerms(use_case="cells", **terms)
    return Bundle("cells", 1, "", cast("ServedModel", None), shape)


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (messages.InvalidRequest, Refusal):
        return LOST


def _endpoint_of(name: str) -> Callable[[Sequence[str]], list[Any]]:
    columns = (name,)
    texts_of = columns if name in TEXTS else ()
    bundle = _bundle(task=TaskKind.CLASSIFICATION, row_columns=columns, text_columns=texts_of, cells={name: CELLS[name]})

    def read_one(text: str) -> Any:
        body = msgspec.json.encode({"rows": [{name: text}]})
        return requests.read_rows(bundle, body, lambda _error: None)[0][0][0]

    return lambda texts: [_tried(lambda text=text: read_one(text)) for text in texts]  # type: ignore[misc]  # bound in the loop


def _event_of(name: str) -> Callable[[Sequence[str]], list[Any]]:
    cells = {c.USER_ID: CELLS["name"], c.ITEM_ID: CELLS["code"], c.VALUE: CELLS["german"]}
    bundle = _bundle(task=TaskKind.PROPENSITY, cells=cells)

    def read_one(text: str) -> Any:
        sent: dict[str, Any] = {
            "event_id": "e",
            "user_id": "u",
            "item_id": "i",
            "event_type": "view",
            "event_at": AT,
            name: text,
        }
        return requests.read_event(bundle, messages.Event(**sent), "event")[name]

    return lambda texts: [_tried(lambda text=text: read_one(text)) for text in texts]  # type: ignore[misc]  # bound in the loop


def _outcome_of(name: str) -> Callable[[Sequence[str]], list[Any]]:
    bundle = _bundle(task=TaskKind.CLASSIFICATION, cells={c.ITEM_ID: CELLS["code"], c.TARGET: CELLS["flag"]})

    def read_one(text: str) -> Any:
        sent: dict[str, Any] = {"prediction_id": "p", "label": 1.0, "item_id": "i", "happened_at": AT, name: text}
        found = requests.read_outcome(bundle, messages.Outcome(**sent), "outcome")[name]
        return None if found == "" else found  # of the whole prediction

    return lambda texts: [_tried(lambda text=text: read_one(text)) for text in texts]  # type: ignore[misc]  # bound in the loop
