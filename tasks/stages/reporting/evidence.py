"""What the model card shows: measured again from the evaluations' tables and the snapshots that the verdict names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Role, Verdict
from tasks.contracts.training import LearningCurve
from tasks.errors import SnapshotError
from tasks.io.storage import Storage
from tasks.metrics import UNIT, WEIGHT, Metric, get_metric
from tasks.metrics.populations import wanted_labels
from tasks.problems import Problem, problem_of
from tasks.stages.reporting import curves, error_analysis
from tasks.stages.reporting.curves import Bin, Curve
from tasks.stages.reporting.error_analysis import Case, Mistakes
from tasks.stages.reporting.sides import Side, unit_metric

if TYPE_CHECKING:
    import pandas as pd

RELEVANT_FROM = 4.0  # of evaluations that do not state it
TEXT_SNAPSHOTS = 60  # at most so many of the newest snapshots are read for names of items


@dataclass(frozen=True)
class Part:
    """One part of the split: its reference, and the content of its manifest."""

    name: str
    ref: DatasetRef
    facts: Mapping[str, Any]
    schema: Mapping[str, Mapping[str, str]]
    inputs: tuple[DatasetRef, ...]


@dataclass(frozen=True)
class Training:
    """What the challenger's run recorded."""

    params: Mapping[str, str]
    seconds: float | None
    model_bytes: int
    page: str
    learning: LearningCurve | None = None


@dataclass(frozen=True)
class Evidence:
    """What is measured for the card. A field is empty where the snapshots do not hold it."""

    task: TaskKind | None = None  # None where the snapshots hold nothing
    metric: Metric | None = None
    calibration: Mapping[str, Sequence[Bin]] = field(default_factory=dict)
    gain: Mapping[str, Curve] = field(default_factory=dict)
    mistakes: Sequence[Mistakes] = ()
    cases: Sequence[Case] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> str:
        """What the labels are, in the plural."""
        return self.problem.wording.labels

    @property
    def problem(self) -> Problem:
        """What differs by the kind of task; that of recommendation where no task is known."""
        return problem_of(self.task or TaskKind.RECOMMENDATION)


def read_part(name: str, ref: DatasetRef, storage: Storage) -> Part:
    """A snapshot with the content of its manifest."""
    manifest = storage.manifest(ref)
    inputs = tuple(DatasetRef.from_json(one) for one in manifest["inputs"])
    return Part(name, ref, manifest["facts"], manifest["schema"], inputs)


def gather_evidence(verdict: Verdict, holdout: Part, storage: Storage) -> Evidence:
    """The evidence behind a verdict. It is empty where the evaluations have no tables."""
    sides = tuple(
        _read_side(one.subject, one.name, one.units, storage)
        for one in verdict.evaluations
        if {c.UNITS, c.PREDICTIONS} <= set(one.units.rows)
    )
    if not sides or sides[0].subject != Role.CHALLENGER:
        return Evidence()
    task = task_of(holdout.facts, sides[0].predictions)
    compared = [one.metric for one in verdict.comparisons]
    if task.answers_rows:
        rows = storage.read(holdout.ref, c.ROWS).sort_values(c.ROW_ID, ignore_index=True)
        return judge_rows(tuple(map(_with_brier, sides)), rows, compared)
    both = [c.USER_ID, c.ITEM_ID]
    keys = {c.USERS: [c.USER_ID], c.ITEMS: [c.ITEM_ID], c.PAIRS: both, c.LABELS: both}
    tables = {name: storage.read(holdout.ref, name).sort_values(by, ignore_index=True) for name, by in keys.items()}
    found = judge_users(sides, tables, compared, task)
    shown = {entry.item for case in found.cases for entry in (*case.predicted, *case.happened)}
    return replace(found, texts=read_texts(shown, holdout.inputs, storage))


def task_of(facts: Mapping[str, Any], predictions: pd.DataFrame) -> TaskKind:
    """The task of the holdout by its manifest or, for older manifests, by the columns of the predictions."""
    if facts.get("task"):
        return TaskKind(facts["task"])
    if c.ROW_ID in predictions:
        return TaskKind.CLASSIFICATION
    if c.RANK not in predictions:
        return TaskKind.RATING
    is_calibrated = not predictions[c.PREDICTION].equals(predictions[c.RAW_SCORE])
    return TaskKind.PROPENSITY if is_calibrated else TaskKind.RECOMMENDATION


