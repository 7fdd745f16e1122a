"""Whether the champion can answer what a use case describes, asked before a retraining."""

from __future__ import annotations

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.errors import ServiceUnavailable
from tasks.io.storage import frame_writer
from tasks.models.base import ModelSpec
from tasks.models.popularity import Popularity
from tasks.models.propensity_regression import PropensityRegression
from tasks.stages import inference
from tasks.stages.inference import find_champion_fault, present_features
from tests.serving.constant_models import KINDS, TinyClassifier
from tests.serving.installation import Installation
from tests.tasks.models.checkerboard import checkerboard, features_of

BUILT_BY = {"lookback_days": [7, 28], "declared": [{"name": "user_visits", "window": 7}]}


def publish(installation: Installation) -> DatasetRef:
    tables = features_of(checkerboard(TaskKind.PROPENSITY))
    users = tables.users.assign(user_visits=1.0)
    frames = {c.USERS: users, c.ITEMS: tables.items, c.PAIRS: tables.pairs}
    return installation.storage.publish(
        use_case="shop",
        layer=c.FEATURES,
        partition="2011-01-01",
        tables={name: frame_writer(frame) for name, frame in frames.items()},
        facts={"features": BUILT_BY},
    )


@pytest.mark.parametrize(
    ("spec", "lookback_days", "fault"),
    [
        (PropensityRegression(), (7, 28), ""),
        (PropensityRegression(), (7, 28, 90), ""),
        (PropensityRegression(), (7, 30), "_28d, which the features lack"),
        (Popularity(), (7, 30), ""),
        (Popularity(recent_days=28), (7, 30), "popularity needs the column item_buyers_28d"),
    ],
    ids=["the same", "one more", "another", "reads what there is", "needs one of them"],
)
def test_a_change_of_the_lookback_is_seen_before_it_is_made(
    installation: Installation, spec: ModelSpec, lookback_days: tuple[int, ...], fault: str
) -> None:
    features, examples = publish(installation), checkerboard(TaskKind.PROPENSITY)
    entry = installation.register_and_promote("shop", spec.fit(examples, examples, 7))
    found = find_champion_fault(entry, features, installation.storage, lookback_days=lookback_days, declared=["user_visits"])
    assert fault in found and bool(found) is bool(fault)


def test_a_declared_feature_that_was_removed_is_missed(installation: Installation) -> None:
    features = publish(installation)
    examples = checkerboard(TaskKind.PROPENSITY)
    known = features_of(examples)
    counted = type(known)(known.users.assign(user_visits=1.0), known.items, known.pairs)
    trained = type(examples)(features=counted, labels=examples.labels)
    entry = installation.register_and_promote("shop", PropensityRegression().fit(trained, trained, 7))
    for declared, is_missed in ((["user_visits"], False), ([], True)):
        found = find_champion_fault(entry, features, installation.storage, lookback_days=(7, 28), declared=declared)
        assert ("user_visits" in found) is is_missed


def test_rows_without_a_column_are_missed(installation: Installation) -> None:
    entry = installation.register_and_promote("tumours", TinyClassifier(0.0), TaskKind.CLASSIFICATION)
    frame = pd.DataFrame({c.ROW_ID: ["f:2"], "mean radius": [1.0], c.TARGET: [1]})
    features = installation.storage.publish(
        use_case="tumours", layer=c.FEATURES, partition="2026-01-01", tables={c.ROWS: frame_writer(frame)}
    )
    found = find_champion_fault(entry, features, installation.storage, lookback_days=(7,), declared=(), kinds=KINDS)
    assert "the features lack columns that the model needs: mean texture" in found


def test_a_server_that_does_not_answer_is_no_fault_of_the_champion(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = publish(installation)
    entry = installation.register_and_promote(
        "shop", Popularity().fit(checkerboard(TaskKind.PROPENSITY), checkerboard(TaskKind.PROPENSITY), 7)
    )

    def fail(*_: object) -> None:
        raise ServiceUnavailable("MLflow does not answer")

    monkeypatch.setattr(present_features, "fetch_champion", fail)
    with pytest.raises(ServiceUnavailable):
        inference.find_champion_fault(entry, features, installation.storage, lookback_days=(7, 28), declared=())
