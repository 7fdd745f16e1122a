"""Mutations of data: broken files, rows that break their suite, and rows from the future."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Severity
from tasks.io.orders import OWN_AT
from tasks.io.spark import get_spark
from tasks.stages.features import FeatureRequest, FeatureSpec, build_features, split
from tasks.stages.features.guards import ENOUGH_EVENTS
from tasks.stages.features.spec import ByTime
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.profiling import profile
from tasks.stages.validation import validate
from tests.proof.proof import Mutation, Workbench
from tests.tasks.stages.ingestion.source_examples import find_source_examples
from tests.tasks.stages.validation.suite_runner import SUITES, WINDOW, judge, judge_twins, load, to_frame, twin_id
from tests.tasks.stages.validation.twins import BROKEN_BATCHES, BROKEN_ROWS, GOOD, UNUSUAL, Row

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# files

EXAMPLES = find_source_examples()


def _deliver(kind: str, name: str, change: tuple[str, str, str], place: Workbench) -> object:
    """Ingest the sample files of a source after one change: a replaced text, or an emptied file if there is no text."""
    folder, window = EXAMPLES[kind].make(place.folder / "sources" / f"{kind}-{name}")
    file, old, new = change
    if file and folder is not None:
        path = folder / file
        text = path.read_bytes().decode("latin-1")
        path.write_bytes((text.replace(old, new, 1) if old else "").encode("latin-1"))
    source = SOURCES.parse({"kind": kind, **EXAMPLES[kind].settings}, "proof")
    return ingest(f"{kind}_{name}"[:60], source, folder, window, place.storage)


FAULTS = {(kind, name): fault for kind, one in EXAMPLES.items() for name, fault in one.faults.items()}

# the suites


def _break_one_rule(suite: str, rule: str, place: Workbench) -> tuple[str, ...]:
    """The rules that the broken twin of one rule breaks."""
    good = GOOD[suite]()
    if rule in BROKEN_BATCHES[suite]:
        rows = BROKEN_BATCHES[suite][rule](good)
        results, _ = judge(get_spark(), load(suite), rows, rows[0] if rows else good[0], **UNUSUAL.get(rule, {}))
        return tuple(f"validate/{suite}.{name}" for name, result in results.items() if not result.passed)
    results, rules_of_row = judge_twins(get_spark(), suite)
    broken = list(rules_of_row.get(twin_id(good[0], list(BROKEN_ROWS[suite]).index(rule)), []))
    result = results[rule]
    if result.severity is Severity.WARN and result.broken_rows == 1:  # a warning stops nothing, but reports the row
        broken.append(rule)
    return tuple(f"validate/{suite}.{name}" for name in broken)


def _break_no_rule(suite: str, place: Workbench) -> tuple[str, ...]:
    good = GOOD[suite]()
    results, _ = judge(get_spark(), load(suite), good, good[0])
    return tuple(f"validate/{suite}.{name}" for name, result in results.items() if not result.passed)


def _validate(suite: str, name: str, change: Row, place: Workbench) -> object:
    """Validate a raw snapshot after `change` is applied to every row."""
    rows = [row | change for row in GOOD[suite]()]
    raw = _publish(place, f"{suite}_{name}", c.RAW, rows)
    return validate(raw, suite, 0.0, place.storage, SUITES)


def _rescale(place: Workbench) -> object:
    """Ratings in percent instead of stars."""
    rows = [row | {c.VALUE: 20.0 * row[c.VALUE]} for row in GOOD["film_ratings"]()]
    return validate(_publish(place, "ratings_percent", c.RAW, rows), "film_ratings", 0.0, place.storage, SUITES)


def _publish(place: Workbench, use_case: str, layer: str, rows: list[Row]) -> DatasetRef:
    def write(folder: Path) -> None:
        to_frame(get_spark(), rows, rows[0]).coalesce(1).write.parquet(str(folder))

    return place.storage.publish(use_case=use_case, layer=layer, partition=WINDOW.label, tables={c.ROWS: write})


NULLS: dict[str, Row] = {
    "invoice_lines": {c.ITEM_ID: None, c.QUANTITY: None, c.UNIT_PRICE: None, c.VALUE: None},
    "interactions": {c.ITEM_ID: None},
    "ratings": {c.USER_ID: None, c.VALUE: None},
    "film_ratings": {c.USER_ID: None, c.VALUE: None},
    "tables": {c.EVENT_AT: None},
    "tumours": {c.TARGET: None},
}
delivered = {kind: partial(_deliver, kind, "good", ("", "", "")) for kind in EXAMPLES}
honest = {suite: partial(_break_no_rule, suite) for suite in GOOD}
validated = {suite: partial(_validate, suite, "honest", {}) for suite in GOOD}

# rows that were not known as of the day

AS_OF, WEEK = date(2011, 3, 1), 7
SPEC = FeatureSpec(lookback_days=(7, 28))


def _buys(place: int, at: datetime, known: datetime) -> Row:
    changes: dict[str, Any] = {c.EVENT_AT: at, c.INGESTED_AT: known, c.EVENT_ID: f"e{place}", c.ROW_ID: f"f:{place}"}
    return GOOD["invoice_lines"]()[0] | changes | {c.USER_ID: f"u{place % 3}", c.ITEM_ID: f"i{place % 2}"}


def _past() -> list[Row]:
    noon = datetime(2011, 3, 1, 12, tzinfo=UTC)
    return [_buys(back, noon - timedelta(days=back), noon - timedelta(days=back - 1)) for back in range(1, 35)]


def _late(is_known: bool) -> list[Row]:
    """Two rows of the last days: one arrived after the day, one is dated after it. If `is_known`, both are in time."""
    inside, after = datetime(2011, 2, 27, 10, tzinfo=UTC), datetime(2011, 3, 2, tzinfo=UTC)
    times = [(inside, inside), (inside, inside)] if is_known else [(inside, after), (after, inside)]
    return [_buys(100 + place, *pair) | {c.ITEM_ID: "an item of its own"} for place, pair in enumerate(times)]


def _leak(verb: str, is_known: bool, place: Workbench) -> tuple[str, ...]:
    """The verb as its guard if extra rows do not change its data. Late rows must not, and rows known in time must."""
    digests = []
    for name, rows in (("without", _past()), (f"known_{is_known}".lower(), _past() + _late(is_known))):
        history = [_publish(place, f"leak_{verb}_{name}", c.VALIDATED, rows)]
        request = FeatureRequest(f"leak_{verb}_{name}", TaskKind.PROPENSITY, SPEC, history, AS_OF)
        if verb == "split":
            digests.append(split(request, ByTime(holdout_days=WEEK), place.storage, seed=7).digest)
        else:
            digests.append(build_features(request, place.storage).digest)
    return (verb,) if digests[0] == digests[1] else ()


def _leave_orders(rows: DataFrame, *_: object) -> DataFrame:
    return rows.withColumn(OWN_AT, rows[c.EVENT_AT])


def _cut_through(is_settled: bool, place: Workbench) -> object:
    """Split data with one basket on both sides of the beginning of the holdout. If `is_settled`, it is of its first moment."""
    late, early = (datetime(2011, 2, 22, tzinfo=UTC) + timedelta(minutes=minutes) for minutes in (1, -1))
    rows = [_buys(200, early, early), _buys(203, late, late) | {c.EVENT_ID: "e200"}]
    name = f"cut_{is_settled}".lower()
    history = [_publish(place, name, c.VALIDATED, _past() + rows)]
    request = FeatureRequest(name, TaskKind.PROPENSITY, SPEC, history, AS_OF)
    with nullcontext() if is_settled else patch("tasks.stages.features.builders.settle_orders", _leave_orders):
        return split(request, ByTime(holdout_days=WEEK), place.storage, seed=7)


def _number_anew(is_stated: bool, place: Workbench) -> object:
    """Split the orders of a till whose numbers begin anew each day. If `is_stated`, the use case says so."""
    noon = datetime(2011, 3, 1, 12, tzinfo=UTC)
    days = [noon - timedelta(days=back) for back in range(1, 35)]
    rows = [
        _buys(place * len(days) + number, day, day) | {c.EVENT_ID: f"e{number}"}
        for place, day in enumerate(days)
        for number in range(ENOUGH_EVENTS)
    ]
    name = f"anew_{is_stated}".lower()
    spec = FeatureSpec(lookback_days=SPEC.lookback_days, order_days=0.25) if is_stated else SPEC
    request = FeatureRequest(name, TaskKind.PROPENSITY, spec, [_publish(place, name, c.VALIDATED, rows)], AS_OF)
    return split(request, ByTime(holdout_days=WEEK), place.storage, seed=7)


def _profile(use_case: str, rows: list[Row], place: Workbench) -> str:
    snapshots = [_publish(place, use_case, c.VALIDATED, rows)] if rows else []
    return profile(use_case, "of the proof", snapshots, place.storage, 7, {})


MUTATIONS = (
    *(
        Mutation(name, f"ingest/{kind}", partial(_deliver, kind, name, fault), delivered[kind])
        for (kind, name), fault in FAULTS.items()
    ),
    *(
        Mutation(rule, f"validate/{suite}.{rule}", partial(_break_one_rule, suite, rule), honest[suite], alone=True)
        for suite in GOOD
        for rule in (*BROKEN_ROWS[suite], *BROKEN_BATCHES[suite])
    ),
    *(
        Mutation(f"nulls_in_{suite}", f"validate/{suite}", partial(_validate, suite, "nulls", change), validated[suite])
        for suite, change in NULLS.items()
    ),
    Mutation("another_unit_of_the_target", "validate/film_ratings.rating_on_the_scale", _rescale, validated["film_ratings"]),
    *(
        Mutation(f"rows_from_the_future_in_{verb}", verb, partial(_leak, verb, False), partial(_leak, verb, True))
        for verb in ("build_features", "split")
    ),
    Mutation("an_event_on_both_sides_of_the_cut", "split", partial(_cut_through, False), partial(_cut_through, True)),
    Mutation("numbers_that_begin_anew_each_day", "split", partial(_number_anew, False), partial(_number_anew, True)),
    Mutation("nothing_to_look_at", "profile", partial(_profile, "empty", []), partial(_profile, "looked_at", _past())),
)
