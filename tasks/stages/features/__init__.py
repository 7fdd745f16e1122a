"""The features stage: validated rows -> features as of a day (`build_features`), examples (`split`), labels (`read_labels`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.code_version import digest_modules
from tasks.contracts.base import Window
from tasks.contracts.data import DatasetRef, Split
from tasks.errors import ConfigurationError, LeakageFound, NotEnoughData
from tasks.guards import guard
from tasks.io.history import read_history
from tasks.io.storage import Inspect, Storage, Writer
from tasks.stages.features.builders import PARTS, Keep, builder_of
from tasks.stages.features.history import known_at
from tasks.stages.features.spec import SPLITS, FeatureRequest, FeatureSpec, SplitSpec
from tasks.stages.features.tabular import TEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from pyspark.sql import DataFrame

__all__ = ["SPLITS", "FeatureRequest", "FeatureSpec", "SplitSpec", "build_features", "read_labels", "split"]


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
    place = Place(storage, request.use_case, c.FEATURES, request.as_of.isoformat())
    facts = _facts(request)
    if built := place.find(request.history, facts):
        return built
    builder = builder_of(request)
    with _rows(request.history, storage, builder.schema) as (rows, keep):
        known = rows.where(known_at(request.as_of, request.spec.known_by, request.zone))
        writers = {name: _spark_writer(table) for name, table in builder.make_tables(known, keep).items()}
        return place.publish(writers, request.history, facts)


@guard(LeakageFound, NotEnoughData)
def split(request: FeatureRequest, split_spec: SplitSpec, storage: Storage, *, seed: int, earlier: int = 0) -> Split:
    """Examples to train on, to choose and calibrate by, and to judge by: three snapshots of the layer `examples`.

    By time, each holds the features as of its label window's first day and the `labels` of that window (see
    `contracts.Split`); none holds what was not known on the day `as_of`. Tabular ones hold `rows` with their target, and what
    the split cut by. By time, `earlier` more windows before them are added, as far back as the history goes. Each test set is
    one more snapshot.

    Raises
    ------
    NotEnoughData : a part has no features or no labels; the message names its days.
    LeakageFound : features contain what they must not (see `guards`). The guards' counts are in the manifest's `figures`.
    """
    use_case, as_of, history = request.use_case, request.as_of, request.history
    try:
        split_spec.check_task(request.task)
    except ConfigurationError as error:
        raise ConfigurationError(f"{use_case}: {error}") from error
    facts = {**_facts(request), "split": split_spec.model_dump(mode="json"), "seed": seed}
    builder = builder_of(request)
    names, windows = builder.cut(split_spec, earlier)
    places = {part: Place(storage, use_case, c.EXAMPLES, f"{as_of.isoformat()}.{part}") for part in names}
    facts_of = {part: {**facts, "part": part, "window": windows[part].label if part in windows else None} for part in places}
    parts = {part: place.find(history, facts_of[part]) for part, place in places.items()}
    if missing := [part for part, ref in parts.items() if ref is None]:
        with (
            _rows(history, storage, builder.schema) as (rows, keep),
            storage.stage(use_case, c.EXAMPLES, places[missing[0]].partition) as staging,
        ):
            known = rows.where(known_at(as_of, request.spec.known_by, request.zone))
            writers, inspection_of = builder.make_parts(known, split_spec, windows, seed=seed, keep=keep, staging=staging)
            parts |= {
                part: places[part].publish(writers[part], history, facts_of[part], inspection_of(part))
                for part in missing
                if part in writers
            }
    found = {part: ref for part, ref in parts.items() if ref is not None}
    tests = {name: found.pop(f"{TEST}{name}") for name in split_spec.test_sets}
    before = tuple(found.pop(part) for part in names if part in found and part not in PARTS)
    return Split(as_of=as_of, earlier=before, tests=tests, **found)


def read_labels(request: FeatureRequest, window: Window, storage: Storage) -> pd.DataFrame:
    """What happened in a window, as examples have it: labels of users and items, or rows with their target.

    Parameters
    ----------
    request : its history holds the windows in which the outcomes are.

    Raises
    ------
    NotEnoughData : nothing was validated, or nothing happened.
    """
    if not request.history:
        raise NotEnoughData(f"{request.use_case}: nothing was validated in {window.label}")
    builder = builder_of(request)
    with _rows(request.history, storage, builder.schema) as (rows, keep):
        labels: pd.DataFrame = builder.make_labels(rows, window, keep).toPandas()
    if labels.empty:
        raise NotEnoughData(f"{request.use_case}: no outcome happened in {window.label}")
    return labels


def _facts(request: FeatureRequest) -> dict[str, Any]:
    return {
        "time_zone": request.zone.key,
        "as_of": request.as_of.isoformat(),
        "features": request.spec.model_dump(mode="json"),
        "task": request.task.value,
        "code": digest_modules(__name__),
    }


MOST_CACHED_ROWS = 5_000_000


class Place:
    """The partition of a snapshot, and whether its current snapshot was made from the same inputs."""

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
        tables: Mapping[str, Writer],
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
            tables=tables,
        )


def _spark_writer(frame: DataFrame) -> Writer:
    return lambda folder: frame.write.parquet(str(folder))


@contextmanager
def _rows(history: Sequence[DatasetRef], storage: Storage, schema: str | None) -> Iterator[tuple[DataFrame, Keep]]:
    """The union of the history, and a function that caches what several tables are made from until they are written.

    The union itself is cached where it is small, so that hundreds of files are opened once. Where it is large, a second read
    of the few needed columns costs less, and leaves the memory to the computation.
    """
    from tasks.io.spark import caching, spark_for

    count = sum(ref.rows[c.ROWS] for ref in history)
    with spark_for(count) as session, caching() as keep:
        rows = read_history(session, storage, history, schema)
        yield (keep(rows) if count <= MOST_CACHED_ROWS else rows), keep
