"""Contexts whose truth is known, from which the examples of the gates are made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, Role
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import ModelError
from tasks.metrics import UNIT, USER_COVERAGE, WEIGHT
from tasks.models.base import Examples, FeatureTables, ServedModel
from tasks.stages.evaluation.gates.base import Context, Export, Lineage
from tasks.stages.evaluation.paired import Answers

REF = DatasetRef(use_case="shop", layer="evaluation", partition="p", version="0" * 16, digest="0" * 64, rows={"units": 1})
UNITS = 200


def answers(subject: str, name: str, skill: float, *, seed: int = 0, units: int = UNITS, **change: Any) -> Answers:
    """A model whose users have an nDCG around `skill`; `change` replaces columns of its predictions."""
    shared, own = np.random.default_rng(1), np.random.default_rng([2, seed])
    values = np.clip(skill + 0.2 * shared.normal(size=units) + 0.05 * own.normal(size=units), 0, 1)
    users = [f"u{row:04d}" for row in range(units)]
    frame = pd.DataFrame({UNIT: users, "ndcg_at_10": values, "ndcg_at_10" + WEIGHT: 1.0, USER_COVERAGE: 1.0})
    predictions = pd.DataFrame(
        {
            c.USER_ID: users,
            c.ITEM_ID: "i",
            c.RANK: 1,
            c.RAW_SCORE: own.random(units),
            c.PREDICTION: own.random(units),
            c.LABEL: 1.0,
        }
    ).assign(**{key: value for key, value in change.items() if key != USER_COVERAGE})
    metrics = {"ndcg_at_10": float(values.mean()), USER_COVERAGE: float(change.get(USER_COVERAGE, 1.0))}
    evaluation = Evaluation(subject=subject, name=name, model_uri="models:/m-1", holdout=REF, metrics=metrics, units=REF)
    return Answers(evaluation, frame, predictions)


def with_predictions(change: dict[str, Any]) -> Answers:
    """A good challenger, columns of its predictions replaced."""
    return answers("challenger", "als", 0.4, **change)


def rows(name: str, prediction: np.ndarray, label: np.ndarray) -> Answers:
    """A classifier's answers, one unit a row."""
    ids = [f"r{row:04d}" for row in range(len(label))]
    evaluation = Evaluation(subject=Role.CHALLENGER, name=name, model_uri="models:/m-1", holdout=REF, metrics={}, units=REF)
    predictions = pd.DataFrame({c.ROW_ID: ids, c.PREDICTION: prediction, c.LABEL: label})
    return Answers(evaluation, pd.DataFrame({UNIT: ids}), predictions)


def candidate(name: str = "als") -> Candidate:
    split = Split(as_of=date(2011, 6, 1), train=REF, validation=REF, holdout=REF)
    return Candidate(
        use_case="shop",
        name=name,
        kind="als",
        run_id="r",
        model_uri="models:/m-1",
        manifest_digest="0" * 64,
        split=split,
        code_version="test",
        metrics={},
        fit_seconds=1.0,
    )


def context(
    challenger: Answers,
    champion: Answers | None = None,
    baseline: Answers | None = None,
    task: TaskKind = TaskKind.PROPENSITY,
    **more: Any,
) -> Context:
    return Context(
        task=task,
        candidate=candidate(challenger.evaluation.name),
        challenger=challenger,
        champion=champion,
        champion_version=None if champion is None else 3,
        baseline=baseline,
        seed=7,
        **more,
    )


USERS = [f"u{row:04d}" for row in range(UNITS)]
NEW = np.arange(UNITS) >= UNITS - 60  # users without a past
COUNTRIES = np.where(np.arange(UNITS) % 2 == 0, "France", "Norway")


def holdout() -> Examples:
    """200 users, the last 60 of them new, and thirty items, three of them new; each user buys an old one and a new one."""
    old = [USERS[row] for row in np.flatnonzero(~NEW)]
    items = [f"i{row:02d}" for row in range(30)]
    bought = [(user, item, 1.0) for row, user in enumerate(USERS) for item in (items[row % 27], items[27 + row % 3])]
    return Examples(
        features=FeatureTables(
            users=pd.DataFrame({c.USER_ID: old, c.SEGMENT: COUNTRIES[~NEW]}),
            items=pd.DataFrame({c.ITEM_ID: items, "item_age_days": [200.0] * 27 + [5.0] * 3}),
            pairs=pd.DataFrame(
                {c.USER_ID: old, c.ITEM_ID: [items[row % 9] for row in range(len(old))], "pair_orders": range(1, len(old) + 1)}
            ),
        ),
        labels=pd.DataFrame(bought, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]),
    )


def shifted(skill: float, inside: Any, by: float) -> Answers:
    """A challenger of some skill that is off for some users."""
    made = answers("challenger", "als", skill, seed=2)
    return Answers(made.evaluation, made.units.assign(ndcg_at_10=made.units["ndcg_at_10"] + by * inside), made.predictions)


