"""How features and examples are built: of interactions, or of rows. `builder_of` chooses by the form of the task's answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import NotEnoughData
from tasks.io.storage import Inspect
from tasks.problems import problem_of
from tasks.stages.features import interactions, tabular
from tasks.stages.features.attributes import AttributeNames
from tasks.stages.features.guards import check_events, check_rows, inspect_interactions
from tasks.stages.features.history import INTERACTION_SCHEMA, known_at, midnight
from tasks.stages.features.spec import ByTime, FeatureRequest, SplitSpec, Stratified

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PARTS = tabular.PARTS
Keep = Callable[["DataFrame"], "DataFrame"]
Tables = dict[str, "DataFrame"]


class Builder(ABC):
    """Turns known rows into tables of features, and cuts examples out of them."""

    schema: ClassVar[str | None] = None  # in which the history is read; None: each snapshot's own

    def __init__(self, request: FeatureRequest) -> None:
        self.request = request

    @abstractmethod
    def make_tables(self, known: DataFrame, keep: Keep) -> Tables:
        """The tables of a features snapshot."""

    @abstractmethod
    def cut(self, split_spec: SplitSpec, earlier: int) -> tuple[Sequence[str], Mapping[str, Window]]:
        """The names of the parts of a split, and the days of those that have a window."""

    @abstractmethod
    def make_parts(
        self, known: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], seed: int, keep: Keep
    ) -> tuple[dict[str, Tables], Callable[[str], Inspect]]:
        """The tables of each part, and the inspection that a part passes before it is published."""


class InteractionBuilder(Builder):
    """Users, items and pairs as of a day. Each part has the features of its window's first day and the window's labels."""

    schema: ClassVar[str | None] = INTERACTION_SCHEMA

    def make_tables(self, known: DataFrame, keep: Keep) -> Tables:
        """The tables `users`, `items` and `pairs`."""
        from pyspark.sql import functions as F

        names = AttributeNames.of(known.agg(*AttributeNames.aggregates(F.lit(True))).collect()[0].asDict())
        return self._features(known, self.request.as_of, names, keep)

    def _features(self, known: DataFrame, as_of: date, names: AttributeNames, keep: Keep) -> Tables:
        spec, task = self.request.spec, self.request.task
        return interactions.make_features(
            known, as_of, spec.lookback_days, task, names=names, keep=keep, declared=spec.declared
        )

    def cut(self, split_spec: SplitSpec, earlier: int) -> tuple[Sequence[str], Mapping[str, Window]]:
        """Consecutive windows that end at `as_of`, and the earlier ones."""
        windows = cut_windows(split_spec, self.request.as_of, earlier)
        return tuple(windows), windows

    def make_parts(
        self, known: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], seed: int, keep: Keep
    ) -> tuple[dict[str, Tables], Callable[[str], Inspect]]:
        """Features as of each window's first day, and the labels of the window.

        Raises
        ------
        NotEnoughData : a part has no features or no labels.
        """
        use_case = self.request.use_case
        past = {part: known_at(window.start, self.request.spec.known_by) for part, window in windows.items()}
        found = self._count(known, windows, past)
        windows = self._with_data(windows, found)
        check_events(known, {f"{use_case}: {part}": midnight(window.start) for part, window in windows.items()})
        tables = {}
        for part, window in windows.items():
            names = AttributeNames.of(found, f"{part}_")
            features = self._features(known.where(past[part]), window.start, names, keep)
            tables[part] = features | {c.LABELS: interactions.make_labels(known, window, self.request.task)}
        return tables, lambda part: partial(inspect_interactions, part=f"{use_case}: {part}")

    def _count(self, known: DataFrame, windows: Mapping[str, Window], past: Mapping[str, object]) -> dict[str, int]:
        """How much was known on the first day of each window, and how many labels it has, in one pass."""
        from pyspark.sql import functions as F

        task = self.request.task
        counts = known.agg(
            *(F.count_if(is_past).alias(f"{part}_known") for part, is_past in past.items()),
            *(F.count_if(interactions.is_label(window, task)).alias(f"{part}_labels") for part, window in windows.items()),
            *(column for part, is_past in past.items() for column in AttributeNames.aggregates(is_past, f"{part}_")),
        ).first()
        return counts.asDict() if counts else {}

    def _with_data(self, windows: Mapping[str, Window], found: Mapping[str, int]) -> dict[str, Window]:
        """The windows that have features and labels; the three parts of the split must be among them."""
        request, kept = self.request, {}
        for part, window in windows.items():
            has_features, has_labels = found.get(f"{part}_known"), found.get(f"{part}_labels")
            if part in PARTS and not has_features:
                begins = f" It is where the {part} window begins."
                raise NotEnoughData(nothing_known(request, window.start) + begins)
            if part in PARTS and not has_labels:
                raise NotEnoughData(
                    f"{request.use_case}: the {part} window {window.label} has no {problem_of(request.task).label_event} of a "
                    "known user; ingest those days, move as_of, or change split.holdout_days"
                )
            if has_features and has_labels:
                kept[part] = window
        return kept


class RowBuilder(Builder):
    """Rows with a target. What is earlier than the validation window is learned from, however long ago it was."""

    def make_tables(self, known: DataFrame, keep: Keep) -> Tables:
        """The table `rows`."""
        return {c.ROWS: tabular.make_rows(known, self.request.spec.stated_texts)}

    def cut(self, split_spec: SplitSpec, earlier: int) -> tuple[Sequence[str], Mapping[str, Window]]:
        """The three parts. By time, the last two have a window."""
        windows = cut_windows(split_spec, self.request.as_of)
        return PARTS, {part: windows[part] for part in PARTS[1:] if part in windows}

    def make_parts(
        self, known: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], seed: int, keep: Keep
    ) -> tuple[dict[str, Tables], Callable[[str], Inspect]]:
        """The rows of each part.

        Raises
        ------
        NotEnoughData : a part has no row of a class.
        """
        if isinstance(split_spec, Stratified):
            shares = (split_spec.validation_share, split_spec.holdout_share)
            parted, remedy = tabular.assign_parts(known, *shares, seed), "change the shares of the split"
        else:
            parted = tabular.cut_parts(known, *windows.values())
            remedy = "change split.holdout_days"
        self._demand_both_classes(parted, remedy)
        features = [name for name in parted.columns if name not in (*c.TABULAR_COLUMNS, "part")]
        figures = check_rows(parted, features, split_spec.copies_at_most)
        texts = self.request.spec.stated_texts
        tables = {part: {c.ROWS: tabular.make_rows(parted.where(f"part = '{part}'").drop("part"), texts)} for part in PARTS}
        return tables, lambda _: lambda _folder: figures

    def _demand_both_classes(self, parted: DataFrame, remedy: str) -> None:
        counts = {(row["part"], row[c.TARGET]): row["count"] for row in parted.groupBy("part", c.TARGET).count().collect()}
        for part in PARTS:
            for target in (0, 1):
                if not counts.get((part, target)):
                    raise NotEnoughData(
                        f"{self.request.use_case}: the {part} part has no row of class {target} among "
                        f"{sum(counts.values())} known rows; ingest more rows, or {remedy}"
                    )


def builder_of(request: FeatureRequest) -> Builder:
    """The builder that fits the task of a request."""
    return RowBuilder(request) if request.task.answers_rows else InteractionBuilder(request)


def cut_windows(spec: SplitSpec, as_of: date, earlier: int = 0) -> dict[str, Window]:
    """Part -> its days: the three parts, then `earlier_1` (just before train) and so on; none where time does not cut."""
    if not isinstance(spec, ByTime):
        return {}
    back = dict(zip(PARTS, (2, 1, 0), strict=True)) | {f"earlier_{n}": 2 + n for n in range(1, earlier + 1)}
    ends = {part: as_of - timedelta(days=spec.holdout_days * windows) for part, windows in back.items()}
    return {part: Window.before(end, spec.holdout_days) for part, end in ends.items()}


def nothing_known(request: FeatureRequest, day: date) -> str:
    """The message where nothing was known on a day."""
    return (
        f"{request.use_case}: nothing was known before {day.isoformat()} (known_by: {request.spec.known_by}); "
        "ingest earlier windows, or move as_of to a later day."
    )
