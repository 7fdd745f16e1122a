"""The card's pictures: inline SVG whose colours are the page's, so that they are legible by day and by night.

matplotlib draws in colours that stand for names; afterwards each becomes a CSS variable of the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from tasks.contracts.judging import Role
from tasks.stages.reporting.curves import Bin, Curve
from tasks.stages.reporting.html import Html, plain, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tasks.contracts.training import LearningCurve

INK, MUTED, LINE, CARD = "#010101", "#020202", "#030303", "#040404"
GOOD, BAD, OPEN = "#050505", "#060606", "#070707"
SUBJECTS: dict[str, str] = {Role.CHALLENGER: "#080808", Role.CHAMPION: "#090909", Role.BASELINE: "#0a0a0a"}
_NAMES = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    CARD: "card",
    GOOD: "good",
    BAD: "bad",
    OPEN: "open",
    **{colour: subject for subject, colour in SUBJECTS.items()},
}
# line, marker and width: the roles differ without colour too
_DRAWN: dict[str, tuple[str, str, float]] = {
    Role.CHALLENGER: ("-", "o", 2.0),
    Role.CHAMPION: ("--", "s", 1.5),
    Role.BASELINE: (":", "^", 1.5),
}
_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
}


@dataclass(frozen=True)
class Interval:
    """One line of a picture of intervals; positive is better."""

    label: str
    low: float
    middle: float
    high: float

    @property
    def colour(self) -> str:
        return GOOD if self.low > 0 else BAD if self.high < 0 else OPEN


def draw_intervals(intervals: Sequence[Interval], title: str, x: str) -> Html:
    """Differences with their intervals, the first on top; right of the line is better."""

    def draw(axes: Axes) -> None:
        for place, one in enumerate(reversed(intervals)):
            axes.plot([one.low, one.high], [place, place], color=one.colour, linewidth=2.4, solid_capstyle="round")
            axes.plot([one.middle], [place], "o", color=one.colour, markersize=6, markeredgecolor=CARD)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks(range(len(intervals)), [plain(one.label, 36) for one in reversed(intervals)], color=INK)
        axes.set_ylim(-0.6, len(intervals) - 0.4)
        axes.margins(x=0.08)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)

    return _render(draw, title, x, "", height=0.95 + 0.27 * len(intervals))


def draw_calibration(curves: Mapping[str, Sequence[Bin]], title: str, x: str, y: str) -> Html:
    """What happened against what was predicted, a tenth of the predictions each; on the diagonal it came true."""

    def draw(axes: Axes) -> None:
        ends = [value for bins in curves.values() for one in bins for value in (one.predicted, one.happened, one.high)]
        low = min([0.0, *ends]) if min(ends) < 1 else min(ends)
        axes.plot([low, max(ends)], [low, max(ends)], color=MUTED, linewidth=0.8, dashes=(2, 2), label="as predicted")
        for subject, bins in reversed(list(curves.items())):
            across, up = [one.predicted for one in bins], [one.happened for one in bins]
            line, marker, width = _DRAWN[subject]
            colour = SUBJECTS[subject]
            if subject == Role.CHALLENGER:
                axes.vlines(across, [one.low for one in bins], [one.high for one in bins], color=colour, linewidth=1, alpha=0.5)
            axes.plot(across, up, line, marker=marker, color=colour, linewidth=width, markersize=4.5, label=subject)
        _legend(axes, "upper left")

    return _render(draw, title, x, y)


def draw_gain(curves: Mapping[str, Curve], title: str, x: str, y: str, is_ranked: bool) -> Html:
    """How much of what matters is found, the best first. Besides the subjects: `best possible` and `by chance`."""

    def draw(axes: Axes) -> None:
        for subject, (across, up) in reversed(list(curves.items())):
            line, marker, width = _DRAWN.get(subject, ("-", "", 0.9))
            colour = SUBJECTS.get(subject, MUTED)
            style = {"dashes": (2, 2)} if subject not in SUBJECTS else {"linestyle": line}
            axes.plot(
                across,
                up,
                color=colour,
                linewidth=width,
                label=subject,
                marker=marker if is_ranked else "",
                markersize=4.5,
                **style,
            )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:.0%}")
        if is_ranked:
            axes.locator_params(axis="x", integer=True)
        else:
            axes.xaxis.set_major_formatter("{x:.0%}")
        _legend(axes, "upper left" if is_ranked else "lower right")

    return _render(draw, title, x, y)


def draw_learning(curve: LearningCurve, title: str) -> Html:
    """The metric against how much was learned from, on validation and, where known, on what was learned from."""

    import numpy as np

    def draw(axes: Axes) -> None:
        units = [point.units for point in curve.points]
        axes.plot(
            units,
            [point.validation for point in curve.points],
            "-",
            marker="o",
            color=SUBJECTS[Role.CHALLENGER],
            linewidth=2,
            markersize=5,
            label="validation",
        )
        fitted = [(point.units, point.fitted) for point in curve.points if point.fitted is not None]
        if fitted:
            across, up = zip(*fitted, strict=True)
            axes.plot(across, up, "--", marker="s", color=MUTED, linewidth=1.4, markersize=4, label="what it learned from")
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", integer=True, nbins=6)
        shown = [value for line in axes.lines for value in np.asarray(line.get_ydata(), dtype=float)]
        middle = (min(shown) + max(shown)) / 2
        half = max(0.6 * (max(shown) - min(shown)), 0.1 * abs(middle))  # a change of a percent is not to look like a cliff
        axes.set_ylim(middle - half, middle + half)
        axes.legend(loc="best", labelcolor=INK)

    better = "higher" if curve.greater_is_better else "lower"
    return _render(draw, title, f"{curve.unit} learned from", f"{curve.metric}, {better} is better", height=2.8)


def _legend(axes: Axes, place: str) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = [*SUBJECTS]
    both = sorted(zip(handles, labels, strict=True), key=lambda pair: order.index(pair[1]) if pair[1] in order else len(order))
    axes.legend([handle for handle, _ in both], [label for _, label in both], loc=place, labelcolor=INK)


def _render(draw: Callable[[Axes], None], title: str, x: str, y: str, height: float = 3.4) -> Html:
    """One figure as markup. The same drawing gives the same bytes, whatever this machine's matplotlibrc says."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**_STYLE, "svg.hashsalt": title})
        figure = Figure(figsize=(5.6, height), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        draw(axes)
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(figure).print_svg(stream, metadata=metadata)
    svg = stream.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # ids that several figures of one page would share
    for colour, name in _NAMES.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"\s*\n\s*", "\n", svg).replace("<svg ", '<svg role="img" ', 1)
    return tag("figure", Html(svg), aria_label=title)
