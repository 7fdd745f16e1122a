"""The alpha that judgings spend: what a year of judgings promotes by mistake, and what new labels pay for."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tasks.contracts.judging import JudgedHoldout, Outcome, PastJudging, Spending
from tasks.stages.evaluation.alpha import MOST, NO_MATCH, SAMPLE, START, YEAR, cost_of, sample_rows, spend
from tasks.stages.evaluation.gates import GATES
from tests.tasks.stages.evaluation.contexts import BETTER, CHAMPION, answers, context

DAY = date(2026, 1, 1)


def window(first: int, days: int = 14) -> JudgedHoldout:
    start = DAY + timedelta(days=first)
    return JudgedHoldout(as_of=start + timedelta(days=days), first_day=start, end=start + timedelta(days=days))


def judge_all(holdouts: list[JudgedHoldout], found: tuple[int, ...] = (), per_year: float = 0.05) -> list[Spending]:
    """What each of these judgings spends; those at the places of `found` find a gain."""
    past: list[PastJudging] = []
    made = []
    for place, holdout in enumerate(holdouts):
        made.append(spend(holdout, past, per_year, has_champion=True))
        past.append(PastJudging(holdout=holdout, alpha=made[-1].alpha, found_better=place in found))
    return made


def test_the_first_judging_spends_half_of_what_there_is() -> None:
    (first,) = judge_all([window(0)])
    assert first.alpha == pytest.approx((START + 0.05 * 14 / YEAR) / 2)
    assert (first.times, first.new_share, first.spent) == (1, 1.0, first.alpha / NO_MATCH)
    assert first.spent + first.wealth == pytest.approx(START + 0.05 * 14 / YEAR)


def test_a_year_of_overlapping_judgings_spends_what_was_paid() -> None:
    """52 weekly judgings of 14 days: at most the initial wealth, and the rate of a year."""
    weekly = judge_all([window(7 * week) for week in range(52)])
    assert sum(one.alpha / NO_MATCH for one in weekly) == pytest.approx(weekly[-1].spent)
    assert weekly[-1].spent < START + 0.05 * (14 + 7 * 51) / YEAR < 0.08
    assert weekly[1].times == 2 and weekly[1].new_share == 0.5
    assert weekly[-1].alpha / NO_MATCH == pytest.approx(0.05 * 7 / YEAR, rel=0.05), "in the end a week spends what it pays"
    assert 10 * weekly[-1].spent < 52 * 0.025, "each judging by itself would spend ten times as much"


def test_the_same_days_judge_for_less_and_less() -> None:
    again = judge_all([window(0)] * 20)
    assert [one.times for one in again] == list(range(1, 21))
    assert again[1].alpha == pytest.approx(again[0].wealth / 2) and again[1].new_share == 0
    assert again[-1].spent < START + 0.05 * 14 / YEAR


def test_a_gain_that_was_found_pays_back() -> None:
    without, found = (
        judge_all([window(7 * week) for week in range(3)]),
        judge_all([window(7 * week) for week in range(3)], (1,)),
    )
    assert found[1] == without[1]
    assert found[2].alpha == pytest.approx(without[2].alpha + START / 2)


def test_a_challenger_that_is_no_match_costs_nothing() -> None:
    """Of equal challengers one in five is discarded, so that each costs its alpha on average."""
    day = window(0)
    hopeless, close, unfinished = (
        PastJudging(holdout=day, alpha=0.01, found_better=False, p_better=p) for p in (0.99, 0.3, None)
    )
    assert [cost_of(one) for one in (hopeless, close, unfinished)] == pytest.approx([0.0, 0.0125, 0.0125])
    assert NO_MATCH * cost_of(close) == pytest.approx(close.alpha)
    first = spend(day, [], 0.05, has_champion=True)
    assert spend(day, [hopeless] * 5, 0.05, has_champion=True).alpha == pytest.approx(first.alpha)


def test_a_pause_pays_for_few_judgings_only() -> None:
    _, after = judge_all([window(0), window(5000, days=4000)], per_year=1.0)
    assert after.alpha == pytest.approx(MOST / 2)


def test_without_a_champion_nothing_is_spent() -> None:
    first = spend(window(0), [], 0.05, has_champion=False)
    assert first.alpha == 0 and "no alpha is spent" in first.describe()
    second = spend(window(0), [PastJudging(holdout=window(0), alpha=0, found_better=False)], 0.05, has_champion=True)
    assert second.times == 2 and "has judged 2 times, 0% of it is new" in second.describe()


def test_a_lower_rate_in_the_settings_never_makes_alpha_negative() -> None:
    past = [PastJudging(holdout=window(7 * week), alpha=0.025, found_better=False) for week in range(30)]
    assert spend(window(300), past, 0.05, has_champion=True).alpha >= 0


def rows(first: int, count: int, day: int) -> JudgedHoldout:
    return JudgedHoldout(as_of=DAY + timedelta(days=day), rows=sample_rows(f"r{row}" for row in range(first, first + count)))


def test_rows_that_judged_before_pay_nothing() -> None:
    """The same table judges again after 100 days, then a table half of whose rows are new, then one of new rows."""
    first, same, half, new = judge_all([rows(0, 2000, 0), rows(0, 2000, 100), rows(1000, 2000, 200), rows(9000, 2000, 300)])
    assert (first.new_share, same.new_share, new.new_share) == (1.0, 0.0, 1.0)
    assert half.new_share == pytest.approx(0.5, abs=0.12)
    assert [one.times for one in (first, same, half, new)] == [1, 2, 3, 1]
    assert same.alpha == pytest.approx(first.wealth / 2)
    assert half.alpha / NO_MATCH + half.wealth == pytest.approx(same.wealth + 0.05 * 100 / YEAR * half.new_share)
    assert new.alpha / NO_MATCH + new.wealth == pytest.approx(half.wealth + 0.05 * 100 / YEAR)
    assert len(rows(0, 2000, 0).rows) == SAMPLE


def test_a_gate_judges_by_the_alpha_of_the_judging() -> None:
    """A gain of 2.5 standard errors is better once, and not when the holdout has judged before."""
    champion = CHAMPION
    challenger = answers("challenger", "als", 0.427, seed=2)
    gate = GATES.parse({"kind": "beats_champion", "metric": "ndcg_at_10"}, "gates")
    plenty, little = (
        Spending(times=times, alpha=alpha, spent=0.03, wealth=0.01, new_share=0.0) for times, alpha in ((1, 0.025), (6, 0.0005))
    )
    alone, first, sixth = (
        (gate.check(seen), seen.comparisons[0])
        for seen in (context(challenger, champion, spending=one) for one in (None, plenty, little))
    )
    assert alone[0].passed and first[0].passed and first[1] == alone[1]
    assert not sixth[0].passed and sixth[1].outcome is Outcome.INCONCLUSIVE
    assert sixth[1].confidence == pytest.approx(0.999) and sixth[1].resamples == 20_000
    assert "99.9% interval" in sixth[0].reason and "has judged 6 times" in sixth[0].reason
    assert sixth[1].low < alone[1].low
    assert gate.check(context(BETTER, CHAMPION, spending=little)).passed, "a large gain is found all the same"
