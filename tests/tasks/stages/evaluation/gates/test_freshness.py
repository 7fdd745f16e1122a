"""What `freshness` refuses."""

from __future__ import annotations

from datetime import date

from tasks.contracts.judging import Verdict
from tests.tasks.stages.evaluation.contexts import DAYS, candidate, dated
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
            dated(date(2011, 5, 5), windows=DAYS[5:]),
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
