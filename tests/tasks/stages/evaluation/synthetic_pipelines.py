"""Two small pipelines whose truth is known, with every gate enabled: honest challengers pass, mutations do not.

`SyntheticClassification` trains classifiers of rows. `SyntheticShop` recommends, with models whose skill is set. Both
export, log, evaluate and judge as the training DAG does. The gates' settings are in the examples of each gate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, GateMode, Spending, Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io import isolated_process, tracking
from tasks.io.storage import Storage, frame_writer
from tasks.models import SERVED
from tasks.models.base import Examples, ModelSpec, ServedModel, save_model
from tasks.models.logistic_regression import LogisticRegressionModel, LogisticRegressionSpec
from tasks.models.prior import Prior
from tasks.settings import get_settings
from tasks.stages.evaluation import baseline_of, choose, evaluate, evaluate_anchor, judge
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Gate
from tasks.stages.training import train
from tests.tasks import synthetic_classification
from tests.tasks.stages.evaluation.gate_examples import CLASSIFICATION, SHOP, find_gate_examples

AS_OF, CHAMPION_AS_OF = date(2011, 6, 1), date(2011, 5, 18)
Frames = dict[str, pd.DataFrame]
BUDGET_MS = 60.0
USE_CASE = "synthetic_rows"


def open_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A store, a home and the models of this module, for as long as the patch lasts; the store stays what it is."""
    monkeypatch.setenv("TITLEHOLDER_HOME", str(folder / "home"))
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "test")
    monkeypatch.chdir(folder)  # MLflow's SQL store puts artifacts under ./mlruns
    get_settings.cache_clear()
    for model in (Twisted, synthetic_classification.Skilled):
        monkeypatch.setitem(SERVED, model.kind, model)
    return Storage(folder / "home" / "data")


def publish(storage: Storage, use_case: str, as_of: date, parts: dict[str, Frames], absent: date | None = None) -> Split:
    """A split with the lineage that the features stage gives it: daily windows, of which one may be absent."""
    days = [as_of - timedelta(days=back) for back in range(60, 0, -1)]
    inputs = [
        DatasetRef(
            use_case=use_case,
            layer=c.VALIDATED,
            partition=Window(start=day, end=day + timedelta(days=1)).label,
            version="0" * 16,
            digest="0" * 64,
            rows={c.ROWS: 1},
        )
        for day in days
        if day != absent
    ]
    refs = {
        part: storage.publish(
            use_case=use_case,
            layer=c.EXAMPLES,
            partition=f"{as_of}.{part}",
            inputs=inputs,
            tables={name: frame_writer(frame) for name, frame in tables.items()},
        )
        for part, tables in parts.items()
    }
    return Split(as_of=as_of, **refs)


def as_champion(candidate: Candidate, as_of: date = CHAMPION_AS_OF, digest: str = "") -> ModelVersion:
    version = synthetic_classification.as_version(candidate, 3)
    return version.model_copy(update={"as_of": as_of, "data_digest": digest or candidate.split.digest})


class TwistedSpec(ModelSpec):
    """A logistic regression whose predictions are wrong on purpose."""

    tasks = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["twisted"] = "twisted"
    fault: str

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        regression = LogisticRegressionSpec().fit(train, history, seed)
        assert isinstance(regression, LogisticRegressionModel)
        return Twisted(regression, self.fault)


class Twisted(ServedModel):
    kind = "twisted"

    def __init__(self, regression: LogisticRegressionModel, fault: str) -> None:
        self.regression, self.fault = regression, fault

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        settings, arrays = self.regression.state()
        ballast = {"ballast": np.zeros(500_000)} if self.fault == "heavy" else {}
        if self.fault == "forgetful":
            arrays = {name: 1.001 * array for name, array in arrays.items()}
        return settings | {"fault": self.fault}, arrays | ballast

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Twisted:
        return cls(LogisticRegressionModel.from_state(settings, arrays), settings["fault"])

    def predict_rows(self, rows: pd.DataFrame) -> Any:
        answer = self.regression.predict_rows(rows)
        odds = np.log(answer / (1 - answer))
        if self.fault == "slow" and len(rows) == 1:
            time.sleep(1.2 * BUDGET_MS / 1000)
        if self.fault == "constant":
            return np.full(len(rows), answer.mean() if len(rows) > 1 else 0.5)
        if self.fault == "nan":
            return np.where(rows["x"] > 9, np.nan, answer)
        if self.fault == "overconfident":
            return 1 / (1 + np.exp(-3 * odds))
        if self.fault == "forgets_a_site":
            return np.where(rows["site"] == 3, 0.5, answer)
        return answer


