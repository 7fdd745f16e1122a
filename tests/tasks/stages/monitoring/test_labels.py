"""Late labels: which outcome belongs to which answer, and when a cohort counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.predictions import BATCH, ONLINE, Prediction
from tasks.io.events import KeptOutcome
from tasks.io.history import is_choice
from tasks.io.orders import find_open_orders, settle_orders
from tasks.io.storage import Storage
from tasks.stages.features.history import happened_in
from tasks.stages.features.interactions import make_labels
from tasks.stages.monitoring.exposures import EXPOSURES, OUTCOMES, publish_exposures
from tasks.stages.monitoring.labels import HAPPENED, LabelPolicy, attribute, read_outcomes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2011, 3, 1)
COHORT = Window(start=DAY, end=DAY + timedelta(days=7))
POLICY = LabelPolicy(attribution_days=3, late_days=1)


def moment(day: float = 0, hour: float = 0) -> datetime:
    return datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(days=day, hours=hour)


def answer(
    name: str, subject: str, items: tuple[str, ...] = ("a", "b"), day: int = 0, hour: float = 0, **changed: Any
) -> Prediction:
    """An online answer, of features of the same day."""
    fields: dict[str, Any] = {
        "prediction_id": name,
        "made_at": moment(day, hour),
        "use_case": "shop",
        "channel": ONLINE,
        "subject": subject,
        "model_version": 1,
        "manifest_digest": "a" * 64,
        "features_version": "f",
        "features_as_of": DAY + timedelta(days=day),
        "path": "model",
        "items": items,
        "scores": tuple(0.5 for _ in items) or (0.5,),
        "latency_ms": 1.0,
    }
    return Prediction(**{**fields, **changed})


def became(*rows: tuple[str, str | None, float, float, float]) -> pd.DataFrame:
    """(subject, item, day, label, value) of outcomes. Day 1.5 is noon of the second day."""
    names = ["subject", c.ITEM_ID, c.EVENT_AT, c.LABEL, c.VALUE]
    frame = pd.DataFrame([(row[0], row[1], moment(row[2]), *row[3:]) for row in rows], columns=names)
    kinds: dict[str, Any] = {"subject": object, c.ITEM_ID: object, c.EVENT_AT: "datetime64[us, UTC]"}
    kinds |= {c.LABEL: float, c.VALUE: float}
    frame = frame.astype(kinds).assign(outcome=[f"r{n}" for n in range(len(rows))])
    never = pd.Series(pd.NaT, frame.index, "datetime64[us, UTC]")
    return frame.assign(own_at=frame[c.EVENT_AT], returned_at=never)


def bought(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    """(user, item, day, value) of purchases."""
    return became(*((user, item, day, 1.0, value) for user, item, day, value in rows))


def sent(prediction: str, item: str, day: float, label: float = 1.0) -> KeptOutcome:
    return KeptOutcome(prediction, item, label, moment(day), moment(day))


Found = dict[tuple[str, str | None], tuple[Any, ...]]


def label(
    storage: Storage,
    log: Sequence[Prediction],
    outcomes: pd.DataFrame,
    told: Sequence[KeptOutcome] = (),
    task: TaskKind = TaskKind.PROPENSITY,
) -> Found:
    """(answer, item) -> label, value, number of outcomes, what happened; None where it is unknown."""
    span = POLICY.span_of(COHORT, task)
    ref = publish_exposures("shop", COHORT, span, iter(log), iter(told), storage)
    assert ref is not None
    exposures, sent = (storage.read(ref, table) for table in (c.ROWS, OUTCOMES))
    found = attribute(exposures, outcomes, sent, POLICY, task)
    columns = found[[c.LABEL, c.VALUE, "outcomes", HAPPENED]].astype(object)
    values = columns.where(columns.notna(), None).itertuples(index=False, name=None)
    return dict(zip(zip(found["prediction_id"], found[c.ITEM_ID], strict=True), values, strict=True))


def owners(found: Found) -> dict[tuple[str, str | None], int]:
    """(answer, item) -> how many outcomes it owns; those without are left out."""
    return {key: value[2] for key, value in found.items() if value[2]}


def test_a_cohort_counts_when_it_has_matured() -> None:
    window = Window(start=date(2011, 3, 20), end=date(2011, 3, 27))
    cohort = POLICY.cohort_of(window)
    assert cohort == Window(start=date(2011, 3, 16), end=date(2011, 3, 23))
    assert POLICY.is_mature(cohort, window.end) and not POLICY.is_mature(cohort, window.end - timedelta(days=1))
    assert POLICY.matures_on(cohort) == window.end
    assert POLICY.span_of(cohort, TaskKind.RATING) == Window(start=cohort.start, end=date(2011, 3, 26))
    assert POLICY.span_of(cohort, TaskKind.CLASSIFICATION).start == date(2011, 3, 13)


# exposures


def test_exposures_keep_place_channel_and_moment_of_all_answers_of_the_span(storage: Storage) -> None:
    span = POLICY.span_of(COHORT, TaskKind.PROPENSITY)
    late: dict[str, Any] = {"features_as_of": DAY, "made_at": moment(5, 8)}
    log = [
        answer("online", "u", ("a", "b", "c"), **late),
        answer("before", "u", day=-1),
        answer("after", "u", day=9),
        answer("far", "u", day=10),
        answer("batch", "row-1", (), channel=BATCH, **late),
        answer("rehearsal", "u", channel=BATCH, features_as_of=DAY - timedelta(days=90)),
        answer("session", "", path="similar"),
        answer("about", "item:a", path="similar"),
        answer("named", "item:a"),
    ]
    told = [sent("online", "a", 6), sent("batch", "", 6, 0.0)]
    ref = publish_exposures("shop", COHORT, span, iter(log), iter(told), storage)
    assert ref is not None
    rows = storage.read(ref).sort_values("row_id", ignore_index=True)
    assert set(rows["prediction_id"]) == {"online", "after", "batch", "session", "about", "named"}
    online = rows[rows["prediction_id"] == "online"]
    assert online["position"].tolist() == [1, 2, 3] and online[c.ITEM_ID].tolist() == ["a", "b", "c"]
    assert set(online["places"]) == {3} and set(online["at"]) == {moment(5, 8)}, "an online answer counts from its own moment"
    batch = rows[rows["prediction_id"] == "batch"]
    assert batch[[c.ITEM_ID, "channel"]].values.tolist() == [[None, BATCH]]
    assert set(batch["at"]) == {moment()} and set(batch["day"]) == {DAY}, "a batch answer counts from the day of its features"
    subjects = rows.groupby("prediction_id")["has_subject"].first()
    assert subjects.to_dict() == {name: name not in {"session", "about"} for name in subjects.index}
    outcomes = storage.read(ref, OUTCOMES).set_index("prediction_id")
    assert outcomes[c.ITEM_ID].to_dict() == {"online": "a", "batch": None} and outcomes[c.LABEL].to_dict()["batch"] == 0.0


def test_a_cohort_is_published_once_for_its_span(storage: Storage) -> None:
    log, span = [answer("p1", "u")], POLICY.span_of(COHORT, TaskKind.PROPENSITY)
    first = publish_exposures("shop", COHORT, span, iter(log), iter([]), storage)
    assert first is not None and first.rows == {"rows": 2, "outcomes": 0}
    more = [*log, answer("late", "v")]
    assert publish_exposures("shop", COHORT, span, iter(more), iter([]), storage) == first
    wider = Window(start=span.start, end=span.end + timedelta(days=1))
    again = publish_exposures("shop", COHORT, wider, iter(more), iter([]), storage)
    assert again is not None and again.rows == {"rows": 4, "outcomes": 0}, "another attribution window needs other answers"
    other = Window(start=date(2012, 1, 1), end=date(2012, 1, 2))
    assert publish_exposures("shop", other, other, iter(log), iter([]), storage) is None
    assert storage.partitions("shop", EXPOSURES) == [COHORT.label]


# which outcome belongs to which answer


def test_an_outcome_counts_only_for_answers_before_it(storage: Storage) -> None:
    """Bought at 8, answered at 20; answered at 8 and at 20, bought at 12; from features that are days old."""
    old: dict[str, Any] = {"features_as_of": DAY - timedelta(days=3)}
    log = [
        answer("evening", "u", ("a",), hour=20),
        answer("morning", "v", ("a",), hour=8),
        answer("night", "v", ("a",), hour=20),
        answer("stale", "w", ("a", "b"), **old),
        answer("batch", "x", ("a", "b"), channel=BATCH, hour=30, features_as_of=DAY),
    ]
    outcomes = bought(
        ("u", "a", 8 / 24, 1.0),
        ("v", "a", 0.5, 1.0),
        ("w", "a", -1, 1.0),
        ("w", "b", 2.9, 1.0),
        ("x", "a", 0.1, 1.0),
        ("x", "b", 3.0, 1.0),
    )
    found = label(storage, log, outcomes)
    assert owners(found) == {("morning", "a"): 1, ("stale", "b"): 1, ("batch", "a"): 1}
    assert all(value[0] == value[3] for value in found.values()), "and nothing else came true either"


def test_outcomes_belong_to_the_newest_answer_that_showed_the_item(storage: Storage) -> None:
    log = [answer("p1", "u"), answer("p2", "u", day=1), answer("p3", "v"), answer("p4", "w", day=2)]
    outcomes = bought(
        ("u", "a", 2, 5.0),  # shown on days 0 and 1
        ("u", "b", 0.4, 1.0),  # before the second answer
        ("u", "b", 9, 1.0),  # after the attribution window of both
        ("v", "z", 1, 1.0),  # never shown
        ("w", "a", 1, 1.0),  # bought before it was shown
        ("v", "a", 2, 3.0),
        ("v", "a", 2.5, 4.0),  # twice: one label, both amounts
    )
    found = label(storage, log, outcomes)
    hits = {key: value for key, value in found.items() if value[2]}
    assert hits == {("p2", "a"): (1.0, 5.0, 1, 1.0), ("p1", "b"): (1.0, 1.0, 1, 1.0), ("p3", "a"): (1.0, 7.0, 2, 1.0)}
    assert found["p1", "a"] == (0.0, 0.0, 0, 1.0), "what the older answer forecast came true, and is not its own"
    assert found["p4", "a"] == (0.0, 0.0, 0, 0.0), "who did not buy, did not buy"


def test_one_purchase_of_a_user_with_an_answer_a_day_counts_once(storage: Storage) -> None:
    """Over all cohorts: the days after a cohort are of the span, so that their answers take what is theirs."""
    log = [answer(f"p{day}", "u", ("a",), day, channel=BATCH) for day in range(10)]
    found = label(storage, log, bought(("u", "a", 8.5, 10.0)))
    assert sum(value[1] for value in found.values()) == 10.0
    assert owners(found) == {("p8", "a"): 1}
    assert [name for (name, _), value in found.items() if value[3]] == ["p6", "p7", "p8"], "three forecasts came true"


def test_one_purchase_counts_once_over_all_daily_cohorts(storage: Storage) -> None:
    policy, log = LabelPolicy(), [answer(f"p{day}", "u", ("a",), day, channel=BATCH) for day in range(30)]
    worth = {}
    for day in range(30):
        cohort = Window(start=DAY + timedelta(days=day), end=DAY + timedelta(days=day + 1))
        span = policy.span_of(cohort, TaskKind.PROPENSITY)
        ref = publish_exposures("shop", cohort, span, iter(log), iter([]), storage)
        assert ref is not None
        exposures, told = (storage.read(ref, table) for table in (c.ROWS, OUTCOMES))
        found = attribute(exposures, bought(("u", "a", 20.5, 10.0)), told, policy, TaskKind.PROPENSITY)
        worth[day] = found.loc[found["day"] == cohort.start, c.VALUE].sum()
    assert sum(worth.values()) == worth[20] == 10.0


def test_an_id_decides_the_owner(storage: Storage) -> None:
    log = [answer("p1", "u"), answer("p2", "u", day=1)]
    told = [
        sent("p1", "a", 2),
        sent("p2", "z", 2),  # not an item of that answer
        sent("p2", "", 2),  # which of the two items
        sent("unknown", "a", 2),
        sent("p2", "b", 0.5),  # before the answer
        sent("p1", "b", 9),  # after its attribution window
    ]
    found = label(storage, log, bought(), told)
    assert owners(found) == {("p1", "a"): 1}
    assert found["p2", "a"] == (0.0, 0.0, 0, 1.0), "the user bought it, and says because of which answer"


def test_an_event_belongs_to_the_answer_that_its_own_outcome_names(storage: Storage) -> None:
    """A purchase that is sent by id and delivered by the source, too, is the same purchase."""
    log = [answer("p1", "u"), answer("p2", "u", day=1)]
    found = label(storage, log, bought(("u", "a", 2, 5.0)), [sent("p1", "a", 2)])
    assert found["p1", "a"][:2] == (1.0, 5.0) and found["p2", "a"][:3] == (0.0, 0.0, 0)


def test_a_sent_no_is_no_outcome_of_other_answers(storage: Storage) -> None:
    log = [answer("p1", "u", ("a",)), answer("p2", "u", ("a",), hour=1)]
    found = label(storage, log, bought(("u", "a", 1, 5.0)), [sent("p2", "a", 0.5, 0.0)])
    assert [found[name, "a"][3] for name in ("p1", "p2")] == [1.0, 1.0], "who bought later, bought"


def test_answers_for_nobody_are_known_by_id_only(storage: Storage) -> None:
    log = [answer("s1", "", path="similar"), answer("s2", "", path="similar")]
    found = label(storage, log, bought(("", "a", 1, 5.0)), [sent("s1", "a", 1)])
    assert found["s1", "a"] == (1.0, 0.0, 1, 1.0)
    assert found["s2", "a"][0] is None and found["s1", "b"][0] is None, "silence of nobody is no answer"


def test_the_last_rating_counts_in_whatever_order_it_came(storage: Storage) -> None:
    log = [answer("p1", "u", ("a",))]
    rated = became(("u", "a", 1, 1.0, 0.0), ("u", "a", 2, 5.0, 0.0))
    for rows in (rated, rated.iloc[::-1].assign(outcome=["r0", "r1"])):
        assert label(storage, log, rows, task=TaskKind.RATING) == {("p1", "a"): (5.0, 0.0, 2, 5.0)}


def test_an_outcome_of_a_whole_answer_fits_one_of_one_item(storage: Storage) -> None:
    log = [answer("p1", "u", ("a",))]
    found = label(storage, log, became(("u", "a", 1, 1.0, 0.0)), [sent("p1", "", 2, 3.0)], TaskKind.RATING)
    assert found["p1", "a"] == (3.0, 0.0, 2, 3.0), "the later one of the two"


def test_rows_find_their_class(storage: Storage) -> None:
    """By the id of the answer, or by their own: the last answer before the class was known, else the first after."""

    def scored(name: str, row: str, day: int, **changed: Any) -> Prediction:
        return answer(name, row, (), day, **{"channel": BATCH, **changed})

    log = [
        *(scored(f"waits-{day}", "r1", day) for day in (0, 1, 2)),
        *(scored(f"known-{day}", "r2", day) for day in (0, 1, 2)),
        scored("silent", "r3", 0),
        scored("old", "r4", 3),
        scored("first", "0", 0, channel=ONLINE),
        scored("second", "0", 0, channel=ONLINE),
    ]
    classes = became(("r1", None, 1.5, 1.0, 0.0), ("r2", None, -0.5, 0.0, 0.0), ("r4", None, -1, 1.0, 0.0))
    found = label(storage, log, classes, [sent("first", "", 1)], TaskKind.CLASSIFICATION)
    assert owners(found) == {("waits-1", None): 1, ("known-0", None): 1, ("first", None): 1}
    assert found["waits-1", None][0] == 1.0 and found["known-0", None][0] == 0.0 and found["first", None][0] == 1.0
    assert found["silent", None][0] is None and found["old", None][0] is None
    assert found["second", None][3] is None, "row 0 of another request is another row"


@pytest.mark.parametrize("task", list(TaskKind))
def test_no_answers_and_no_outcomes_have_labels_of_their_kind(storage: Storage, task: TaskKind) -> None:
    found = label(storage, [answer("p1", "u", () if task.answers_rows else ("a",))], became(), task=task)
    (only,) = found.values()
    assert only == ((0.0, 0.0, 0, 0.0) if task in {TaskKind.RECOMMENDATION, TaskKind.PROPENSITY} else (None, 0.0, 0, None))


SCHEMA = (
    "row_id string, event_type string, user_id string, item_id string, event_id string, line_id string, quantity double, "
    "value double, event_at timestamp, ingested_at timestamp"
)


def deliver(
    spark: SparkSession, *rows: tuple[str, str, str | None, str, str | None, float, float | None, float, float]
) -> DataFrame:
    """(row, kind, user, item, order, pieces, value, day, day of delivery)."""
    made = [
        (*row[:5], None, float(row[5]), None if row[6] is None else float(row[6]), moment(row[7]), moment(row[8]))
        for row in rows
    ]
    return spark.createDataFrame(made, SCHEMA)


def read(source: DataFrame, task: TaskKind) -> pd.DataFrame:
    found: pd.DataFrame = read_outcomes(source, task, keep=lambda frame: frame).toPandas()
    return found.sort_values("outcome", ignore_index=True)


def rows_of(found: pd.DataFrame) -> list[tuple[Any, ...]]:
    columns = ["outcome", "subject", c.ITEM_ID, c.LABEL, c.VALUE]
    return list(found[columns].astype(object).itertuples(index=False, name=None))


def test_outcomes_are_read_of_events_and_of_rows(spark: SparkSession) -> None:
    frame = deliver(
        spark,
        ("r0", c.PURCHASE, "u", "a", None, 1, 2.5, 1, 1),
        ("r1", c.PURCHASE, "v", "a", None, 1, None, 1, 1),
        ("r2", c.PURCHASE, None, "a", None, 1, 1.0, 1, 1),
        ("r3", c.RATING, "u", "a", None, 1, 4.0, 1, 1),
        ("r4", c.VIEW, "u", "a", None, 1, None, 1, 1),
    )
    assert rows_of(read(frame, TaskKind.PROPENSITY)) == [("r0", "u", "a", 1.0, 2.5), ("r1", "v", "a", 1.0, 0.0)]
    assert rows_of(read(frame, TaskKind.RATING)) == [("r3", "u", "a", 4.0, 0.0)]
    table = spark.createDataFrame(
        [("r0", 1, moment(1), moment(2)), ("r1", None, moment(1), moment(2))],
        "row_id string, target long, event_at timestamp, ingested_at timestamp",
    )
    found = read(table, TaskKind.CLASSIFICATION)
    assert rows_of(found) == [("r0", "r0", None, 1.0, 0.0)]
    assert list(found[c.EVENT_AT].dt.tz_localize("UTC")) == [moment(2)], "a class is known from its delivery on"


def test_a_class_is_that_of_the_newest_delivery_under_the_name_of_the_row(spark: SparkSession, storage: Storage) -> None:
    """The answers carry the name that the source gives a row; deliveries have other row numbers."""
    from pyspark.sql import functions as F

    table = spark.createDataFrame(
        [
            ("mon:1", "e1", None, moment(0), moment(0)),
            ("tue:7", "e1", 0, moment(0), moment(1)),
            ("wed:3", "e1", 1, moment(0), moment(2)),
            ("tue:8", "e2", 1, moment(0), moment(1)),
            ("wed:4", "e2", None, moment(0), moment(2)),
            ("wed:5", None, 1, moment(0), moment(2)),
        ],
        "row_id string, event_id string, target long, event_at timestamp, ingested_at timestamp",
    ).withColumn(c.SOURCE_FILE, F.split_part(c.ROW_ID, F.lit(":"), F.lit(1)))
    found = read(table, TaskKind.CLASSIFICATION)
    assert rows_of(found) == [("e1", "e1", None, 1.0, 0.0), ("wed:5", "wed:5", None, 1.0, 0.0)]
    assert list(found[c.EVENT_AT].dt.tz_localize("UTC")) == [moment(1), moment(2)], (
        "known since the first delivery that had a class"
    )
    log = [answer(f"p{day}", "e1", (), day, channel=BATCH) for day in range(2)]
    assert label(storage, log, found, task=TaskKind.CLASSIFICATION)["p1", None][0] == 1.0


def test_corrected_and_returned_purchases_are_no_outcomes_as_they_are_no_labels(spark: SparkSession, storage: Storage) -> None:
    """Right values: o1 of 20 became one of 30; b came back; of c one piece stayed; d came back after the window."""
    buy, back = c.PURCHASE, c.RETURN
    frame = deliver(
        spark,
        ("r0", buy, "u", "a", "o1", 2, 20.0, 1, 1),
        ("r1", buy, "u", "a", "o1", 3, 30.0, 1, 2),
        ("r2", buy, "u", "b", "o2", 1, 5.0, 1, 1),
        ("r3", back, "u", "b", None, -1, -5.0, 2, 2),
        ("r4", buy, "u", "c", "o3", 2, 8.0, 1, 1),
        ("r5", back, "u", "c", "o3", -1, -4.0, 2, 2),
        ("r6", buy, "u", "d", None, 1, 7.0, 1, 1),
        ("r7", back, "u", "d", None, -1, -7.0, 4, 4),
        ("r8", buy, "u", "e", "o4", 1, 1.0, 0.9, 1.1),
        ("r9", buy, "u", "e", "o4", 1, 1.0, 1.1, 1.1),
    )
    found = read(frame, TaskKind.PROPENSITY)
    assert rows_of(found)[:2] == [("r1", "u", "a", 1.0, 30.0), ("r2", "u", "b", 1.0, 5.0)]
    log = [answer("p", "u", ("a", "b", "c", "d", "e")), answer("late", "u", ("d",), 2), answer("noon", "u", ("e",), 1)]
    attributed = label(storage, log, found, [sent("p", "b", 1)])
    hits = {key: value[:3] for key, value in attributed.items() if value[2]}
    expected = {"a": (1.0, 30.0, 1), "c": (1.0, 8.0, 1), "d": (1.0, 7.0, 1), "e": (1.0, 2.0, 1)}
    assert hits == {("p", item): value for item, value in expected.items()}, "a basket belongs to its first moment"
    window = Window(start=DAY, end=DAY + timedelta(days=POLICY.attribution_days))
    choices = frame.where(is_choice())
    settled = settle_orders(choices, find_open_orders(choices, lambda one: one), order_days=7)
    labelled = {row[c.ITEM_ID] for row in make_labels(settled.where(happened_in(window)), TaskKind.PROPENSITY).collect()}
    happened = {item for (name, item), value in attributed.items() if name == "p" and value[3] == 1.0}
    assert labelled == happened == {"a", "c", "d", "e"}, "labels of training and of monitoring are the same"


def test_of_a_session_the_last_rating_counts(spark: SparkSession, storage: Storage) -> None:
    rating = c.RATING
    frame = deliver(spark, ("r1", rating, "u", "a", "s", 1, 5.0, 0.99, 1.01), ("r0", rating, "u", "a", "s", 1, 1.0, 1.01, 1.01))
    attributed = label(storage, [answer("p", "u", ("a",))], read(frame, TaskKind.RATING), task=TaskKind.RATING)
    assert attributed["p", "a"] == (1.0, 0.0, 2, 1.0)
