"""The quality of what a policy answered, by outcomes that came later.

The answers of a day are those of the champion after that day's window. They are measured as evaluation measures a holdout, on
the labels of the attribution window that begins that day, once it and the days by which outcomes come late are over.
Several days together are resampled by user, because the same users answer again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tasks import columns as c
from tasks.backtest.journal import Journal, Quality, WindowRecord
from tasks.contracts.arrays import Floats
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import AnswerPath
from tasks.errors import ModelError, NotEnoughData
from tasks.jobs.run import Run
from tasks.metrics import UNIT, WEIGHT, Metric, Scored, get_metric
from tasks.models import SERVED
from tasks.models.base import Examples, FeatureTables, Recommendation, ServedModel, read_features
from tasks.models.champion import fetch_champion
from tasks.problems import problem_of
from tasks.stages.features import read_labels
from tasks.use_case import UseCase

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "quality"
RESAMPLES = 2_000
CONFIDENCE = 0.95
EQUAL = 1e-12  # relative: what is smaller is rounding
DAY = "day"


@dataclass(frozen=True)
class Interval:
    """A value with its interval."""

    value: float
    low: float
    high: float


def measure_matured(run: Run, journal: Journal, folder: Path) -> tuple[Quality, ...]:
    """The measured days, with those that became mature by the newest window."""
    measured = {one.as_of for one in journal.quality}
    newest = journal.windows[-1].window.end
    policy = run.use_case.drift.labels
    found = list(journal.quality)
    for record in journal.windows:
        day = record.window.end
        is_mature = day + timedelta(days=policy.attribution_days + policy.late_days) <= newest
        if is_mature and day.isoformat() not in measured and (one := measure_day(run, record, folder)) is not None:
            found.append(one)
    return tuple(sorted(found, key=lambda one: one.as_of))


def measure_day(run: Run, record: WindowRecord, folder: Path) -> Quality | None:
    """The quality of the answers after one window; None where nobody answered, or no label came."""
    built = record.steps.get("build_features")
    if record.champion is None or built is None or built.result is None:
        return None
    entry = next(one for one in reversed(run.ledger.entries(run.name)) if one.version == record.champion)
    model, terms = fetch_champion(entry, SERVED)
    features, day = DatasetRef.from_json(built.result["features"]), record.window.end
    try:
        examples = read_outcomes(run, features, day)
        scored = problem_of(terms.task).score(model, examples, terms)
    except NotEnoughData:
        return None
    metric = primary_of(run.use_case)
    write_units(scored, metric, folder / FOLDER / f"{day.isoformat()}.parquet")
    interval = resample(metric, [keep_units(scored, metric)], seed=run.use_case.seed)
    return Quality(
        as_of=day.isoformat(),
        champion=record.champion,
        units=len(scored.units),
        value=interval.value,
        low=interval.low,
        high=interval.high,
    )


class BestPossible(ServedModel):
    """Answers with the items that a generated world's users are most likely to buy. Nothing is exported."""

    kind = "best_possible"

    def __init__(self, world: Knowing, day: date, days: int) -> None:
        self.world, self.day, self.days = world, day, days

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        raise ModelError("the best possible answers are no model")

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, Any]) -> BestPossible:
        raise ModelError("the best possible answers are no model")

    def recommend(
        self, user_ids: list[str], features: FeatureTables, k: int, exclude_seen: bool = False
    ) -> list[Recommendation]:
        """The best of the items that are known by now: no model can recommend others."""
        lists = self.world.best_items(user_ids, self.day, self.days, features, k)
        scores = tuple(float(k - place) for place in range(k))
        return [
            Recommendation(user, tuple(items), scores[: len(items)], scores[: len(items)], AnswerPath.MODEL)
            for user, items in zip(user_ids, lists, strict=True)
        ]


class Knowing(Protocol):
    """Who knows the truth of a generated world."""

    def best_items(self, users: Sequence[str], day: date, days: int, features: FeatureTables, k: int) -> list[list[str]]:
        """The `k` known items that each user is most likely to buy in the `days` days from a day on."""


