"""The card's sections on verdict, gates, metrics, data, training and limits: verdict and evidence -> values of the template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.judging import Comparison, Evaluation, GateMode, GateResult, Outcome, Role, Verdict
from tasks.contracts.training import Candidate, LearningCurve, ProbabilityOf, Refit
from tasks.metrics import PROBABILITY
from tasks.metrics.families import FAMILIES
from tasks.pages import Cell, Table, clean_text
from tasks.pages.charts import Chart, Interval, chart_intervals, chart_learning
from tasks.stages.reporting.evidence import Evidence, Part, Training
from tasks.stages.reporting.formatting import (
    describe_gate,
    describe_outcome,
    format_bytes,
    format_number,
    format_seconds,
    populations_of,
    tone_of_interval,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME_LENGTH = 30  # characters of a model's name in the head of a table
DIGEST_LENGTH = 16
_TONES = {Outcome.BETTER: "good", Outcome.NOT_WORSE: "good", Outcome.WORSE: "bad", Outcome.INCONCLUSIVE: "open"}


@dataclass(frozen=True)
class Banner:
    """The verdict at the top of the card."""

    tone: str
    title: str
    text: str
    reasons: tuple[str, ...] = ()
    warning: str = ""


@dataclass(frozen=True)
class Tile:
    """One key figure."""

    name: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True)
class MetricSection:
    """Every metric of every model, with a chart of the differences to the champion."""

    table: Table
    chart: Markup | None
    note: str
    test_sets: Table | None = None
    populations: Sequence[str] = ()


@dataclass(frozen=True)
class DataSection:
    """The parts of the split, and the feature columns of the holdout."""

    table: Table
    note: str
    features: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class LearningSection:
    """The learning curve, as chart and table."""

    title: str
    chart: Markup
    table: Table
    note: str


@dataclass(frozen=True)
class TrainingSection:
    """Settings, facts and cost of the training run."""

    settings: Table | None
    facts: Table
    learning: LearningSection | None


def describe_verdict(verdict: Verdict) -> Banner:
    if not verdict.passed:
        return Banner("bad", "Refused", "The challenger does not become champion. Reasons:", verdict.reasons)
    enabled = [gate for gate in verdict.gates if gate.mode is GateMode.ENABLED]
    if not enabled:
        return Banner("warn", "Passed without gates", "No gate was enabled, so the verdict proves nothing.")
    refusals = [gate.gate for gate in verdict.gates if gate.mode is GateMode.DRY_RUN and not gate.passed]
    warning = f"Gates in dry run would have refused it: {', '.join(refusals)}." if refusals else ""
    if verdict.lost_champion:
        asked = [gate for gate in enabled if gate.is_judged]
        text = f"All {len(asked)} gates that could judge it as a first model passed. {_compare(verdict)}"
        return Banner("warn", "Passed, a person must decide", text, warning=warning)
    return Banner("good", "Passed", f"All {len(enabled)} enabled gates passed. {_compare(verdict)}", warning=warning)


def _compare(verdict: Verdict) -> str:
    if verdict.lost_champion:
        return (
            f"It was compared with no champion: version {verdict.champion_version} could not be scored. {verdict.lost_champion}"
        )
    if not verdict.comparisons:
        return "There is no champion to compare with yet."
    first = verdict.comparisons[0]
    if first.outcome is Outcome.INCONCLUSIVE:
        return f"By {first.metric}, the comparison with {name_opponent(verdict)} is inconclusive."
    return f"By {first.metric}, it is {describe_outcome(first.outcome)} than {name_opponent(verdict)}."


def name_opponent(verdict: Verdict) -> str:
    if verdict.champion_version is None:
        return "no champion"
    return f"champion version {verdict.champion_version}{', which could not be scored' if verdict.lost_champion else ''}"


def list_tiles(verdict: Verdict, training: Training, evidence: Evidence) -> Iterator[Tile]:
    """The key figures, the most important first."""
    if verdict.comparisons:
        first = verdict.comparisons[0]
        yield Tile(first.metric, f"{first.challenger:.4f}", f"champion {first.champion:.4f}")
        interval = f"{first.low:+.4f} to {first.high:+.4f}, {100 * first.confidence:.4g}% interval"
        yield Tile("difference, positive is better", f"{first.difference:+.4f}", interval, _TONES[first.outcome])
    else:
        yield from _list_tiles_without_champion(verdict, evidence)
    counts = evidence.counts
    if counts:
        unit = evidence.problem.unit
        labels = f"{counts['positives']:,} of class 1" if "positives" in counts else f"{counts['labels']:,} {evidence.labels}"
        yield Tile("holdout", f"{counts['units']:,} {unit}", labels)
    if "new_units" in counts:
        yield Tile("new users", f"{counts['new_units'] / counts['units']:.1%}", "without history before the holdout")
    if verdict.spending is not None:
        spending = verdict.spending
        note = f"alpha {spending.alpha:.2g} spent, {spending.spent:.2g} in all" if spending.alpha else "no alpha spent"
        yield Tile("the holdout judged", "once" if spending.times == 1 else f"{spending.times} times", note)
    duration = "unknown" if training.seconds is None else format_seconds(training.seconds)
    yield Tile("fitting time", format_seconds(verdict.candidate.fit_seconds), f"whole run: {duration}")


def _list_tiles_without_champion(verdict: Verdict, evidence: Evidence) -> Iterator[Tile]:
    challenger = next((one for one in verdict.evaluations if one.subject == Role.CHALLENGER), None)
    if challenger is None or not challenger.metrics:
        return
    name = evidence.metric.name if evidence.metric else next(iter(challenger.metrics))
    if name in challenger.metrics:
        yield Tile(name, f"{challenger.metrics[name]:.4f}", "no champion to compare with")
    for gate in verdict.gates:
        if {Role.BASELINE, "difference", "low", "high"} <= set(gate.figures):
            low, high = gate.figures["low"], gate.figures["high"]
            interval = f"{low:+.4f} to {high:+.4f}"
            yield Tile("over the baseline", f"{gate.figures['difference']:+.4f}", interval, tone_of_interval(low, high))


def list_gates(gates: Sequence[GateResult]) -> Table:
    """Every gate with its result and reason."""
    rows = [(gate.gate, gate.mode.value, _show_result(gate), gate.reason) for gate in gates]
    return Table(("gate", "mode", "result", "reason"), rows, text_columns=4)


def _show_result(gate: GateResult) -> Cell:
    if not gate.is_judged:
        return Cell(describe_gate(gate), "open")
    tone = "warn" if gate.mode is GateMode.DISABLED else "good" if gate.passed else "bad"
    return Cell(describe_gate(gate), tone)


def is_better_when_greater(metric: str) -> bool:
    """By the metric's family. A metric without one (user_coverage) is better when greater."""
    stem, _, k = metric.rpartition("_")
    family = FAMILIES.get(stem if k.isdigit() else metric)
    return family is None or family.greater_is_better