def lists(subject: str, knows_new: bool, spread: int = 9) -> Answers:
    """Lists of two: an item that the user buys, and one that is new, or is always one of `spread` old ones."""
    flat, hits = [], []
    for row, user in enumerate(USERS):
        second = f"i{27 + row % 3:02d}" if knows_new else f"i{(row + 1) % spread:02d}"
        flat += [(user, f"i{row % 27:02d}", 1, 0.5, 0.5, 1.0), (user, second, 2, 0.4, 0.4, float(knows_new))]
        hits.append(1.0 + knows_new)
    predictions = pd.DataFrame(flat, columns=[c.USER_ID, c.ITEM_ID, c.RANK, c.RAW_SCORE, c.PREDICTION, c.LABEL])
    units = pd.DataFrame({UNIT: USERS, "recall_at_2": np.array(hits) / 2, "recall_at_2" + WEIGHT: 1.0})
    metrics = {"recall_at_2": float(np.mean(hits)) / 2, "catalog_coverage_at_2": predictions[c.ITEM_ID].nunique() / 30}
    evaluation = Evaluation(
        subject=Role.CHALLENGER, name=subject, model_uri="models:/m-1", holdout=REF, metrics=metrics, units=REF
    )
    return Answers(evaluation, units, predictions)


def graded(sharpness: float, spread: float = 1.5) -> Answers:
    """A classifier of 600 rows that is right about the order; its probabilities are right at a sharpness of 1."""
    signal = np.random.default_rng(4).normal(size=600) * spread
    label = (np.random.default_rng(5).random(600) < 1 / (1 + np.exp(-signal))).astype(float)
    return rows("model", 1 / (1 + np.exp(-sharpness * signal)), label)


def measured(subject: str, **metrics: float) -> Answers:
    made = answers("challenger", subject, 0.4)
    return Answers(made.evaluation.model_copy(update={"metrics": metrics}), made.units, made.predictions)


class Paced(ServedModel):
    """A model whose answers take a known time, by a clock that it advances itself."""

    kind = "paced"

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.calls = seconds, 0.0, 0

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Paced:
        return cls(0.0)

    def predict_rows(self, rows: pd.DataFrame) -> Any:
        self.calls += 1
        self.now += self.seconds if self.calls % 20 == 0 else 0.001
        return np.full(len(rows), 0.5)


@contextmanager
def answer_by(model: Paced, status: int) -> Iterator[str]:
    """A server that answers each request with the model."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: two would wait for each other

        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
            body = json.dumps(model.predict_rows(pd.DataFrame(rows)).tolist()).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def cannot_be_served() -> AbstractContextManager[str]:
    raise ModelError("shop: it cannot be served: its first answer is nan")


LEARNED = {c.ROW_ID: "string", c.TARGET: "long", "x": "double", "y": "double"}
FRAMES = {"the training frame": LEARNED, "the Spark frame": LEARNED}
TABLE = pd.DataFrame({c.ROW_ID: ["r0", "r1"], c.TARGET: [0, 1], "x": [1.0, 2.0], "y": [3.0, 4.0]})


def served(
    seconds: float = 0.001,
    megabytes: float = 1.0,
    columns: tuple[str, ...] = ("x", "y"),
    table: pd.DataFrame = TABLE,
    signature: dict[str, str] | None = None,
    frames: dict[str, dict[str, str]] | None = None,
    status: int = 200,
    opens: bool = True,
) -> Context:
    task, model = TaskKind.CLASSIFICATION, Paced(seconds)
    export = Export(model, ScoringTerms(use_case="shop", task=task, row_columns=columns), megabytes)
    shown = {"x": "double", "y": "double"} if signature is None else signature
    return context(
        rows("model", np.zeros(2), np.zeros(2)),
        task=task,
        clock=lambda: model.now,
        read_export=lambda: export,
        read_holdout=lambda: Examples(rows=table),
        read_signature=lambda: shown,
        read_columns=lambda: FRAMES | (frames or {}),
        open_endpoint=(lambda: answer_by(model, status)) if opens else cannot_be_served,
    )


MAY = [date(2011, 5, 1) + timedelta(days=day) for day in range(31)]
DAYS = tuple(Window(start=day, end=day + timedelta(days=1)) for day in MAY)


def dated(champion_as_of: date | None, digest: str = "1" * 64, windows: tuple[Window, ...] = DAYS) -> Context:
    registered_champion = None
    if champion_as_of is not None:
        registered_champion = ModelVersion(
            use_case="shop",
            version=3,
            run_id="r",
            model_uri="models:/m-1",
            kind="als",
            manifest_digest="0" * 64,
            data_digest=digest,
            report_digest="0" * 64,
            code_version="test",
            passed=True,
            as_of=champion_as_of,
        )
    return context(
        BETTER,
        CHAMPION if registered_champion else None,
        registered_champion=registered_champion,
        lineage=Lineage(windows, date(2011, 5, 10)),
    )


CHAMPION = answers("champion", "version_3", 0.40, seed=1)
BASELINE = answers("baseline", "popularity", 0.40, seed=1)
BETTER, WORSE, EQUAL = (answers("challenger", "als", skill, seed=2) for skill in (0.45, 0.35, 0.40))
