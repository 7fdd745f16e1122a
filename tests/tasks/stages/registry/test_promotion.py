"""Whom a rollback goes back to, what a rehearsal refuses, and the order in time."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.promotion import Action, LedgerEntry, ModelVersion, Trust
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError, PromotionRefused
from tasks.io import tracking
from tasks.io.ledger import GENESIS
from tasks.jobs.training import register_verdict
from tasks.models import SERVED
from tasks.models.smoke_test import SCORE_EDGES, count_scores
from tasks.stages.registry import promote, reconcile_aliases, rehearse, rollback, version_of
from tasks.stages.registry.promotion import default_target
from tests.tasks import synthetic_classification
from tests.tasks.stages.registry.registered_models import SHOP, Court, unrehearsed

NOW = datetime(2026, 1, 8, tzinfo=UTC)


def told(*steps: int) -> list[LedgerEntry]:
    """A ledger: a positive number promotes that version, a negative one rolls back to it."""
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
        ((1, 2, 3, -2, -3), 1),  # somebody brought 3 back for 2: 2 was withdrawn then
        ((1, 2, -1, -2), None),  # 1 was withdrawn for 2
        ((1, 2, -1, -2, 3), 2),
    ],
)
def test_whom_a_rollback_without_a_version_goes_back_to(steps: tuple[int, ...], target: int | None) -> None:
    assert default_target(told(*steps)) == target


def test_a_second_rollback_goes_on_back_and_a_third_finds_nobody(court: Court) -> None:
    first, second, _ = court.reign(3)
    assert court.rollback("undo 1").version == second
    assert court.rollback("undo 2").version == first
    with pytest.raises(
        PromotionRefused, match="no predecessor to go back to that was not itself rolled back from; name one of: 2, 3"
    ):
        court.rollback("undo 3")
    assert court.rollback("undo 4", to=second).version == second


def test_a_rollback_of_a_version_that_is_no_longer_champion_moves_nothing(court: Court) -> None:
    first, second = court.reign(2)
    with pytest.raises(PromotionRefused, match=f"expected version {first} as the champion, which is version {second}"):
        rollback(SHOP, "policy:bake", "slow", "bake", court.ledger, of_version=first, rehearsal=unrehearsed)
    done = rollback(
        SHOP, "policy:bake", "slow", "bake", court.ledger, trust=Trust.POLICY, of_version=second, rehearsal=unrehearsed
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


def registered(court: Court, model: synthetic_classification.Skilled, against: int | None = None) -> ModelVersion:
    candidate = synthetic_classification.log_candidate(SHOP, f"model_{model.kind}", model, court.examples, court.work)
    return register_verdict(court.verdict(candidate=candidate, against=against), court.storage)


def test_a_version_that_fails_its_rehearsal_is_refused(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, why in BROKEN.items():
        monkeypatch.setitem(SERVED, kind.kind, kind)
        made = registered(court, kind(synthetic_classification.taste()))
        with pytest.raises(PromotionRefused, match=f"version {made.version} is not fit .* nothing was changed: .*({why})"):
            rehearse(SHOP, made.version, made.manifest_digest, seconds=15)


def test_a_rehearsal_tells_what_scores_to_expect(court: Court) -> None:
    version = registered(court, synthetic_classification.skilled(1.0))
    counts = rehearse(SHOP, 1, version.manifest_digest)
    assert counts == count_scores(synthetic_classification.taste().max(axis=1)).tolist(), "of each user, not of the stranger"
    assert sum(counts) == synthetic_classification.USERS
    with pytest.raises(PromotionRefused, match="the manifest is missing or is not the one expected"):
        rehearse(SHOP, 1, "f" * 64)


def test_scores_are_counted_as_prometheus_counts_them() -> None:
    counts = count_scores(np.array([-11.0, -10.0, 0.5, 0.50001, 1e6]))
    places = {SCORE_EDGES.index(-10.0): 2, SCORE_EDGES.index(0.5): 1, SCORE_EDGES.index(0.6): 1, len(SCORE_EDGES): 1}
    assert {place: count for place, count in enumerate(counts) if count} == places


def test_nothing_moves_when_a_rehearsal_fails(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promotion and rollback ask by themselves, without being told to; the target of the rollback breaks afterwards."""
    first = registered(court, synthetic_classification.skilled(0.5))
    promote(court.approval(first.version), "run 1", court.ledger)
    monkeypatch.setitem(SERVED, Constant.kind, Constant)
    second = registered(court, Constant(synthetic_classification.taste()), against=first.version)
    before = court.ledger.entries(SHOP), tracking.aliases(SHOP)
    with pytest.raises(PromotionRefused, match="version 2 is not fit"):
        promote(court.approval(second.version), "run 2", court.ledger)
    assert (court.ledger.entries(SHOP), tracking.aliases(SHOP)) == before
    court.promote(second.version, "run 2")
    native = next(Path(court.work / "mlruns").rglob(f"{first.model_uri.removeprefix('models:/')}/artifacts/**/arrays.npz"))
    native.write_bytes(native.read_bytes()[:-1] + b"x")
    before = court.ledger.entries(SHOP), tracking.aliases(SHOP)
    with pytest.raises(PromotionRefused, match=r"version 1 is not fit .* does not match the digest in its manifest"):
        rollback(SHOP, "ada", "it is worse", "undo", court.ledger)
    assert (court.ledger.entries(SHOP), tracking.aliases(SHOP)) == before


