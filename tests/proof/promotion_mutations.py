"""Mutations of the steps around the gates: training, evaluating, registering, promoting."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import GateMode, Role, Unscored, Verdict
from tasks.contracts.promotion import Approval, Decision, Trust
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.jobs.training import register_verdict
from tasks.stages.evaluation import Scores, baseline_of, choose, evaluate, judge
from tasks.stages.evaluation.gates import GATES
from tasks.stages.registry import champion_of, promote, read_verdict, version_of
from tasks.stages.registry.versions import verdict_folder
from tasks.stages.review.signatures import Code, make_key, public_line, read_code, sign
from tests.proof.proof import Mutation, Workbench
from tests.tasks.stages.evaluation.synthetic_pipelines import USE_CASE, SyntheticClassification, TwistedSpec, shuffle_labels

TERMS = ScoringTerms(use_case=USE_CASE, task=TaskKind.CLASSIFICATION, metrics=SyntheticClassification.METRICS)


def _first(place: Workbench) -> Verdict:
    return place.classification.judge(is_first=True)


def _one_class(parts: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return parts | {"train": parts["train"].assign(**{c.TARGET: 1})}


def _evaluate(change: dict[str, Any], place: Workbench) -> object:
    candidate = _first(place).candidate.model_copy(update=change)
    return evaluate([candidate], None, candidate.split, TERMS, place.storage)


def _choose(metrics: dict[str, float], place: Workbench) -> Candidate:
    return choose([_first(place).candidate.model_copy(update={"metrics": metrics})], "log_loss", TaskKind.CLASSIFICATION)


def _baseline(names: Sequence[str], place: Workbench) -> object:
    floor = {"kind": "minimum_metric", "metric": "log_loss"}
    return baseline_of([GATES.parse(floor | {"over_baseline": name}, "proof") for name in names])


def _judge(mode: GateMode, place: Workbench) -> Verdict:
    """Judge with one gate in the given mode, while the section of gates is enabled."""
    verdict = _first(place)
    gate = GATES.parse({"kind": "prediction_sanity", "mode": mode}, "proof")
    return judge(
        verdict.candidate,
        Scores(verdict.evaluations),
        [gate],
        TERMS,
        place.storage,
        mode=GateMode.ENABLED,
        champion=None,
        seed=7,
    )


def _register(change: dict[str, Any], place: Workbench) -> object:
    """Register a verdict after `change` is applied to its reference to the evaluated units."""
    verdict = _first(place)
    mine, *others = verdict.evaluations
    mine = mine.model_copy(update={"units": mine.units.model_copy(update=change)})
    return register_verdict(verdict.model_copy(update={"evaluations": (mine, *others)}), place.storage)


def _set_current(name: str, changes: dict[str, Any], place: Workbench, verdict: Verdict | None = None) -> Ledger:
    """Register and promote in a new ledger. `changes` replaces fields of the approval."""
    version = register_verdict(verdict or _first(place), place.storage)
    ledger = _ledger(name, place)
    known = {"use_case": USE_CASE, "version": version.version, "report_digest": version.report_digest}
    yes = {"actor": "ada", "reason": "it is better", "trust": Trust.LOCAL, **known, **changes}
    promote(Approval.model_validate(yes), "run", ledger, datetime(2026, 1, 2, tzinfo=UTC))
    return ledger


def _ledger(name: str, place: Workbench) -> Ledger:
    path = place.folder / f"ledger-{name}-{time.monotonic_ns()}.db"
    return Ledger(f"sqlite:///{path}")


def _promote_refused(place: Workbench) -> object:
    return _set_current("refused", {}, place, place.classification.judge(shuffle_labels, is_first=True))


def _promote_without_comparison(place: Workbench) -> object:
    """Promote a version that was judged before the first promotion."""
    ledger = _set_current("early", {}, place)
    late = register_verdict(place.classification.judge(is_first=True, seed=8), place.storage)
    yes = {"use_case": USE_CASE, "version": late.version, "report_digest": late.report_digest, "trust": Trust.LOCAL}
    return promote(Approval(**yes, actor="ada", reason="it is better"), "another run", ledger)


def _promote_against_lost_champion(trust: Trust, place: Workbench) -> object:
    """Promote a challenger that was judged as a first one because the champion could not be scored."""
    ledger = _set_current("lost", {}, place)
    head = ledger.head(USE_CASE)
    lost = Unscored(subject=Role.CHAMPION, name="old", reason="the features lack the column y")
    first = place.classification.judge(is_first=True, seed=8)
    against = {"champion_version": head.version if head else None, "unscored": (lost,)}
    late = register_verdict(first.model_copy(update=against), place.storage)
    yes = {"use_case": USE_CASE, "version": late.version, "report_digest": late.report_digest, "trust": trust}
    return promote(Approval(**yes, actor="ada", reason="it is better"), "another run", ledger)


def _look_up(change: dict[str, str], place: Workbench) -> object:
    """Read the champion while a tag of its version differs from the ledger."""
    ledger = _set_current("tags", {}, place)
    head = ledger.head(USE_CASE)
    version, tags = str(head.version if head else 0), {"manifest_digest": head.manifest_digest if head else ""}
    client = tracking.get_client()
    try:
        for key, value in change.items():
            client.set_model_version_tag(USE_CASE, version, key, value)
        return champion_of(USE_CASE, ledger)
    finally:
        for key, value in tags.items():
            client.set_model_version_tag(USE_CASE, version, key, value)


def _version(beyond: int, place: Workbench) -> object:
    return version_of(USE_CASE, register_verdict(_first(place), place.storage).version + beyond)


def _read(change: str, place: Workbench) -> object:
    """Read the verdict of a version after `change` is appended to its artifact."""
    version = register_verdict(_first(place), place.storage)
    path = f"{verdict_folder(version.report_digest)}/verdict.json"
    text = tracking.read_run_text(version.run_id, path)
    try:
        with tracking.reopen_run(version.run_id) as run:
            run.log_text(text + change, path)
        return read_verdict(USE_CASE, version.version)
    finally:
        with tracking.reopen_run(version.run_id) as run:
            run.log_text(text, path)


KEY, OTHER_KEY = make_key(), make_key()


def _read_code(key: bytes, cut: int | None, place: Workbench) -> object:
    """Read the code of an approval, signed by `key` and cut to a length, with the reviewer's public key."""
    code = Code(
        use_case=USE_CASE,
        version=1,
        manifest_digest="a" * 64,
        report_digest="b" * 64,
        decision=Decision.APPROVED,
        reason="it is better",
        reviewer="ada",
        issued_at=datetime(2026, 1, 1, tzinfo=UTC),
        expires_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    return read_code(sign(code, key)[:cut], {"ada": public_line(KEY)})


honest_code = partial(_read_code, KEY, None)
honest = partial(_set_current, "honest", {})
OTHER = {"manifest_digest": "f" * 64}
PAST = datetime(2026, 1, 1, tzinfo=UTC)
MUTATIONS = (
    Mutation("one_class_only", "train", lambda place: place.classification.judge(_one_class, is_first=True), _first),
    Mutation(
        "an_export_that_answers_otherwise",
        "train",
        lambda place: place.classification.judge(spec=TwistedSpec(fault="forgetful"), is_first=True),
        _first,
    ),
    Mutation("another_model_than_was_trained", "evaluate", partial(_evaluate, OTHER), partial(_evaluate, {})),
    Mutation("no_figure_to_choose_by", "choose", partial(_choose, {}), partial(_choose, {"log_loss": 0.5})),
    Mutation("two_baselines", "baseline_of", partial(_baseline, ["prior", "bias"]), partial(_baseline, ["prior"])),
    Mutation("every_gate_switched_off", "judge", partial(_judge, GateMode.DISABLED), partial(_judge, GateMode.ENABLED)),
    Mutation("units_were_altered", "register", partial(_register, {"digest": "0" * 64}), partial(_register, {})),
    Mutation("a_refused_version", "promote", _promote_refused, honest),
    Mutation("an_approval_of_another_report", "promote", partial(_set_current, "other", {"report_digest": "0" * 64}), honest),
    Mutation("an_approval_that_expired", "promote", partial(_set_current, "expired", {"expires_at": PAST}), honest),
    Mutation("an_approval_by_nobody", "promote", partial(_set_current, "nobody", {"actor": ""}), honest),
    Mutation("judged_before_there_was_a_champion", "promote", _promote_without_comparison, honest),
    Mutation(
        "a_policy_where_the_champion_could_not_be_scored",
        "promote",
        partial(_promote_against_lost_champion, Trust.POLICY),
        partial(_promote_against_lost_champion, Trust.LOCAL),
    ),
    Mutation("a_tag_of_the_champion_was_altered", "champion_of", partial(_look_up, OTHER), partial(_look_up, {})),
    Mutation("a_verdict_that_was_altered", "read_verdict", partial(_read, " "), partial(_read, "")),
    Mutation("a_code_signed_by_another_key", "read_code", partial(_read_code, OTHER_KEY, None), honest_code),
    Mutation("a_code_that_was_cut", "read_code", partial(_read_code, KEY, 40), honest_code),
    Mutation("a_version_that_nobody_registered", "version_of", partial(_version, 100), partial(_version, 0)),
)