def measure_best(run: Run, world: Knowing, measured: Sequence[Quality], journal: Journal, folder: Path) -> None:
    """Measure the best possible answers of days that were measured for a policy."""
    built = {
        one.window.end.isoformat(): one.steps["build_features"].result
        for one in journal.windows
        if not one.is_history and "build_features" in one.steps
    }
    days = run.use_case.drift.labels.attribution_days
    for one in measured:
        path = folder / FOLDER / f"{name_best(one.as_of)}.parquet"
        if path.is_file():
            continue
        day = date.fromisoformat(one.as_of)
        examples = read_outcomes(run, DatasetRef.from_json(built[one.as_of]["features"]), day)
        scored = problem_of(run.use_case.task).score(BestPossible(world, day, days), examples, run.use_case.scoring_terms)
        write_units(scored, primary_of(run.use_case), path)


def name_best(day: str) -> str:
    """The name of the units of the best possible answers of a day."""
    return f"{day}.best"


def primary_of(case: UseCase) -> Metric:
    """The metric that a use case chooses its models by."""
    return get_metric(case.metrics.primary, case.task)


def read_outcomes(run: Run, features: DatasetRef, day: date) -> Examples:
    """The features of a day, and what happened in the attribution window that begins then, as training has it.

    Rows that were validated in windows that begin later than the outcomes are mature are left out.
    """
    case, storage = run.use_case, run.storage
    policy = case.drift.labels
    window = Window(start=day, end=day + timedelta(days=policy.attribution_days))
    mature = window.end + timedelta(days=policy.late_days)
    dated = [(Window.from_label(ref.partition), ref) for ref in storage.history(run.name, c.VALIDATED, date.max)]
    history = [ref for of, ref in dated if of.end > window.start and of.start < mature]
    labels = read_labels(case.features_as_of(mature, history), window, storage)
    if case.task.answers_rows:
        return Examples(rows=labels)
    return Examples(features=read_features(storage, features), labels=labels)


# units, so that policies can be compared later


def keep_units(scored: Scored, metric: Metric) -> pd.DataFrame:
    """What a resample of a metric needs: `unit`, and the metric's part and weight, or `prediction` and `label` of each row."""
    if metric.per_unit:
        return scored.units[[UNIT, metric.name, metric.name + WEIGHT]].reset_index(drop=True)
    key = c.ROW_ID if c.ROW_ID in scored.predictions else c.USER_ID
    return scored.predictions[[key, c.PREDICTION, c.LABEL]].rename(columns={key: UNIT}).reset_index(drop=True)


def write_units(scored: Scored, metric: Metric, path: Path) -> None:
    """Keep the units of a day."""
    path.parent.mkdir(parents=True, exist_ok=True)
    keep_units(scored, metric).to_parquet(path, index=False)


def read_units(folder: Path, days: Sequence[str]) -> list[pd.DataFrame]:
    """The units of some days, in their order."""
    import pandas as pd

    return [pd.read_parquet(folder / FOLDER / f"{day}.parquet") for day in days]


def value_of(metric: Metric, units: pd.DataFrame) -> float:
    """A metric of the units of a day."""
    return float(_compute(metric, units, np.ones((1, len(units))))[0])


def resample(metric: Metric, days: Sequence[pd.DataFrame], *, seed: int) -> Interval:
    """A metric over days together, with the interval of a bootstrap that draws whole users."""
    values, drawn = _draw(metric, [days], seed)
    return _interval(values[0], drawn[0])


def compare(
    metric: Metric, ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame], *, seed: int, comparisons: int = 1
) -> Interval:
    """Ours minus theirs on the same days, positive where ours is better, from draws of the same users.

    The difference of a metric of units is a mean of one value of each user, as in the gates; the interval is studentised.

    Parameters
    ----------
    comparisons : how many differences are looked at together. All their intervals hold at once with the probability
        `CONFIDENCE` (Bonferroni).
    """
    confidence = 1 - (1 - CONFIDENCE) / comparisons
    sign = 1.0 if metric.greater_is_better else -1.0
    if metric.per_unit:
        frames, users = _join_days([ours, theirs])
        mine, other = (_sum_by_user(metric, frame, users) for frame in frames)
        difference = sign * (value_of(metric, mine) - value_of(metric, other))
        deviations = sign * (metric.influence(mine, mine) - metric.influence(other, other))
        return _studentise(difference, deviations, _draw_users(len(users), seed), confidence)
    values, drawn = _draw(metric, [ours, theirs], seed)
    return _interval(sign * (values[0] - values[1]), sign * (drawn[0] - drawn[1]), confidence)


