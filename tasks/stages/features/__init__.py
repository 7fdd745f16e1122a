"""The features room: validated rows -> features as of a day (`build_features`), and examples to learn from (`split`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.data import DatasetRef, Split
from tasks.errors import ConfigurationError, LeakageFound, NotEnoughData
from tasks.guards import guard
from tasks.io.history import read_history
from tasks.io.storage import Inspect, Storage, Writer
from tasks.stages.features import interactions, tabular
from tasks.stages.features.attributes import AttributeNames
from tasks.stages.features.guards import check_events, check_rows, inspect_interactions
from tasks.stages.features.history import INTERACTION_SCHEMA, known_at, midnight
from tasks.stages.features.spec import SPLITS, ByTime, FeatureRequest, FeatureSpec, SplitSpec, Stratified

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

__all__ = ["SPLITS", "FeatureRequest", "FeatureSpec", "SplitSpec", "build_features", "split"]


@guard(NotEnoughData)
def build_features(request: FeatureRequest, storage: Storage) -> DatasetRef:
    """The features as of a day: tables `users`, `items`, `pairs`, or `rows` for tabular use cases.

    Returns
    -------
    A snapshot of the layer `features`, partition `as_of`. Where the same inputs and settings were built before, it is
    that snapshot, and nothing is computed.

    Raises
    ------
    NotEnoughData : nothing at all was known on that day.
    """
    use_case, task, spec, as_of, history = request.use_case, request.task, request.spec, request.as_of, request.history
    facts = _facts(request)
    place = Place(storage, use_case, c.FEATURES, as_of.isoformat())
    if built := place.find(history, facts):
        return built
    from pyspark.sql import functions as F

    with _rows(history, storage, task) as (rows, keep):
        known = rows.where(known_at(as_of, spec.known_by))
        if known.isEmpty():
            raise NotEnoughData(_nothing_known(use_case, as_of, spec))
        if task.answers_rows:
            tables = {c.ROWS: tabular.make_rows(known, spec.stated_texts)}
        else:
            names = AttributeNames.of(known.agg(*AttributeNames.aggregates(F.lit(True))).collect()[0].asDict())
            tables = interactions.make_features(known, as_of, spec.lookback_days, task, names, keep, spec.declared)
        return place.publish(tables, history, facts)


@guard(LeakageFound, NotEnoughData)
def split(request: FeatureRequest, split_spec: SplitSpec, storage: Storage, *, seed: int, earlier: int = 0) -> Split:
    """Examples to learn from, to choose and calibrate by, and to judge by: three snapshots of the layer `examples`.

    By time, each holds the features as of its label window's first day and the `labels` of that window (see
    `contracts.Split`); what `as_of` may not know is in none. Tabular ones hold `rows` with their target. By time, so many
    `earlier` windows before them come along, as far back as the history goes.

    Raises
    ------
    NotEnoughData : a part has no features or no labels; the message names its days.
    LeakageFound : features know what they must not (see `guards`); what guards counted is in the manifest's `figures`.
    """
    use_case, task, spec, as_of, history = request.use_case, request.task, request.spec, request.as_of, request.history
    facts = {**_facts(request), "split": split_spec.model_dump(mode="json"), "seed": seed}
    if task not in split_spec.tasks:
        allowed = ", ".join(sorted(split_spec.tasks))
        raise ConfigurationError(f"{use_case}: split '{split_spec.kind}' is for {allowed}; the task is {task}")
    windows = _windows(split_spec, as_of, earlier)
    if task.answers_rows:  # what is earlier than these is learned from, however long ago it was
        windows = {part: window for part, window in windows.items() if part in tabular.PARTS[1:]}
    names = tabular.PARTS if task.answers_rows else tuple(windows)
    places = {part: Place(storage, use_case, c.EXAMPLES, f"{as_of.isoformat()}.{part}") for part in names}
    facts_of = {part: {**facts, "part": part, "window": windows[part].label if part in windows else None} for part in places}
    parts = {part: place.find(history, facts_of[part]) for part, place in places.items()}
    if missing := [part for part, ref in parts.items() if ref is None]:
        with _rows(history, storage, task) as (rows, keep):
            known = rows.where(known_at(as_of, spec.known_by))
            if task.answers_rows:
                if isinstance(split_spec, Stratified):
                    shares = (split_spec.validation_share, split_spec.holdout_share)
                    parted, remedy = tabular.assign_parts(known, *shares, seed), "change the shares of the split"
                else:
                    parted = tabular.cut_parts(known, *windows.values())
                    remedy = "change split.holdout_days"
                tables, figures = _split_rows(use_case, parted, spec, split_spec.copies_at_most, remedy)
                look: dict[str, Inspect] = {part: lambda _: figures for part in missing}
            else:
                tables = _split_interactions(use_case, task, spec, windows, known, keep)
                look = {part: partial(inspect_interactions, part=f"{use_case}: {part}") for part in missing}
            parts |= {
                part: places[part].publish(tables[part], history, facts_of[part], look[part])
                for part in missing
                if part in tables
            }
    found = {part: ref for part, ref in parts.items() if ref is not None}
    before = tuple(found.pop(part) for part in names if part in found and part not in tabular.PARTS)
    return Split(as_of=as_of, earlier=before, **found)


def _facts(request: FeatureRequest) -> dict[str, Any]:
    return {
        "as_of": request.as_of.isoformat(),
        "features": request.spec.model_dump(mode="json"),
        "task": request.task.value,
        "code": _code(),
    }


FEW_ROWS = 5_000_000
Keep = Callable[["DataFrame"], "DataFrame"]


class Place:
    """Where a snapshot belongs, and whether the one that is there was made from the same."""

    def __init__(self, storage: Storage, use_case: str, layer: str, partition: str) -> None:
        self.storage, self.use_case, self.layer, self.partition = storage, use_case, layer, partition

    def find(self, inputs: Sequence[DatasetRef], facts: Mapping[str, Any]) -> DatasetRef | None:
        current = self.storage.current(self.use_case, self.layer, self.partition)
        if current is None:
            return None
        manifest = self.storage.manifest(current)
        is_same = manifest["inputs"] == [ref.to_json() for ref in inputs] and manifest["facts"] == facts
        return current if is_same else None

    def publish(
        self,
        tables: dict[str, DataFrame],
        inputs: Sequence[DatasetRef],
        facts: Mapping[str, Any],
        inspect: Inspect | None = None,
    ) -> DatasetRef:
        return self.storage.publish(
            use_case=self.use_case,
            layer=self.layer,
            partition=self.partition,
            inputs=inputs,
            facts=facts,
            inspect=inspect,
            tables={name: _spark_writer(frame) for name, frame in tables.items()},
        )


def _spark_writer(frame: DataFrame) -> Writer:
    return lambda folder: frame.write.parquet(str(folder))


@contextmanager
def _rows(history: Sequence[DatasetRef], storage: Storage, task: TaskKind) -> Iterator[tuple[DataFrame, Keep]]:
    """The union of the history, and a way to keep what several tables are made from until they are.

    The union itself is kept, too, where it is small: hundreds of files are then opened once. Where it is large, reading the
    few columns that are wanted again costs less, and leaves the memory to what is computed.
    """
    from tasks.io.spark import get_spark

    kept: list[DataFrame] = []

    def keep(frame: DataFrame) -> DataFrame:
        kept.append(frame.cache())
        return kept[-1]

    try:
        rows = read_history(get_spark(), storage, history, None if task.answers_rows else INTERACTION_SCHEMA)
        is_small = sum(ref.rows[c.ROWS] for ref in history) <= FEW_ROWS
        yield (keep(rows) if is_small else rows), keep
    finally:
        for frame in reversed(kept):
            frame.unpersist()


def _windows(spec: SplitSpec, as_of: date, earlier: int = 0) -> dict[str, Window]:
    """Part -> its days: the three parts, then `earlier_1` (just before train) and so on."""
    if not isinstance(spec, ByTime):
        return {}
    back = dict(zip(tabular.PARTS, (2, 1, 0), strict=True)) | {f"earlier_{n}": 2 + n for n in range(1, earlier + 1)}
    ends = {part: as_of - timedelta(days=spec.holdout_days * windows) for part, windows in back.items()}
    return {part: Window.before(end, spec.holdout_days) for part, end in ends.items()}


def _split_interactions(
    use_case: str, task: TaskKind, spec: FeatureSpec, windows: dict[str, Window], known: DataFrame, keep: Keep
) -> dict[str, dict[str, DataFrame]]:
    from pyspark.sql import functions as F

    past = {part: known_at(window.start, spec.known_by) for part, window in windows.items()}
    counts = known.agg(
        *(F.count_if(is_past).alias(f"{part}_known") for part, is_past in past.items()),
        *(F.count_if(interactions.is_label(window, task)).alias(f"{part}_labels") for part, window in windows.items()),
        *(column for part, is_past in past.items() for column in AttributeNames.aggregates(is_past, f"{part}_")),
    ).first()
    found = counts.asDict() if counts else {}
    has_all = {part for part in windows if found.get(f"{part}_known") and found.get(f"{part}_labels")}
    windows = {part: window for part, window in windows.items() if part in has_all or part in tabular.PARTS}
    for part, window in windows.items():
        if not found.get(f"{part}_known"):
            raise NotEnoughData(_nothing_known(use_case, window.start, spec) + f" It is where the {part} window begins.")
        if not found.get(f"{part}_labels"):
            what = "rating" if task is TaskKind.RATING else "purchase"
            raise NotEnoughData(
                f"{use_case}: the {part} window {window.label} has no {what} of a known user; "
                "ingest those days, move as_of, or change split.holdout_days"
            )
    check_events(known, {f"{use_case}: {part}": midnight(window.start) for part, window in windows.items()})
    return {
        part: {
            **interactions.make_features(
                known.where(past[part]),
                window.start,
                spec.lookback_days,
                task,
                AttributeNames.of(found, f"{part}_"),
                keep,
                spec.declared,
            ),
            c.LABELS: interactions.make_labels(known, window, task),
        }
        for part, window in windows.items()
    }


def _split_rows(
    use_case: str, parted: DataFrame, spec: FeatureSpec, copies_at_most: float, remedy: str
) -> tuple[dict[str, dict[str, DataFrame]], dict[str, float]]:
    counts = {(row["part"], row[c.TARGET]): row["count"] for row in parted.groupBy("part", c.TARGET).count().collect()}
    for part in tabular.PARTS:
        for target in (0, 1):
            if not counts.get((part, target)):
                raise NotEnoughData(
                    f"{use_case}: the {part} part has no row of class {target} among {sum(counts.values())} known rows; "
                    f"ingest more rows, or {remedy}"
                )
    features = [name for name in parted.columns if name not in (*c.TABULAR_COLUMNS, "part")]
    figures = check_rows(parted, features, copies_at_most)
    tables = {
        part: {c.ROWS: tabular.make_rows(parted.where(f"part = '{part}'").drop("part"), spec.stated_texts)}
        for part in tabular.PARTS
    }
    return tables, figures


def _nothing_known(use_case: str, day: date, spec: FeatureSpec) -> str:
    return (
        f"{use_case}: nothing was known before {day.isoformat()} (known_by: {spec.known_by}); "
        "ingest earlier windows, or move as_of to a later day."
    )


def _code() -> str:
    """Digest of this room's code: features that were built by other code are not found again, but built anew."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
