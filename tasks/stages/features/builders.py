"""How features and examples are built: of interactions, or of rows. `builder_of` chooses by the form of the task's answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.errors import ConfigurationError, NotEnoughData
from tasks.io.days import midnight
from tasks.io.history import INTERACTION_SCHEMA, is_choice, keep_newest
from tasks.io.orders import find_open_orders, settle_orders
from tasks.io.storage import Inspect, Writer
from tasks.problems import problem_of
from tasks.stages.features import interactions, tabular
from tasks.stages.features.attributes import AttributeNames
from tasks.stages.features.guards import check_events, check_rows, inspect_interactions
from tasks.stages.features.history import add_age, date_of, happened_in, known_at
from tasks.stages.features.parts import (
    NUMBER,
    PartedTable,
    add_ages_of_parts,
    assign_windows,
    is_of,
    list_parts,
    number_parts,
    repeat_for_parts,
    separate,
    sort_by_part,
)
from tasks.stages.features.spec import ByGroup, ByOrder, FeatureRequest, Shares, SplitSpec, TimeCut

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

PARTS = tabular.PARTS
Keep = Callable[["DataFrame"], "DataFrame"]
Tables = dict[str, "DataFrame"]
Writers = dict[str, Writer]


class Builder(ABC):
    """Turns known rows into tables of features, and cuts examples out of them."""

    schema: ClassVar[str | None] = None  # in which the history is read; None: each snapshot's own

    def __init__(self, request: FeatureRequest) -> None:
        self.request = request

    @abstractmethod
    def make_tables(self, known: DataFrame, keep: Keep) -> Tables:
        """The tables of a features snapshot."""

    @abstractmethod
    def make_labels(self, known: DataFrame, window: Window, keep: Keep) -> DataFrame:
        """What happened in a window: the labels of a part of interactions, or the rows of a part of a table."""

    @abstractmethod
    def cut(self, split_spec: SplitSpec, earlier: int) -> tuple[Sequence[str], Mapping[str, Window]]:
        """The names of the parts of a split, and the days of those that have a window."""

    @abstractmethod
    def make_parts(
        self, known: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], *, seed: int, keep: Keep, staging: Path
    ) -> tuple[dict[str, Writers], Callable[[str], Inspect]]:
        """The writers of the tables of each part, and the inspection that a part passes before it is published.

        Parameters
        ----------
        staging : an empty folder in the storage. One job writes a table of all parts there.
        """


class InteractionBuilder(Builder):
    """Users, items and pairs as of a day. Each part has the features of its window's first day and the window's labels."""

    schema: ClassVar[str | None] = INTERACTION_SCHEMA

    def make_tables(self, known: DataFrame, keep: Keep) -> Tables:
        """The tables `users`, `items` and `pairs`."""
        from pyspark.sql import functions as F

        request = self.request
        found = known.agg(F.count(F.lit(1)).alias("known"), *AttributeNames.aggregates(is_choice())).collect()[0].asDict()
        if not found["known"]:
            raise NotEnoughData(nothing_known(request, request.as_of))
        settled = add_age(self._settle_all(known.where(is_choice()), keep), date_of(request.as_of), request.zone)
        tables = self._features(settled, AttributeNames.of(found), keep)
        return {name: interactions.sort_table(table, *interactions.KEYS_OF[name]) for name, table in tables.items()}

    def make_labels(self, known: DataFrame, window: Window, keep: Keep) -> DataFrame:
        """The labels of users and items."""
        inside = self._settle_all(known.where(is_choice()), keep).where(happened_in(window, self.request.zone))
        labels = interactions.make_labels(inside, self.request.task)
        return interactions.sort_table(labels, *interactions.KEYS_OF[c.LABELS])

    def _settle_all(self, choices: DataFrame, keep: Keep) -> DataFrame:
        return settle_orders(choices, find_open_orders(choices, keep, self.request.zone), self.request.spec.order_days)

    def _features(self, known: DataFrame, names: AttributeNames, keep: Keep) -> Tables:
        spec, task = self.request.spec, self.request.task
        return interactions.make_features(known, spec.lookback_days, task, names=names, keep=keep, declared=spec.declared)

    def cut(self, split_spec: SplitSpec, earlier: int) -> tuple[Sequence[str], Mapping[str, Window]]:
        """Consecutive windows that end at `as_of`, and the earlier ones.

        Raises
        ------
        NotEnoughData : a share of the history is less than a day.
        """
        windows = cut_windows(self._in_days(split_spec), self.request.as_of, earlier)
        return tuple(windows), windows

    def make_parts(
        self, known: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], *, seed: int, keep: Keep, staging: Path
    ) -> tuple[dict[str, Writers], Callable[[str], Inspect]]:
        """Features as of each window's first day, and the labels of the window.

        Raises
        ------
        NotEnoughData : a part has no features or no labels.
        """
        use_case, zone, order_days = self.request.use_case, self.request.zone, self.request.spec.order_days
        choices = known.where(is_choice())
        open_orders = find_open_orders(choices, keep, zone)
        past = {part: known_at(window.start, self.request.spec.known_by, zone) for part, window in windows.items()}
        found = self._count(choices, past)
        windows = self._with_features(windows, found)
        settled = settle_orders(choices, open_orders, order_days)
        if open_orders is not None:
            settled = keep(settled)
        cuts = {f"{use_case}: {part}": midnight(window.start, zone) for part, window in windows.items()}
        check_events(settled, cuts, numbers_are_trusted=self.request.spec.states_order_days)
        numbers, days = {part: place for place, part in enumerate(windows)}, list(windows.values())
        inside = separate(assign_windows(settled, days, zone))
        labels = keep(sort_by_part(interactions.make_labels(inside, self.request.task), *interactions.KEYS_OF[c.LABELS]))
        by_names: dict[AttributeNames, list[str]] = {}  # a part has columns only of the attributes that were known then
        for part in self._with_labels(windows, list_parts(labels, list(windows))):
            by_names.setdefault(AttributeNames.of(found, f"{part}_"), []).append(part)
        repeated = repeat_for_parts(choices, days, self.request.spec.known_by, zone)
        seen = separate(add_ages_of_parts(settle_orders(repeated, open_orders, order_days, (NUMBER,)), days, zone))
        labelled = PartedTable(labels, staging / c.LABELS)
        writers: dict[str, Writers] = {}
        for place, (names, parts) in enumerate(by_names.items()):
            tables = self._features(seen.where(is_of([numbers[part] for part in parts])), names, keep)
            written = {c.LABELS: labelled} | {
                name: PartedTable(sort_by_part(table, *interactions.KEYS_OF[name]), staging / f"{name}_{place}")
                for name, table in tables.items()
            }
            writers |= {part: {name: one.writer_of(numbers[part]) for name, one in written.items()} for part in parts}
        return writers, lambda part: partial(inspect_interactions, part=f"{use_case}: {part}")

    def _in_days(self, split_spec: SplitSpec) -> SplitSpec:
        """A split whose shares of the history became days; the history is that of the validated windows."""
        if not isinstance(split_spec, TimeCut) or split_spec.holdout_share is None:
            return split_spec
        request = self.request
        begins = [Window.from_label(ref.partition).start for ref in request.history if ".." in ref.partition]
        days = (request.as_of - min(begins)).days if begins else 0
        validation, holdout = (int(days * share) for share in split_spec.shares)
        if min(validation, holdout) < 1:
            raise NotEnoughData(
                f"{request.use_case}: the validated windows before {request.as_of} span {days} days; of these, "
                f"validation_share and holdout_share {split_spec.shares} are less than a day. Ingest more days, raise the "
                "shares, or state holdout_days"
            )
        lengths = {"holdout_days": holdout, "validation_days": validation, "holdout_share": None, "validation_share": None}
        return split_spec.model_copy(update=lengths)

    def _count(self, choices: DataFrame, past: Mapping[str, Column]) -> dict[str, int]:
        """How much was known on the first day of each window, and the attributes, in one pass."""
        from pyspark.sql import functions as F

        counts = choices.agg(
            *(F.count_if(is_past).alias(f"{part}_known") for part, is_past in past.items()),
            *(column for part, is_past in past.items() for column in AttributeNames.aggregates(is_past, f"{part}_")),
        ).first()
        return counts.asDict() if counts else {}

    def _with_features(self, windows: Mapping[str, Window], found: Mapping[str, int]) -> dict[str, Window]:
        """The windows before which something was known; the three parts of the split must be among them."""
        kept = {part: window for part, window in windows.items() if found.get(f"{part}_known")}
        for part in PARTS:
            if part not in kept:
                begins = f" It is where the {part} window begins."
                raise NotEnoughData(nothing_known(self.request, windows[part].start) + begins)
        return kept

    def _with_labels(self, windows: Mapping[str, Window], labelled: Collection[str]) -> list[str]:
        """The parts that have labels; the three of the split must be among them."""
        kept = [part for part in windows if part in labelled]
        for part in PARTS:
            if part not in kept:
                event = problem_of(self.request.task).label_event
                missing = f"{event} of a known user" + (" who kept it" if event == c.PURCHASE else "")
                raise NotEnoughData(
                    f"{self.request.use_case}: the {part} window {windows[part].label} has no {missing}; "
                    f"ingest those days, move as_of, or change the days of the split ({part}_days)"
                )
        return kept


class RowBuilder(Builder):
    """Rows with a target. What is earlier than the validation window is learned from, however long ago it was."""

    def make_tables(self, known: DataFrame, keep: Keep) -> Tables:
        """The table `rows`. It has those whose target is not known yet, too."""
        if known.isEmpty():
            raise NotEnoughData(nothing_known(self.request, self.request.as_of))
        return {c.ROWS: tabular.make_rows(keep_newest(known), self.request.spec.stated_texts)}

    def make_labels(self, known: DataFrame, window: Window, keep: Keep) -> DataFrame:
        """The rows whose target is known."""
        from pyspark.sql import functions as F

        labelled = keep_newest(known).where(F.col(c.TARGET).isNotNull())
        start, end = (midnight(day, self.request.zone) for day in (window.start, window.end))
        inside = (F.col(c.EVENT_AT) >= start) & (F.col(c.EVENT_AT) < end)
        return tabular.make_rows(labelled.where(inside), self.request.spec.stated_texts)

    def cut(self, split_spec: SplitSpec, earlier: int) -> tuple[Sequence[str], Mapping[str, Window]]:
        """The three parts and the test sets. By days, validation and holdout have a window."""
        windows = cut_windows(split_spec, self.request.as_of)
        names = (*PARTS, *(f"{tabular.TEST}{name}" for name in split_spec.test_sets))
        return names, {part: windows[part] for part in PARTS[1:] if part in windows}

    def make_parts(
        self, known: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], *, seed: int, keep: Keep, staging: Path
    ) -> tuple[dict[str, Writers], Callable[[str], Inspect]]:
        """The rows of each part. Rows whose target is not known yet are in none.

        Raises
        ------
        NotEnoughData : a part has no row of a class, or a test set has no row.
        ConfigurationError : a target is neither 0 nor 1.
        """
        from pyspark.sql import functions as F

        names, _ = self.cut(split_spec, 0)
        labelled = keep_newest(known).where(F.col(c.TARGET).isNotNull())
        parted, remedy = self._part(labelled, split_spec, windows, seed)
        parted = keep(parted)
        self._demand_both_classes(parted, names[len(PARTS) :], remedy)
        features = [name for name in parted.columns if name not in (*c.TABULAR_COLUMNS, c.EVENT_ID, c.PART)]
        figures = check_rows(parted, features, split_spec.copies_at_most)
        rows = tabular.make_rows(number_parts(parted, names), self.request.spec.stated_texts, kept=(NUMBER,))
        table = PartedTable(rows, staging / c.ROWS)
        writers = {part: {c.ROWS: table.writer_of(place)} for place, part in enumerate(names)}
        return writers, lambda _: lambda _folder: figures

    def _part(self, rows: DataFrame, split_spec: SplitSpec, windows: Mapping[str, Window], seed: int) -> tuple[DataFrame, str]:
        """The rows with the column `PART` and what the split cuts by, and what helps where a part lacks rows.

        Test sets are set aside first, and shares are those of the other rows.
        """
        from pyspark.sql import functions as F

        marked = tabular.set_aside(rows.withColumn(c.PART, F.lit("")), split_spec.test_sets, self.request.zone)
        if isinstance(split_spec, ByGroup):
            marked = tabular.name_groups(marked, split_spec.group_by)
        elif isinstance(split_spec, TimeCut):
            marked = tabular.order_by_time(marked)
        elif isinstance(split_spec, ByOrder):
            marked = tabular.order_by_file(marked)
        rest, remedy = marked.where(F.col(c.PART) == "").drop(c.PART), "change the shares of the split"
        if isinstance(split_spec, TimeCut) and split_spec.holdout_share is None:
            parts = windows["validation"], windows["holdout"]
            parted = tabular.cut_parts(rest, *parts, split_spec.train_days, self.request.zone)
            remedy = "change the days of the split (holdout_days, validation_days, train_days)"
        elif isinstance(split_spec, TimeCut | ByOrder):
            parted = tabular.cut_shares(rest, c.SPLIT_ORDER, *split_spec.shares)
        elif isinstance(split_spec, ByGroup):
            parted = tabular.assign_groups(rest, *split_spec.shares, seed)
            remedy += ", of which each part gets whole groups"
        elif isinstance(split_spec, Shares):
            parted = tabular.assign_parts(rest, *split_spec.shares, seed)
        else:
            raise TypeError(f"expected a split of rows, got '{split_spec.kind}'")
        return (parted.unionByName(marked.where(F.col(c.PART) != "")) if split_spec.test_sets else parted), remedy

    def _demand_both_classes(self, parted: DataFrame, test_sets: Sequence[str], remedy: str) -> None:
        counts = {(row[c.PART], row[c.TARGET]): row["count"] for row in parted.groupBy(c.PART, c.TARGET).count().collect()}
        if others := sum(count for (_, target), count in counts.items() if target not in (0, 1)):
            raise ConfigurationError(
                f"{self.request.use_case}: {others} of {sum(counts.values())} rows have a target that is neither 0 nor 1; set "
                "source.positive, or send such rows to quarantine by a rule of the suite"
            )
        for part in PARTS:
            for target in (0, 1):
                if not counts.get((part, target)):
                    raise NotEnoughData(
                        f"{self.request.use_case}: the {part} part has no row of class {target} among "
                        f"{sum(counts.values())} rows with a known target; ingest more rows, or {remedy}"
                    )
        for part in test_sets:
            if not any(counts.get((part, target)) for target in (0, 1)):
                raise NotEnoughData(
                    f"{self.request.use_case}: test set '{part.removeprefix(tabular.TEST)}' has no row among "
                    f"{sum(counts.values())} known rows; ingest its rows, or correct split.test_sets"
                )


def builder_of(request: FeatureRequest) -> Builder:
    """The builder that fits the task of a request."""
    return RowBuilder(request) if request.task.answers_rows else InteractionBuilder(request)


def cut_windows(spec: SplitSpec, as_of: date, earlier: int = 0) -> dict[str, Window]:
    """Part -> its days: the three parts, then `earlier_1` (just before train) and so on; none where days do not cut.

    The earlier ones are as long as train: tuning learns from one and measures on the next.
    """
    if not isinstance(spec, TimeCut) or spec.holdout_days is None:
        return {}
    holdout = spec.holdout_days
    lengths = {"holdout": holdout, "validation": spec.validation_days or holdout, "train": spec.train_days or holdout}
    lengths |= {f"earlier_{n}": lengths["train"] for n in range(1, earlier + 1)}
    windows, end = {}, as_of
    for part, days in lengths.items():
        windows[part] = Window.before(end, days)
        end = windows[part].start
    return {part: windows[part] for part in (*PARTS, *(name for name in windows if name not in PARTS))}


def nothing_known(request: FeatureRequest, day: date) -> str:
    """The message where nothing was known on a day."""
    return (
        f"{request.use_case}: nothing was known before {day.isoformat()} (known_by: {request.spec.known_by}); "
        "ingest earlier windows, or move as_of to a later day."
    )
