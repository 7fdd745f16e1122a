"""Training against a real MLflow store: what is logged, what comes back, and what is not done twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.code_version import identify_code
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.models import MODELS, SERVED
from tasks.models.base import Examples, load_model, read_examples
from tasks.problems import score_model
from tasks.settings import get_settings
from tasks.stages.inference.scoring import score_rows
from tasks.stages.training import train
from tests.tasks.models.checkerboard import checkerboard, rows

USE_CASE = "checkerboard"
METRICS = {
    TaskKind.PROPENSITY: ("ndcg_at_5", "recall_at_5", "calibration_error"),
    TaskKind.RECOMMENDATION: ("ndcg_at_5",),
    TaskKind.RATING: ("rmse", "ndcg_at_5"),
    TaskKind.CLASSIFICATION: ("roc_auc", "log_loss"),
}
PLOTS = {
    TaskKind.PROPENSITY: {"plots/precision_by_rank.png", "plots/calibration.png"},
    TaskKind.RECOMMENDATION: {"plots/precision_by_rank.png"},
    TaskKind.RATING: {"plots/predicted_and_given.png"},
    TaskKind.CLASSIFICATION: {
        "plots/roc.png",
        "plots/calibration.png",
        "plots/importance.png",
        "plots/regularization_path.png",
    },
}
Train = Callable[..., Candidate]


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking store for the module: making its tables takes seconds."""
    return tmp_path_factory.mktemp("mlflow") / "mlflow.db"


@pytest.fixture(autouse=True)
def mlflow_store(mlflow_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{mlflow_database}")
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "abc123")
    monkeypatch.chdir(mlflow_database.parent)  # where a store without a server keeps its artifacts
    get_settings.cache_clear()


def publish(storage: Storage, examples: Examples, layer: str, partition: str) -> DatasetRef:
    if examples.rows is not None:
        tables: dict[str, pd.DataFrame | None] = {c.ROWS: examples.rows}
    else:
        assert examples.features is not None
        tables = {**vars(examples.features), c.LABELS: examples.labels}
    names = (c.ROWS, c.USERS, c.ITEMS, c.PAIRS, c.LABELS)
    writers = {name: frame_writer(table) for name in names if (table := tables.get(name)) is not None}
    return storage.publish(
        use_case=USE_CASE, layer=layer, partition=partition, tables=writers, facts={"window": "2011-01-01..2011-01-08"}
    )


@pytest.fixture
def run_training(storage: Storage) -> Train:
    def run(task: TaskKind, kind: str, **settings: Any) -> Candidate:
        given = settings.pop("examples", None) or checkerboard(task)
        parts = {part: publish(storage, given, c.EXAMPLES, f"2011-03-01.{part}") for part in ("train", "validation", "holdout")}
        return train(
            MODELS.parse({"kind": kind, **settings}, "test"),
            Split(as_of=date(2011, 3, 1), **parts),
            ScoringTerms(use_case=USE_CASE, task=task, metrics=METRICS[task], k=5),
            storage,
            seed=7,
            run_tags={"dag_run": "manual"},
        )

    return run


