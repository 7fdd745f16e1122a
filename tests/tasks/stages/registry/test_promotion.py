"""The target of a rollback, refusals of a rehearsal, and the order in time."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role, Unscored
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.promotion import Action, LedgerEntry, LostVersion, ModelVersion, Trust
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError, PromotionRefused
from tasks.io import tracking
from tasks.io.ledger import GENESIS
from tasks.jobs.training import register_verdict
from tasks.models import SERVED
from tasks.models.smoke_test import SCORE_EDGES, count_scores
from tasks.stages.registry import (
    champion_of,
    compare_aliases,
    promote,
    read_verdict,
    reconcile_aliases,
    rehearse,
    rollback,
    version_of,
)
from tasks.stages.registry.promotion import default_target
from tasks.stages.registry.versions import verdict_folder
from tests.tasks import synthetic_classification
from tests.tasks.stages.registry.registered_models import SHOP, RegistryHarness, unrehearsed

NOW = datetime(2026, 1, 8, tzinfo=UTC)


def ledger_of(*steps: int) -> list[LedgerEntry]:
    """The entries of a ledger: a positive number promotes that version, a negative one rolls back to it."""
    entries: list[LedgerEntry] = []
    for sequence, step in enumerate(steps, start=1):
        entry = LedgerEntry(
            sequence=sequence,
            use_case=SHOP,
            action=Action.PROMOTE if step > 0 else Action.ROLLBACK,
            version=abs(step),
            previous_version=entries[-1].version if entries else None,
            manifest_digest="m",
            data_digest="d",
            report_digest="r",
            code_version="c",
            actor="ada",
            trust=Trust.LOCAL,
            reason="why",
            dag_run=f"run {sequence}",
            at=NOW,
            entry_digest="e",
            previous_digest=GENESIS,
        )
        entries.append(entry)
    return entries


@pytest.mark.parametrize(
    ("steps", "target"),
    [
        ((), None),
        ((1,), None),
        ((1, 2), 1),
        ((1, 2, 3), 2),
        ((1, 2, 3, -2), 1),  # not 3, which was just withdrawn
        ((1, 2, 3, -2, -1), None),
        ((1, 2, -1), None),
        ((1, 2, -1, 3), 1),  # not 2
        ((1, 2, -1, 3, -1, 4), 1),
        ((1, 2, 3, -1), None),  # 2 was jumped over
        ((1, 2, 3, -2, -3), 1),  # a rollback replaced 2 by 3: 2 was withdrawn then
        ((1, 2, -1, -2), None),  # 1 was withdrawn for 2
        ((1, 2, -1, -2, 3), 2),
    ],
)
def test_default_target_of_a_rollback(steps: tuple[int, ...], target: int | None) -> None:
    assert default_target(ledger_of(*steps)) == target


def test_a_second_rollback_goes_further_back_and_a_third_fails(harness: RegistryHarness) -> None:
    first, second, _ = harness.promote_champions(3)
    assert harness.rollback("undo 1").version == second
    assert harness.rollback("undo 2").version == first
    with pytest.raises(
        PromotionRefused, match="no predecessor to go back to that was not itself rolled back from; name one of: 2, 3"
    ):
        harness.rollback("undo 3")
    assert harness.rollback("undo 4", to=second).version == second


def test_a_rollback_of_a_former_champion_changes_nothing(harness: RegistryHarness) -> None:
    first, second = harness.promote_champions(2)
    with pytest.raises(PromotionRefused, match=f"expected version {first} as the champion, which is version {second}"):
        rollback(SHOP, "policy:bake", "slow", "bake", harness.ledger, of_version=first, rehearsal=unrehearsed)
    done = rollback(
        SHOP, "policy:bake", "slow", "bake", harness.ledger, trust=Trust.POLICY, of_version=second, rehearsal=unrehearsed
    )
    assert (done.version, done.trust, done.actor) == (first, Trust.POLICY, "policy:bake")


# a rehearsal, in a process of its own


class Constant(synthetic_classification.Skilled):
    kind = "constant"

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        return np.full(synthetic_classification.ITEMS, 0.25), AnswerPath.MODEL


class NotFinite(synthetic_classification.Skilled):
    kind = "not_finite"

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        return self.scores.mean(axis=0) * np.nan, AnswerPath.MODEL


class NoStrangers(synthetic_classification.Skilled):
    kind = "no_strangers"

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        return self.scores[int(user_id[1:])], AnswerPath.MODEL


class Slow(synthetic_classification.Skilled):
    kind = "slow"

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        import time

        time.sleep(60)
        return super().score_items(user_id, features)


class Huge(synthetic_classification.Skilled):
    kind = "huge"

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        return np.ones((2**17, 2**17)).sum(axis=0), AnswerPath.MODEL


class Dies(synthetic_classification.Skilled):
    kind = "dies"

    def score_items(self, user_id: str, features: Any) -> tuple[Any, AnswerPath]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGSEGV)
        return super().score_items(user_id, features)


BROKEN: dict[type[synthetic_classification.Skilled], str] = {
    Constant: r"expected different predictions, got 0\.25 for all \d+",
    NotFinite: "got 0 items",
    NoStrangers: "ValueError: invalid literal",
    Slow: "no answer within 15 s",
    Huge: "MemoryError|Unable to allocate",
    Dies: r"the process that loaded it died \(-11\)",
}


def registered(harness: RegistryHarness, model: synthetic_classification.Skilled, against: int | None = None) -> ModelVersion:
    candidate = synthetic_classification.log_candidate(SHOP, f"model_{model.kind}", model, harness.examples, harness.work)
    return register_verdict(harness.verdict(candidate=candidate, against=against), harness.storage)


@pytest.mark.servers
def test_a_version_that_fails_its_rehearsal_is_refused(harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, why in BROKEN.items():
        monkeypatch.setitem(SERVED, kind.kind, kind)
        made = registered(harness, kind(synthetic_classification.taste()))
        with pytest.raises(PromotionRefused, match=f"version {made.version} is not fit .* nothing was changed: .*({why})"):
            rehearse(SHOP, made.version, made.manifest_digest, seconds=15)


@pytest.mark.servers
def test_a_rehearsal_returns_the_expected_scores(harness: RegistryHarness) -> None:
    version = registered(harness, synthetic_classification.skilled(1.0))
    counts = rehearse(SHOP, 1, version.manifest_digest)
    assert counts == count_scores(synthetic_classification.taste().max(axis=1)).tolist(), "of each user, not of the stranger"
    assert sum(counts) == synthetic_classification.USERS
    with pytest.raises(PromotionRefused, match="the manifest is missing or is not the one expected"):
        rehearse(SHOP, 1, "f" * 64)


def test_scores_are_counted_as_prometheus_counts_them() -> None:
    counts = count_scores(np.array([-11.0, -10.0, 0.5, 0.50001, 1e6]))
    places = {SCORE_EDGES.index(-10.0): 2, SCORE_EDGES.index(0.5): 1, SCORE_EDGES.index(0.6): 1, len(SCORE_EDGES): 1}
    assert {place: count for place, count in enumerate(counts) if count} == places


@pytest.mark.servers
def test_nothing_moves_when_a_rehearsal_fails(harness: RegistryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promotion and rollback rehearse by default. The target of the rollback breaks afterwards."""
    first = registered(harness, synthetic_classification.skilled(0.5))
    promote(harness.approval(first.version), "run 1", harness.ledger)
    monkeypatch.setitem(SERVED, Constant.kind, Constant)
    second = registered(harness, Constant(synthetic_classification.taste()), against=first.version)
    before = harness.ledger.entries(SHOP), tracking.aliases(SHOP)
    with pytest.raises(PromotionRefused, match="version 2 is not fit"):
        promote(harness.approval(second.version), "run 2", harness.ledger)
    assert (harness.ledger.entries(SHOP), tracking.aliases(SHOP)) == before
    harness.promote(second.version, "run 2")
    native = next(Path(harness.work / "mlruns").rglob(f"{first.model_uri.removeprefix('models:/')}/artifacts/**/arrays.npz"))
    native.write_bytes(native.read_bytes()[:-1] + b"x")
    before = harness.ledger.entries(SHOP), tracking.aliases(SHOP)
    with pytest.raises(PromotionRefused, match=r"version 1 is not fit .* does not match the digest in its manifest"):
        rollback(SHOP, "ada", "it is worse", "undo", harness.ledger)
    assert (harness.ledger.entries(SHOP), tracking.aliases(SHOP)) == before