def make_rows(seed: int, many: int = 700) -> pd.DataFrame:
    """Class 1 depends on x and y; the site, one of four, has no information."""
    generator = np.random.default_rng([21, seed])
    x, y = generator.normal(size=(2, many))
    target = generator.random(many) < 1 / (1 + np.exp(-(1.2 * x + 1.2 * y)))
    site = generator.integers(0, 4, many).astype(float)
    ids = [f"r{seed}{row:05d}" for row in range(many)]
    return pd.DataFrame({c.ROW_ID: ids, c.TARGET: target.astype("int64"), "x": x, "y": y, "site": site})


Change = Callable[[dict[str, pd.DataFrame]], dict[str, pd.DataFrame]]


@dataclass(frozen=True)
class SyntheticClassification:
    """Judges a challenger against a champion that learned from a shuffled column y.

    `with_endpoint`: with the gates that start an endpoint for each challenger, which takes seconds.
    """

    storage: Storage
    with_endpoint: bool = False

    name = CLASSIFICATION
    TASK = TaskKind.CLASSIFICATION
    METRICS = ("log_loss", "roc_auc", "accuracy", "calibration_error")

    def judge(  # noqa: PLR0913  # each option is one thing that a test breaks
        self,
        change: Change = lambda rows: rows,
        spec: ModelSpec | None = None,
        as_of: date = AS_OF,
        absent: date | None = None,
        champion_knows: bool = False,
        champion_digest: str = "",
        alone: bool = False,
        is_first: bool = False,
        seed: int = 7,
    ) -> Verdict:
        """The verdict on what is trained from changed rows; `alone` without the baseline to be chosen instead.

        The first one is judged without a champion.
        """
        parts = {"train": make_rows(0), "validation": make_rows(1, 400), "holdout": make_rows(2)}
        split = self._publish(change(parts), as_of, absent)
        specs = [spec or LogisticRegressionSpec()] + ([] if alone else [Prior()])
        candidates = [self._train(one, split, seed) for one in specs]
        if is_first:
            return decide(self, USE_CASE, candidates, None, 10)
        old = {"train": parts["train"] if champion_knows else _shuffled(parts["train"], "y"), "validation": parts["validation"]}
        champion = self._train(LogisticRegressionSpec(), self._publish(old | {"holdout": make_rows(3)}, CHAMPION_AS_OF))
        digest = {"same": split.digest}.get(champion_digest, champion_digest)
        return decide(self, USE_CASE, candidates, as_champion(champion, digest=digest), 10)

    def _publish(self, parts: dict[str, pd.DataFrame], as_of: date, absent: date | None = None) -> Split:
        return publish(self.storage, USE_CASE, as_of, {part: {c.ROWS: rows} for part, rows in parts.items()}, absent)

    def _train(self, spec: ModelSpec, split: Split, seed: int = 7) -> Candidate:
        return train(
            spec,
            split,
            ScoringTerms(use_case=USE_CASE, task=TaskKind.CLASSIFICATION, metrics=self.METRICS),
            self.storage,
            seed=seed,
            run_tags={},
        )


def shuffle_labels(parts: Frames) -> Frames:
    """The training rows with labels in random order."""
    rows = parts["train"]
    return parts | {"train": rows.assign(**{c.TARGET: np.random.default_rng(3).permutation(rows[c.TARGET].to_numpy())})}


