"""What `freshness` refuses."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tasks.contracts.base import Window
from tasks.contracts.calendar import NO_CALENDAR, Calendar
from tasks.contracts.judging import Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.stages.evaluation.gates.base import Lineage
from tasks.stages.evaluation.gates.freshness import Freshness
from tests.tasks.stages.evaluation.contexts import BETTER, DAYS, candidate, context, dated
from tests.tasks.stages.evaluation.gate_examples import ContextPair, examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import CHAMPION_AS_OF, Frames, SyntheticClassification

examples = examples_of("freshness", classification={}, shop={})


@examples.pairs
def make_pairs() -> list[ContextPair]:
    return [
        ({}, dated(date(2011, 5, 25)), broken)
        for broken in (
            dated(date(2011, 6, 1)),
            dated(date(2011, 6, 8)),
            dated(date(2011, 5, 25), candidate().split.digest),
            dated(date(2011, 5, 25), windows=DAYS[:-1]),
            dated(None, windows=DAYS[:14] + DAYS[15:]),
            dated(None, windows=()),
        )
    ]


def drop_last_rows(parts: Frames) -> Frames:
    return parts | {"holdout": parts["holdout"].iloc[:-30]}


@examples.mutation
def stale_as_of(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(as_of=date(2011, 5, 10))


@examples.mutation
def same_day_as_the_champion(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(as_of=CHAMPION_AS_OF)


@examples.mutation
def a_day_missing(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(drop_last_rows, absent=date(2011, 5, 31))


@examples.mutation
def the_champions_own_rows(pipeline: SyntheticClassification) -> Verdict:
    return pipeline.judge(champion_digest="same")


SATURDAY, WEEKS_OF_A_SPLIT = 5, 6


def at(
    as_of: date, windows: list[Window], champion_as_of: date, *, labels: bool = True, calendar: Calendar = NO_CALENDAR
) -> bool:
    """Whether a candidate as of a day passes whose split has three windows of two weeks."""
    champion = dated(champion_as_of).registered_champion
    assert isinstance(champion, ModelVersion)
    made = candidate()
    seen = context(BETTER, registered_champion=champion)
    seen.candidate = made.model_copy(update={"split": made.split.model_copy(update={"as_of": as_of})})
    seen.lineage = Lineage(tuple(windows), as_of - timedelta(weeks=WEEKS_OF_A_SPLIT) if labels else None, calendar)
    return Freshness(missing_days=0).check(seen).passed


def trading_days(first: date, end: date, absent: frozenset[date] = frozenset()) -> list[Window]:
    days = [first + timedelta(days=place) for place in range((end - first).days)]
    return [Window(start=day, end=day + timedelta(days=1)) for day in days if day.weekday() != SATURDAY and day not in absent]


@pytest.mark.parametrize("labels", [True, False], ids=["by time", "rows without a first day"])
@pytest.mark.parametrize("weeks", [16, 17, 52, 104])
def test_the_reign_of_a_champion_and_closed_saturdays_refuse_nobody(weeks: int, labels: bool) -> None:
    first, crowned = date(2026, 1, 5), date(2026, 3, 2)
    as_of = crowned + timedelta(weeks=weeks)
    assert at(as_of, trading_days(first, as_of), crowned, labels=labels)


@pytest.mark.parametrize("labels", [True, False], ids=["by time", "rows without a first day"])
def test_a_lost_trading_day_counts_while_it_is_learned_from(labels: bool) -> None:
    first, crowned, lost = date(2026, 1, 5), date(2026, 3, 2), date(2026, 6, 9)
    for as_of, passes in ((date(2026, 6, 22), False), (date(2026, 12, 7), True)):
        assert at(as_of, trading_days(first, as_of, frozenset({lost})), crowned, labels=labels) is passes


def test_a_source_that_stopped_is_missed() -> None:
    first, crowned, as_of = date(2026, 1, 5), date(2026, 3, 2), date(2026, 6, 22)
    assert not at(as_of, trading_days(first, as_of - timedelta(days=3)), crowned)


@pytest.mark.parametrize("labels", [True, False], ids=["by time", "rows without a first day"])
def test_days_that_the_calendar_closes_are_not_missed(labels: bool) -> None:
    """Closed from 24 December to 1 January, and not at all on the Monday after."""
    first, crowned, as_of = date(2026, 8, 3), date(2026, 10, 5), date(2027, 1, 11)
    closed = [date(2026, 12, 24) + timedelta(days=place) for place in range(9)]
    calendar = Calendar(closed_days=("12-24..01-01",))
    windows = trading_days(first, as_of, frozenset(closed))
    assert at(as_of, windows, crowned, labels=labels, calendar=calendar)
    assert not at(as_of, windows, crowned, labels=labels), "without a calendar they are missed"
    lost = trading_days(first, as_of, frozenset([*closed, date(2027, 1, 4)]))
    assert not at(as_of, lost, crowned, labels=labels, calendar=calendar), "an open day still is"


def test_a_weekday_is_usual_by_its_open_days() -> None:
    """Mondays are closed for ten of sixteen weeks: the open ones are expected, and one is lost."""
    first, as_of = date(2026, 8, 3), date(2026, 11, 23)
    mondays = [first + timedelta(weeks=week) for week in range(10)]
    calendar = Calendar(closed_days=tuple(day.isoformat() for day in mondays))
    lost = frozenset([*mondays, date(2026, 11, 16)])
    assert not at(as_of, trading_days(first, as_of, lost), date(2026, 9, 1), calendar=calendar)