def describe_metrics(verdict: Verdict, evidence: Evidence) -> MetricSection:
    compared = {one.metric: one for one in verdict.comparisons}
    measured = list(dict.fromkeys(name for one in verdict.evaluations for name in one.metrics))
    leading = [*compared, *([evidence.metric.name] if evidence.metric else [])]
    names = dict.fromkeys([*(name for name in leading if name in measured), *measured])
    head: list[str | Cell] = ["metric", "validation", *(_name_model(one) for one in verdict.evaluations)]
    if compared:
        head += ["difference", "interval", ""]
    rows = []
    for name in names:
        row: list[str | Cell | None] = [Cell(name, note=" ↑" if is_better_when_greater(name) else " ↓")]
        row.append(_show_validation(verdict.candidate, name))
        row += [format_number(one.metrics.get(name)) for one in verdict.evaluations]
        rows.append(row + (_show_difference(compared.get(name)) if compared else []))
    chart = chart_comparisons(verdict, f"Difference to {name_opponent(verdict)}")
    note = ""
    if chart:
        first = verdict.comparisons[0]
        note = (
            "Differences are challenger minus champion, signed so that positive is better. Intervals: "
            f"{100 * first.confidence:.4g}%, by a paired bootstrap of {first.units:,} units with {first.resamples:,} resamples,"
            " each metric on its own. Metrics without a difference cannot be resampled by unit."
        )
    whom = [f"{', '.join(one.metrics)}: {one}." for one in populations_of(verdict)]
    return MetricSection(Table(head, rows), chart.to_svg() if chart else None, note, _list_test_sets(verdict), whom)


