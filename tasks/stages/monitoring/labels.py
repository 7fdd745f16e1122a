"""Labels that arrive late: which outcome belongs to which answer, and when an answer may be judged.

A cohort is the answers of one window. It is judged when its attribution window, and the days by which outcomes come late, are
over. An outcome counts only for answers that were given before it, at most `attribution_days` earlier. Of these it belongs to
one: to the answer whose id it carries; else to one whose outcome of this user and item was sent by id; else to the newest one
that showed this user this item, whichever cohort that is of. The label of an answer without an outcome is 0 where silence is
an answer (who did not buy, did not buy); ratings and classes that have not come stay unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.calendar import UTC_ZONE
from tasks.io.days import add_local_days
from tasks.io.history import is_choice, keep_newest, name_of
from tasks.io.orders import ORDER_DAYS, OUTCOME, OWN_AT, RETURNED_AT, find_open_orders, list_outcomes, settle_orders
from tasks.problems import problem_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

HAPPENED = "happened"  # the label of an answer by itself, whichever answer the outcome belongs to


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
    position_power: float | None = Field(
        None,
        ge=0,
        description="place k is viewed k^-power times as often as place 1, where answers of random order do not show it; "
        "null: there are no corrected figures without such answers",
    )

    def cohort_of(self, window: Window) -> Window:
        """The newest answers whose outcomes are all known at the end of a window; as many days as the window has."""
        back = timedelta(days=self.attribution_days + self.late_days)
        return Window(start=window.start - back, end=window.end - back)

    def span_of(self, cohort: Window, task: TaskKind) -> Window:
        """The cohort, and the days around it whose answers may own an outcome instead of the cohort's.

        These are the days after it. Of rows they are the days before it, too: a row whose label came with it belongs to
        its first answer.
        """
        around = timedelta(days=self.attribution_days)
        start = cohort.start - around if task.answers_rows else cohort.start
        return Window(start=start, end=cohort.end + around)

    def matures_on(self, cohort: Window) -> date:
        """The first day on which all outcomes of a cohort are known."""
        return cohort.end + timedelta(days=self.attribution_days + self.late_days)

    def is_mature(self, cohort: Window, as_of: date) -> bool:
        """Whether all outcomes of a cohort are known before a day."""
        return self.matures_on(cohort) <= as_of


def read_outcomes(
    rows: DataFrame,
    task: TaskKind,
    order_days: float = ORDER_DAYS,
    *,
    keep: Callable[[DataFrame], DataFrame],
    zone: ZoneInfo = UTC_ZONE,
) -> DataFrame:
    """Validated rows -> `outcome` (its id), `subject`, `item_id`, `event_at`, `own_at`, `returned_at`, `label`, `value`.

    What an outcome is, is what it is in labels that models learn: the newest delivery counts, an order has one moment, and
    what was bought and wholly returned within the attribution window was no purchase (see `tasks.io.orders`). The label of a
    row counts from its first delivery with a label, because the row's own time is that of its features.

    Parameters
    ----------
    order_days : see `settle_orders`.
    keep : caches rows that are read more than once.
    zone : whose days are those of orders.
    """
    from pyspark.sql import Window as Over
    from pyspark.sql import functions as F

    if task.answers_rows:
        of_a_row = Over.partitionBy(name_of(rows))
        delivered = F.min(F.when(F.col(c.TARGET).isNotNull(), F.col(c.INGESTED_AT))).over(of_a_row)
        labelled = keep_newest(rows.withColumn(OWN_AT, delivered)).where(F.col(c.TARGET).isNotNull())
        return labelled.select(
            F.col(c.ROW_ID).alias(OUTCOME),
            F.col(c.ROW_ID).alias("subject"),
            F.lit(None).cast("string").alias(c.ITEM_ID),
            F.col(OWN_AT).alias(c.EVENT_AT),
            F.col(OWN_AT).alias("own_at"),
            F.lit(None).cast("timestamp").alias(RETURNED_AT),
            F.col(c.TARGET).cast("double").alias(c.LABEL),
            F.lit(0.0).alias(c.VALUE),
        )
    choices = rows.where(is_choice())
    settled = settle_orders(choices, find_open_orders(choices, keep, zone), order_days)
    return list_outcomes(settled, problem_of(task).label_event).select(
        OUTCOME,
        F.col(c.USER_ID).alias("subject"),
        c.ITEM_ID,
        c.EVENT_AT,
        F.col(OWN_AT).alias("own_at"),
        RETURNED_AT,
        (F.col(c.VALUE) if task.rates_pairs else F.lit(1.0)).cast("double").alias(c.LABEL),
        (F.lit(0.0) if task.rates_pairs else F.coalesce(F.col(c.VALUE), F.lit(0.0))).alias(c.VALUE),
    )


def attribute(
    exposures: pd.DataFrame,
    outcomes: pd.DataFrame,
    sent: pd.DataFrame,
    policy: LabelPolicy,
    task: TaskKind,
    zone: ZoneInfo = UTC_ZONE,
) -> pd.DataFrame:
    """Each exposure with `label` (missing: unknown), `value` (money), `outcomes` (how many it owns) and `happened`.

    `label` and `value` are of the outcomes that the exposure owns. `happened` is what a forecast of the exposure's own
    attribution window is compared with: an outcome comes true for several forecasts, and belongs to one of them.

    Parameters
    ----------
    exposures : of the whole span (see `LabelPolicy.span_of`), so that an outcome is not owned by an older cohort, too; at
        least all of the subjects that it has.
    outcomes : see `read_outcomes`; all of those subjects.
    sent : `prediction_id`, `item_id` (missing: the whole answer), `event_at`, `label`, as clients sent them.
    zone : whose days the attribution window is of. A day in it has 23 or 25 hours where clocks change.
    """
    import numpy as np
    import pandas as pd

    outcomes, sent = _in_utc(outcomes), _in_utc(sent)
    named = _find_named(exposures, sent, policy, zone)
    shown = exposures[exposures["has_subject"]]
    keys = ["subject"] if task.answers_rows else ["subject", c.ITEM_ID]
    found = _join(shown, outcomes, keys, policy, zone, either_way=task.answers_rows)
    fitting = found[~found["came_back"]]
    has_returned = named[c.ROW_ID].isin(found[c.ROW_ID]) & ~named[c.ROW_ID].isin(fitting[c.ROW_ID])
    named = named[~(has_returned & (named[c.LABEL] > 0))]  # a purchase that is sent and delivered, and came back
    own = fitting.assign(
        is_other=~fitting[c.ROW_ID].isin(named[c.ROW_ID]),
        is_later=fitting["gap"] < pd.Timedelta(0),
        distance=fitting["gap"].abs(),
    )
    order = {"outcome": True, "is_other": True, "is_later": True, "distance": True, "made_at": False, c.ROW_ID: True}
    own = own.sort_values(list(order), ascending=list(order.values())).drop_duplicates("outcome")
    owned = pd.concat([own[_FOUND], named[_FOUND]])
    seen = [fitting[_FOUND], named[_FOUND]]
    if not task.answers_rows:  # the name of a row is its caller's own, and may be another row in another request
        again = named.loc[named["has_subject"] & (named[c.LABEL] != 0), [*keys, *_OUTCOME]]
        seen.append(_join(shown, again, keys, policy, zone)[_FOUND])
    labels = {c.LABEL: _make_labels(owned, task), HAPPENED: _make_labels(pd.concat(seen), task)}
    silence = 0.0 if problem_of(task).silence_is_negative else np.nan
    silent = pd.Series(np.where(exposures["has_subject"], silence, np.nan), exposures.index)
    names, of_row = exposures[c.ROW_ID], owned.groupby(c.ROW_ID)
    return exposures.assign(
        **{name: names.map(label).fillna(silent) for name, label in labels.items()},
        **{c.VALUE: names.map(of_row[c.VALUE].sum()).fillna(0.0)},
        outcomes=names.map(of_row["outcome"].nunique()).fillna(0).astype("int64"),
    )


def find_buyers(
    exposures: pd.DataFrame, outcomes: pd.DataFrame, policy: LabelPolicy, zone: ZoneInfo = UTC_ZONE
) -> NDArray[np.bool_]:
    """Of each exposure, (exposures,), whether its subject did anything in the attribution window, with whichever item."""
    asked = exposures[exposures["has_subject"]].drop_duplicates(["subject", "at"])
    came = _join(asked, _in_utc(outcomes), ["subject"], policy, zone)
    moments = asked[asked[c.ROW_ID].isin(came.loc[~came["came_back"], c.ROW_ID])].set_index(["subject", "at"]).index
    return exposures.set_index(["subject", "at"]).index.isin(moments)


_OUTCOME = [OUTCOME, c.EVENT_AT, "own_at", RETURNED_AT, c.LABEL, c.VALUE]
_FOUND = [c.ROW_ID, *_OUTCOME]  # an exposure, and an outcome that fits it


def _in_utc(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its moments in UTC; Spark's are without a zone."""
    import pandas as pd

    moments = [name for name in (c.EVENT_AT, "own_at", RETURNED_AT) if name in frame]
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True).dt.as_unit("us") for name in moments})


