"""How the model card reads: a verdict and its evidence -> sections of a page. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.judging import MIN_UNITS, Comparison, Evaluation, GateMode, GateResult, Outcome, Role, Verdict
from tasks.contracts.training import LearningCurve
from tasks.metrics.families import FAMILIES
from tasks.stages.reporting import charts, findings
from tasks.stages.reporting.charts import Interval
from tasks.stages.reporting.findings import as_number
from tasks.stages.reporting.html import Html, document, section, show, table, tag

if TYPE_CHECKING:
    from tasks.stages.reporting.evidence import Evidence, Part, Training

_TONES = {Outcome.BETTER: "good", Outcome.NOT_WORSE: "good", Outcome.WORSE: "bad", Outcome.INCONCLUSIVE: "open"}
_NAV = (
    ("gates", "Gates"),
    ("metrics", "Metrics"),
    ("slices", "Slices"),
    ("curves", "Calibration and gain"),
    ("errors", "Errors"),
    ("data", "Data"),
    ("training", "Training"),
    ("limits", "Limits"),
    ("further", "Further"),
)


def lay_out(verdict: Verdict, parts: Sequence[Part], training: Training, evidence: Evidence, folder: str) -> str:
    """The whole page."""
    candidate = verdict.candidate
    title = f"{candidate.name} for {verdict.use_case}"
    return document(
        f"Model card: {title}",
        tag("p", "Model card of a challenger, ", f"as of {candidate.split.as_of.isoformat()}", class_="kicker"),
        tag("h1", verdict.use_case, ": ", candidate.name, " against ", _opponent(verdict)),
        _verdict(verdict),
        tag("div", *_tiles(verdict, parts, training, evidence), class_="tiles"),
        tag("nav", *(tag("a", name, href=f"#{anchor}") for anchor, name in _NAV)),
        _gates(verdict.gates),
        _metrics(verdict, evidence),
        findings.show_slices(verdict.slices),
        findings.show_curves(evidence),
        findings.show_errors(evidence, verdict.weak_segments),
        _data(parts),
        _training(verdict, training),
        section("limits", "Limits", tag("ul", *(tag("li", one) for one in _limits(verdict, parts, evidence)), class_="plain")),
        _further(verdict, parts, training, folder),
    )


def is_better_when_greater(metric: str) -> bool:
    """By the metric's family; what is no family (user_coverage) is better when greater."""
    stem, _, k = metric.rpartition("_")
    family = FAMILIES.get(stem if k.isdigit() else metric)
    return family is None or family.greater_is_better


def _verdict(verdict: Verdict) -> Html:
    enabled = [gate for gate in verdict.gates if gate.mode is GateMode.ENABLED]
    would = [gate.gate for gate in verdict.gates if gate.mode is GateMode.DRY_RUN and not gate.passed]
    if not verdict.passed:
        reasons = tag("ul", *(tag("li", show(reason, 1000)) for reason in verdict.reasons))
        return tag("div", tag("b", "Refused"), "It does not become champion. The reasons:", reasons, class_="verdict bad")
    if not enabled:
        text = "No gate was enabled: everything passes here, and nothing is proved."
        return tag("div", tag("b", "Passed, unguarded"), text, class_="verdict warn")
    text = f"Every enabled gate ({len(enabled)}) let it through. {_outcome_sentence(verdict)}"
    warning = tag("p", f"Gates in dry run would have refused it: {', '.join(would)}.", class_="note warn") if would else None
    return tag("div", tag("b", "Passed"), text, warning, class_="verdict good")


def _outcome_sentence(verdict: Verdict) -> str:
    if not verdict.comparisons:
        return "There is no champion yet, so it was compared with none."
    first = verdict.comparisons[0]
    return f"By {first.metric} it is {_said(first.outcome)} {_than(first.outcome)} {_opponent(verdict)}."