@pytest.mark.parametrize(
    ("task", "kind", "metric", "at_least"),
    [
        (TaskKind.RECOMMENDATION, "popularity", "ndcg_at_5", 0.05),
        (TaskKind.PROPENSITY, "propensity_regression", "recall_at_5", 0.1),
        (TaskKind.RATING, "bias", "rmse", 1.0),
        (TaskKind.CLASSIFICATION, "logistic_regression", "roc_auc", 0.98),
    ],
)
def test_a_run_logs_params_tags_metrics_and_plots(
    task: TaskKind, kind: str, metric: str, at_least: float, run_training: Train, storage: Storage, tmp_path: Path
) -> None:
    candidate = run_training(task, kind)
    client = tracking.get_client()
    run = client.get_run(candidate.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == candidate.name == kind
    assert run.data.params["model.kind"] == kind
    assert run.data.params["seed"] == "7"
    assert "labels 2011-01-01..2011-01-08" in run.data.params["split.train"]
    assert run.data.tags["titleholder.code_version"] == candidate.code_version == "abc123"
    assert run.data.tags["titleholder.digest.train"] == candidate.split.train.digest
    assert run.data.tags["titleholder.manifest_digest"] == candidate.manifest_digest
    assert run.data.tags["dag_run"] == "manual"
    assert run.data.metrics[f"validation_{metric}"] == candidate.metrics[metric] >= at_least
    plots = {file.path for file in client.list_artifacts(candidate.run_id, "plots")}
    assert plots == PLOTS[task]

    folder = tracking.download_native(candidate.model_uri, tmp_path)
    model, terms = load_model(folder, candidate.manifest_digest, SERVED)
    assert (model.kind, terms.task, terms.k) == (kind, task, 5)
    again = score_model(
        model,
        read_examples(storage, candidate.split.validation),
        ScoringTerms(use_case="test", task=task, metrics=METRICS[task], k=5),
    )
    assert again.metrics == candidate.metrics, "what was exported is what was measured"
    assert (model.calibration is not None) == (task is TaskKind.PROPENSITY)


def test_mlflow_opens_a_classifier(run_training: Train, tmp_path: Path) -> None:
    import mlflow

    candidate = run_training(TaskKind.CLASSIFICATION, "logistic_regression")
    opened = mlflow.pyfunc.load_model(candidate.model_uri)
    assert opened.metadata.signature.inputs.input_names() == ["mean radius", "mean texture", "worst area"]
    question = rows()[["mean radius", "mean texture", "worst area"]]
    assert opened.metadata.signature.outputs.input_names() == [c.PREDICTION, c.PREDICTED_CLASS]
    answered = opened.predict(question)
    found = answered[c.PREDICTION]
    assert ((found > 0.5) == (question["mean radius"] > question["mean texture"])).mean() > 0.9
    model, terms = load_model(tracking.download_native(candidate.model_uri, tmp_path), candidate.manifest_digest, SERVED)
    scored = score_rows(model, terms, rows())
    batch = dict(zip(scored[c.ROW_ID], scored[c.PREDICTED_CLASS], strict=True))
    assert model.class_threshold != 0.5
    assert list(answered[c.PREDICTED_CLASS]) == [batch[row] for row in rows()[c.ROW_ID]], "as batch scoring answers"


def test_mlflow_opens_a_recommender_with_the_newest_features(run_training: Train, storage: Storage) -> None:
    import mlflow

    candidate = run_training(TaskKind.PROPENSITY, "popularity")
    opened = mlflow.pyfunc.load_model(candidate.model_uri)
    question = pd.DataFrame({c.USER_ID: ["u00", "nobody"]})
    with pytest.raises(NotEnoughData, match="run the features DAG first"):
        opened.predict(question)
    publish(storage, checkerboard(TaskKind.PROPENSITY), c.FEATURES, "2011-03-01")
    found = opened.predict(question)
    assert found.groupby(c.USER_ID)[c.RANK].max().to_dict() == {"u00": 5, "nobody": 5}
    assert found[c.PREDICTION].between(0.0, 1.0).all()


def test_logging_a_model_is_quick(run_training: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    run_training(TaskKind.RECOMMENDATION, "popularity")  # imports, tables
    seconds = []
    log_model = tracking.TrackedRun.log_model

    def timed(*args: Any, **kwargs: Any) -> str:
        started = time.perf_counter()
        uri = log_model(*args, **kwargs)
        seconds.append(time.perf_counter() - started)
        return uri

    monkeypatch.setattr(tracking.TrackedRun, "log_model", timed)
    run_training(TaskKind.RECOMMENDATION, "popularity", half_life_days=3.0)
    assert seconds[0] < 8.0, "with requirements stated it takes one second; inferring them takes 25"


def test_a_finished_training_is_found_again(run_training: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_training(TaskKind.RECOMMENDATION, "popularity", half_life_days=5.0)

    def refuse(*_: Any) -> None:
        raise AssertionError("it trained again")

    monkeypatch.setattr("tasks.models.popularity.Popularity.fit", refuse)
    assert run_training(TaskKind.RECOMMENDATION, "popularity", half_life_days=5.0) == first
    with pytest.raises(AssertionError, match="trained again"):
        run_training(TaskKind.RECOMMENDATION, "popularity", half_life_days=6.0)


def test_a_failed_fit_leaves_a_failed_run(run_training: Train) -> None:
    nothing = Examples(rows=rows().assign(target=1))
    with pytest.raises(NotEnoughData, match="class 0 and of class 1"):
        run_training(TaskKind.CLASSIFICATION, "logistic_regression", examples=nothing)
    client = tracking.get_client()
    experiment = tracking.get_experiment(client, USE_CASE)
    newest = client.search_runs([experiment], order_by=["start_time DESC"], max_results=1)[0]
    assert newest.info.status == "FAILED"


def test_the_same_input_gives_the_same_metrics(run_training: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_training(TaskKind.PROPENSITY, "propensity_regression", regularization=2.0)
    monkeypatch.setattr("tasks.io.tracking.find_finished_run", lambda *_: None)
    again = run_training(TaskKind.PROPENSITY, "propensity_regression", regularization=2.0)
    assert again.run_id != first.run_id
    assert again.metrics == first.metrics
    assert again.manifest_digest == first.manifest_digest
    assert np.isfinite(list(first.metrics.values())).all()


# what decides is in the key


DEGREES: dict[str, dict[str, Any]] = {
    "nominal": {},
    "ordinal": {"ordinal": {"degree": ["low", "mid", "high"]}},
    "text": {"text": ["degree"]},
}


def test_how_a_column_is_read_is_in_the_key(storage: Storage) -> None:
    given = rows(90).assign(degree=["low", "mid", "high"] * 30)

    def run(facts: dict[str, Any]) -> Candidate:
        writer = {c.ROWS: frame_writer(given)}
        parts = {
            part: storage.publish(
                use_case=USE_CASE, layer=c.EXAMPLES, partition=f"2011-03-01.{part}", tables=writer, facts={"features": facts}
            )
            for part in ("train", "validation", "holdout")
        }
        terms = ScoringTerms(use_case=USE_CASE, task=TaskKind.CLASSIFICATION, metrics=("log_loss",))
        spec = MODELS.parse({"kind": "logistic_regression"}, "test")
        return train(spec, Split(as_of=date(2011, 3, 1), **parts), terms, storage, seed=7, run_tags={})

    made = {name: run(facts) for name, facts in DEGREES.items()}
    assert len({one.split.train.digest for one in made.values()}) == 1, "the same rows"
    assert len({one.run_id for one in made.values()}) == len({one.manifest_digest for one in made.values()}) == 3
    assert run(DEGREES["ordinal"]) == made["ordinal"]


def test_the_code_is_in_the_key(run_training: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_training(TaskKind.PROPENSITY, "popularity")
    assert run_training(TaskKind.PROPENSITY, "popularity").run_id == first.run_id
    monkeypatch.setattr("tasks.code_version._list_packages", lambda: ["numpy-99"])
    identify_code.cache_clear()
    assert run_training(TaskKind.PROPENSITY, "popularity").run_id != first.run_id


# rolling splits


def test_each_cut_of_a_rolling_split_is_measured(storage: Storage) -> None:
    def publish_window(name: str) -> DatasetRef:
        return publish(storage, checkerboard(TaskKind.RECOMMENDATION), c.EXAMPLES, f"2011-03-01.{name}")

    names = ("train", "validation", "holdout", "earlier_1", "earlier_2")
    parts = {name: publish_window(name) for name in names}
    split = Split(as_of=date(2011, 3, 1), earlier=(parts.pop("earlier_1"), parts.pop("earlier_2")), **parts)
    terms = ScoringTerms(use_case=USE_CASE, task=TaskKind.RECOMMENDATION, metrics=("ndcg_at_5", "recall_at_5"), k=5)

    def run(origins: int, split: Split = split) -> Candidate:
        spec = MODELS.parse({"kind": "popularity"}, "test")
        return train(spec, split, terms, storage, seed=7, run_tags={}, origins=origins)

    made = run(3)
    assert len(made.cuts) == 2 and set(made.cuts[0]) == set(made.metrics)
    metrics = tracking.get_client().get_run(made.run_id).data.metrics
    assert metrics["validation_ndcg_at_5_mean"] == pytest.approx(np.mean(made.values("ndcg_at_5")))
    assert metrics["validation_ndcg_at_5_spread"] == pytest.approx(np.std(made.values("ndcg_at_5"), ddof=1))
    history = tracking.get_client().get_metric_history(made.run_id, "cut_ndcg_at_5")
    assert [one.value for one in history] == pytest.approx(list(made.values("ndcg_at_5")))
    plain = run(1)
    assert plain.run_id != made.run_id and plain.cuts == () and plain.spread("ndcg_at_5") is None
    with pytest.raises(NotEnoughData, match="to measure at 3 cuts"):
        run(3, split.model_copy(update={"earlier": ()}))
