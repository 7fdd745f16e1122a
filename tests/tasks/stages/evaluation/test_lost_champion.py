"""A champion that cannot answer the holdout has lost: the challenger is judged as a first one, and a person decides."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import GateMode, Role, Verdict
from tasks.contracts.promotion import LostVersion, ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import ModelError, ServiceUnavailable
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models import SERVED
from tasks.stages.evaluation import Scores, baseline_of, evaluate, judge
from tasks.stages.evaluation.gates import GATES
from tests.tasks import synthetic_classification
from tests.tasks.synthetic_classification import Skilled, as_version, log_candidate

TERMS = ScoringTerms(use_case="shop", task=TaskKind.RECOMMENDATION, metrics=("ndcg_at_3", "catalog_coverage_at_3"), k=3)
ROWS = ScoringTerms(use_case="ward", task=TaskKind.CLASSIFICATION, metrics=("log_loss", "calibration_error"))
GATES_OF_LISTS = [
    GATES.parse(one, "gates")
    for one in (
        {"kind": "prediction_sanity"},
        {"kind": "minimum_metric", "metric": "ndcg_at_3", "over_baseline": "weak"},
        {"kind": "beats_champion", "metric": "ndcg_at_3"},
        {"kind": "no_slice_regression", "metrics": {"ndcg_at_3": 0.02}},
        {"kind": "catalog_coverage", "metric": "catalog_coverage_at_3", "at_least": 0.1, "popularity_at_most": 2.0},
        {"kind": "suspicious_improvement", "metric": "ndcg_at_3", "over_champion": 0.4},
    )
]


class Failing(Skilled):
    """Fails as a model does whose features are gone, and with what else its code may raise."""

    kind = "failing"
    error: Exception = ModelError("popularity needs the column item_buyers_28d, which the features lack")

    def recommend(self, *_: Any, **__: Any) -> Any:
        raise self.error

    def predict_rows(self, rows: Any) -> Any:
        return np.full(len(rows), np.nan)


@pytest.fixture
def examples(storage: Storage) -> DatasetRef:
    return synthetic_classification.interactions(storage, "shop")


@pytest.fixture
def candidates(store: Path, examples: DatasetRef) -> list[Candidate]:
    return [
        log_candidate("shop", name, synthetic_classification.skilled(share), examples, store, {"ndcg_at_3": share})
        for name, share in (("strong", 0.9), ("weak", 0.2))
    ]


@pytest.fixture
def champion(store: Path, examples: DatasetRef, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    monkeypatch.setitem(SERVED, Failing.kind, Failing)
    failing = Failing(synthetic_classification.skilled(0.5).scores)
    return as_version(log_candidate("shop", "old", failing, examples, store), 3)


def delete_export(version: ModelVersion, patch: pytest.MonkeyPatch) -> None:
    location = tracking.get_client().get_logged_model(version.model_uri.removeprefix("models:/")).artifact_location
    shutil.rmtree(location.removeprefix("file://"))


def delete_model(version: ModelVersion, patch: pytest.MonkeyPatch) -> None:
    tracking.get_client().delete_logged_model(version.model_uri.removeprefix("models:/"))


def remove_kind(version: ModelVersion, patch: pytest.MonkeyPatch) -> None:
    patch.delitem(SERVED, Failing.kind)


def fail_otherwise(version: ModelVersion, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Failing, "error", KeyError("user_attribute_age"))


def fail_as_it_is(version: ModelVersion, patch: pytest.MonkeyPatch) -> None:
    """The features lack a column."""


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (fail_as_it_is, "needs the column item_buyers_28d, which the features lack"),
        (fail_otherwise, "KeyError: 'user_attribute_age'"),
        (delete_export, "MLflow has no export of models:/m-"),
        (delete_model, "MLflow has no export of models:/m-"),
        (remove_kind, "model kind 'failing' is unknown"),
    ],
)
def test_a_champion_that_cannot_answer_is_left_out_with_its_reason(
    storage: Storage,
    candidates: list[Candidate],
    champion: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[ModelVersion, pytest.MonkeyPatch], None],
    why: str,
) -> None:
    spoil(champion, monkeypatch)
    scores = evaluate(candidates, champion, candidates[0].split, TERMS, storage, baseline="weak")
    assert [one.subject for one in scores.evaluations] == [Role.CHALLENGER, Role.BASELINE]
    (lost,) = scores.unscored
    assert (lost.subject, lost.name) == (Role.CHAMPION, "version_3")
    assert why in lost.reason


def decide(storage: Storage, candidates: list[Candidate], champion: ModelVersion | LostVersion) -> Verdict:
    scores = evaluate(candidates, champion, candidates[0].split, TERMS, storage, baseline=baseline_of(GATES_OF_LISTS))
    return judge(candidates[0], scores, GATES_OF_LISTS, TERMS, storage, mode=GateMode.ENABLED, champion=champion, seed=7)


def test_the_challenger_is_judged_as_a_first_one(storage: Storage, candidates: list[Candidate], champion: ModelVersion) -> None:
    verdict = decide(storage, candidates, champion)
    assert verdict.passed, verdict.reasons
    assert (verdict.champion_version, verdict.outcome, verdict.comparisons) == (3, None, ())
    assert "item_buyers_28d" in verdict.lost_champion
    said = "not judged because champion version 3 could not be scored: "
    compared = {one.gate: one for one in verdict.gates}
    assert not compared["beats_champion"].is_judged and not compared["no_slice_regression"].is_judged
    for gate in ("beats_champion", "no_slice_regression", "catalog_coverage", "suspicious_improvement"):
        assert said in compared[gate].reason, gate
    assert said not in compared["minimum_metric"].reason and compared["minimum_metric"].is_judged
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_a_challenger_below_the_floor_is_refused_without_the_champion_too(
    storage: Storage, candidates: list[Candidate], champion: ModelVersion
) -> None:
    verdict = decide(storage, [candidates[1]], champion)
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["minimum_metric"]


def test_a_version_that_the_registry_lost_is_no_champion(storage: Storage, candidates: list[Candidate]) -> None:
    lost = LostVersion(use_case="shop", version=4, reason="it was deleted")
    verdict = decide(storage, candidates, lost)
    assert verdict.passed and (verdict.champion_version, verdict.lost_champion) == (4, "it was deleted")


def test_a_champion_without_a_number_is_lost_only_where_the_challenger_has_one(
    storage: Storage, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SERVED, Failing.kind, Failing)
    examples = synthetic_classification.tabular(storage, "ward")
    right = log_candidate("ward", "right", Skilled([]), examples, store, {"log_loss": 0.5})
    silent = log_candidate("ward", "silent", Failing([]), examples, store, {"log_loss": 0.5})
    scores = evaluate([right], as_version(silent), right.split, ROWS, storage)
    assert [one.reason for one in scores.unscored] == ["its log_loss is not a number on this holdout, the challenger's is"]
    both = evaluate([silent], as_version(silent), right.split, ROWS, storage)
    assert both.unscored == () and len(both.evaluations) == 2


def test_a_failure_of_the_challenger_stays_one(
    storage: Storage, store: Path, examples: DatasetRef, champion: ModelVersion
) -> None:
    failing = log_candidate(
        "shop", "new", Failing(synthetic_classification.skilled(0.5).scores), examples, store, {"ndcg_at_3": 1}
    )
    with pytest.raises(ModelError, match="item_buyers_28d"):
        evaluate([failing], champion, failing.split, TERMS, storage)


@pytest.mark.parametrize("error", [ServiceUnavailable("MLflow does not answer"), MemoryError(), OSError("disk full")])
def test_what_another_try_may_mend_does_not_unseat_a_champion(
    storage: Storage,
    candidates: list[Candidate],
    champion: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    with pytest.raises(type(error)):
        evaluate(candidates, champion, candidates[0].split, TERMS, storage)


def test_a_champion_that_neither_answered_nor_failed_is_not_judged(storage: Storage, candidates: list[Candidate]) -> None:
    """The guard that a challenger is not judged as a first one by an oversight."""
    scores = evaluate(candidates, None, candidates[0].split, TERMS, storage, baseline="weak")
    champion = as_version(candidates[1], 3)
    with pytest.raises(Exception, match="run evaluate with the same champion"):
        judge(
            candidates[0],
            Scores(scores.evaluations),
            GATES_OF_LISTS,
            TERMS,
            storage,
            mode=GateMode.ENABLED,
            champion=champion,
            seed=7,
        )
