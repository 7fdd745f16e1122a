"""Quality of the version in service on mature answers, by channel and path, corrected for the place in the list.

Only answers of the version itself count, and only those that it gave after the day up to which it has learned. Of a table,
the rows of its own split are left out: it has learned from them, or was judged on them.

Users view the first places of a list more often. In the corrected figures a purchase at place k counts 1 / p_k, p_k being how
much less often place k is viewed than place 1 (inverse propensity, Joachims and others 2017). Answers in which the order of
two neighbouring places was drawn at random show it: what is worth more is above as often as below, so that the purchases at
the two places differ by the looking alone (FairPairs, Radlinski and Joachims 2006). Without such answers the log does not show
it: items that differ in place on different days differ in their worth, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import COLD_PATHS
from tasks.contracts.training import ProbabilityOf
from tasks.io.history import INTERACTION_SCHEMA, read_history
from tasks.io.orders import ORDER_DAYS
from tasks.io.storage import Storage
from tasks.problems import problem_of
from tasks.stages.monitoring import in_memory
from tasks.stages.monitoring.exposures import OUTCOMES
from tasks.stages.monitoring.labels import HAPPENED, LabelPolicy, attribute, find_buyers, read_outcomes

if TYPE_CHECKING:
    import pandas as pd

QUALITY = (
    "matured_answers",
    "label_coverage",
    "value_per_answer",
    "hit_rate",
    "hit_share",
    "hit_share_corrected",
    "dcg",
    "dcg_corrected",
    "brier",
    "calibration_error",
    "calibration_ratio",
    "rmse",
    "mae",
)
SMALLEST_PROPENSITY = 0.05  # below this one purchase would outweigh twenty others
HITS_NEEDED = 50  # at each of two places of random order, before their ratio is believed
PART_ROWS = 1_000_000  # exposures that are in memory at a time
_BINS = 10


@dataclass(frozen=True)
class Cohort:
    """Mature answers, and what is known of their outcomes.

    exposures : the published exposures; None where no answer was given then.
    outcomes : the validated snapshots in which their outcomes are.
    version, learned_until : the version in service, and the day up to which it has learned.
    learned : the rows of its split, of a table.
    probability_of : whom the probabilities of lists are about, as in calibration: with `buyers`, only answers whose subject
        bought something in the attribution window tell whether they came true.
    zone : whose days the attribution window is of.
    order_days : the same `event_id` so many days later is another order.
    """

    window: Window
    exposures: DatasetRef | None
    outcomes: Sequence[DatasetRef]
    policy: LabelPolicy
    task: TaskKind
    version: int
    learned_until: date
    learned: Sequence[DatasetRef] = ()
    probability_of: ProbabilityOf = ProbabilityOf.ALL_KNOWN_USERS
    zone: ZoneInfo = UTC_ZONE
    order_days: float = ORDER_DAYS


class Measured(NamedTuple):
    """Figures, and why others are missing: figure -> reason."""

    figures: dict[str, float]
    notes: dict[str, str]


def measure_cohort(storage: Storage, cohort: Cohort) -> Measured:
    """Quality of the mature answers of the version in service, and how sound the log of that time is.

    An outcome is attributed within its subject. Many rows are therefore read in parts, each with all rows of its subjects.
    """
    if cohort.exposures is None or not cohort.outcomes:
        missing = "no answer was given for" if cohort.exposures is None else "nothing was validated since"
        return _measure_nothing(f"{missing} {cohort.window.label}")
    import pandas as pd

    sent = storage.read(cohort.exposures, OUTCOMES)
    learned = {row for ref in cohort.learned for row in storage.read(ref, c.ROWS, [c.ROW_ID])[c.ROW_ID]}
    tallies, logs, versions = [], [], set[int]()
    for exposures, outcomes in _read_parts(storage, cohort):
        labelled = attribute(exposures, outcomes, sent, cohort.policy, cohort.task, cohort.zone)
        if cohort.probability_of is ProbabilityOf.BUYERS and problem_of(cohort.task).calibrates:
            is_buyer = find_buyers(exposures, outcomes, cohort.policy, cohort.zone)
            labelled = labelled.assign(**{HAPPENED: labelled[HAPPENED].where(is_buyer)})
        is_inside = (labelled["day"] >= cohort.window.start) & (labelled["day"] < cohort.window.end)
        logged = labelled[is_inside]
        versions |= set(logged["model_version"])
        logs.append(in_memory.measure_predictions(logged, logged[[c.ROW_ID]]))
        tallies.append(Tally.count(select_own(logged, cohort, learned), cohort.task))
    quality = measure_quality(Tally.add(tallies), cohort.policy, cohort.task)
    if not quality.figures:
        quality = _measure_nothing(_explain(versions, cohort))
    log = pd.DataFrame([one for one in logs if one])
    weights = {"cold_share": "subjects", "invalid_share": "answers", "doubled_answer_share": "answers"}
    names = {"cold_share": "log_cold_share", "invalid_share": "log_invalid_share", "doubled_answer_share": "log_doubled_share"}
    sound = (
        {names[name]: float((log[name] * log[by]).sum() / log[by].sum()) for name, by in weights.items()} if len(log) else {}
    )
    return Measured({**quality.figures, **sound}, quality.notes)


def _read_parts(storage: Storage, cohort: Cohort) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Exposures and validated outcomes of the same subjects."""
    from pyspark.sql import functions as F

    from tasks.io.spark import caching, spark_for

    if cohort.exposures is None:
        return
    exposed = cohort.exposures.rows[c.ROWS]
    parts = -(-exposed // PART_ROWS)
    with spark_for(exposed + sum(ref.rows[c.ROWS] for ref in cohort.outcomes)) as spark, caching() as keep:
        history = read_history(spark, storage, cohort.outcomes, None if cohort.task.answers_rows else INTERACTION_SCHEMA)
        outcomes = read_outcomes(history, cohort.task, cohort.order_days, keep=keep, zone=cohort.zone)
        if parts == 1:
            yield storage.read(cohort.exposures, c.ROWS), outcomes.toPandas()
            return
        exposures = spark.read.parquet(str(storage.table(cohort.exposures)))
        part_of = F.pmod(F.xxhash64("subject"), F.lit(parts))
        cached = [keep(frame.withColumn("part", part_of)) for frame in (exposures, outcomes)]
        for part in range(parts):
            shown, known = (frame.where(F.col("part") == part).drop("part").toPandas() for frame in cached)
            yield shown, known


def select_own(logged: pd.DataFrame, cohort: Cohort, learned: set[str]) -> pd.DataFrame:
    """The answers that are the version's own and for somebody, without those of which it cannot but know the outcome."""
    is_own = (logged["model_version"] == cohort.version) & logged["has_subject"]
    is_new = (logged["day"] >= cohort.learned_until) & ~logged["subject"].isin(learned)
    return logged[is_own & is_new]


def _explain(versions: set[int], cohort: Cohort) -> str:
    """Why no answer of a cohort is judged."""
    days = cohort.window.label
    if not versions:
        return f"no answer was given for {days}"
    if cohort.version not in versions:
        others = ", ".join(map(str, sorted(versions)))
        return f"the answers for {days} are of version {others}, and version {cohort.version} is judged by its own"
    return f"all answers of version {cohort.version} for {days} are of what it has learned, or for no known user"


def _measure_nothing(reason: str) -> Measured:
    return Measured({}, dict.fromkeys(QUALITY, reason))


# sums, of which all figures are made


@dataclass(frozen=True)
class Tally:
    """What is counted of labelled exposures. The tallies of disjoint subjects add up.

    items : sums by `channel`, `path`, `position` and `bin` of the score, of the items or rows that were shown.
    answers : by `channel` and `path`: answers, and those with a hit.
    drawn : by `shuffled_place`: outcomes `here`, and at the place `below`, of answers that drew the order of the two.
    """

    items: pd.DataFrame
    answers: pd.DataFrame
    drawn: pd.DataFrame

    @classmethod
    def count(cls, labelled: pd.DataFrame, task: TaskKind) -> Tally:
        """Count labelled exposures (see `attribute`).

        Forecasts are compared with what happened in their own attribution window. The scores of cold paths are no
        probabilities and no ratings, so they are not compared with anything.
        """
        import numpy as np

        label, score = labelled[c.LABEL], labelled[c.PREDICTION]
        truth = labelled[HAPPENED] if problem_of(task).silence_is_negative else label
        truth = truth.mask(labelled["path"].isin([path.value for path in COLD_PATHS]))
        is_judged = truth.notna()
        by = ["channel", "path"]
        counted = labelled[[*by, "position"]].assign(
            bin=np.clip(np.floor(score.fillna(0) * _BINS), 0, _BINS - 1),
            shown=1.0,
            known=label.notna().astype(float),
            value=labelled[c.VALUE],
            labels=label,
            judged=is_judged.astype(float),
            promised=score.where(is_judged),
            delivered=truth,
            squared=(score - truth) ** 2,
            absolute=(score - truth).abs(),
        )
        answers = labelled.assign(hit=labelled["prediction_id"].where(label > 0)).groupby(by)
        place, drawn = labelled["position"], labelled["shuffled_place"]
        happened = labelled[HAPPENED].fillna(0)
        at_random = labelled.assign(here=happened.where(place == drawn), below=happened.where(place == drawn + 1))
        return cls(
            counted.groupby([*by, "position", "bin"]).sum(),
            answers.agg(answers=("prediction_id", "nunique"), hit=("hit", "nunique")),
            at_random[drawn > 0].groupby("shuffled_place")[["here", "below"]].sum(),
        )

    @classmethod
    def add(cls, tallies: Sequence[Tally]) -> Tally:
        """The tally of all."""
        import pandas as pd

        def total(frames: list[pd.DataFrame]) -> pd.DataFrame:
            return pd.concat(frames).groupby(level=list(range(frames[0].index.nlevels))).sum()

        return cls(
            total([one.items for one in tallies]),
            total([one.answers for one in tallies]),
            total([one.drawn for one in tallies]),
        )

    def of(self, level: str, value: str) -> Tally:
        """The part with a value of `channel` or `path`."""
        items, answers = (frame[frame.index.get_level_values(level) == value] for frame in (self.items, self.answers))
        return Tally(items, answers, self.drawn)


# figures


class Propensities(NamedTuple):
    """Place -> how often it is viewed, place 1 being 1. Empty where it is not known, with the reason."""

    by_place: Mapping[int, float]
    reason: str = ""


def find_propensities(tally: Tally, policy: LabelPolicy) -> Propensities:
    """How often each place is viewed, from answers in which two neighbouring places changed at random.

    A place of which they show too little gets the declared power law. Where none is declared, nothing is known.
    """
    places = tally.items.index.get_level_values("position")
    by_place = {1: 1.0}
    for above in range(1, int(places.max()) if len(places) else 1):
        here, below = (float(tally.drawn[side].get(above, 0.0)) for side in ("here", "below"))
        if min(here, below) >= HITS_NEEDED:
            ratio = below / here
        elif policy.position_power is not None:
            ratio = (above / (above + 1)) ** policy.position_power
        else:
            reason = (
                f"answers with the places {above} and {above + 1} in random order have {here:.0f} and {below:.0f} outcomes "
                f"there, {HITS_NEEDED} needed at each, and no position_power is declared"
            )
            return Propensities({}, reason)
        by_place[above + 1] = by_place[above] * ratio
    return Propensities({place: max(p, SMALLEST_PROPENSITY) for place, p in by_place.items()})


def measure_quality(tally: Tally, policy: LabelPolicy, task: TaskKind) -> Measured:
    """Figures of mature answers; those of labels are missing where no label is known.

    Returns
    -------
    Of all: matured_answers; label_coverage, the share of the answers' items or rows whose label is known. Of lists:
    value_per_answer; hit_rate, the share of answers with a hit; hit_share, hits an item shown, and hit_share_corrected of
    places; dcg and dcg_corrected, the mean of sum of hits / log2(1 + place). Of probabilities, against what happened within
    the attribution window of each: brier, calibration_ratio (promised over delivered, 1 is right), calibration_error of ten
    bins of equal width. Of ratings: rmse, mae. Where several channels or paths answered, each figure is there for each of
    them too, as `<figure>.<channel or path>`.
    """
    propensities = find_propensities(tally, policy)
    figures = _name_figures(tally, propensities, task)
    for level in ("channel", "path"):
        values = tally.answers.index.get_level_values(level).unique()
        for value in sorted(values) if len(values) > 1 else ():
            part = _name_figures(tally.of(level, value), propensities, task)
            figures |= {f"{name}.{value}": figure for name, figure in part.items()}
    has_places = problem_of(task).keeps_lists and not propensities.by_place
    return Measured(figures, dict.fromkeys(("hit_share_corrected", "dcg_corrected"), propensities.reason) if has_places else {})


def _name_figures(tally: Tally, propensities: Propensities, task: TaskKind) -> dict[str, float]:
    import numpy as np

    items, answers = tally.items, float(tally.answers["answers"].sum())
    if not answers:
        return {}
    n = {str(name): float(total) for name, total in items.sum().items()}
    figures = {"matured_answers": answers, "label_coverage": n["known"] / n["shown"]}
    if problem_of(task).keeps_lists and n["known"]:
        place = items.index.get_level_values("position").to_numpy(np.float64)
        labels = items["labels"].to_numpy(np.float64)
        gain = labels / np.log2(place + 1)
        figures |= {
            "value_per_answer": n["value"] / answers,
            "hit_rate": tally.answers["hit"].sum() / answers,
            "hit_share": n["labels"] / n["shown"],
            "dcg": gain.sum() / answers,
        }
        if propensities.by_place:
            weight = np.array([1 / propensities.by_place[int(one)] for one in place])
            figures |= {
                "hit_share_corrected": (labels * weight).sum() / n["shown"],
                "dcg_corrected": (gain * weight).sum() / answers,
            }
    if n["judged"] and task.rates_pairs:
        figures |= {"rmse": (n["squared"] / n["judged"]) ** 0.5, "mae": n["absolute"] / n["judged"]}
    if n["judged"] and task.has_probabilities:
        bins = items.groupby(level="bin")[["promised", "delivered"]].sum()
        figures |= {
            "brier": n["squared"] / n["judged"],
            "calibration_error": (bins["promised"] - bins["delivered"]).abs().sum() / n["judged"],
        }
        if n["delivered"]:
            figures["calibration_ratio"] = n["promised"] / n["delivered"]
    return {name: float(value) for name, value in figures.items()}