def _join(
    exposures: pd.DataFrame,
    outcomes: pd.DataFrame,
    keys: list[str],
    policy: LabelPolicy,
    zone: ZoneInfo,
    *,
    either_way: bool = False,
) -> pd.DataFrame:
    """The pairs of exposures and outcomes with the same keys, with `gap`, the time from the first to the second.

    `came_back`: whether it was wholly returned before the attribution window of the exposure ended, as inside a label window.

    Parameters
    ----------
    either_way : whether the outcome may be the first of the two.
    """
    found = exposures[[c.ROW_ID, "at", "made_at", *keys]].merge(outcomes[[*keys, *_OUTCOME]], on=keys)
    return _keep_near(found, policy, zone, either_way=either_way)


def _keep_near(found: pd.DataFrame, policy: LabelPolicy, zone: ZoneInfo, *, either_way: bool = False) -> pd.DataFrame:
    import pandas as pd

    came, at = found[c.EVENT_AT], pd.to_datetime(found["at"], utc=True)
    end = add_local_days(at, policy.attribution_days, zone)
    is_after = came > add_local_days(at, -policy.attribution_days, zone) if either_way else came >= at
    return found.assign(gap=came - at, came_back=found[RETURNED_AT] < end)[is_after & (came < end)]


def _find_named(exposures: pd.DataFrame, sent: pd.DataFrame, policy: LabelPolicy, zone: ZoneInfo) -> pd.DataFrame:
    """The outcomes that carry the id of an answer, with its exposure. One of a whole answer fits answers of one place."""
    import pandas as pd

    shown = exposures[[c.ROW_ID, "prediction_id", "at", "subject", "has_subject", c.ITEM_ID, "places"]]
    found = shown.merge(sent.rename(columns={c.ITEM_ID: "sent_item"}), on="prediction_id")
    found = found.assign(own_at=found[c.EVENT_AT], **{RETURNED_AT: pd.Series(pd.NaT, found.index, "datetime64[us, UTC]")})
    is_whole = found["sent_item"].isna() & (found["places"] == 1)
    near = _keep_near(found[(found["sent_item"] == found[c.ITEM_ID]) | is_whole], policy, zone)
    return near.assign(outcome="sent:" + near[c.ROW_ID], **{c.VALUE: 0.0})


def _make_labels(found: pd.DataFrame, task: TaskKind) -> pd.Series[float]:
    """Exposure -> label: bought once is bought; of ratings and classes the last one counts, as in training."""
    if problem_of(task).silence_is_negative:
        return found.groupby(c.ROW_ID)[c.LABEL].max()
    ordered = found.sort_values([c.ROW_ID, "own_at", c.LABEL, OUTCOME])
    return ordered.drop_duplicates(c.ROW_ID, keep="last").set_index(c.ROW_ID)[c.LABEL]