def judge_users(sides: Sequence[Side], tables: Mapping[str, pd.DataFrame], compared: Sequence[str], task: TaskKind) -> Evidence:
    """Evidence about users, from the predictions for each and what each then did."""
    import numpy as np

    users, items, pairs, labels = (tables[name] for name in (c.USERS, c.ITEMS, c.PAIRS, c.LABELS))
    challenger, units = sides[0], list(sides[0].units[UNIT])
    metric = unit_metric(compared, challenger.units, task)
    problem = problem_of(task)
    is_list = problem.keeps_lists
    labels = labels[labels[c.USER_ID].isin(units)]
    labels = wanted_labels(labels, pairs, exclude_seen=is_list and challenger.hides_seen).reset_index(drop=True)
    kinds = error_analysis.kinds_of_labels(labels, pairs, items)
    counts = {
        "units": len(units),
        "labels": len(labels),
        "new_units": int((~challenger.units[UNIT].isin(users[c.USER_ID])).sum()),
        "new_items": int((kinds == error_analysis.NEW_ITEM).sum()),
    }
    k = max((int(side.predictions[c.RANK].max()) for side in sides if is_list and len(side.predictions)), default=0)
    bought = labels[labels[c.LABEL] > 0].groupby(c.USER_ID).size()
    relevant = np.array([float(bought.get(unit, 0)) for unit in units])
    gain: dict[str, Curve] = {}
    if not is_list:
        gain = {side.subject: curves.gain_by_share(side.predictions, side.relevant_from) for side in sides}
    elif k:
        gain = {side.subject: curves.gain_by_rank(side.predictions, relevant, k) for side in sides}
        gain["best possible"] = curves.best_gain_by_rank(relevant, k)

    def describe(unit: str, predicted: pd.DataFrame) -> Case:
        if not is_list:
            return error_analysis.describe_ratings(unit, predicted)
        mine = labels[c.USER_ID] == unit
        return error_analysis.describe_list(
            unit, predicted, labels[c.ITEM_ID][mine], kinds[mine], is_share=task.has_probabilities
        )

    return Evidence(
        task=task,
        metric=metric,
        counts=counts,
        calibration=_calibration(sides) if problem.wording.calibration else {},
        gain={subject: curve for subject, curve in gain.items() if len(curve[0])},
        mistakes=error_analysis.mistakes_of_lists(labels, kinds, sides)
        if is_list
        else error_analysis.mistakes_of_values(sides, problem_of(task)),
        cases=error_analysis.worst_cases(metric, sides, labels, describe) if metric else (),
    )


def judge_rows(sides: Sequence[Side], rows: pd.DataFrame, compared: Sequence[str]) -> Evidence:
    """Evidence about rows, from the prediction and the class of each."""
    import pandas as pd

    task, challenger = TaskKind.CLASSIFICATION, sides[0]
    metric = unit_metric(compared, challenger.units, task)
    rows = rows.set_index(rows[c.ROW_ID].astype(str)).loc[list(challenger.units[UNIT])]
    features = rows.drop(columns=[c.ROW_ID, c.TARGET])
    numbers = features.select_dtypes("number")
    typical = pd.DataFrame({"mean": numbers.mean(), "std": numbers.std()})

    def describe(unit: str, predicted: pd.DataFrame) -> Case:
        return error_analysis.describe_row(unit, predicted, numbers.loc[[unit]].iloc[0], typical)

    return Evidence(
        task=task,
        metric=metric,
        counts={"units": len(rows), "labels": len(rows), "positives": int(rows[c.TARGET].sum())},
        calibration=_calibration(sides),
        gain={side.subject: curve for side in sides if len((curve := curves.gain_by_share(side.predictions))[0])},
        mistakes=error_analysis.mistakes_of_values(sides, problem_of(task)),
        cases=error_analysis.worst_cases(metric, sides, None, describe) if metric else (),
    )


def read_texts(items: set[str], inputs: Sequence[DatasetRef], storage: Storage) -> dict[str, str]:
    """Item -> its most frequent text in the newest snapshot that has it, among those that the holdout was made from."""
    texts: dict[str, str] = {}
    for ref in list(reversed(inputs))[:TEXT_SNAPSHOTS]:
        missing = items - set(texts)
        if not missing or c.ROWS not in ref.rows:
            break
        try:
            rows = storage.read(ref, c.ROWS, [c.ITEM_ID, c.ITEM_TEXT])
        except SnapshotError:  # pruned: the card shows the id
            break
        counted = rows[rows[c.ITEM_ID].isin(missing)].dropna().value_counts().reset_index(name="count")
        ordered = counted.sort_values(["count", c.ITEM_TEXT], ascending=[False, True]).drop_duplicates(c.ITEM_ID)
        texts |= dict(zip(ordered[c.ITEM_ID], ordered[c.ITEM_TEXT], strict=True))
    return texts


def _read_side(subject: str, name: str, ref: DatasetRef, storage: Storage) -> Side:
    units = storage.read(ref, c.UNITS).sort_values(UNIT, ignore_index=True)
    predictions = storage.read(ref, c.PREDICTIONS)
    keys = [key for key in (c.ROW_ID, c.USER_ID, c.RANK, c.ITEM_ID) if key in predictions]
    facts = storage.manifest(ref)["facts"]
    return Side(
        subject,
        name,
        units,
        predictions.sort_values(keys, ignore_index=True),
        probabilities=storage.read(ref, c.PROBABILITIES) if c.PROBABILITIES in ref.rows else None,
        hides_seen=facts.get("exclude_seen", False),
        relevant_from=facts.get("relevant_from", RELEVANT_FROM),
    )


def _with_brier(side: Side) -> Side:
    """The side with a Brier score for each row, where no reported metric is one of single rows (as with ROC-AUC alone)."""
    if any(str(name).endswith(WEIGHT) for name in side.units.columns):
        return side
    metric = get_metric("brier", TaskKind.CLASSIFICATION)
    predicted = side.predictions.set_index(c.ROW_ID).loc[list(side.units[UNIT])]
    loss, weight = metric.parts(predicted[c.PREDICTION].to_numpy(float), predicted[c.LABEL].to_numpy(float))
    return replace(side, units=side.units.assign(**{metric.name: loss, metric.name + WEIGHT: weight}))


def _calibration(sides: Sequence[Side]) -> dict[str, list[Bin]]:
    found = {side.subject: curves.calibration_bins(side.promised) for side in sides}
    return {subject: bins for subject, bins in found.items() if bins}