def _studentise(difference: float, deviations: Floats, weights: Floats, confidence: float) -> Interval:
    """The interval of a mean from deviations that are divided by their own error in each resample.

    This is the bootstrap-t (Efron and Tibshirani 1993, section 12.5). The quantiles of the means themselves are too narrow
    where few users have most of the difference.

    Parameters
    ----------
    deviations : (users,), what each user adds to the difference, less the mean.
    weights : (resamples, users), how often each user is in each resample.
    """
    count, reach = len(deviations), float(np.abs(deviations).max(initial=0.0))
    if reach <= EQUAL * max(1.0, abs(difference)):
        return Interval(difference, difference, difference)
    means, squares = (weights @ power / count for power in (deviations, deviations**2))
    spreads = np.where(squares - means**2 > EQUAL * squares, squares - means**2, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(means == 0, 0.0, means / np.sqrt(spreads / (count - 1)))
    error = float(deviations.std(ddof=1)) / math.sqrt(count)
    low = float(np.quantile(ratios, (1 - confidence) / 2, method="lower"))
    high = float(np.quantile(ratios, (1 + confidence) / 2, method="higher"))
    return Interval(difference, difference - min(high * error, reach), difference - max(low * error, -reach))


def _interval(value: float, drawn: Floats, confidence: float = CONFIDENCE) -> Interval:
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def _draw(metric: Metric, sides: Sequence[Sequence[pd.DataFrame]], seed: int) -> tuple[list[float], list[Floats]]:
    """Of each side its value, and its value in each resample; users are drawn, the same for all sides."""
    import pandas as pd

    frames, users = _join_days(sides)
    weights = _draw_users(len(users), seed)
    values, drawn = [], []
    for frame in frames:
        values.append(value_of(metric, frame))
        if metric.per_unit:  # sums by user first, so that a resample is one product of small matrices
            drawn.append(_compute(metric, _sum_by_user(metric, frame, users), weights))
        else:
            place = users.get_indexer(pd.Index(frame[UNIT]))
            drawn.append(np.array([float(_compute(metric, frame, row[None, place])[0]) for row in weights[:200]]))
    return values, drawn


def _join_days(sides: Sequence[Sequence[pd.DataFrame]]) -> tuple[list[pd.DataFrame], pd.Index]:
    """Of each side the units of all its days, and the users of all sides."""
    import pandas as pd

    frames = [pd.concat(days, ignore_index=True) for days in sides]
    return frames, pd.Index(sorted(set().union(*(frame[UNIT] for frame in frames))))


def _draw_users(count: int, seed: int) -> Floats:
    """How often each user is in each resample: (resamples, users)."""
    shares = np.full(count, 1 / count)
    return np.random.default_rng(seed).multinomial(count, shares, size=RESAMPLES).astype(np.float64)


def _sum_by_user(metric: Metric, frame: pd.DataFrame, users: pd.Index) -> pd.DataFrame:
    """The metric's part and weight of each user, 0 for who is not in the frame."""
    import pandas as pd

    names = [metric.name, metric.name + WEIGHT]
    sums = np.zeros((len(users), 2))
    np.add.at(sums, users.get_indexer(pd.Index(frame[UNIT])), frame[names].to_numpy(np.float64))
    return pd.DataFrame(sums, columns=names)


def _compute(metric: Metric, frame: pd.DataFrame, weights: Floats) -> Floats:
    if metric.per_unit:
        return metric.compute(frame, frame, weights)
    return metric.of_rows(frame[c.PREDICTION].to_numpy(np.float64), frame[c.LABEL].to_numpy(np.float64), weights)