def test_every_task_has_its_smoke_test() -> None:
    """The smoke test of rows and of ratings: known answers, and one broken twin each."""
    import pandas as pd

    from tasks.models.base import Examples, FeatureTables
    from tasks.models.smoke_test import try_model

    rows = Examples(rows=pd.DataFrame({c.ROW_ID: ["a", "b", "c"], "x": [0.0, 1.0, -1.0]}))
    terms = ScoringTerms(use_case=SHOP, task=TaskKind.CLASSIFICATION, row_columns=("x",))
    assert try_model(synthetic_classification.skilled(1.0), terms, rows).tolist() == pytest.approx([0.5, 0.7310586, 0.2689414])
    with pytest.raises(ModelError, match=r"expected different predictions, got 0\.5 for all 3"):
        try_model(synthetic_classification.Skilled(synthetic_classification.taste(), slope=0.0), terms, rows)
    with pytest.raises(ModelError, match="the rows lack columns that the model needs: y"):
        try_model(synthetic_classification.skilled(1.0), terms.model_copy(update={"row_columns": ("x", "y")}), rows)
    with pytest.raises(ModelError, match="a probability for each of 3 rows, got 1 other values, first nan for row b"):
        try_model(synthetic_classification.skilled(1.0), terms, Examples(rows=rows.rows.assign(x=[0.0, np.nan, 1.0])))  # type: ignore[union-attr]

    class Rater(synthetic_classification.Skilled):
        def predict_ratings(self, pairs: Any, features: Any) -> Any:
            return self.slope * np.arange(1.0, len(pairs) + 1)

    users = pd.DataFrame({c.USER_ID: ["u1", "u2"]})
    items = pd.DataFrame({c.ITEM_ID: [f"i{n:02d}" for n in range(synthetic_classification.ITEMS)]})
    labels = pd.DataFrame({c.USER_ID: ["u1", "u2"], c.ITEM_ID: ["i00", "i01"], c.LABEL: [1.0, 5.0]})
    examples = Examples(FeatureTables(users, items, pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []})), labels)
    rating = ScoringTerms(use_case=SHOP, task=TaskKind.RATING, k=3)
    assert try_model(Rater(synthetic_classification.taste()), rating, examples).tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ModelError, match="expected ratings near 1 to 5, got 10 to 30"):
        try_model(Rater(synthetic_classification.taste(), slope=10.0), rating, examples)


