"""Registering, promoting, rolling back: against a real MLflow store and a real ledger."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from tasks.contracts.judging import Outcome
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.errors import ModelError, PromotionRefused, SnapshotError
from tasks.io import tracking
from tasks.jobs.training import register_verdict
from tasks.stages.registry import champion_of, follow_ledger, promote, read_verdict, version_of
from tests.tasks.stages.registry.registered_models import SHOP, RegistryHarness, unrehearsed

# register


def test_a_passed_candidate_becomes_challenger(harness: RegistryHarness) -> None:
    verdict = harness.verdict()
    made = register_verdict(verdict, harness.storage)
    assert (made.version, made.passed, made.manifest_digest) == (1, True, verdict.candidate.manifest_digest)
    assert tracking.aliases(SHOP) == {"challenger": 1}
    tags = tracking.version_tags(SHOP, 1)
    assert (tags["passed"], tags["verdict"], tags["judged_against"], tags["reasons"]) == ("true", "first", "none", "")
    text = tracking.read_run_text(made.run_id, f"verdict-{made.report_digest[:12]}/verdict.json")
    assert hashlib.sha256(text.encode()).hexdigest() == made.report_digest
    assert "# shop: model_0 passed" in tracking.read_run_text(made.run_id, f"verdict-{made.report_digest[:12]}/report.md")
    assert read_verdict(SHOP, 1) == verdict
    assert tracking.get_client().get_run(made.run_id).data.metrics["holdout_ndcg_at_3"] == 0.5
    assert tracking.get_client().get_run(made.run_id).info.status == "FINISHED"


def test_a_refused_candidate_keeps_its_reasons_and_no_alias(harness: RegistryHarness) -> None:
    version = harness.register(passed=False)
    assert not version_of(SHOP, version).passed
    assert tracking.version_tags(SHOP, version)["reasons"] == "beats_champion: as the test sets it"
    description = tracking.get_client().get_model_version(SHOP, str(version)).description
    assert "# shop: model_0 was refused" in description and "as the test sets it" in description
    assert tracking.aliases(SHOP) == {}


def test_registering_again_changes_nothing(harness: RegistryHarness) -> None:
    verdict = harness.verdict()
    first = register_verdict(verdict, harness.storage)
    assert register_verdict(verdict, harness.storage) == first
    harness.promote(first.version)
    aliases = tracking.aliases(SHOP)
    assert register_verdict(verdict, harness.storage) == first
    assert tracking.aliases(SHOP) == aliases, "a champion does not become challenger again"
    assert tracking.versions(SHOP) == [1]


def test_the_same_model_judged_again_is_another_version(harness: RegistryHarness) -> None:
    candidate = harness.log()
    first = harness.register(candidate=candidate)
    (champion,) = harness.promote_champions(1)
    second = harness.register(candidate=candidate, against=champion)
    assert second not in (first, champion)
    assert harness.promote(second).version == second


def test_the_champion_itself_gets_no_second_version(harness: RegistryHarness) -> None:
    (champion,) = harness.promote_champions(1)
    again = register_verdict(harness.verdict(passed=False, against=champion, candidate=harness.candidates[0]), harness.storage)
    assert (again.version, again.passed) == (champion, False)
    assert tracking.versions(SHOP) == [champion]


def test_a_verdict_on_altered_evaluations_is_not_registered(harness: RegistryHarness) -> None:
    verdict = harness.verdict()
    units = verdict.evaluations[0].units.model_copy(update={"digest": "0" * 64})
    altered = verdict.model_copy(update={"evaluations": (verdict.evaluations[0].model_copy(update={"units": units}),)})
    with pytest.raises(SnapshotError, match="was altered"):
        register_verdict(altered, harness.storage)
    assert tracking.versions(SHOP) == []


def test_report_and_chart_of_a_comparison(harness: RegistryHarness) -> None:
    from tasks.contracts.judging import Comparison
    from tasks.stages.reporting.markdown import write_report
    from tasks.stages.reporting.sections import draw_comparisons

    comparison = Comparison(
        metric="ndcg_at_3",
        challenger=0.5,
        champion=0.4,
        difference=0.1,
        low=0.05,
        high=0.15,
        confidence=0.95,
        units=60,
        resamples=2000,
        outcome=Outcome.BETTER,
    )
    (champion,) = harness.promote_champions(1)
    verdict = harness.verdict(against=champion).model_copy(update={"comparisons": (comparison,)})
    assert "| ndcg_at_3 | +0.1000 | +0.0500 to +0.1500 | better |" in write_report(verdict)
    figure = draw_comparisons(verdict)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["ndcg_at_3: better"]
    made = register_verdict(verdict, harness.storage)
    folder = f"verdict-{made.report_digest[:12]}"
    files = {entry.path for entry in tracking.get_client().list_artifacts(made.run_id, folder)}
    assert files == {f"{folder}/{name}" for name in ("verdict.json", "report.md", "model-card.html", "comparisons.png")}


# promote


def test_promotion_writes_the_ledger_and_the_aliases_follow(harness: RegistryHarness) -> None:
    assert champion_of(SHOP, harness.ledger) is None
    first, second = harness.promote_champions(2)
    head = harness.ledger.head(SHOP)
    assert head is not None
    assert (head.version, head.previous_version, head.actor, head.action) == (second, first, "ada", Action.PROMOTE)
    assert tracking.aliases(SHOP) == {"champion": second, "previous_champion": first}
    champion = champion_of(SHOP, harness.ledger)
    assert champion == version_of(SHOP, second)
    assert champion.report_digest == head.report_digest


def test_promoting_the_champion_again_gives_the_head(harness: RegistryHarness) -> None:
    (version,) = harness.promote_champions(1)
    head = harness.ledger.head(SHOP)
    assert harness.promote(version, "another run") == head
    assert len(harness.ledger.entries(SHOP)) == 1


def test_refusals_state_their_reason(harness: RegistryHarness) -> None:
    refused = harness.register(passed=False)
    with pytest.raises(PromotionRefused, match="did not pass: beats_champion: as the test sets it"):
        harness.promote(refused)
    stale = harness.register()
    (champion,) = harness.promote_champions(1)
    with pytest.raises(PromotionRefused, match=f"judged against no version, but the champion is version {champion}"):
        harness.promote(stale)
    with pytest.raises(ModelError, match="there is no version 99; there are: 1, 2, 3"):
        harness.promote(99)
    for actor, reason in (("", "because"), ("ada", " "), ("a" * 201, "because")):
        with pytest.raises(PromotionRefused, match="expected an actor"):
            promote(harness.approval(stale, actor=actor, reason=reason), "run", harness.ledger, rehearsal=unrehearsed)
    assert [entry.version for entry in harness.ledger.entries(SHOP)] == [champion]


def test_an_approval_counts_for_its_report_and_its_time(harness: RegistryHarness) -> None:
    version = harness.register()
    with pytest.raises(PromotionRefused, match="the approval is of report ffffffffffff"):
        promote(harness.approval(version, report_digest="f" * 64), "run", harness.ledger, rehearsal=unrehearsed)
    late = datetime(2026, 1, 8, tzinfo=UTC)
    with pytest.raises(PromotionRefused, match="the approval expired at 2026-01-08T00:00:00"):
        promote(harness.approval(version, expires_at=late), "run", harness.ledger, now=late, rehearsal=unrehearsed)
    in_time = promote(
        harness.approval(version, expires_at=late),
        "run",
        harness.ledger,
        now=late - timedelta(seconds=1),
        rehearsal=unrehearsed,
    )
    assert (in_time.version, in_time.trust, in_time.is_override) == (version, Trust.LOCAL, False)


def test_an_override_is_recorded_as_one(harness: RegistryHarness) -> None:
    refused = harness.register(passed=False)
    entry = promote(
        harness.approval(refused, is_override=True, reason="the old one is on fire"),
        "run",
        harness.ledger,
        rehearsal=unrehearsed,
    )
    assert (entry.version, entry.is_override, entry.reason) == (refused, True, "the old one is on fire")
    needless = harness.register(against=refused)
    assert not promote(harness.approval(needless, is_override=True), "later", harness.ledger, rehearsal=unrehearsed).is_override


def test_a_tag_set_by_hand_is_no_approval(harness: RegistryHarness) -> None:
    refused = harness.register(passed=False)
    tracking.tag_version(SHOP, refused, {"passed": "true"})
    with pytest.raises(ModelError, match="altered by hand"):
        harness.promote(refused)
    altered = harness.register()
    tracking.tag_version(SHOP, altered, {"manifest_digest": "f" * 64})
    with pytest.raises(ModelError, match="altered by hand"):
        harness.promote(altered)
    assert harness.ledger.head(SHOP) is None


def test_an_altered_digest_of_the_champion_is_detected(harness: RegistryHarness) -> None:
    (version,) = harness.promote_champions(1)
    tracking.tag_version(SHOP, version, {"manifest_digest": "f" * 64})
    with pytest.raises(ModelError, match="the ledger names"):
        champion_of(SHOP, harness.ledger)


def test_of_twenty_racing_promotions_exactly_one_wins(harness: RegistryHarness) -> None:
    candidate = harness.log()
    versions = [register_verdict(harness.verdict(candidate=candidate, ndcg=n / 20), harness.storage).version for n in range(20)]
    assert versions == list(range(1, 21))
    barrier = Barrier(20)

    def race(version: int) -> LedgerEntry | PromotionRefused:
        barrier.wait()
        try:
            return harness.promote(version, f"run-{version}")
        except PromotionRefused as refusal:
            return refusal

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(race, versions))
    won = [result for result in results if isinstance(result, LedgerEntry)]
    lost = [result for result in results if isinstance(result, PromotionRefused)]
    assert (len(won), len(lost)) == (1, 19)
    assert harness.ledger.entries(SHOP) == won
    assert tracking.aliases(SHOP)["champion"] == won[0].version
    assert any("the champion changed meanwhile" in str(refusal) for refusal in lost), "at least one lost at the insert"


# rollback


def test_rollback_restores_the_champion_before(harness: RegistryHarness) -> None:
    first, second = harness.promote_champions(2)
    entry = harness.rollback()
    assert (entry.action, entry.version, entry.previous_version) == (Action.ROLLBACK, first, second)
    assert entry.manifest_digest == version_of(SHOP, first).manifest_digest
    assert tracking.aliases(SHOP) == {"champion": first, "previous_champion": second}
    assert harness.ledger.broken_links(SHOP) == []


def test_a_retried_rollback_goes_back_once(harness: RegistryHarness) -> None:
    first, _ = harness.promote_champions(2)
    entry = harness.rollback()
    assert harness.rollback() == entry
    assert len(harness.ledger.entries(SHOP)) == 3
    harness.promote(harness.register(against=first), "later")
    with pytest.raises(PromotionRefused, match=r"rolled back before \(entry 3\)"):
        harness.rollback()


def test_what_was_rolled_back_is_not_promoted_again(harness: RegistryHarness) -> None:
    """Version 2 was judged against version 1, which is champion again: a late promotion would make it champion again."""
    first, second = harness.promote_champions(2)
    harness.rollback()
    with pytest.raises(PromotionRefused, match=f"was champion before .* with to_version {second}"):
        harness.promote(second, "promotion-2")
    assert harness.rollback("on purpose", to=second).version == second
    assert first == 1


def test_rollback_refuses_impossible_targets(harness: RegistryHarness) -> None:
    with pytest.raises(PromotionRefused, match="no version has no predecessor"):
        harness.rollback()
    first, second, third = harness.promote_champions(3)
    never = harness.register(passed=False)
    with pytest.raises(PromotionRefused, match=f"version {never} never was champion; it can go back to: 1, 2"):
        harness.rollback(to=never)
    with pytest.raises(PromotionRefused, match=f"version {third} is the champion already"):
        harness.rollback(to=third)
    assert harness.rollback(to=first).version == first
    assert second == 2


# aliases


def test_an_alias_moved_by_hand_is_restored_and_reported(harness: RegistryHarness) -> None:
    first, second = harness.promote_champions(2)
    assert follow_ledger(SHOP, harness.ledger) == []
    tracking.set_alias(SHOP, "champion", first)
    tracking.set_alias(SHOP, "challenger", second)
    assert champion_of(SHOP, harness.ledger) == version_of(SHOP, second), "the alias decides nothing"
    assert follow_ledger(SHOP, harness.ledger) == [
        "alias champion of shop: from version 1 to version 2",
        "alias challenger of shop: from version 2 to no version",
    ]
    assert tracking.aliases(SHOP) == {"champion": second, "previous_champion": first}


def test_a_champion_alias_without_a_promotion_is_removed(harness: RegistryHarness) -> None:
    version = harness.register()
    tracking.set_alias(SHOP, "champion", version)
    assert follow_ledger(SHOP, harness.ledger) == ["alias champion of shop: from version 1 to no version"]
    assert tracking.aliases(SHOP) == {"challenger": version}
