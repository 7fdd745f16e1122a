"""Verdicts on models of known skill, judged by the real gates, and a reader of their pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, GateMode, Verdict
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, LearningCurve, LearningPoint, ScoringTerms
from tasks.io.storage import Storage, frame_writer
from tasks.models.base import ServedModel, read_examples
from tasks.models.platt import Calibration
from tasks.problems import score_model
from tasks.stages.evaluation import Scores, judge
from tasks.stages.evaluation.gates import GATES
from tasks.stages.reporting.evidence import Training
from tasks.stages.reporting.model_card import write_card
from tests.tasks import synthetic_classification

SHOP = "shop"
METRICS = {
    TaskKind.RECOMMENDATION: ("ndcg_at_3", "recall_at_3", "catalog_coverage_at_3"),
    TaskKind.PROPENSITY: ("ndcg_at_3", "recall_at_3", "calibration_error"),
    TaskKind.RATING: ("rmse", "mae", "ndcg_at_3"),
    TaskKind.CLASSIFICATION: ("log_loss", "roc_auc", "accuracy"),
}
LEARNING = LearningCurve(
    metric="ndcg_at_3",
    unit="users",
    greater_is_better=True,
    stopped="10% of the data: wants 20 users",
    points=tuple(LearningPoint(share=share, units=int(60 * share), validation=0.4 + 0.1 * share) for share in (0.25, 0.5, 1.0)),
)
TRAINING = Training(
    {"model.factors": "64", "seed": "7", "rows.train": "180"}, 12.5, 20_480, "http://mlflow/#/experiments/1/runs/r1", LEARNING
)


def make_holdout(
    storage: Storage, task: TaskKind, names: dict[str, str] | None = None, users: int = synthetic_classification.USERS
) -> DatasetRef:
    """Users u000 to u115 are known, the last four are new; item i011 is new; even users are of Norway, odd ones of Peru.

    `names` renames items and segments, so that they may be hostile.
    """
    names = names or {}
    facts = {"task": task.value, "window": "2011-05-18..2011-06-01", "as_of": "2011-06-01", "features": {"lookback_days": [7]}}
    if task.answers_rows:
        rows = storage.read(synthetic_classification.tabular(storage, SHOP)).sort_values(c.ROW_ID, ignore_index=True)
        return _publish(storage, {c.ROWS: rows}, facts | {"window": None}, [])
    people = [f"u{row:03d}" for row in range(users)]
    items = [f"i{row:03d}" for row in range(synthetic_classification.ITEMS)]
    taste = np.resize(synthetic_classification.taste(), (users, synthetic_classification.ITEMS))
    shown = [names.get(item, item) for item in items]
    if task is TaskKind.RATING:
        labels = [(people[u], shown[i], float(1 + round(4 * taste[u, i]))) for u in range(users) for i in range(4)]
    else:
        labels = [(people[u], shown[i], 1.0) for u in range(users) for i in np.argsort(-taste[u])[:3]]
    known = people[:-4]
    segments = [names.get(name, name) for name in ("Norway", "Peru")]
    pairs = [(user, shown[(number + step) % 11]) for number, user in enumerate(known) for step in range(1 + number % 5)]
    tables = {
        c.USERS: pd.DataFrame({c.USER_ID: known, c.SEGMENT: [segments[n % 2] for n in range(len(known))]}),
        c.ITEMS: pd.DataFrame({c.ITEM_ID: shown[:11], "item_age_days": 3.0}),
        c.PAIRS: pd.DataFrame(pairs, columns=[c.USER_ID, c.ITEM_ID]),
        c.LABELS: pd.DataFrame(labels, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]),
    }
    rows = pd.DataFrame({c.ITEM_ID: shown, c.ITEM_TEXT: [names.get(f"text of {item}", f"THING {item}") for item in items]})
    source = storage.publish(
        use_case=SHOP, layer=c.VALIDATED, partition="2011-01-01..2011-06-01", tables={c.ROWS: frame_writer(rows)}
    )
    return _publish(storage, tables, facts, [source])


def _publish(storage: Storage, tables: dict[str, pd.DataFrame], facts: dict[str, Any], inputs: list[DatasetRef]) -> DatasetRef:
    writers = {name: frame_writer(frame) for name, frame in tables.items()}
    return storage.publish(
        use_case=SHOP, layer=c.EXAMPLES, partition="2011-06-01.holdout", tables=writers, facts=facts, inputs=inputs
    )


class Known(synthetic_classification.Skilled):
    """Knows the taste of a share of the users (or, of rows, x times the share), and has 11 items to offer."""

    def __init__(self, share: float, task: TaskKind, users: int = synthetic_classification.USERS) -> None:
        taste = np.resize(synthetic_classification.taste(), (users, synthetic_classification.ITEMS))
        guess = np.random.default_rng(3).random(taste.shape)
        mixed = np.where((np.arange(users) < share * users)[:, None], taste, guess)
        super().__init__(1 + 4 * mixed if task is TaskKind.RATING else mixed, slope=2 * share)
        self.calibration = Calibration(2.0, -1.0) if task is TaskKind.PROPENSITY else None

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        return self.scores[int(user_id[1:])][: len(features.item_ids)], AnswerPath.MODEL

    def predict_ratings(self, pairs: pd.DataFrame, features: Any) -> Any:
        position = {item: place for place, item in enumerate(sorted(pairs[c.ITEM_ID].unique()))}
        return self.scores[pairs[c.USER_ID].str[1:].astype(int), pairs[c.ITEM_ID].map(position)]


def evaluate(
    storage: Storage, subject: str, model: ServedModel, holdout: DatasetRef, task: TaskKind, name: str | None = None
) -> Evaluation:
    """Score a model as the evaluation stage does, without MLflow."""
    scored = score_model(
        model, read_examples(storage, holdout), ScoringTerms(use_case="test", task=task, metrics=METRICS[task], k=3)
    )
    units = storage.publish(
        use_case=SHOP,
        layer=c.EVALUATION,
        partition=f"2011-06-01.{subject}",
        tables={table: frame_writer(frame) for table, frame in scored.tables.items()},
        inputs=[holdout],
    )
    metrics = {key: value for key, value in scored.metrics.items() if np.isfinite(value)}
    return Evaluation(
        subject=subject,
        name=name or subject,
        model_uri=f"models:/m-{subject}",
        holdout=holdout,
        metrics=metrics,
        units=units,
        populations=scored.populations,
    )


def decide(
    storage: Storage,
    task: TaskKind,
    challenger: float | ServedModel = 0.9,
    champion: float | None = 0.3,
    names: dict[str, str] | None = None,
    mode: GateMode = GateMode.ENABLED,
    users: int = synthetic_classification.USERS,
    slices: bool = False,
) -> Verdict:
    """Judge a challenger and a champion of given skills, and a baseline without skill.

    `slices`: with a gate that judges slices of at least 20 units.
    """
    holdout = make_holdout(storage, task, names, users)
    model = Known(challenger, task, users) if isinstance(challenger, float) else challenger
    evaluations = [evaluate(storage, "challenger", model, holdout, task)]
    if champion is not None:
        evaluations.append(evaluate(storage, "champion", Known(champion, task, users), holdout, task, "version_3"))
    evaluations.append(evaluate(storage, "baseline", Known(0.01, task, users), holdout, task, "popularity"))
    split = Split(as_of=date(2011, 6, 1), train=holdout, validation=holdout, holdout=holdout)
    candidate = Candidate(
        use_case=SHOP,
        name="clever",
        kind="skilled",
        run_id="r1",
        model_uri="models:/m-challenger",
        manifest_digest="a" * 64,
        split=split,
        code_version="c0ffee",
        metrics={METRICS[task][0]: 0.1234},
        fit_seconds=3.25,
    )
    version = synthetic_classification.as_version(candidate, 3).model_copy(update={"manifest_digest": "b" * 64})
    champion_version: ModelVersion | None = version if champion is not None else None
    gates = [
        GATES.parse(entry, "gates")
        for entry in (
            {"kind": "prediction_sanity"},
            {"kind": "minimum_metric", "metric": METRICS[task][0], "over_baseline": "popularity"},
            {"kind": "beats_champion", "metric": METRICS[task][0]},
        )
    ]
    if slices:
        columns = ["target"] if task.answers_rows else ["new_users", "light_users", "heavy_users", "segment"]
        entry = {"kind": "no_slice_regression", "metrics": {METRICS[task][0]: 1.0}, "slices": columns, "min_units": 20}
        gates.append(GATES.parse(entry, "gates"))
    return judge(
        candidate,
        Scores(tuple(evaluations)),
        gates,
        ScoringTerms(use_case=SHOP, task=task),
        storage,
        mode=mode,
        champion=champion_version,
        seed=7,
    )


def card(verdict: Verdict, storage: Storage, training: Training = TRAINING) -> str:
    return write_card(verdict, training, "verdict-0123456789ab", storage)


@dataclass
class Read(HTMLParser):
    """A page as a browser would take it: elements with their attributes, sections' texts, and tables' cells."""

    page: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    lines: dict[str, list[list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._section, self._cell = "top", False
        self.feed(self.page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        elif tag == "tr":
            self.lines.setdefault(self._section, []).append([])
        elif tag in ("td", "th"):
            self._cell = True
            self.lines[self._section][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.texts[self._section] = self.texts.get(self._section, "") + data
        if self._cell:
            self.lines[self._section][-1][-1] += data

    def line(self, section: str, first: str) -> list[str]:
        """The first line of a section's tables that begins with this cell."""
        return next(line for line in self.lines[section] if line and line[0] == first)