# the order in time


def test_an_older_run_never_replaces_a_newer_champion(harness: RegistryHarness) -> None:
    (champion,) = harness.promote_champions(1)
    late = harness.log()
    older = late.model_copy(update={"split": late.split.model_copy(update={"as_of": date(2011, 5, 31)})})
    version = harness.register(candidate=older, against=champion)
    for extra in ({}, {"is_override": True}):
        with pytest.raises(PromotionRefused, match="before 2011-05-31, and the champion from data before 2011-06-01"):
            promote(harness.approval(version, **extra), "run", harness.ledger, rehearsal=unrehearsed)
    assert [entry.version for entry in harness.ledger.entries(SHOP)] == [champion]
    same_day = harness.register(against=champion)
    assert harness.promote(same_day, "same day").version == same_day


def test_a_tag_does_not_make_a_run_newer(harness: RegistryHarness) -> None:
    (champion,) = harness.promote_champions(1)
    late = harness.log()
    older = late.model_copy(update={"split": late.split.model_copy(update={"as_of": date(2011, 5, 31)})})
    version = harness.register(candidate=older, against=champion)
    tracking.tag_version(SHOP, version, {"as_of": "2030-01-01"})
    tracking.tag_version(SHOP, champion, {"as_of": "2000-01-01"})
    with pytest.raises(PromotionRefused, match="an older run never replaces a newer one"):
        harness.promote(version)


# a champion that is lost


def against_lost(harness: RegistryHarness, champion: int) -> int:
    """A challenger that was judged as a first one, because the champion could not be scored."""
    lost = Unscored(subject=Role.CHAMPION, name=f"version_{champion}", reason="the features lack the column x")
    verdict = harness.verdict(against=champion).model_copy(update={"unscored": (lost,), "outcome": None})
    return register_verdict(verdict, harness.storage).version


def test_no_policy_promotes_over_a_champion_that_could_not_be_scored(harness: RegistryHarness) -> None:
    (champion,) = harness.promote_champions(1)
    version = against_lost(harness, champion)
    assert tracking.version_tags(SHOP, version)["verdict"] == "champion_unscored"
    with pytest.raises(PromotionRefused, match=r"needs the approval of a person, .* the features lack the column x"):
        promote(harness.approval(version, trust=Trust.POLICY), "run", harness.ledger, rehearsal=unrehearsed)
    assert harness.promote(version, "by ada").version == version


def test_a_champion_that_was_deleted_holds_nobody_back(harness: RegistryHarness) -> None:
    first, second = harness.promote_champions(2)
    tracking.get_client().delete_model_version(SHOP, str(second))
    lost = champion_of(SHOP, harness.ledger)
    assert isinstance(lost, LostVersion) and (lost.version, lost.use_case) == (second, SHOP)
    version = against_lost(harness, second)
    assert tracking.aliases(SHOP)["challenger"] == version
    assert harness.promote(version, "by ada").version == version
    assert tracking.aliases(SHOP) == {"champion": version}, "no alias names a version that is gone"
    assert compare_aliases(SHOP, harness.ledger) == {}
    assert first in tracking.versions(SHOP)