def test_every_task_has_its_smoke_test() -> None:
    """The same questions for rows and ratings: known answers, and one broken twin each."""
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
    asked = Examples(FeatureTables(users, items, pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []})), labels)
    rating = ScoringTerms(use_case=SHOP, task=TaskKind.RATING, k=3)
    assert try_model(Rater(synthetic_classification.taste()), rating, asked).tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ModelError, match="expected ratings near 1 to 5, got 10 to 30"):
        try_model(Rater(synthetic_classification.taste(), slope=10.0), rating, asked)


# the order in time


def test_an_older_run_never_takes_the_title_from_a_newer_one(court: Court) -> None:
    (champion,) = court.reign(1)
    late = court.log()
    older = late.model_copy(update={"split": late.split.model_copy(update={"as_of": date(2011, 5, 31)})})
    version = court.register(candidate=older, against=champion)
    for extra in ({}, {"is_override": True}):
        with pytest.raises(PromotionRefused, match="before 2011-05-31, and the champion from data before 2011-06-01"):
            promote(court.approval(version, **extra), "run", court.ledger, rehearsal=unrehearsed)
    assert [entry.version for entry in court.ledger.entries(SHOP)] == [champion]
    same_day = court.register(against=champion)
    assert court.promote(same_day, "same day").version == same_day


def test_a_tag_does_not_make_a_run_newer(court: Court) -> None:
    (champion,) = court.reign(1)
    late = court.log()
    older = late.model_copy(update={"split": late.split.model_copy(update={"as_of": date(2011, 5, 31)})})
    version = court.register(candidate=older, against=champion)
    tracking.tag_version(SHOP, version, {"as_of": "2030-01-01"})
    tracking.tag_version(SHOP, champion, {"as_of": "2000-01-01"})
    with pytest.raises(PromotionRefused, match="an older run never replaces a newer one"):
        court.promote(version)


def test_a_judging_is_registered_once_whatever_its_milliseconds(court: Court) -> None:
    candidate = court.log()
    first = register_verdict(court.verdict(candidate=candidate, reason="12.1 ms is within 50 ms"), court.storage)
    assert register_verdict(court.verdict(candidate=candidate, reason="13.4 ms is within 50 ms"), court.storage) == first
    assert tracking.versions(SHOP) == [first.version]
    refused = register_verdict(court.verdict(candidate=candidate, passed=False), court.storage)
    assert refused.version != first.version, "another answer of a gate is another judging"


# a ledger that was altered


def test_an_altered_ledger_takes_no_promotion_and_spreads_to_no_alias(court: Court, own_home: Path) -> None:
    first, second = court.reign(2)
    third = court.register(against=second)
    with sqlite3.connect(own_home / "titleholder.db") as database:
        database.execute("UPDATE ledger SET manifest_digest = ? WHERE sequence = 1", ("f" * 64,))
    with pytest.raises(PromotionRefused, match=r"chain of digests is broken at entries \[1\]"):
        court.promote(third)
    with pytest.raises(PromotionRefused, match="entry 1, which promoted version 1, was altered"):
        court.rollback()
    tracking.set_alias(SHOP, "champion", first)
    assert reconcile_aliases(SHOP, court.ledger, True, NOW), "the head is as it was: what it says can be spread"
    with sqlite3.connect(own_home / "titleholder.db") as database:
        database.execute("UPDATE ledger SET version = 1 WHERE sequence = 2")
    with pytest.raises(PromotionRefused, match="newest entry 2 was altered, so the aliases are left"):
        reconcile_aliases(SHOP, court.ledger, True, NOW)
    assert tracking.aliases(SHOP)["champion"] == second


# aliases, compared again


def test_a_moved_alias_is_told_and_restored(court: Court, caplog: pytest.LogCaptureFixture) -> None:
    first, second = court.reign(2)
    assert reconcile_aliases(SHOP, court.ledger, True, NOW) == []
    assert "alias_differed" not in tracking.get_client().get_registered_model(SHOP).tags
    tracking.set_alias(SHOP, "champion", first)
    line = "alias champion of shop named version 1, the ledger says version 2: restored"
    assert reconcile_aliases(SHOP, court.ledger, True, NOW) == [line]
    assert line in caplog.text
    assert tracking.aliases(SHOP) == {"champion": second, "previous_champion": first}
    said = f"2026-01-08T00:00:00+00:00: {line}"
    assert tracking.get_client().get_registered_model(SHOP).tags["alias_differed"] == said
    assert tracking.version_tags(SHOP, first)["alias_differed"] == said
    assert version_of(SHOP, first).passed


def test_by_policy_a_moved_alias_is_only_told(court: Court) -> None:
    first, _ = court.reign(2)
    tracking.set_alias(SHOP, "champion", None)
    (line,) = reconcile_aliases(SHOP, court.ledger, False, NOW)
    assert line.endswith("named no version, the ledger says version 2: left, because the use case says restore_aliases: false")
    assert tracking.aliases(SHOP) == {"previous_champion": first}
    assert reconcile_aliases("never_trained", court.ledger, True, NOW) == []
