"""Labels that arrive late: what was shown, what came of it, and what may be said of it already.

A cohort is the answers of one window. It counts when its attribution window, and the days by which outcomes come late, are
over. An outcome belongs to the answer whose id it carries; else to the newest answer before it that showed this user this
item, at most `attribution_days` earlier. Where silence is an answer (who did not buy, did not buy) the label of a mature
answer is 0; ratings and classes that have not come stay unknown, and every figure comes with its coverage.

Users view the first places of a list more often. A purchase at place k therefore counts 1 / p_k in the corrected
figures, p_k being how much less often place k is viewed than place 1 (inverse propensity, Joachims and others 2017).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import Prediction
from tasks.io.storage import Storage
from tasks.problems import problem_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

EXPOSURES = "exposures"  # layer: one row for each item of each answer
EXPOSURE_COLUMNS = (
    "row_id",
    "prediction_id",
    "day",
    "made_at",
    "channel",
    "subject",
    c.ITEM_ID,
    "position",
    c.PREDICTION,
    "path",
    "model_version",
)
SMALLEST_PROPENSITY = 0.05  # below this one purchase would outweigh twenty others
PAIRS_NEEDED = 20  # users and items seen at two neighbouring places, before their ratio is believed
_BATCH = 20_000


class LabelPolicy(BaseModel):
    """When outcomes are known, and how much the place in a list does."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    attribution_days: int = Field(
        14,
        ge=1,
        description="so long after an answer an outcome is still its own; of users and items it equals split.holdout_days, "
        "which is its default",
    )
    late_days: int = Field(1, ge=0, description="so late outcomes may arrive")
    position_power: float = Field(
        1.0, ge=0, description="place k is viewed k^-power times as often as place 1, where the log has too few pairs"
    )

    def cohort_of(self, window: Window) -> Window:
        """The newest answers whose outcomes are all known at the end of a window; as many days as the window has."""
        back = timedelta(days=self.attribution_days + self.late_days)
        return Window(start=window.start - back, end=window.end - back)

    def is_mature(self, cohort: Window, as_of: date) -> bool:
        """Whether all outcomes of a cohort are known before a day."""
        return cohort.end + timedelta(days=self.attribution_days + self.late_days) <= as_of


def publish_exposures(use_case: str, cohort: Window, log: Iterable[Prediction], storage: Storage) -> DatasetRef | None:
    """What the log holds of a cohort, batch and online, as one snapshot; None where no answer was given.

    An answer belongs to the day of its features; one without stated features to the day when it was made. A cohort is
    published once, when it is mature: later answers from such old features are no exposures of that time. A few
    thousand answers at a time are in memory.
    """
    published = storage.current(use_case, EXPOSURES, cohort.label)
    answers = (one for one in log if cohort.start <= _day(one) < cohort.end)
    first = None if published else next(answers, None)
    if first is None:
        return published

    def write(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"day": pa.date32(), "made_at": pa.timestamp("us", "UTC"), "position": pa.int32(), "model_version": pa.int32()}
        kinds |= {c.PREDICTION: pa.float64()}
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in EXPOSURE_COLUMNS])
        folder.mkdir()
        rest = chain([first], answers)
        with pq.ParquetWriter(folder / "part-0.parquet", schema) as writer:
            while batch := list(islice(rest, _BATCH)):
                writer.write_table(pa.Table.from_pylist([row for one in batch for row in _as_rows(one)], schema=schema))

    return storage.publish(use_case=use_case, layer=EXPOSURES, partition=cohort.label, tables={c.ROWS: write}, facts={})


def _day(answer: Prediction) -> date:
    return answer.features_as_of or answer.made_at.date()


def _as_rows(answer: Prediction) -> list[dict[str, object]]:
    said = {
        "prediction_id": answer.prediction_id,
        "day": _day(answer),
        "made_at": answer.made_at,
        "channel": answer.channel,
        "subject": answer.subject,
        "path": answer.path,
        "model_version": answer.model_version,
    }
    items: Sequence[str | None] = answer.items or (None,) * len(answer.scores)
    return [
        {**said, "row_id": f"{answer.prediction_id}/{place}", c.ITEM_ID: item, "position": place, c.PREDICTION: score}
        for place, (item, score) in enumerate(zip(items, answer.scores, strict=False), start=1)
    ]