def test_a_champion_without_its_verdict_needs_a_person(harness: RegistryHarness) -> None:
    (champion,) = harness.promote_champions(1)
    version = harness.register(against=champion)
    known = version_of(SHOP, champion)
    with tracking.reopen_run(known.run_id) as run:
        run.log_text("{}", f"{verdict_folder(known.report_digest)}/verdict.json")
    with pytest.raises(ModelError):
        read_verdict(SHOP, champion)
    with pytest.raises(PromotionRefused, match=r"needs the approval of a person, .* which holds its day, cannot be read"):
        promote(harness.approval(version, trust=Trust.POLICY), "run", harness.ledger, rehearsal=unrehearsed)
    assert harness.promote(version, "by ada").version == version


def test_an_older_run_does_not_replace_a_champion_that_could_not_be_scored(harness: RegistryHarness) -> None:
    (champion,) = harness.promote_champions(1)
    late = harness.log()
    older = late.model_copy(update={"split": late.split.model_copy(update={"as_of": date(2011, 5, 31)})})
    lost = Unscored(subject=Role.CHAMPION, name="version_1", reason="the features lack the column x")
    verdict = harness.verdict(against=champion, candidate=older).model_copy(update={"unscored": (lost,)})
    version = register_verdict(verdict, harness.storage).version
    with pytest.raises(PromotionRefused, match="an older run never replaces a newer one"):
        harness.promote(version)


def test_a_verdict_is_registered_once_for_any_latency(harness: RegistryHarness) -> None:
    candidate = harness.log()
    first = register_verdict(harness.verdict(candidate=candidate, reason="12.1 ms is within 50 ms"), harness.storage)
    assert register_verdict(harness.verdict(candidate=candidate, reason="13.4 ms is within 50 ms"), harness.storage) == first
    assert tracking.versions(SHOP) == [first.version]
    refused = register_verdict(harness.verdict(candidate=candidate, passed=False), harness.storage)
    assert refused.version != first.version, "another result of a gate is another verdict"


# a ledger that was altered


def test_an_altered_ledger_blocks_promotions_and_aliases(harness: RegistryHarness, own_home: Path) -> None:
    first, second = harness.promote_champions(2)
    third = harness.register(against=second)
    with sqlite3.connect(own_home / "titleholder.db") as database:
        database.execute("UPDATE ledger SET manifest_digest = ? WHERE sequence = 1", ("f" * 64,))
    with pytest.raises(PromotionRefused, match=r"chain of digests is broken at entries \[1\]"):
        harness.promote(third)
    with pytest.raises(PromotionRefused, match="entry 1, which promoted version 1, was altered"):
        harness.rollback()
    tracking.set_alias(SHOP, "champion", first)
    assert reconcile_aliases(SHOP, harness.ledger, True, NOW), "the head is unaltered, so the aliases can follow it"
    with sqlite3.connect(own_home / "titleholder.db") as database:
        database.execute("UPDATE ledger SET version = 1 WHERE sequence = 2")
    with pytest.raises(PromotionRefused, match="newest entry 2 was altered, so the aliases are left"):
        reconcile_aliases(SHOP, harness.ledger, True, NOW)
    assert tracking.aliases(SHOP)["champion"] == second


# aliases, compared again


def test_a_moved_alias_is_reported_and_restored(harness: RegistryHarness, caplog: pytest.LogCaptureFixture) -> None:
    first, second = harness.promote_champions(2)
    assert reconcile_aliases(SHOP, harness.ledger, True, NOW) == []
    assert "alias_differed" not in tracking.get_client().get_registered_model(SHOP).tags
    tracking.set_alias(SHOP, "champion", first)
    line = "alias champion of shop named version 1, the ledger says version 2: restored"
    assert reconcile_aliases(SHOP, harness.ledger, True, NOW) == [line]
    assert line in caplog.text
    assert tracking.aliases(SHOP) == {"champion": second, "previous_champion": first}
    expected = f"2026-01-08T00:00:00+00:00: {line}"
    assert tracking.get_client().get_registered_model(SHOP).tags["alias_differed"] == expected
    assert tracking.version_tags(SHOP, first)["alias_differed"] == expected
    assert version_of(SHOP, first).passed


def test_by_policy_a_moved_alias_is_only_reported(harness: RegistryHarness) -> None:
    first, _ = harness.promote_champions(2)
    tracking.set_alias(SHOP, "champion", None)
    (line,) = reconcile_aliases(SHOP, harness.ledger, False, NOW)
    assert line.endswith("named no version, the ledger says version 2: left, because the use case says restore_aliases: false")
    assert tracking.aliases(SHOP) == {"previous_champion": first}
    assert reconcile_aliases("never_trained", harness.ledger, True, NOW) == []
