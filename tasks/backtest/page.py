"""The page of a backtest's report, and its first table for a terminal."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from tasks.backtest.figures import PolicyResult, Report, describe_span
from tasks.pages import Cell, Table, render_page
from tasks.pages.charts import Chart, Palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEST, HINDSIGHT = "best_possible", "best_of_each_day"


def draw_page(report: Report) -> str:
    """The report as one page of HTML."""
    plan = report.plan
    return render_page(
        "backtest.html.j2",
        use_case=plan.use_case,
        period=f"{plan.start} to {plan.end}",
        world=f"generated world {plan.world}, seed {plan.seed}" if plan.world else "the use case's own files",
        conclusion=report.conclusion,
        metric=report.metric,
        direction="higher is better" if report.greater_is_better else "lower is better",
        days=report.days,
        policies=_list_policies(report),
        meanings=[(one.name, one.meaning) for one in report.policies],
        chart=_chart_quality(report).to_svg() if any(one.by_day for one in report.policies) else "",
        work=_list_work(report),
        rights=[(one.name, one.violations) for one in report.policies if one.violations is not None],
        timelines=[(one.name, _list_windows(one)) for one in report.policies],
        answer_days=f"{plan.answer_days:g}",
    )


def _list_policies(report: Report) -> Table:
    rows: list[list[str | Cell | None]] = []
    for one in report.policies:
        tone = "" if one.gain is None else "good" if one.gain.low > 0 else "bad" if one.gain.high < 0 else "open"
        gain = Cell("compared with" if one.gain is None else describe_span(one.gain), tone=tone)
        regret, missed = ("unknown" if share is None else f"{share:.1%}" for share in (one.regret, one.missed))
        rows.append([one.name, describe_span(one.quality, is_signed=False), gain, regret, missed])
    if report.hindsight is not None:
        rows.append([HINDSIGHT, describe_span(report.hindsight, is_signed=False), "", "0.0%", ""])
    if report.best is not None:
        rows.append([BEST, describe_span(report.best, is_signed=False), "", "", "0.0%"])
    return Table(
        ["policy", report.metric, f"gain over {report.policies[0].name}", "missed of hindsight", "missed of the truth"], rows
    )


def _list_work(report: Report) -> Table:
    head = [
        "policy",
        "requests",
        "trainings",
        "refused",
        "promotions",
        "windows with faults",
        "windows with failed jobs",
        "minutes",
    ]
    rows = [
        [
            one.name,
            *(
                str(count)
                for count in (one.requests, one.trainings, one.refused, one.promotions, one.faults, one.failed_windows)
            ),
            f"{one.minutes:.1f}",
        ]
        for one in report.policies
    ]
    return Table(head, rows)


def _list_windows(policy: PolicyResult) -> Table:
    rows: list[list[str | Cell | None]] = []
    for line in policy.windows:
        tone = "bad" if line.fault or line.failures else "good" if line.promoted else ""
        failed = "; ".join(f"{name} failed: {error}" for name, error in line.failures.items())
        what = "; ".join(dict.fromkeys(part for part in (line.reason, line.fault, failed) if part))
        training = f"{line.training}{', promoted' if line.promoted else ''}"
        champion = "none" if line.champion is None else str(line.champion)
        value = None if line.quality is None else f"{line.quality.value:.4f}"
        begin, _, end = line.window.partition("..")
        rows.append(
            [Cell(begin, note=f"to {end}", has_break=True), Cell(line.decision, tone=tone), what, training, champion, value]
        )
    return Table(["window", "decision", "reason", "training", "champion", "quality"], rows, text_columns=4)


def _chart_quality(report: Report) -> Chart:
    """The quality of each policy by the day of its answers."""

    def draw(axes: Axes, palette: Palette) -> None:
        styles = [(palette.challenger, "-"), (palette.champion, "-"), (palette.good, "--"), (palette.baseline, ":")]
        for place, one in enumerate(report.policies):
            colour, style = styles[place % len(styles)]
            days = [date.fromisoformat(day) for day in one.by_day]
            values = [span.value for span in one.by_day.values()]
            axes.plot(days, values, style, color=colour, linewidth=2 if place == 0 else 1.4, label=one.name)  # type: ignore[arg-type]
            if place == 0:
                lows, highs = ([getattr(span, side) for span in one.by_day.values()] for side in ("low", "high"))
                axes.fill_between(days, lows, highs, color=colour, alpha=0.15, linewidth=0)  # type: ignore[arg-type]
        if report.best_by_day:
            days = [date.fromisoformat(day) for day in report.best_by_day]
            axes.plot(days, list(report.best_by_day.values()), "-.", color=palette.ink, linewidth=1, label=BEST)  # type: ignore[arg-type]
        for line in report.policies[0].windows:
            if line.promoted:
                axes.axvline(date.fromisoformat(line.window.partition("..")[2]), color=palette.muted, linewidth=0.8)  # type: ignore[arg-type]
        axes.tick_params(axis="x", rotation=30)
        axes.legend(loc="best", labelcolor=palette.ink)

    better = "higher" if report.greater_is_better else "lower"
    return Chart("Quality of the answers of each day", "day of the answers", f"{report.metric}, {better} is better", draw)


def as_table(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The first table of a report's document, for a terminal."""
    return [
        {
            "policy": one.name,
            report["metric"]: describe_span(one.quality, is_signed=False),
            "gain": None if one.gain is None else describe_span(one.gain),
            "regret": None if one.regret is None else f"{one.regret:.1%}",
            "trainings": one.trainings,
            "promotions": one.promotions,
            "minutes": f"{one.minutes:.1f}",
        }
        for one in map(PolicyResult.from_json, report["policies"])
    ]