def _list_test_sets(verdict: Verdict) -> Table | None:
    """Challenger and champion on each test set; None without one."""
    rows = []
    for one in verdict.test_sets:
        for metric, value in one.values[Role.CHALLENGER].items():
            theirs = format_number(one.values.get(Role.CHAMPION, {}).get(metric))
            better = Cell(metric, note=" ↑" if is_better_when_greater(metric) else " ↓")
            rows.append((one.name, better, f"{one.rows:,}", format_number(value), theirs))
    return Table(("test set", "metric", "rows", "challenger", "champion"), rows, text_columns=2) if rows else None


def _show_validation(candidate: Candidate, metric: str) -> Cell:
    """A metric on the validation window; of a rolling split also its mean and spread over all cuts."""
    spread, cuts = candidate.spread(metric), len(candidate.cuts) + 1
    over = "" if spread is None else f"{candidate.mean(metric):.4f} ± {spread:.4f} over {cuts} cuts"
    return Cell(format_number(candidate.metrics.get(metric)) or "", note=over, has_break=True)


def chart_comparisons(verdict: Verdict, title: str) -> Chart | None:
    """The intervals of all comparisons with the champion, each in percent of the champion's value. None without any."""
    intervals = [
        Interval(
            f"{one.metric}: {describe_outcome(one.outcome)}",
            *(100 * value / abs(one.champion) for value in (one.low, one.difference, one.high)),
        )
        for one in verdict.comparisons
        if one.champion != 0
    ]
    if not intervals:
        return None
    return chart_intervals(intervals, title=title, x_label="better by, % of the champion's value")


def draw_comparisons(verdict: Verdict) -> Figure | None:
    """The chart of all comparisons with the champion, as a figure for MLflow. None without comparisons."""
    against = f"{verdict.use_case}: {verdict.candidate.name} against version {verdict.champion_version}"
    chart = chart_comparisons(verdict, against)
    return None if chart is None else chart.to_figure()


def _name_model(evaluation: Evaluation) -> Cell:
    return Cell(evaluation.subject, note=clean_text(evaluation.name, NAME_LENGTH), has_break=True)


def _show_difference(found: Comparison | None) -> list[str | Cell | None]:
    if found is None:
        return [None, None, None]
    outcome = Cell(describe_outcome(found.outcome), _TONES[found.outcome])
    return [f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}", outcome]


def describe_data(parts: Sequence[Part]) -> DataSection:
    rows = []
    for part in parts:
        window = _window(part)
        period = f"{window.start} to before {window.end} ({window.days} days)" if window else "a share of the rows"
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(part.ref.rows.items()))
        digest = Cell(part.ref.digest[:DIGEST_LENGTH], is_code=True, title=part.ref.digest)
        rows.append((part.name, period, counts, digest, Cell(part.ref.key, is_code=True)))
    holdout = parts[-1]
    notes = [f"Split as of {holdout.facts['as_of']}."] if "as_of" in holdout.facts else []
    inputs = holdout.inputs
    if inputs:
        span = f"{inputs[0].partition} … {inputs[-1].partition}" if len(inputs) > 1 else inputs[0].partition
        total = sum(sum(one.rows.values()) for one in inputs)
        notes.append(f"Source: {len(inputs):,} validated snapshots ({span}) with {total:,} rows.")
    spec = holdout.facts.get("features")
    if isinstance(spec, dict):
        notes.append("Feature settings: " + ", ".join(f"{name} {value}" for name, value in sorted(spec.items())) + ".")
    features = tuple((name, tuple(columns)) for name, columns in sorted(list_features(holdout).items()))
    head = ("part", "period of the labels", "rows", "digest", "snapshot")
    return DataSection(Table(head, rows, text_columns=5), " ".join(notes), features)


