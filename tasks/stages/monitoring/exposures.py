"""Exposures: one row for each item of each answer of some days, and the outcomes that clients sent, as one snapshot.

An answer counts from one moment on. An online answer counts from the moment at which it was given. A batch answer counts from
the local midnight that ends the data of its features, because it predicts the days that follow them, whenever the run came to
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import UTC_ZONE, local_day, start_of_day
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import ONLINE, Prediction
from tasks.io.events import KeptOutcome
from tasks.io.storage import Storage, Writer

if TYPE_CHECKING:
    import pyarrow as pa

EXPOSURES = "exposures"  # layer
OUTCOMES = "outcomes"  # its second table: what clients sent to the endpoint
_BATCH = 20_000


def publish_exposures(
    use_case: str,
    cohort: Window,
    span: Window,
    answers: Iterable[Prediction],
    sent: Iterable[KeptOutcome],
    storage: Storage,
    *,
    zone: ZoneInfo = UTC_ZONE,
) -> DatasetRef | None:
    """The answers that count from a moment of `span` on, as one snapshot; None where there is none.

    A cohort is published once, when it is mature: later answers are no exposures of that time. A few thousand answers at a
    time are in memory.

    Parameters
    ----------
    cohort : the days whose answers are judged; it names the snapshot.
    span : the cohort, and the days around it whose answers compete with the cohort's for an outcome.
    sent : the outcomes that were sent to the endpoint before the cohort was mature.
    zone : whose days they are.
    """
    published = storage.current(use_case, EXPOSURES, cohort.label)
    facts = {"span": span.label} | ({} if zone == UTC_ZONE else {"time_zone": zone.key})
    if published is not None and storage.manifest(published)["facts"] == facts:
        return published
    inside = (one for one in answers if span.start <= local_day(moment_of(one, zone), zone) < span.end)
    first = next(inside, None)
    if first is None:
        return None
    rows = (row for one in chain([first], inside) for row in _as_rows(one, zone))
    told = ({**one._asdict(), c.ITEM_ID: one.item_id or None, c.EVENT_AT: one.happened_at} for one in sent)
    tables = {c.ROWS: _write(rows, _exposure_schema()), OUTCOMES: _write(told, _outcome_schema())}
    return storage.publish(use_case=use_case, layer=EXPOSURES, partition=cohort.label, tables=tables, facts=facts)


def moment_of(answer: Prediction, zone: ZoneInfo) -> datetime:
    """From when on an answer counts."""
    if answer.channel == ONLINE or answer.features_as_of is None:
        return answer.made_at.astimezone(UTC)
    return start_of_day(answer.features_as_of, zone)


def _exposure_schema() -> pa.Schema:
    """`at` is the moment from which on the answer counts, `day` its local day. `places` is the length of the answer."""
    import pyarrow as pa

    moment, text = pa.timestamp("us", "UTC"), pa.string()
    return pa.schema(
        [
            ("row_id", text),
            ("prediction_id", text),
            ("at", moment),
            ("day", pa.date32()),
            ("made_at", moment),
            ("channel", text),
            ("subject", text),
            ("has_subject", pa.bool_()),
            (c.ITEM_ID, text),
            ("position", pa.int32()),
            ("places", pa.int32()),
            ("shuffled_place", pa.int32()),
            (c.PREDICTION, pa.float64()),
            ("path", text),
            ("model_version", pa.int32()),
        ]
    )


def _outcome_schema() -> pa.Schema:
    import pyarrow as pa

    moment, text = pa.timestamp("us", "UTC"), pa.string()
    return pa.schema([("prediction_id", text), (c.ITEM_ID, text), (c.LABEL, pa.float64()), (c.EVENT_AT, moment)])


def _write(rows: Iterator[Mapping[str, Any]], schema: pa.Schema) -> Writer:
    def write(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder.mkdir()
        with pq.ParquetWriter(folder / "part-0.parquet", schema) as writer:
            while batch := list(islice(rows, _BATCH)):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))

    return write


def _as_rows(answer: Prediction, zone: ZoneInfo) -> list[dict[str, object]]:
    at = moment_of(answer, zone)
    said = {
        "prediction_id": answer.prediction_id,
        "at": at,
        "day": local_day(at, zone),
        "made_at": answer.made_at,
        "channel": answer.channel,
        "subject": answer.subject,
        "has_subject": answer.has_subject,
        "places": len(answer.scores),
        "shuffled_place": answer.shuffled_place,
        "path": answer.path,
        "model_version": answer.model_version,
    }
    items = answer.items or (None,) * len(answer.scores)
    return [
        {**said, "row_id": f"{answer.prediction_id}/{place}", c.ITEM_ID: item, "position": place, c.PREDICTION: score}
        for place, (item, score) in enumerate(zip(items, answer.scores, strict=False), start=1)
    ]
