"""A verdict for people: a page of Markdown and a picture of the intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.contracts.judging import Comparison, GateMode, Outcome, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {Outcome.BETTER: "#1b7837", Outcome.NOT_WORSE: "#5aae61", Outcome.WORSE: "#b2182b", Outcome.INCONCLUSIVE: "#878787"}


def write_report(verdict: Verdict) -> str:
    """The verdict as Markdown: what was decided and why, every gate, every metric of everybody who was scored."""
    candidate = verdict.candidate
    against = (
        f"version {verdict.champion_version}" if verdict.champion_version is not None else "nobody: there is no champion yet"
    )
    lines = [
        f"# {verdict.use_case}: {candidate.name} {'passed' if verdict.passed else 'was refused'}",
        "",
        *[f"* {reason}" for reason in verdict.reasons],
        f"* judged against {against}, on the holdout `{candidate.split.holdout.key}`",
        f"* model `{candidate.model_uri}`, manifest `{candidate.manifest_digest[:12]}`, code `{candidate.code_version}`",
        "",
        "## Gates",
        "",
        "| gate | mode | says | because |",
        "|---|---|---|---|",
        *[f"| {one.gate} | {one.mode} | {_says(one.passed, one.mode)} | {one.reason} |" for one in verdict.gates],
        "",
        "## On the holdout",
        "",
        "| metric | " + " | ".join(f"{one.subject} ({one.name})" for one in verdict.evaluations) + " |",
        "|---|" + "---|" * len(verdict.evaluations),
    ]
    for metric in dict.fromkeys(name for one in verdict.evaluations for name in one.metrics):
        values = (one.metrics.get(metric) for one in verdict.evaluations)
        lines.append(f"| {metric} | " + " | ".join("" if value is None else f"{value:.4f}" for value in values) + " |")
    if verdict.comparisons:
        lines += [
            "",
            "## Against the champion",
            "",
            "Positive is better.",
            "",
            "| metric | difference | interval | |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {one.metric} | {one.difference:+.4f} | {one.low:+.4f} to {one.high:+.4f} | {_said(one.outcome)} |"
            for one in verdict.comparisons
        ]
        resampled = verdict.comparisons[0]
        lines += [
            "",
            f"Paired bootstrap of {resampled.units} units, {resampled.confidence:.0%}, {resampled.resamples} resamples.",
        ]
    return "\n".join(lines) + "\n"


def draw_comparisons(verdict: Verdict) -> Figure:
    """The intervals of all comparisons with the champion, each in percent of the champion's value."""
    from matplotlib.figure import Figure

    shown = [one for one in verdict.comparisons if one.champion != 0]
    figure = Figure(figsize=(8, 1.4 + 0.45 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for place, one in enumerate(reversed(shown)):
        low, middle, high = (_percent(one, value) for value in (one.low, one.difference, one.high))
        axes.plot([low, high], [place, place], color=_COLOURS[one.outcome], linewidth=3, solid_capstyle="butt")
        axes.plot([middle], [place], "o", color=_COLOURS[one.outcome])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [f"{one.metric}: {_said(one.outcome)}" for one in reversed(shown)])
    axes.set_xlabel("better than the champion by, % of the champion's value")
    axes.set_title(f"{verdict.use_case}: {verdict.candidate.name} against version {verdict.champion_version}")
    return figure


def _percent(comparison: Comparison, difference: float) -> float:
    return 100.0 * difference / abs(comparison.champion)


def _says(passed: bool, mode: GateMode) -> str:
    if mode is GateMode.DISABLED:
        return "not asked"
    return "pass" if passed else "**refuse**" if mode is GateMode.ENABLED else "would refuse"


def _said(outcome: Outcome) -> str:
    return outcome.value.replace("_", " ")
