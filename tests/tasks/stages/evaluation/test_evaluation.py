"""Choosing, scoring on one holdout and judging, with exported models in a real MLflow store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Evaluation, GateMode, Outcome, Unscored, Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.errors import ConfigurationError, ModelError, NotEnoughData
from tasks.io.storage import Storage
from tasks.stages.evaluation import Scores, baseline_of, check_gates, choose, evaluate, evaluate_anchor, judge
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Gate
from tests.tasks import synthetic_classification

METRICS = ("ndcg_at_3", "recall_at_3", "catalog_coverage_at_3")


def gate(kind: str, **settings: object) -> Gate:
    parsed: Gate = GATES.parse({"kind": kind, **settings}, "gates")
    return parsed


BEATS = gate("beats_champion", metric="ndcg_at_3")
OVER = gate("minimum_metric", metric="ndcg_at_3", over_baseline="weak")


def score(
    storage: Storage, candidates: list[Candidate], champion: ModelVersion | None = None, baseline: str | None = None
) -> Scores:
    split = candidates[0].split
    task = TaskKind.RECOMMENDATION
    return evaluate(
        candidates, champion, split, ScoringTerms(use_case="shop", task=task, metrics=METRICS, k=3), storage, baseline=baseline
    )


@pytest.fixture
def examples(storage: Storage) -> DatasetRef:
    return synthetic_classification.interactions(storage, "shop")


@pytest.fixture
def strong(store: Path, examples: DatasetRef) -> Candidate:
    return synthetic_classification.log_candidate(
        "shop", "strong", synthetic_classification.skilled(0.9), examples, store, {"ndcg_at_3": 0.9}
    )


@pytest.fixture
def weak(store: Path, examples: DatasetRef) -> Candidate:
    return synthetic_classification.log_candidate(
        "shop", "weak", synthetic_classification.skilled(0.2, seed=1), examples, store, {"ndcg_at_3": 0.3}
    )


def test_choose_takes_the_best_and_of_equals_the_first(strong: Candidate, weak: Candidate) -> None:
    task = TaskKind.RECOMMENDATION
    assert choose([weak, strong], "ndcg_at_3", task) is strong
    equal = weak.model_copy(update={"metrics": strong.metrics})
    assert choose([equal, strong], "ndcg_at_3", task) is equal
    unknown = weak.model_copy(update={"metrics": {"ndcg_at_3": float("nan")}})
    assert choose([unknown, strong], "ndcg_at_3", task) is strong
    low, high = (strong.model_copy(update={"metrics": {"rmse": value}}) for value in (0.9, 1.1))
    assert choose([high, low], "rmse", TaskKind.RATING) is low
    with pytest.raises(NotEnoughData, match="no candidate has a validation recall_at_3"):
        choose([strong], "recall_at_3", task)


def test_baseline_of() -> None:
    assert baseline_of([BEATS]) is None
    assert baseline_of([BEATS, OVER, OVER]) == "weak"
    with pytest.raises(ConfigurationError, match="got prior, weak"):
        baseline_of([OVER, gate("minimum_metric", metric="ndcg_at_3", over_baseline="prior")])


def test_everybody_is_scored_once_on_the_same_holdout(storage: Storage, strong: Candidate, weak: Candidate) -> None:
    champion = synthetic_classification.as_version(weak)
    scores = score(storage, [weak, strong], champion, "weak")
    assert scores.unscored == ()
    assert [(one.subject, one.name) for one in scores.evaluations] == [
        ("challenger", "strong"),
        ("champion", "version_1"),
        ("baseline", "weak"),
    ]
    challenger, old, baseline = scores.evaluations
    assert challenger.metrics["ndcg_at_3"] > 0.9 > old.metrics["ndcg_at_3"] == baseline.metrics["ndcg_at_3"]
    assert challenger.metrics["user_coverage"] == 1.0
    assert challenger.units.layer == "evaluation"
    assert challenger.units.rows == {"units": synthetic_classification.USERS, "predictions": 3 * synthetic_classification.USERS}
    assert storage.manifest(challenger.units)["inputs"] == [strong.split.holdout.to_json()]
    assert score(storage, [weak, strong], champion, "weak") == scores, "the same again, bit for bit"


def test_a_model_that_is_not_the_one_that_was_trained_is_not_scored(storage: Storage, strong: Candidate) -> None:
    forged = strong.model_copy(update={"manifest_digest": "f" * 64})
    with pytest.raises(ModelError, match="not the one expected"):
        score(storage, [forged])


def test_a_former_champion_that_cannot_answer_is_left_out(storage: Storage, strong: Candidate, weak: Candidate) -> None:
    """It was trained on other columns, by other code: whatever fails in it does not end the judging."""
    terms = ScoringTerms(use_case="shop", task=TaskKind.RECOMMENDATION, metrics=METRICS, k=3)
    former = synthetic_classification.as_version(weak, 2)
    found = evaluate_anchor(former, strong.split, terms, storage)
    assert isinstance(found, Evaluation) and (found.subject, found.name) == ("anchor", "version_2")
    refitted = former.model_copy(update={"manifest_digest": "e" * 64, "judged_uri": former.model_uri})
    refitted = refitted.model_copy(update={"judged_digest": former.manifest_digest, "model_uri": "models:/m-refitted"})
    same = evaluate_anchor(refitted, strong.split, terms, storage)
    assert isinstance(same, Evaluation) and same.units == found.units, "a refitted model may have learned from the holdout"
    forged = former.model_copy(update={"manifest_digest": "f" * 64})
    lost = evaluate_anchor(forged, strong.split, terms, storage)
    assert isinstance(lost, Unscored) and "not the one expected" in lost.reason


def decide(
    storage: Storage, candidates: list[Candidate], champion: Candidate | None, *gates: Gate, mode: GateMode = GateMode.ENABLED
) -> Verdict:
    version = synthetic_classification.as_version(champion) if champion else None
    task = TaskKind.RECOMMENDATION
    evaluations = score(storage, candidates, version, baseline_of(gates))
    chosen = choose(candidates, "ndcg_at_3", task)
    return judge(
        chosen, evaluations, gates, ScoringTerms(use_case="shop", task=task), storage, mode=mode, champion=version, seed=7
    )


def test_the_better_one_passes_and_the_worse_one_is_refused(storage: Storage, strong: Candidate, weak: Candidate) -> None:
    passed = decide(storage, [weak, strong], weak, gate("prediction_sanity"), OVER, BEATS)
    assert passed.passed and passed.outcome is Outcome.BETTER and passed.reasons == ()
    assert [one.metric for one in passed.comparisons] == ["ndcg_at_3", "recall_at_3"], "coverage has no interval"
    assert Verdict.from_json(passed.to_json()) == passed

    refused = decide(storage, [weak], strong, BEATS, OVER)
    assert not refused.passed and refused.outcome is Outcome.WORSE
    assert [reason.split(":")[0] for reason in refused.reasons] == ["beats_champion", "minimum_metric"]
    assert "the chosen candidate is the baseline 'weak' itself" in refused.reasons[1]


def test_a_baseline_replaces_only_a_champion_that_it_beats(storage: Storage, strong: Candidate, weak: Candidate) -> None:
    over = OVER.model_copy(update={"over_baseline": "strong"})
    replaced = decide(storage, [strong, weak], weak, BEATS, over)
    assert replaced.passed and replaced.candidate.name == "strong"
    said = replaced.gates[1].reason
    assert said.startswith("the chosen candidate is the baseline 'strong' itself") and "of version 1: better" in said
    assert not decide(storage, [strong], strong, over).passed, "the same model again is no better"
    first = decide(storage, [strong], None, over)
    assert not first.passed and "; there is no champion yet" in first.reasons[0]


def test_the_first_one_needs_no_champion(storage: Storage, strong: Candidate) -> None:
    verdict = decide(storage, [strong], None, BEATS)
    assert verdict.passed and verdict.outcome is None and verdict.comparisons == ()
    assert verdict.gates[0].reason == "there is no champion yet" and not verdict.gates[0].is_judged
    untold = decide(storage, [strong], None, OVER)
    assert "the baseline 'weak' was not trained in this run" in untold.reasons[0]


def test_the_champion_itself_does_not_beat_itself(storage: Storage, strong: Candidate) -> None:
    verdict = decide(storage, [strong], strong, BEATS)
    assert not verdict.passed and verdict.outcome is Outcome.INCONCLUSIVE


def test_modes(storage: Storage, strong: Candidate, weak: Candidate) -> None:
    dry = decide(storage, [weak], strong, BEATS, mode=GateMode.DRY_RUN)
    assert dry.passed and not dry.gates[0].passed and dry.gates[0].mode is GateMode.DRY_RUN and dry.outcome is Outcome.WORSE
    off = decide(storage, [weak], strong, BEATS, mode=GateMode.DISABLED)
    assert off.passed and off.gates[0].reason == "disabled" and off.gates[0].mode is GateMode.DISABLED
    own = decide(storage, [weak], strong, gate("prediction_sanity"), BEATS.model_copy(update={"mode": GateMode.DRY_RUN}))
    assert own.passed, "one gate looks on, the other is enabled"
    strict = decide(storage, [weak], strong, BEATS.model_copy(update={"mode": GateMode.ENABLED}), mode=GateMode.DRY_RUN)
    assert not strict.passed


@pytest.mark.parametrize("gates", [(), (BEATS.model_copy(update={"mode": GateMode.DISABLED}),)])
def test_enabled_without_an_enabled_gate_is_refused(storage: Storage, strong: Candidate, gates: tuple[Gate, ...]) -> None:
    with pytest.raises(ConfigurationError, match="every challenger would pass"):
        decide(storage, [strong], None, *gates)


def test_shipped_gates_fit_and_wrong_ones_are_refused() -> None:
    names, candidates = ("ndcg_at_3", "recall_at_3"), ("als", "weak")
    check_gates([BEATS, OVER], GateMode.ENABLED, TaskKind.PROPENSITY, names, candidates)
    check_gates([], GateMode.DISABLED, TaskKind.PROPENSITY, names, candidates)
    with pytest.raises(ConfigurationError, match="no candidate 'weak'; there are: als"):
        check_gates([BEATS, OVER], GateMode.ENABLED, TaskKind.PROPENSITY, names, ("als",))
    with pytest.raises(ConfigurationError, match="every challenger would pass"):
        check_gates([], GateMode.ENABLED, TaskKind.PROPENSITY, names, candidates)


def test_judging_without_the_champions_evaluation_is_refused(storage: Storage, strong: Candidate, weak: Candidate) -> None:
    evaluations = score(storage, [strong])
    champion = synthetic_classification.as_version(weak)
    with pytest.raises(ConfigurationError, match="run evaluate with the same champion"):
        judge(
            strong,
            evaluations,
            [BEATS],
            ScoringTerms(use_case="shop", task=TaskKind.RECOMMENDATION),
            storage,
            mode=GateMode.ENABLED,
            champion=champion,
            seed=7,
        )


def test_tabular_by_roc_auc(storage: Storage, store: Path) -> None:
    examples, task = synthetic_classification.tabular(storage, "ward"), TaskKind.CLASSIFICATION
    right = synthetic_classification.log_candidate(
        "ward", "right", synthetic_classification.Skilled([], slope=1.0), examples, store
    )
    wrong = synthetic_classification.log_candidate(
        "ward", "wrong", synthetic_classification.Skilled([], slope=-1.0), examples, store
    )
    names, champion = ("roc_auc", "accuracy", "log_loss", "calibration_error"), synthetic_classification.as_version(wrong)
    evaluations = evaluate(
        [right], champion, right.split, ScoringTerms(use_case="ward", task=task, metrics=names), storage, baseline=None
    )
    gates = [gate("prediction_sanity"), gate("beats_champion", metric="roc_auc")]
    verdict = judge(
        right,
        evaluations,
        gates,
        ScoringTerms(use_case="ward", task=task),
        storage,
        mode=GateMode.ENABLED,
        champion=champion,
        seed=7,
    )
    assert verdict.passed, verdict.reasons
    assert {one.metric: one.outcome for one in verdict.comparisons} == dict.fromkeys(names[:3], Outcome.BETTER), (
        "calibration_error has no interval that could be trusted"
    )
    constant = synthetic_classification.log_candidate(
        "ward", "constant", synthetic_classification.Skilled([], slope=0.0), examples, store
    )
    evaluations = evaluate(
        [constant], None, right.split, ScoringTerms(use_case="ward", task=task, metrics=names), storage, baseline=None
    )
    refused = judge(
        constant,
        evaluations,
        gates,
        ScoringTerms(use_case="ward", task=task),
        storage,
        mode=GateMode.ENABLED,
        champion=None,
        seed=7,
    )
    assert refused.reasons == ("prediction_sanity: all 200 predictions are equal, 0.5",)
