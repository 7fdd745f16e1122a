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
from tests.tasks.stages.registry.registered_models import SHOP, Court, unrehearsed

# register


def test_a_passed_candidate_becomes_challenger_with_everything_on_it(court: Court) -> None:
    verdict = court.verdict()
    made = register_verdict(verdict, court.storage)
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


def test_a_refused_candidate_is_kept_with_its_reasons_and_is_no_challenger(court: Court) -> None:
    version = court.register(passed=False)
    assert not version_of(SHOP, version).passed
    assert tracking.version_tags(SHOP, version)["reasons"] == "beats_champion: as the test wants it"
    description = tracking.get_client().get_model_version(SHOP, str(version)).description
    assert "# shop: model_0 was refused" in description and "as the test wants it" in description
    assert tracking.aliases(SHOP) == {}


def test_registering_again_changes_nothing(court: Court) -> None:
    verdict = court.verdict()
    first = register_verdict(verdict, court.storage)
    assert register_verdict(verdict, court.storage) == first
    court.promote(first.version)
    aliases = tracking.aliases(SHOP)
    assert register_verdict(verdict, court.storage) == first
    assert tracking.aliases(SHOP) == aliases, "a champion does not become challenger again"
    assert tracking.versions(SHOP) == [1]


def test_the_same_model_judged_again_is_another_version(court: Court) -> None:
    candidate = court.log()
    first = court.register(candidate=candidate)
    (champion,) = court.reign(1)
    second = court.register(candidate=candidate, against=champion)
    assert second not in (first, champion)
    assert court.promote(second).version == second


def test_the_champion_itself_gets_no_second_version(court: Court) -> None:
    (champion,) = court.reign(1)
    again = register_verdict(court.verdict(passed=False, against=champion, candidate=court.candidates[0]), court.storage)
    assert (again.version, again.passed) == (champion, False)
    assert tracking.versions(SHOP) == [champion]


def test_a_verdict_on_altered_evaluations_is_not_registered(court: Court) -> None:
    verdict = court.verdict()
    units = verdict.evaluations[0].units.model_copy(update={"digest": "0" * 64})
    altered = verdict.model_copy(update={"evaluations": (verdict.evaluations[0].model_copy(update={"units": units}),)})
    with pytest.raises(SnapshotError, match="was altered"):
        register_verdict(altered, court.storage)
    assert tracking.versions(SHOP) == []


def test_report_and_chart_of_a_comparison(court: Court) -> None:
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
    (champion,) = court.reign(1)
    verdict = court.verdict(against=champion).model_copy(update={"comparisons": (comparison,)})
    assert "| ndcg_at_3 | +0.1000 | +0.0500 to +0.1500 | better |" in write_report(verdict)
    figure = draw_comparisons(verdict)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["ndcg_at_3: better"]
    made = register_verdict(verdict, court.storage)
    folder = f"verdict-{made.report_digest[:12]}"
    files = {entry.path for entry in tracking.get_client().list_artifacts(made.run_id, folder)}
    assert files == {f"{folder}/{name}" for name in ("verdict.json", "report.md", "model-card.html", "comparisons.png")}


# promote


def test_promotion_writes_the_ledger_and_the_aliases_follow(court: Court) -> None:
    assert champion_of(SHOP, court.ledger) is None
    first, second = court.reign(2)
    head = court.ledger.head(SHOP)
    assert head is not None
    assert (head.version, head.previous_version, head.actor, head.action) == (second, first, "ada", Action.PROMOTE)
    assert tracking.aliases(SHOP) == {"champion": second, "previous_champion": first}
    champion = champion_of(SHOP, court.ledger)
    assert champion == version_of(SHOP, second)
    assert champion.report_digest == head.report_digest


def test_promoting_the_champion_again_gives_the_head(court: Court) -> None:
    (version,) = court.reign(1)
    head = court.ledger.head(SHOP)
    assert court.promote(version, "another run") == head
    assert len(court.ledger.entries(SHOP)) == 1


def test_refusals_tell_why(court: Court) -> None:
    refused = court.register(passed=False)
    with pytest.raises(PromotionRefused, match="did not pass: beats_champion: as the test wants it"):
        court.promote(refused)
    stale = court.register()
    (champion,) = court.reign(1)
    with pytest.raises(PromotionRefused, match=f"judged against no version, but the champion is version {champion}"):
        court.promote(stale)
    with pytest.raises(ModelError, match="there is no version 99; there are: 1, 2, 3"):
        court.promote(99)
    for actor, reason in (("", "because"), ("ada", " "), ("a" * 201, "because")):
        with pytest.raises(PromotionRefused, match="expected an actor"):
            promote(court.approval(stale, actor=actor, reason=reason), "run", court.ledger, rehearsal=unrehearsed)
    assert [entry.version for entry in court.ledger.entries(SHOP)] == [champion]


def test_an_approval_counts_for_its_report_and_its_time(court: Court) -> None:
    version = court.register()
    with pytest.raises(PromotionRefused, match="the approval is of report ffffffffffff"):
        promote(court.approval(version, report_digest="f" * 64), "run", court.ledger, rehearsal=unrehearsed)
    late = datetime(2026, 1, 8, tzinfo=UTC)
    with pytest.raises(PromotionRefused, match="the approval expired at 2026-01-08T00:00:00"):
        promote(court.approval(version, expires_at=late), "run", court.ledger, now=late, rehearsal=unrehearsed)
    in_time = promote(
        court.approval(version, expires_at=late),
        "run",
        court.ledger,
        now=late - timedelta(seconds=1),
        rehearsal=unrehearsed,
    )
    assert (in_time.version, in_time.trust, in_time.is_override) == (version, Trust.LOCAL, False)