def read_outcomes(rows: DataFrame, task: TaskKind) -> DataFrame:
    """Validated rows -> `prediction_id` (null where it is unknown), `subject`, `item_id`, `event_at`, `label`, `value`."""
    from pyspark.sql import functions as F

    said = F.col("prediction_id") if "prediction_id" in rows.columns else F.lit(None).cast("string").alias("prediction_id")
    if task.answers_rows:
        return rows.where(F.col(c.TARGET).isNotNull()).select(
            said,
            F.col(c.ROW_ID).alias("subject"),
            F.lit(None).cast("string").alias(c.ITEM_ID),
            c.EVENT_AT,
            F.col(c.TARGET).cast("double").alias(c.LABEL),
            F.lit(0.0).alias(c.VALUE),
        )
    kept = rows.where(F.col(c.EVENT_TYPE) == problem_of(task).label_event).where(F.col(c.USER_ID).isNotNull())
    label = F.col(c.VALUE) if task.rates_pairs else F.lit(1.0)
    return kept.select(
        said,
        F.col(c.USER_ID).alias("subject"),
        c.ITEM_ID,
        c.EVENT_AT,
        label.cast("double").alias(c.LABEL),
        F.coalesce(F.col(c.VALUE), F.lit(0.0)).alias(c.VALUE),
    )


def attribute(exposures: DataFrame, outcomes: DataFrame, policy: LabelPolicy, task: TaskKind) -> DataFrame:
    """Each exposure with `label` (null: unknown), `value` (the money of its outcomes) and `outcomes` (how many it got)."""
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    numbered = outcomes.withColumn("outcome", F.monotonically_increasing_id())
    said = numbered.where(F.col("prediction_id").isNotNull()).alias("o")
    silent = numbered.where(F.col("prediction_id").isNull()).alias("o")
    shown = exposures.alias("e")
    same_item = F.col(f"o.{c.ITEM_ID}").eqNullSafe(F.col(f"e.{c.ITEM_ID}"))
    age = F.datediff(F.to_date(f"o.{c.EVENT_AT}"), F.col("e.day"))
    near = F.lit(True) if task.answers_rows else (age >= 0) & (age < policy.attribution_days)
    picked = [
        F.col("e.row_id"),
        F.col("e.day"),
        F.col("e.made_at"),
        F.col("o.outcome"),
        F.col(f"o.{c.LABEL}"),
        F.col(f"o.{c.VALUE}"),
    ]
    by_id = shown.join(said, (F.col("o.prediction_id") == F.col("e.prediction_id")) & same_item).select(*picked)
    by_pair = shown.join(silent, (F.col("o.subject") == F.col("e.subject")) & same_item & near).select(*picked)
    newest = Over.partitionBy("outcome").orderBy(F.desc("day"), F.desc("made_at"), "row_id")
    owned = by_id.unionByName(by_pair).withColumn("turn", F.row_number().over(newest)).where("turn = 1")
    outcome = owned.groupBy("row_id").agg(
        F.max_by(c.LABEL, "outcome").alias(c.LABEL), F.sum(c.VALUE).alias(c.VALUE), F.count("*").alias("outcomes")
    )
    silence = F.lit(0.0) if problem_of(task).silence_is_negative else F.lit(None).cast("double")
    known = {c.LABEL: silence, c.VALUE: F.lit(0.0), "outcomes": F.lit(0)}
    return exposures.join(outcome, "row_id", "left").withColumns(
        {name: F.coalesce(name, value) for name, value in known.items()}
    )