def _tiles(verdict: Verdict, parts: Sequence[Part], training: Training, evidence: Evidence) -> Iterable[Html]:
    challenger = next((one for one in verdict.evaluations if one.subject == Role.CHALLENGER), None)
    if verdict.comparisons:
        first = verdict.comparisons[0]
        yield _tile(first.metric, f"{first.challenger:.4f}", f"champion {first.champion:.4f}")
        tone, interval = _TONES[first.outcome], f"{first.low:+.4f} to {first.high:+.4f}, {first.confidence:.0%} interval"
        yield _tile("difference, positive is better", f"{first.difference:+.4f}", interval, tone)
    elif challenger is not None and challenger.metrics:
        name = evidence.metric.name if evidence.metric else next(iter(challenger.metrics))
        if name in challenger.metrics:
            yield _tile(name, f"{challenger.metrics[name]:.4f}", "no champion to compare with")
        for gate in verdict.gates:
            if {Role.BASELINE, "difference", "low", "high"} <= set(gate.figures):
                low, high = gate.figures["low"], gate.figures["high"]
                tone = "good" if low > 0 else "bad" if high < 0 else "open"
                yield _tile("over the baseline", f"{gate.figures['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", tone)
    counts = evidence.counts
    if counts:
        what = "rows" if evidence.task is TaskKind.CLASSIFICATION else "users"
        told = f"{counts['positives']:,} of class 1" if "positives" in counts else f"{counts['labels']:,} {_labels(evidence)}"
        yield _tile("holdout", f"{counts['units']:,} {what}", told)
        if "new_units" in counts:
            share = counts["new_units"] / counts["units"]
            yield _tile("new users", f"{share:.1%}", "no history before the holdout")
    whole = f"{_seconds(training.seconds)} for the whole run" if training.seconds is not None else "length of the run unknown"
    yield _tile("to fit", _seconds(verdict.candidate.fit_seconds), whole)


def _tile(name: str, value: str, note: str, tone: str | None = None) -> Html:
    return tag("div", tag("span", name), tag("strong", value, class_=tone), tag("span", note), class_="tile")


def _gates(gates: Sequence[GateResult]) -> Html:
    def says(gate: GateResult) -> Html:
        if gate.mode is GateMode.DISABLED:
            return tag("span", "not asked", class_="warn")
        if gate.passed:
            return tag("span", "pass", class_="good")
        return tag("span", "refuse" if gate.mode is GateMode.ENABLED else "would refuse", class_="bad")

    rows = [(gate.gate, gate.mode.value, says(gate), show(gate.reason, 1000)) for gate in gates]
    return section("gates", "Gates", table(("gate", "mode", "says", "because"), rows, left=4))


def _metrics(verdict: Verdict, evidence: Evidence) -> Html:
    compared = {one.metric: one for one in verdict.comparisons}
    measured = list(dict.fromkeys(name for one in verdict.evaluations for name in one.metrics))
    leading = [*compared, *([evidence.metric.name] if evidence.metric else [])]
    everywhere = dict.fromkeys([*(name for name in leading if name in measured), *measured])
    head = ["metric", "validation", *(_subject(one) for one in verdict.evaluations)]
    if compared:
        head += ["difference", "interval", ""]
    rows = []
    for name in everywhere:
        arrow = tag("i", " ↑" if is_better_when_greater(name) else " ↓", class_="open")
        line: list[object] = [Html(show(name) + arrow), as_number(verdict.candidate.metrics.get(name))]
        line += [as_number(one.metrics.get(name)) for one in verdict.evaluations]
        rows.append(line + (_difference(compared.get(name)) if compared else []))
    content = [table(head, rows)]
    content.append(
        tag(
            "p",
            "↑ better when higher, ↓ better when lower. ",
            "Validation is the window that chose the candidate.",
            class_="note",
        )
    )
    shown = [one for one in verdict.comparisons if one.champion != 0]
    if shown:
        first = shown[0]
        percent = [
            Interval(one.metric, *(100 * value / abs(one.champion) for value in (one.low, one.difference, one.high)))
            for one in shown
        ]
        picture = charts.draw_intervals(percent, f"Against {_opponent(verdict)}", "better by, % of the champion's value")
        told = (
            "Differences are challenger minus champion, signed so that positive is better: paired bootstrap of "
            f"{first.units:,} units with {first.resamples:,} resamples, {first.confidence:.0%} intervals, each metric for "
            "itself. A metric without a difference cannot be judged by resampling."
        )
        content.append(tag("div", picture, tag("p", told, class_="note"), class_="columns"))
    return section("metrics", "Metrics on the holdout", *content)


def _difference(found: Comparison | None) -> list[object]:
    if found is None:
        return [None, None, None]
    said = tag("span", _said(found.outcome), class_=_TONES[found.outcome])
    return [f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}", said]