def _shuffled(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows.assign(**{column: np.random.default_rng(1).permutation(rows[column].to_numpy())})


USERS, ITEMS, POPULAR = 240, 16, 4
IS_NEW_USER, IS_NEW_ITEM = np.arange(USERS) >= 160, np.arange(ITEMS) >= 13


def true_probabilities() -> Any:
    """The true probability, (users, items), that a user buys an item."""
    return np.random.default_rng(31).random((USERS, ITEMS))


def scores_of(share: float, users: Any = True, items: Any = True, seed: int = 0) -> Any:
    """Scores, (users, items), of a model that knows the true probabilities of a share of the users, of these users and items
    only."""
    guess = np.random.default_rng(100 + seed).random((USERS, ITEMS))
    known = (np.random.default_rng(7).random(USERS) < share)[:, None] & np.broadcast_to(users, USERS)[:, None]
    return np.where(known & np.broadcast_to(items, ITEMS)[None, :], true_probabilities(), guess)


@dataclass(frozen=True)
class SyntheticShop:
    """Judges lists of three against a champion that knows the preferences of 40 % of the users."""

    storage: Storage
    folder: Path
    with_endpoint: bool = False

    name = SHOP
    TASK = TaskKind.PROPENSITY
    METRICS = ("ndcg_at_3", "recall_at_3", "catalog_coverage_at_3")

    def judge(
        self, scores: Any, name: str, input_column: str = c.USER_ID, spending: Spending | None = None, anchor: Any = None
    ) -> Verdict:
        """`anchor` holds the scores of a former champion."""
        split = publish(self.storage, "shop", AS_OF, dict.fromkeys(("train", "validation", "holdout"), self._tables()))
        challenger = self._log(name, scores, split, 0.9, input_column)
        champion = self._log("champion", scores_of(0.4, seed=1), split, 0.5)
        baseline = self._log("guess", scores_of(0.0, seed=2), split, 0.1)
        registered_champion = as_champion(champion, digest="5" * 64)
        former = None if anchor is None else as_champion(self._log(f"before_{name}", anchor, split, 0.5))
        return decide(self, "shop", [challenger, baseline], registered_champion, 3, spending, former)

    def _tables(self) -> Frames:
        """Each user buys the items of the highest probability. The first items are popular, some users and items are new."""
        users, items = [f"u{row:03d}" for row in range(USERS)], [f"i{row:03d}" for row in range(ITEMS)]
        top = np.argsort(-true_probabilities(), axis=1)[:, :3]
        labels = [(users[u], items[i], 1.0) for u in range(USERS) for i in top[u]]
        met = [
            (users[u], items[i], 1.0 + u % 5)
            for u in np.flatnonzero(~IS_NEW_USER)
            for i in range(ITEMS)
            if i < POPULAR or (u + i) % 20 == 0
        ]
        return {
            c.USERS: pd.DataFrame({c.USER_ID: [users[u] for u in np.flatnonzero(~IS_NEW_USER)]}),
            c.ITEMS: pd.DataFrame({c.ITEM_ID: items, "item_age_days": np.where(IS_NEW_ITEM, 3.0, 100.0)}),
            c.PAIRS: pd.DataFrame(met, columns=[c.USER_ID, c.ITEM_ID, "pair_orders"]),
            c.LABELS: pd.DataFrame(labels, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]),
        }

    def _log(self, name: str, scores: Any, split: Split, validation: float, input_column: str = c.USER_ID) -> Candidate:
        model = synthetic_classification.Skilled(scores)
        native = self.folder / f"{name}-{time.monotonic_ns()}" / tracking.NATIVE
        digest = save_model(model, native, ScoringTerms(use_case="shop", task=TaskKind.PROPENSITY, k=3))
        with tracking.start_run("shop", name, f"key-{name}", {}) as run:
            model_uri = run.log_model(
                native, synthetic_classification.WRAPPER, pd.DataFrame({input_column: ["u000"]}), pd.DataFrame({"x": [1.0]}), {}
            )
        return Candidate(
            use_case="shop",
            name=name,
            kind=model.kind,
            run_id=run.run_id,
            model_uri=model_uri,
            manifest_digest=digest,
            split=split,
            code_version="test",
            metrics={"ndcg_at_3": validation},
            fit_seconds=0.1,
        )


def gates_of(name: str, with_endpoint: bool) -> list[Gate]:
    """The gates of one pipeline, with the settings of their examples."""
    found = find_gate_examples()
    examples = [found[kind] for kind in GATES.kinds if name in found[kind].entries]
    return [
        GATES.parse({"kind": one.kind, **one.entries[name]}, name)
        for one in examples
        if with_endpoint or not one.needs_endpoint
    ]


def decide(
    pipeline: SyntheticClassification | SyntheticShop,
    use_case: str,
    candidates: Sequence[Candidate],
    champion: ModelVersion | None,
    k: int,
    spending: Spending | None = None,
    anchor: ModelVersion | None = None,
) -> Verdict:
    """Judge the candidates as the training DAG does it."""
    gates = gates_of(pipeline.name, pipeline.with_endpoint)
    terms = ScoringTerms(use_case=use_case, task=pipeline.TASK, metrics=pipeline.METRICS, k=k)
    split = candidates[0].split
    scores = evaluate(candidates, champion, split, terms, pipeline.storage, baseline=baseline_of(gates))
    if anchor is not None:
        former = evaluate_anchor(anchor, split, terms, pipeline.storage)
        assert isinstance(former, Evaluation), former
        scores = scores.with_more(former)
    chosen = choose(candidates, pipeline.METRICS[0], pipeline.TASK)
    return judge(
        chosen,
        scores,
        gates,
        ScoringTerms(use_case=use_case, task=pipeline.TASK),
        pipeline.storage,
        mode=GateMode.ENABLED,
        champion=champion,
        seed=7,
        endpoint_command=isolated_process.command("serving.standalone"),
        spending=spending,
        anchor=anchor,
    )