def list_features(part: Part) -> dict[str, list[str]]:
    """Table -> its feature columns, without keys, labels and targets."""
    keys = {c.ROW_ID, c.USER_ID, c.ITEM_ID, c.TARGET, c.SPLIT_ORDER, c.SPLIT_GROUP}
    found = {
        name: [column for column in sorted(schema) if column not in keys]
        for name, schema in part.schema.items()
        if name != c.LABELS
    }
    return {name: columns for name, columns in found.items() if columns}


def _window(part: Part) -> Window | None:
    label = part.facts.get("window")
    return Window.from_label(label) if label else None


def describe_training(verdict: Verdict, training: Training) -> TrainingSection:
    candidate = verdict.candidate
    elsewhere = ("split.", "rows.", "as_of")  # in the section on data
    params = [(name, value) for name, value in sorted(training.params.items()) if not name.startswith(elsewhere)]
    settings = Table((), [(name, Cell(value, is_code=True)) for name, value in params], text_columns=2)
    facts: list[tuple[str, str | Cell]] = [
        ("kind", candidate.kind),
        ("code version", Cell(candidate.code_version, is_code=True)),
        ("run", Cell(candidate.run_id, is_code=True)),
        ("model", Cell(candidate.model_uri, is_code=True)),
        ("manifest digest", Cell(candidate.manifest_digest, is_code=True)),
        *_describe_refit(verdict.refit),
        ("fitting time", format_seconds(candidate.fit_seconds)),
        ("duration of the run", "unknown" if training.seconds is None else format_seconds(training.seconds)),
        ("size of the exported model", format_bytes(training.model_bytes) if training.model_bytes else "unknown"),
    ]
    curve = training.learning
    learning = describe_learning(curve) if curve is not None and curve.points else None
    return TrainingSection(settings if params else None, Table((), facts, text_columns=2), learning)


def _describe_refit(refit: Refit | None) -> list[tuple[str, str | Cell]]:
    """The model that serves, where it is not the judged one."""
    if refit is None:
        return []
    if refit.problem:
        return [("refitted before serving", f"no, the judged model serves: {refit.problem}")]
    learned = ", ".join(f"{count:,} {name}" for name, count in sorted(refit.learned.items()))
    carried = f"; {', '.join(refit.carried)} of the judged model" if refit.carried else ""
    return [
        ("refitted before serving", f"yes, after the verdict, on {learned}{carried}"),
        ("model that serves", Cell(refit.model_uri, is_code=True)),
        ("manifest digest of the model that serves", Cell(refit.manifest_digest, is_code=True)),
    ]


def describe_learning(curve: LearningCurve) -> LearningSection:
    has_fitted = any(point.fitted is not None for point in curve.points)
    rows = []
    for point in curve.points:
        fitted = [format_number(point.fitted)] if has_fitted else []
        rows.append([f"{point.units:,}", f"{point.share:.0%}", format_number(point.validation), *fitted])
    head = [curve.unit, "share", "validation", *(["training data"] if has_fitted else [])]
    note = " ".join([interpret_learning(curve), *([f"Left out: {curve.stopped}."] if curve.stopped else [])])
    chart = chart_learning(curve, "Learning curve").to_svg()
    return LearningSection(f"{curve.metric} by the amount of training data", chart, Table(head, rows), note)


def interpret_learning(curve: LearningCurve) -> str:
    """Whether more data is likely to help, and whether the model overfits."""
    sign = 1.0 if curve.greater_is_better else -1.0
    last = curve.points[-1]
    if len(curve.points) == 1:
        return "The curve has one point only and shows no trend."
    before = curve.points[-2]
    gain = sign * (last.validation - before.validation)
    scale = max(abs(last.validation), 1e-12)
    advice = "is likely to help" if gain > 0.01 * scale else "of the same kind is unlikely to help much"
    trend = (
        f"From {before.share:.0%} to {last.share:.0%} of the data the metric changed by {gain:+.4f} ({gain / scale:+.1%}, "
        f"positive is better): more data {advice}."
    )
    if curve.gap is None:
        return trend
    verdict = ": the model overfits." if curve.is_overfitting else "."
    return f"{trend} On its training data the model is better by {curve.gap:.4f} ({curve.gap / scale:.0%}){verdict}"