def _data(parts: Sequence[Part]) -> Html:
    rows = []
    for part in parts:
        window = _window(part)
        told: object = "a share of the rows"
        if window:
            days = [tag("span", day, class_="keep") for day in (window.start, window.end)]
            told = Html(days[0] + " to before " + days[1] + f" ({window.days} days)")
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(part.ref.rows.items()))
        digest = tag("code", part.ref.digest[:16], title=part.ref.digest, class_="keep")
        rows.append((part.name, told, counts, digest, tag("code", part.ref.key)))
    holdout = parts[-1]
    content = [table(("part", "labels of", "rows", "digest", "snapshot"), rows, left=5)]
    inputs = holdout.inputs
    notes = [f"Split as of {holdout.facts['as_of']}."] if "as_of" in holdout.facts else []
    if inputs:
        span = f"{inputs[0].partition} … {inputs[-1].partition}" if len(inputs) > 1 else inputs[0].partition
        notes.append(
            f"Made from {len(inputs):,} validated snapshots ({span}), {sum(sum(i.rows.values()) for i in inputs):,} rows."
        )
    spec = holdout.facts.get("features")
    if isinstance(spec, dict):
        notes.append("Features: " + ", ".join(f"{name} {value}" for name, value in sorted(spec.items())) + ".")
    content.append(tag("p", " ".join(notes), class_="note"))
    content.append(tag("h3", "Features, as of the first day of each window"))
    for name, schema in sorted(part_features(holdout).items()):
        content.append(tag("p", tag("b", name), f" ({len(schema)}) ", *(tag("code", one) for one in schema), class_="chips"))
    return section("data", "Data and features", *content)


def part_features(part: Part) -> dict[str, list[str]]:
    """Table -> its feature columns; keys, labels and targets are none."""
    keys = {c.ROW_ID, c.USER_ID, c.ITEM_ID, c.TARGET}
    found = {
        name: [column for column in sorted(schema) if column not in keys]
        for name, schema in part.schema.items()
        if name != c.LABELS
    }
    return {name: columns for name, columns in found.items() if columns}


def _window(part: Part) -> Window | None:
    label = part.facts.get("window")
    return Window.from_label(label) if label else None


def _training(verdict: Verdict, training: Training) -> Html:
    candidate = verdict.candidate
    elsewhere = ("split.", "rows.", "as_of")  # in the section on data
    settings = [(name, tag("code", value)) for name, value in sorted(training.params.items()) if not name.startswith(elsewhere)]
    facts = [
        ("kind", candidate.kind),
        ("code version", tag("code", candidate.code_version)),
        ("run", tag("code", candidate.run_id)),
        ("model", tag("code", candidate.model_uri)),
        ("manifest digest", tag("code", candidate.manifest_digest)),
        ("time to fit", _seconds(candidate.fit_seconds)),
        ("time of the whole run", "unknown" if training.seconds is None else _seconds(training.seconds)),
        ("size of the exported model", _bytes(training.model_bytes) if training.model_bytes else "unknown"),
    ]
    recorded: Html = table(("", ""), settings, left=2) if settings else tag("p", "The run recorded no settings.", class_="lead")
    table_of_facts = table(("", ""), facts, left=2)
    both = tag("div", recorded, table_of_facts, class_="columns")
    return section("training", "Training and its cost", both, *_learning(training.learning))


def _learning(curve: LearningCurve | None) -> Iterable[Html]:
    if curve is None or not curve.points:
        yield tag("p", "No learning curve was drawn.", class_="note")
        return
    head = [curve.unit, "share", "validation"]
    has_fitted = any(point.fitted is not None for point in curve.points)
    rows: list[list[object]] = [
        [
            f"{point.units:,}",
            f"{point.share:.0%}",
            as_number(point.validation),
            *([as_number(point.fitted)] if has_fitted else []),
        ]
        for point in curve.points
    ]
    picture = charts.draw_learning(curve, "Learning curve: would more data help?")
    shown = table([*head, *(["learned from"] if has_fitted else [])], rows)
    yield tag("div", picture, tag("div", tag("h3", f"{curve.metric} by the data learned from"), shown), class_="columns")
    yield tag("p", " ".join((say_learning(curve), f"Left out: {curve.stopped}." if curve.stopped else "")), class_="note")


