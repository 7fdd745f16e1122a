"""The verdict as a Markdown report."""

from __future__ import annotations

from tasks.contracts.judging import Role, Verdict
from tasks.stages.reporting.formatting import describe_gate, describe_outcome, populations_of


def write_report(verdict: Verdict) -> str:
    """The verdict with its reasons, every gate, and every metric of every model that was scored."""
    candidate = verdict.candidate
    lines = [
        f"# {verdict.use_case}: {candidate.name} {'passed' if verdict.passed else 'was refused'}",
        "",
        *[f"* {reason}" for reason in verdict.reasons],
        f"* judged against {_name_opponent(verdict)}, on the holdout `{candidate.split.holdout.key}`",
        *([f"* {verdict.spending.describe()}"] if verdict.spending else []),
        *(f"* {one.subject} {one.name} was not compared with: {one.reason}" for one in verdict.unscored),
        *[f"* candidate {one.name} failed and was not judged: {one.reason}" for one in verdict.failed],
        f"* model `{candidate.model_uri}`, manifest `{candidate.manifest_digest[:12]}`, code `{candidate.code_version}`",
        *_describe_refit(verdict),
        "",
        "## Gates",
        "",
        "| gate | mode | result | reason |",
        "|---|---|---|---|",
        *[f"| {one.gate} | {one.mode} | {_emphasize(describe_gate(one))} | {one.reason} |" for one in verdict.gates],
        "",
        "## Metrics on the holdout",
        "",
        "| metric | " + " | ".join(f"{one.subject} ({one.name})" for one in verdict.evaluations) + " |",
        "|---|" + "---|" * len(verdict.evaluations),
    ]
    for metric in dict.fromkeys(name for one in verdict.evaluations for name in one.metrics):
        values = (one.metrics.get(metric) for one in verdict.evaluations)
        lines.append(f"| {metric} | " + " | ".join("" if value is None else f"{value:.4f}" for value in values) + " |")
    lines += ["", *[f"* {', '.join(one.metrics)}: {one}" for one in populations_of(verdict)]]
    if verdict.test_sets:
        lines += ["", "## Test sets", "", "| set | rows | metric | challenger | champion |", "|---|---|---|---|---|"]
        for one in verdict.test_sets:
            for metric, value in one.values[Role.CHALLENGER].items():
                theirs = one.values.get(Role.CHAMPION, {}).get(metric)
                lines.append(
                    f"| {one.name} | {one.rows} | {metric} | {value:.4f} | {'' if theirs is None else f'{theirs:.4f}'} |"
                )
    if verdict.comparisons:
        lines += [
            "",
            "## Difference to the champion",
            "",
            "Positive is better.",
            "",
            "| metric | difference | interval | outcome |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {one.metric} | {one.difference:+.4f} | {one.low:+.4f} to {one.high:+.4f} | {describe_outcome(one.outcome)} |"
            for one in verdict.comparisons
        ]
        resampled = verdict.comparisons[0]
        lines += [
            "",
            f"Paired bootstrap of {resampled.units} units, {100 * resampled.confidence:.4g}%, {resampled.resamples} resamples.",
        ]
    return "\n".join(lines) + "\n"


def _describe_refit(verdict: Verdict) -> list[str]:
    if verdict.refit is None:
        return []
    if verdict.refit.problem:
        return [f"* the judged model serves; it was not fitted again: {verdict.refit.problem}"]
    return [
        f"* serves `{verdict.served_uri}`, manifest `{verdict.served_digest[:12]}`: fitted again on all data, after the "
        "verdict on the model above"
    ]


def _name_opponent(verdict: Verdict) -> str:
    if verdict.champion_version is None:
        return "no model: there is no champion yet"
    if not verdict.lost_champion:
        return f"version {verdict.champion_version}"
    return (
        f"no model, as a first one: champion version {verdict.champion_version} could not be scored "
        f"({verdict.lost_champion}). A person must decide"
    )


def _emphasize(result: str) -> str:
    return f"**{result}**" if result == "refuse" else result