def list_limits(verdict: Verdict, parts: Sequence[Part], evidence: Evidence) -> Iterator[str]:
    """What the verdict does not show."""
    off = [f"{gate.gate} ({gate.mode.value})" for gate in verdict.gates if gate.mode is not GateMode.ENABLED]
    if not verdict.gates:
        yield "The use case declares no gates, so nothing was required of this model."
    elif off:
        yield f"Gates that could not refuse: {', '.join(off)}."
    else:
        yield f"All {len(verdict.gates)} gates were enabled. Properties that no gate measures were not judged."
    if verdict.refit is not None and not verdict.refit.problem:
        yield (
            "The model that serves was fitted again after the verdict, on the holdout too. All figures here are of the judged "
            "model: those of the refitted one are not known."
        )
    if evidence.problem.task.answers_rows and evidence.counts:
        yield (
            f"The holdout has {evidence.counts['units']:,} rows, {evidence.counts['positives']:,} of class 1. They come from "
            "the same sources as the training data. Data from other sources may differ."
        )
    elif evidence.counts:
        yield from _list_limits_of_users(parts, evidence)
    if evidence.problem.calibrates:
        whom = next((one.whom for one in populations_of(verdict) if PROBABILITY in one.metrics), ProbabilityOf.BUYERS.words)
        yield f"Probabilities are about {whom}." + (
            " For all users together they are too high." if whom == ProbabilityOf.BUYERS.words else ""
        )
    yield from _list_left_out(verdict)
    if verdict.spending is not None and verdict.spending.times > 1:
        yield (
            f"The same days or rows have judged {verdict.spending.times} times. Only new labels add to the alpha that later "
            "judgings may spend."
        )
    for first in verdict.comparisons[:1]:
        yield (
            f"Differences in {first.metric} below about {(first.high - first.low) / 2:.4f} (half of the interval) cannot be "
            "distinguished from chance on this holdout."
        )
        if first.units < first.min_units:
            yield f"The holdout has {first.units} units. A gain is concluded from {first.min_units} units on."
    if not verdict.comparisons and not verdict.lost_champion:
        yield "There was no champion. At most the difference to the baseline was judged, where a gate requires one."


def _list_left_out(verdict: Verdict) -> Iterator[str]:
    """The models that took no part in the judging."""
    for candidate in verdict.failed:
        yield f"Candidate {candidate.name} failed and was not judged: {candidate.reason}"
    for one in verdict.unscored:
        yield f"The {one.subject} {one.name} could not be scored and was not compared with: {one.reason}"
    if verdict.lost_champion:
        yield "Nothing shows whether this model is better than the champion."


def _list_limits_of_users(parts: Sequence[Part], evidence: Evidence) -> Iterator[str]:
    counts, window = evidence.counts, _window(parts[-1])
    period = f" in the {window.days} days from {window.start}" if window else " in its window"
    yield (
        f"The holdout covers {counts['units']:,} users with {counts['labels']:,} {evidence.labels}{period}. Users without "
        "activity in that period are not counted, and other seasons may differ."
    )
    share = counts["new_units"] / counts["units"]
    yield (
        f"{counts['new_units']:,} of these users ({share:.1%}) had no history. Their predictions do not use any activity of "
        "their own."
    )
    if counts["labels"]:
        share = counts["new_items"] / counts["labels"]
        yield (
            f"{counts['new_items']:,} of the {evidence.labels} ({share:.1%}) are of items without features, which no model "
            "can know. They count as misses of every model."
        )


def list_artifacts(verdict: Verdict, parts: Sequence[Part], training: Training, folder: str) -> Table:
    """Where a reader finds the run, the verdict, the history and the snapshots."""
    rows: list[tuple[str, Cell]] = [
        ("run, with the plots of the validation window", Cell(training.page, href=training.page)),
        ("verdict as JSON (the ledger holds its digest)", Cell(f"{folder}/verdict.json", is_code=True)),
        ("report as Markdown", Cell(f"{folder}/report.md", is_code=True)),
        ("history of champions", Cell(f"titleholder history {verdict.use_case}", is_code=True)),
        *((f"predictions of the {one.subject}", Cell(one.units.key, is_code=True)) for one in verdict.evaluations),
        ("holdout", Cell(parts[-1].ref.key, is_code=True)),
    ]
    return Table((), rows, text_columns=2)