def say_learning(curve: LearningCurve) -> str:
    """What the curve means, in a sentence or two."""
    sign = 1.0 if curve.greater_is_better else -1.0
    last = curve.points[-1]
    if len(curve.points) == 1:
        return "There is one point only: nothing can be said."
    before = curve.points[-2]
    gain = sign * (last.validation - before.validation)
    scale = max(abs(last.validation), 1e-12)
    more = (
        f"From {before.share:.0%} to {last.share:.0%} of the data it changed by {gain:+.4f} ({gain / scale:+.1%}, positive is "
        f"better): more data {'is likely to help' if gain > 0.01 * scale else 'of the same sort is unlikely to help much'}."
    )
    if curve.gap is None:
        return more
    by_heart = f" What it learned from it does better by {curve.gap:.4f} ({curve.gap / scale:.0%})"
    return more + by_heart + (": it learns by heart." if curve.is_overfitting else ".")


def _limits(verdict: Verdict, parts: Sequence[Part], evidence: Evidence) -> Iterable[str]:
    window, counts = _window(parts[-1]), evidence.counts
    off = [f"{gate.gate} ({gate.mode.value})" for gate in verdict.gates if gate.mode is not GateMode.ENABLED]
    if not verdict.gates:
        yield "There is no gate at all: nothing was asked of this model."
    elif off:
        yield f"Gates that could not refuse: {', '.join(off)}."
    else:
        yield f"All {len(verdict.gates)} gates were enabled; what none of them asks was not judged."
    if counts and evidence.task is not TaskKind.CLASSIFICATION:
        days = f" in the {window.days} days from {window.start}" if window else " in its window"
        yield (
            f"The holdout covers {counts['units']:,} users with {counts['labels']:,} {_labels(evidence)}{days}. Who did "
            "nothing then is in no figure, and another season may be different."
        )
        yield (
            f"{counts['new_units']:,} of these users ({counts['new_units'] / counts['units']:.1%}) had no history: "
            "what they were sent did not rest on anything of their own."
        )
        if counts["labels"]:
            share = counts["new_items"] / counts["labels"]
            yield (
                f"{counts['new_items']:,} of the {_labels(evidence)} ({share:.1%}) are of items that no model could know: they "
                "count as misses of everybody."
            )
    elif counts:
        yield (
            f"The holdout is {counts['units']:,} rows, {counts['positives']:,} of class 1, drawn from the same sources as the "
            "rows that were learned from: data from elsewhere may be different."
        )
    if evidence.task is TaskKind.PROPENSITY:
        yield "Probabilities are those of a user who buys anything in the window: for all users together they are too high."
    for first in verdict.comparisons[:1]:
        yield (
            f"This holdout cannot tell differences in {first.metric} below about {(first.high - first.low) / 2:.4f} from "
            "chance (half of the interval)."
        )
        if first.units < MIN_UNITS:
            yield f"It has only {first.units} units: nothing is concluded from fewer than {MIN_UNITS}."
    if not verdict.comparisons:
        yield "There was no champion: only the floor of the baseline was asked for, if a gate asks for one."


def _further(verdict: Verdict, parts: Sequence[Part], training: Training, folder: str) -> Html:
    is_address = training.page.startswith(("http://", "https://"))
    run = tag("a", training.page, href=training.page, target="_blank", rel="noreferrer") if is_address else show(training.page)
    rows: list[tuple[object, object]] = [
        ("the run, with the plots of the validation window", run),
        ("the verdict as JSON, which the ledger's report digest proves", tag("code", f"{folder}/verdict.json")),
        ("the same in Markdown", tag("code", f"{folder}/report.md")),
        ("who was champion when, and by whose word", tag("code", f"titleholder history {verdict.use_case}")),
        *((f"what the {one.subject} answered, by unit and line", tag("code", one.units.key)) for one in verdict.evaluations),
        ("the holdout", tag("code", parts[-1].ref.key)),
    ]
    note = "Within MLflow's frame links do not open: copy the address. Snapshots are folders under the data root."
    return section("further", "Where to look further", table(("", ""), rows, left=2), tag("p", note, class_="note"))


def _opponent(verdict: Verdict) -> str:
    return "no champion" if verdict.champion_version is None else f"champion version {verdict.champion_version}"


def _subject(evaluation: Evaluation) -> Html:
    return Html(show(evaluation.subject) + tag("br") + tag("i", show(evaluation.name, 30), class_="open"))


def _said(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")


def _than(outcome: Outcome) -> str:
    return "against" if outcome is Outcome.INCONCLUSIVE else "than"


def _labels(evidence: Evidence) -> str:
    return "ratings" if evidence.task is TaskKind.RATING else "purchases"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
