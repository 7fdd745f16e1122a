"""What decides a result is in its key. Keys are read where a stage looks for a finished run; nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from typing import Any

import pytest

from tasks.code_version import identify_code
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models.logistic_regression import LogisticRegressionSpec
from tasks.stages.monitoring.report import Side, WindowPair, monitor
from tasks.stages.training import refit, train, tune
from tasks.stages.training.spec import Search, TuningSpec, Values

TERMS = ScoringTerms(use_case="tumours", task=TaskKind.CLASSIFICATION, metrics=("log_loss",))
SPEC = LogisticRegressionSpec()
POLICY = TuningSpec(candidates={"logistic_regression": Search(space={"regularization": Values(low=0.1, high=10.0)})})
DAY = Window(start=date(2011, 3, 1), end=date(2011, 3, 2))


class Found(Exception):  # no error: it ends a stage once its key is known
    pass


@pytest.fixture
def key_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], str]:
    keys: list[str] = []

    def find(_: str, key: str) -> None:
        keys.append(key)
        raise Found

    monkeypatch.setattr(tracking, "find_finished_run", find)

    def read(step: Callable[[], object]) -> str:
        with suppress(Found):
            step()
        return keys[-1]

    return read


def ref(version: str, partition: str = "2011-03-01") -> DatasetRef:
    """A snapshot of the same rows: versions differ where inputs or settings do."""
    return DatasetRef(
        use_case="tumours", layer="examples", partition=partition, version=version * 16, digest="d" * 64, rows={"rows": 9}
    )


def split(version: str) -> Split:
    return Split(as_of=DAY.start, train=ref(version), validation=ref("b"), holdout=ref("c"))


def candidate(version: str) -> Candidate:
    return Candidate(
        use_case="tumours",
        name="logistic_regression",
        kind="logistic_regression",
        run_id="r",
        model_uri="models:/m-1",
        manifest_digest="e" * 64,
        split=split(version),
        code_version="abc",
        metrics={},
        fit_seconds=1.0,
    )


def pair(version: str, champion: str = "f") -> WindowPair:
    return WindowPair(
        DAY, Side([ref(version, DAY.label)]), Side([ref("b")]), "version 1", new_labels=None, champion_digest=champion * 64
    )


def steps(storage: Storage, version: str) -> dict[str, Callable[[], object]]:
    options: dict[str, Any] = {"seed": 7, "run_tags": {}}
    return {
        "train": lambda: train(SPEC, split(version), TERMS, storage, **options),
        "tune": lambda: tune(SPEC, POLICY, split(version).before_holdout, TERMS, storage, **options),
        "refit": lambda: refit(candidate(version), SPEC, storage, features=None, **options),
        "monitor": lambda: monitor("tumours", (), pair(version), storage, **options),
    }


@pytest.mark.parametrize("step", ["train", "tune", "refit", "monitor"])
def test_versions_of_snapshots_and_code_are_in_each_key(
    step: str, storage: Storage, key_of: Callable[[Callable[[], object]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = key_of(steps(storage, "a")[step])
    assert key_of(steps(storage, "a")[step]) == first
    assert key_of(steps(storage, "9")[step]) != first, "the same rows, read otherwise"
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "another")
    monkeypatch.setattr("tasks.code_version._list_packages", lambda: ["numpy-99"])
    identify_code.cache_clear()
    assert key_of(steps(storage, "a")[step]) != first


def test_the_champion_is_in_the_key_of_a_drift_report(storage: Storage, key_of: Callable[[Callable[[], object]], str]) -> None:
    def report(champion: str) -> Callable[[], object]:
        return lambda: monitor("tumours", (), pair("a", champion), storage, seed=7, run_tags={})

    first, other = key_of(report("e")), key_of(report("f"))
    assert first != other


def test_the_cuts_of_a_rolling_split_are_in_the_key(storage: Storage, key_of: Callable[[Callable[[], object]], str]) -> None:
    def run(origins: int, version: str = "a") -> Callable[[], object]:
        parts = split("a").model_copy(update={"earlier": (ref(version), ref("b"))})
        return lambda: train(SPEC, parts, TERMS, storage, seed=7, run_tags={}, origins=origins)

    keys = {key_of(run(1)), key_of(run(2)), key_of(run(3)), key_of(run(3, "9"))}
    assert len(keys) == 4
    assert key_of(run(1, "9")) == key_of(run(1)), "one cut reads no earlier window"
