"""A judged candidate is fitted again on all data: what it then knows, what it keeps, and when the judged model serves."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import Candidate, Refit, ScoringTerms
from tasks.errors import NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.models import MODELS, SERVED
from tasks.models.base import Examples, FeatureTables, ServedModel, load_model
from tasks.models.popularity import Popularity
from tasks.stages.training import refit, train
from tasks.stages.training.refit import read_all
from tests.tasks.models.checkerboard import checkerboard, rows

SHOP, SENSOR = "shop", "sensor"
DAY = date(2011, 3, 1)
PARTS = ("train", "validation", "holdout")


def publish(storage: Storage, use_case: str, examples: Examples, layer: str, partition: str, **facts: Any) -> DatasetRef:
    tables = {c.ROWS: examples.rows, c.LABELS: examples.labels, **(vars(examples.features) if examples.features else {})}
    writers = {
        name: frame_writer(table)
        for name, table in tables.items()
        if name in (c.ROWS, c.USERS, c.ITEMS, c.PAIRS, c.LABELS) and table is not None
    }
    return storage.publish(use_case=use_case, layer=layer, partition=partition, tables=writers, facts=facts)


def fitted(candidate: Candidate | Refit, folder: Path) -> ServedModel:
    native = tracking.download_native(candidate.model_uri, folder)
    return load_model(native, candidate.manifest_digest, SERVED)[0]


# users and items


def newest_features() -> FeatureTables:
    """The features of the checkerboard, and an item that everybody bought since: it is in no part of the split."""
    given = checkerboard(TaskKind.PROPENSITY).features
    assert given is not None
    buyers = given.users[c.USER_ID].to_numpy()
    template = given.pairs.iloc[[0] * len(buyers)].reset_index(drop=True)
    bought = template.assign(user_id=buyers, item_id="new")
    item = given.items.iloc[[0]].assign(item_id="new")
    for name in item.columns[item.columns.str.match("item_buyers|item_orders")]:
        item[name] = float(len(buyers))
    return FeatureTables(
        given.users, pd.concat([given.items, item], ignore_index=True), pd.concat([given.pairs, bought], ignore_index=True)
    )


@pytest.fixture
def shop(storage: Storage, store: Path) -> Callable[..., tuple[Candidate, Refit]]:
    """Train a kind on the checkerboard, and fit it again on features that know one more item."""

    def run(kind: str, **settings: Any) -> tuple[Candidate, Refit]:
        given = checkerboard(TaskKind.PROPENSITY)
        parts = {part: publish(storage, SHOP, given, c.EXAMPLES, f"{DAY}.{part}") for part in PARTS}
        newest = publish(storage, SHOP, Examples(features=newest_features()), c.FEATURES, DAY.isoformat())
        terms = ScoringTerms(use_case=SHOP, task=TaskKind.PROPENSITY, metrics=("ndcg_at_5",), k=5)
        spec = MODELS.parse({"kind": kind, **settings}, "test")
        candidate = train(spec, Split(as_of=DAY, **parts), terms, storage, seed=7, run_tags={})
        return candidate, refit(candidate, spec, storage, features=newest, seed=7, run_tags={"dag_id": "shop.training"})

    return run


def test_a_refit_knows_what_happened_up_to_the_day(shop: Callable[..., tuple[Candidate, Refit]], tmp_path: Path) -> None:
    candidate, made = shop("ials", factors=4, iterations=3)
    assert made.problem == "" and made.manifest_digest != candidate.manifest_digest
    features = newest_features()
    judged, served = (fitted(one, tmp_path / name) for name, one in (("judged", candidate), ("served", made)))
    place = features.item_position["new"]
    scores = [model.score_items("u00", features)[0][place] for model in (judged, served)]
    assert not np.isfinite(scores[0]), "the judged model never met the item"
    assert np.isfinite(scores[1])
    assert served.calibration == judged.calibration is not None
    assert made.carried == ("calibration",) and made.learned["pairs"] == len(features.pairs)
    run = tracking.get_client().get_run(made.run_id).data
    assert run.tags["titleholder.refit_of"] == run.tags["mlflow.parentRunId"] == candidate.run_id
    assert run.tags["dag_id"] == "shop.training"
    assert shop("ials", factors=4, iterations=3) == (candidate, made), "what was refitted is found again"


def test_a_model_that_cannot_be_fitted_again_leaves_the_judged_one(
    shop: Callable[..., tuple[Candidate, Refit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, calls = Popularity.fit, []

    def fail_later(self: Popularity, *given: Any) -> ServedModel:
        calls.append(1)
        if len(calls) > 1:
            raise NotEnoughData("17 items, and max_items is 16")
        return fit(self, *given)

    monkeypatch.setattr(Popularity, "fit", fail_later)
    _, made = shop("popularity")
    assert made == Refit(problem="17 items, and max_items is 16")


def test_a_refit_that_answers_nonsense_does_not_serve(
    shop: Callable[..., tuple[Candidate, Refit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, calls = Popularity.fit, []

    def answer_nan_later(self: Popularity, *given: Any) -> ServedModel:
        model = fit(self, *given)
        calls.append(1)
        if len(calls) > 1:
            monkeypatch.setattr(model, "score_items", lambda *_: (np.full(17, np.nan), None))
            monkeypatch.setattr(model, "score_users", lambda users, _: (np.full((len(users), 17), np.nan), [None] * len(users)))
        return model

    monkeypatch.setattr(Popularity, "fit", answer_nan_later)
    _, made = shop("popularity")
    assert made.problem and not made.manifest_digest


# rows


@pytest.fixture
def sensor(storage: Storage, store: Path) -> Callable[..., Candidate]:
    """Train on rows that are cut in order: 60, 20 and 20 of them, a day each, the last of which is the day of the split."""

    def run(columns: dict[str, Any] | None = None, **facts: Any) -> Candidate:
        moments = (pd.Timestamp(DAY, tz="UTC") - pd.to_timedelta(np.arange(100, 0, -1), unit="D")).as_unit("us").asi8
        given = rows(100).assign(**{c.SPLIT_ORDER: moments, **(columns or {})})
        cuts = {"train": given[:60], "validation": given[60:80], "holdout": given[80:]}
        parts = {
            part: publish(storage, SENSOR, Examples(rows=frame), c.EXAMPLES, f"{DAY}.{part}", **facts)
            for part, frame in cuts.items()
        }
        terms = ScoringTerms(use_case=SENSOR, task=TaskKind.CLASSIFICATION, metrics=("log_loss",))
        spec = MODELS.parse({"kind": "logistic_regression"}, "test")
        return train(spec, Split(as_of=DAY, **parts), terms, storage, seed=7, run_tags={})

    return run


def test_a_refit_of_rows_learns_from_all_parts(sensor: Callable[..., Candidate], storage: Storage, tmp_path: Path) -> None:
    candidate = sensor()
    spec = MODELS.parse({"kind": "logistic_regression"}, "test")
    made = refit(candidate, spec, storage, features=None, seed=7, run_tags={})
    assert made.problem == "" and made.learned == {"rows": 100}
    everything = read_all(candidate.split, None, storage)[0]
    expected = spec.fit(everything, Examples(), 7)
    asked = rows(100)
    served = fitted(made, tmp_path).predict_rows(asked)
    assert np.allclose(served, expected.predict_rows(asked), atol=1e-9)
    assert not np.allclose(served, fitted(candidate, tmp_path / "judged").predict_rows(asked), atol=1e-3)


@pytest.mark.parametrize(("zone", "kept"), [("UTC", 70), ("America/New_York", 69)])
def test_a_refit_of_rows_forgets_what_the_split_forgets(
    zone: str, kept: int, sensor: Callable[..., Candidate], storage: Storage
) -> None:
    """A row of midnight in UTC is of the evening before in New York, which lies outside the 70 local days."""
    candidate = sensor(split={"kind": "by_time", "train_days": 70}, time_zone=zone)
    found = read_all(candidate.split, None, storage)[0].rows
    assert found is not None and len(found) == kept


def test_a_refit_of_other_columns_does_not_serve(sensor: Callable[..., Candidate], storage: Storage) -> None:
    """A column that held numbers in train holds text in the newest rows: the model would ask callers for something else."""
    mixed = [float(n) if n < 60 else f"{n} mm" for n in range(100)]
    candidate = sensor()
    parts = {}
    for part, (first, last) in {"train": (0, 60), "validation": (60, 80), "holdout": (80, 100)}.items():
        frame = rows(100)[first:last].assign(extra=mixed[first:last])
        parts[part] = publish(storage, SENSOR, Examples(rows=frame), c.EXAMPLES, f"{DAY}.{part}")
    other = candidate.model_copy(update={"split": Split(as_of=DAY, **parts)})
    made = refit(other, MODELS.parse({"kind": "logistic_regression"}, "test"), storage, features=None, seed=7, run_tags={})
    assert "all rows have the columns" in made.problem and "the judged model has" in made.problem


def test_a_refit_knows_a_world_that_moved(storage: Storage, store: Path, tmp_path: Path) -> None:
    """What decides turns by half a circle over time: the judged model knows the first 60 %, the refit all of it."""
    generator, count = np.random.default_rng(5), 900
    x, y = generator.normal(size=(2, count))
    angle = np.pi * np.arange(count) / count
    target = (np.cos(angle) * x + np.sin(angle) * y > 0).astype(int)
    table = pd.DataFrame({c.ROW_ID: [f"r{n:04d}" for n in range(count)], c.TARGET: target, "x": x, "y": y})
    known, after = table[:800], table[800:]
    cuts = {"train": known[:480], "validation": known[480:640], "holdout": known[640:]}
    parts = {part: publish(storage, SENSOR, Examples(rows=frame), c.EXAMPLES, f"{DAY}.{part}") for part, frame in cuts.items()}
    terms = ScoringTerms(use_case=SENSOR, task=TaskKind.CLASSIFICATION, metrics=("roc_auc",))
    spec = MODELS.parse({"kind": "logistic_regression"}, "test")
    candidate = train(spec, Split(as_of=DAY, **parts), terms, storage, seed=7, run_tags={})
    made = refit(candidate, spec, storage, features=None, seed=7, run_tags={})
    judged, served = (
        roc_auc_score(after[c.TARGET], fitted(one, tmp_path / name).predict_rows(after))
        for name, one in (("judged", candidate), ("served", made))
    )
    assert served > judged + 0.1