def find_propensities(labelled: DataFrame, policy: LabelPolicy) -> dict[int, float]:
    """Place -> how often it is viewed, place 1 being 1.

    The log shows it where the same user was shown the same item at two neighbouring places: what the item is worth to the
    user being the same, the purchases at the two places differ by the looking alone (Agarwal and others 2019). Where fewer
    than 20 pairs have a purchase, the declared power law applies.
    """
    from pyspark.sql import functions as F

    seen = (
        labelled.where(F.col(c.ITEM_ID).isNotNull()).groupBy("subject", c.ITEM_ID, "position").agg(F.avg(c.LABEL).alias("rate"))
    )
    here, below = seen.alias("a"), seen.alias("b")
    same = (F.col("a.subject") == F.col("b.subject")) & (F.col(f"a.{c.ITEM_ID}") == F.col(f"b.{c.ITEM_ID}"))
    found = (
        here.join(below, same & (F.col("b.position") == F.col("a.position") + 1))
        .groupBy(F.col("a.position").alias("position"))
        .agg(F.sum("a.rate").alias("here"), F.sum("b.rate").alias("below"))
        .collect()
    )
    ratios = {row["position"]: row["below"] / row["here"] for row in found if min(row["here"], row["below"]) >= PAIRS_NEEDED}
    most = labelled.agg(F.max("position").alias("most")).first()
    propensities = {1: 1.0}
    for place in range(1, (most["most"] or 1) if most else 1):
        declared = (place / (place + 1)) ** policy.position_power
        propensities[place + 1] = propensities[place] * min(1.0, ratios.get(place, declared))
    return {place: max(p, SMALLEST_PROPENSITY) for place, p in propensities.items()}


def measure_quality(labelled: DataFrame, propensities: Mapping[int, float], task: TaskKind) -> dict[str, float]:
    """Figures of a mature cohort; those of labels are missing where no label is known.

    Returns
    -------
    Of all: matured_answers; label_coverage, the share of the answers' items or rows whose label is known; value_per_answer.
    Of lists: hit_rate, the share of answers with a hit; hit_share, hits an item shown, and hit_share_corrected of places;
    dcg and dcg_corrected, the mean of sum of hits / log2(1 + place). Of probabilities: brier, calibration_ratio (promised
    over delivered, 1 is right), calibration_error of ten bins of equal width. Of ratings: rmse, mae.
    """
    from pyspark.sql import functions as F

    label, score = F.col(c.LABEL), F.col(c.PREDICTION)
    weight = F.coalesce(*[F.when(F.col("position") == place, 1 / p) for place, p in propensities.items()], F.lit(1.0))
    gain = label / F.log2(F.col("position") + 1)
    sums = labelled.agg(
        F.count_distinct("prediction_id").alias("answers"),
        F.count_distinct(F.when(label > 0, F.col("prediction_id"))).alias("hit"),
        F.count("*").alias("shown"),
        F.count(c.LABEL).alias("known"),
        F.sum(c.VALUE).alias("value"),
        F.sum(label).alias("labels"),
        F.sum(F.when(label.isNotNull(), score)).alias("promised"),
        F.sum(label * weight).alias("corrected"),
        F.sum(gain).alias("gain"),
        F.sum(gain * weight).alias("gain_corrected"),
        F.avg((score - label) ** 2).alias("squared"),
        F.avg(F.abs(score - label)).alias("absolute"),
    ).first()
    if sums is None or not sums["answers"]:
        return {}
    answers, shown = sums["answers"], sums["shown"]
    figures = {
        "matured_answers": float(answers),
        "label_coverage": sums["known"] / shown,
        "value_per_answer": sums["value"] / answers,
    }
    if not sums["known"]:
        return figures
    if task.rates_pairs:
        return {**figures, "rmse": sums["squared"] ** 0.5, "mae": sums["absolute"]}
    if problem_of(task).keeps_lists:
        figures |= {
            "hit_rate": sums["hit"] / answers,
            "hit_share": sums["labels"] / shown,
            "hit_share_corrected": sums["corrected"] / shown,
            "dcg": sums["gain"] / answers,
            "dcg_corrected": sums["gain_corrected"] / answers,
        }
    if not task.has_probabilities:
        return figures
    bins = labelled.where(label.isNotNull()).groupBy(F.least(F.floor(score * 10), F.lit(9)).alias("bin"))
    gaps = bins.agg(F.sum(score - label).alias("gap")).collect()
    figures |= {"brier": sums["squared"], "calibration_error": sum(abs(row["gap"]) for row in gaps) / sums["known"]}
    return figures | ({"calibration_ratio": sums["promised"] / sums["labels"]} if sums["labels"] else {})
