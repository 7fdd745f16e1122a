"""A real MLflow store, a real storage, and models of known skill for tests."""

from __future__ import annotations

import shutil
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.judging import Evaluation, GateMode, GateResult, Verdict
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.models.base import FeatureTables, ServedModel, save_model
from tasks.settings import get_settings

USERS, ITEMS = 120, 12
WRAPPER = Path(__file__).with_name("pyfunc_wrapper.py")


class Skilled(ServedModel):
    """Knows the taste of a share of the users, and guesses for the others. Rows: knows x, up to a sign."""

    kind = "skilled"

    def __init__(self, scores: Any, slope: float = 1.0) -> None:
        self.scores, self.slope = np.asarray(scores, dtype=float), slope

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"slope": self.slope}, {"scores": self.scores}

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> Skilled:
        return cls(arrays["scores"], settings["slope"])

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Any, AnswerPath]:
        if not user_id[1:].isdigit():
            return self.scores.mean(axis=0), AnswerPath.POPULAR
        return self.scores[int(user_id[1:])], AnswerPath.MODEL

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Any:
        users, items = (pairs[name].str[1:].astype(int) for name in (c.USER_ID, c.ITEM_ID))
        return self.scores[users, items]

    def predict_rows(self, rows: pd.DataFrame) -> Any:
        return 1.0 / (1.0 + np.exp(-self.slope * rows["x"].to_numpy(float)))


def taste() -> Any:
    """The true probability, (users, items), that a user buys an item."""
    return np.random.default_rng(11).random((USERS, ITEMS))


def skilled(share: float, seed: int = 0) -> Skilled:
    """A model that knows the first `share` of the users."""
    guess = np.random.default_rng(100 + seed).random((USERS, ITEMS))
    knows = (np.arange(USERS) < share * USERS)[:, None]
    return Skilled(np.where(knows, taste(), guess))


def interactions(storage: Storage, use_case: str) -> DatasetRef:
    """Examples in which each user bought the three items of the greatest taste."""
    users = [f"u{row:03d}" for row in range(USERS)]
    items = [f"i{row:03d}" for row in range(ITEMS)]
    top = np.argsort(-taste(), axis=1)[:, :3]
    labels = pd.DataFrame(
        [(users[u], items[i], 1.0) for u in range(USERS) for i in top[u]], columns=[c.USER_ID, c.ITEM_ID, c.LABEL]
    )
    tables = {
        c.USERS: pd.DataFrame({c.USER_ID: users}),
        c.ITEMS: pd.DataFrame({c.ITEM_ID: items}),
        c.PAIRS: pd.DataFrame({c.USER_ID: users[:1], c.ITEM_ID: items[:1]}),
        c.LABELS: labels,
    }
    return _publish(storage, use_case, tables)


def tabular(storage: Storage, use_case: str, rows: int = 200) -> DatasetRef:
    """Rows whose class follows x, with noise."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=rows)
    frame = pd.DataFrame(
        {c.ROW_ID: [f"r{row:03d}" for row in range(rows)], "x": x, c.TARGET: (x + generator.normal(size=rows) > 0).astype(int)}
    )
    return _publish(storage, use_case, {c.ROWS: frame})


def _publish(storage: Storage, use_case: str, tables: dict[str, pd.DataFrame]) -> DatasetRef:
    writers = {name: frame_writer(frame) for name, frame in tables.items()}
    return storage.publish(use_case=use_case, layer=c.EXAMPLES, partition="2011-06-01", tables=writers)


def log_candidate(
    use_case: str, name: str, model: ServedModel, examples: DatasetRef, work: Path, validation: dict[str, float] | None = None
) -> Candidate:
    """Export and log a model, as training does."""
    native = work / f"{use_case}-{name}" / "native"
    digest = save_model(model, native, ScoringTerms(use_case=use_case, task=TaskKind.PROPENSITY))
    frame = pd.DataFrame({"x": [1.0]})
    with tracking.start_run(use_case, name, f"key-{name}", {}) as run:
        model_uri = run.log_model(native, WRAPPER, frame, frame, {})
    split = Split(as_of=date(2011, 6, 1), train=examples, validation=examples, holdout=examples)
    return Candidate(
        use_case=use_case,
        name=name,
        kind=model.kind,
        run_id=run.run_id,
        model_uri=model_uri,
        manifest_digest=digest,
        split=split,
        code_version="test",
        metrics=validation or {"ndcg_at_3": 0.5, "roc_auc": 0.5},
        fit_seconds=0.1,
    )


def register_versions(storage: Storage, work: Path, use_case: str, *passed: bool) -> None:
    """Register versions from 1 up with the given verdicts, judged without a champion."""
    from tasks.jobs.training import register_verdict

    examples = interactions(storage, use_case)
    for number, well in enumerate(passed):
        candidate = log_candidate(use_case, f"model_{number}", skilled(0.5, number), examples, work)
        scored = Evaluation(
            subject="challenger",
            name=candidate.name,
            model_uri=candidate.model_uri,
            holdout=examples,
            metrics={"ndcg_at_3": 0.5},
            units=examples,
        )
        gate = GateResult(gate="beats_champion", mode=GateMode.ENABLED, passed=well, reason="as the test sets it")
        register_verdict(
            Verdict(
                use_case=use_case,
                candidate=candidate,
                champion_version=None,
                evaluations=(scored,),
                comparisons=(),
                gates=(gate,),
                passed=well,
                outcome=None,
            ),
            storage,
        )


def as_version(candidate: Candidate, version: int = 1) -> ModelVersion:
    """The candidate as a registered version would be seen."""
    return ModelVersion(
        use_case=candidate.use_case,
        version=version,
        run_id=candidate.run_id,
        model_uri=candidate.model_uri,
        kind=candidate.kind,
        manifest_digest=candidate.manifest_digest,
        data_digest="d" * 64,
        report_digest="e" * 64,
        code_version="test",
        passed=True,
        as_of=candidate.split.as_of,
    )


def make_empty_store(folder: Path) -> Path:
    """An MLflow database without content, to be copied: making its tables takes seconds."""
    import mlflow

    path = folder / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def open_store(empty: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a copy of the empty database, and know the models of this module."""
    shutil.copy(empty, folder / "mlflow.db")
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.chdir(folder)  # MLflow's SQL store puts artifacts under ./mlruns
    get_settings.cache_clear()
    from tasks.models import SERVED

    monkeypatch.setitem(SERVED, Skilled.kind, Skilled)