def test_an_override_is_recorded_as_one(court: Court) -> None:
    refused = court.register(passed=False)
    entry = promote(
        court.approval(refused, is_override=True, reason="the old one is on fire"), "run", court.ledger, rehearsal=unrehearsed
    )
    assert (entry.version, entry.is_override, entry.reason) == (refused, True, "the old one is on fire")
    needless = court.register(against=refused)
    assert not promote(court.approval(needless, is_override=True), "later", court.ledger, rehearsal=unrehearsed).is_override


def test_a_tag_set_by_hand_is_no_approval(court: Court) -> None:
    refused = court.register(passed=False)
    tracking.tag_version(SHOP, refused, {"passed": "true"})
    with pytest.raises(ModelError, match="altered by hand"):
        court.promote(refused)
    stranger = court.register()
    tracking.tag_version(SHOP, stranger, {"manifest_digest": "f" * 64})
    with pytest.raises(ModelError, match="altered by hand"):
        court.promote(stranger)
    assert court.ledger.head(SHOP) is None


def test_a_champion_whose_digest_was_altered_is_noticed(court: Court) -> None:
    (version,) = court.reign(1)
    tracking.tag_version(SHOP, version, {"manifest_digest": "f" * 64})
    with pytest.raises(ModelError, match="the ledger names"):
        champion_of(SHOP, court.ledger)


def test_of_twenty_racing_promotions_exactly_one_wins(court: Court) -> None:
    candidate = court.log()
    versions = [register_verdict(court.verdict(candidate=candidate, ndcg=n / 20), court.storage).version for n in range(20)]
    assert versions == list(range(1, 21))
    barrier = Barrier(20)

    def race(version: int) -> LedgerEntry | PromotionRefused:
        barrier.wait()
        try:
            return court.promote(version, f"run-{version}")
        except PromotionRefused as refusal:
            return refusal

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(race, versions))
    won = [result for result in results if isinstance(result, LedgerEntry)]
    lost = [result for result in results if isinstance(result, PromotionRefused)]
    assert (len(won), len(lost)) == (1, 19)
    assert court.ledger.entries(SHOP) == won
    assert tracking.aliases(SHOP)["champion"] == won[0].version
    assert any("the champion changed meanwhile" in str(refusal) for refusal in lost), "at least one raced to the insert"


# rollback


def test_rollback_gives_the_title_to_the_one_before(court: Court) -> None:
    first, second = court.reign(2)
    entry = court.rollback()
    assert (entry.action, entry.version, entry.previous_version) == (Action.ROLLBACK, first, second)
    assert entry.manifest_digest == version_of(SHOP, first).manifest_digest
    assert tracking.aliases(SHOP) == {"champion": first, "previous_champion": second}
    assert court.ledger.broken_links(SHOP) == []


def test_a_rollback_tried_again_does_not_go_back_twice(court: Court) -> None:
    first, _ = court.reign(2)
    entry = court.rollback()
    assert court.rollback() == entry
    assert len(court.ledger.entries(SHOP)) == 3
    court.promote(court.register(against=first), "later")
    with pytest.raises(PromotionRefused, match=r"rolled back before \(entry 3\)"):
        court.rollback()


def test_what_was_rolled_back_is_not_promoted_again(court: Court) -> None:
    """Version 2 was judged against version 1, which is champion again: a promotion that was late would crown it anew."""
    first, second = court.reign(2)
    court.rollback()
    with pytest.raises(PromotionRefused, match=f"was champion before .* with to_version {second}"):
        court.promote(second, "promotion-2")
    assert court.rollback("on purpose", to=second).version == second
    assert first == 1


def test_rollback_refuses_where_there_is_no_way_back(court: Court) -> None:
    with pytest.raises(PromotionRefused, match="no version has no predecessor"):
        court.rollback()
    first, second, third = court.reign(3)
    never = court.register(passed=False)
    with pytest.raises(PromotionRefused, match=f"version {never} never was champion; it can go back to: 1, 2"):
        court.rollback(to=never)
    with pytest.raises(PromotionRefused, match=f"version {third} is the champion already"):
        court.rollback(to=third)
    assert court.rollback(to=first).version == first
    assert second == 2


# aliases


def test_an_alias_moved_by_hand_is_restored_and_told(court: Court) -> None:
    first, second = court.reign(2)
    assert follow_ledger(SHOP, court.ledger) == []
    tracking.set_alias(SHOP, "champion", first)
    tracking.set_alias(SHOP, "challenger", second)
    assert champion_of(SHOP, court.ledger) == version_of(SHOP, second), "the alias decides nothing"
    assert follow_ledger(SHOP, court.ledger) == [
        "alias champion of shop: from version 1 to version 2",
        "alias challenger of shop: from version 2 to no version",
    ]
    assert tracking.aliases(SHOP) == {"champion": second, "previous_champion": first}


def test_an_alias_that_nobody_crowned_is_taken_away(court: Court) -> None:
    version = court.register()
    tracking.set_alias(SHOP, "champion", version)
    assert follow_ledger(SHOP, court.ledger) == ["alias champion of shop: from version 1 to no version"]
    assert tracking.aliases(SHOP) == {"challenger": version}
