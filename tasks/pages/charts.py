"""Charts of pages and of MLflow runs: one drawing, as SVG in the colours of the page or as a matplotlib figure.

matplotlib draws an SVG in colours that stand for names. Afterwards each becomes a CSS variable of the stylesheet, so that the
chart follows the page's light or dark scheme.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tasks.pages import clean_text, read_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tasks.contracts.training import LearningCurve


@dataclass(frozen=True)
class Palette:
    """The colours of charts, by the names that they have in the stylesheet."""

    ink: str
    muted: str
    line: str
    card: str
    good: str
    bad: str
    open: str
    challenger: str
    champion: str
    baseline: str


LIGHT = Palette("#1b1f24", "#5b6470", "#dfe3e8", "#ffffff", "#17703a", "#b3261e", "#6b7280", "#1f62ad", "#b0620c", "#7b8490")
_THEME = Palette("#010101", "#020202", "#030303", "#040404", "#050505", "#060606", "#070707", "#080808", "#090909", "#0a0a0a")


@dataclass(frozen=True)
class Chart:
    """One drawing. The same drawing gives the same bytes, whatever the machine's matplotlibrc says."""

    title: str
    x_label: str
    y_label: str
    draw: Callable[[Axes, Palette], None]
    height: float = 3.4  # inches, at a width of 5.6

    def to_svg(self) -> Markup:
        """The chart as an inline SVG whose colours are those of the page."""
        return render_svg(self._make_figure, self.title)

    def to_figure(self) -> Figure:
        """The chart as a matplotlib figure in the light colours."""
        import matplotlib

        with matplotlib.rc_context():
            _set_style(LIGHT, background=LIGHT.card)
            return self._make_figure(LIGHT)

    def _make_figure(self, palette: Palette) -> Figure:
        from matplotlib.figure import Figure  # without pyplot there is no backend and no global state

        figure = Figure(figsize=(5.6, self.height), layout="constrained")
        axes = figure.subplots()
        axes.set_title(self.title)
        axes.set_xlabel(self.x_label)
        axes.set_ylabel(self.y_label)
        self.draw(axes, palette)
        return figure


@dataclass(frozen=True)
class Interval:
    """One line of a chart of intervals. Positive is better."""

    label: str
    low: float
    middle: float
    high: float

    def colour(self, palette: Palette) -> str:
        """Good or bad where the whole interval is on one side of zero."""
        return palette.good if self.low > 0 else palette.bad if self.high < 0 else palette.open


def chart_intervals(intervals: Sequence[Interval], *, title: str, x_label: str) -> Chart:
    """Differences with their intervals, the first on top. Right of the line is better."""

    def draw(axes: Axes, palette: Palette) -> None:
        for row, one in enumerate(reversed(intervals)):
            colour = one.colour(palette)
            axes.plot([one.low, one.high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round")
            axes.plot([one.middle], [row], "o", color=colour, markersize=6, markeredgecolor=palette.card)
        axes.axvline(0, color=palette.ink, linewidth=0.9)
        labels = [clean_text(one.label, 36) for one in reversed(intervals)]
        axes.set_yticks(range(len(intervals)), labels, color=palette.ink)
        axes.set_ylim(-0.6, len(intervals) - 0.4)
        axes.margins(x=0.08)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)

    return Chart(title, x_label, "", draw, height=0.95 + 0.27 * len(intervals))


def chart_learning(curve: LearningCurve, title: str) -> Chart:
    """The metric by the amount of training data: on the validation window and, where measured, on the training data."""
    import numpy as np

    def draw(axes: Axes, palette: Palette) -> None:
        units = [point.units for point in curve.points]
        values = [point.validation for point in curve.points]
        axes.plot(units, values, "-", marker="o", color=palette.challenger, linewidth=2, markersize=5, label="validation")
        fitted = [(point.units, point.fitted) for point in curve.points if point.fitted is not None]
        if fitted:
            across, up = zip(*fitted, strict=True)
            axes.plot(across, up, "--", marker="s", color=palette.muted, linewidth=1.4, markersize=4, label="training data")
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", integer=True, nbins=6)
        shown = [value for line in axes.lines for value in np.asarray(line.get_ydata(), dtype=float)]
        middle = (min(shown) + max(shown)) / 2
        half = max(0.6 * (max(shown) - min(shown)), 0.1 * abs(middle))  # a change of one percent stays visibly small
        axes.set_ylim(middle - half, middle + half)
        axes.legend(loc="best", labelcolor=palette.ink)

    better = "higher" if curve.greater_is_better else "lower"
    return Chart(title, f"{curve.unit} in the training data", f"{curve.metric}, {better} is better", draw, height=2.8)


def render_svg(make_figure: Callable[[Palette], Figure], title: str, *, is_file: bool = False) -> Markup:
    """A figure as an SVG whose colours are those of the page. The same figure gives the same bytes.

    Parameters
    ----------
    make_figure : makes the figure in the colours that it is given.
    title : the label for screen readers.
    is_file : the SVG is a file of its own and not inline in a page, so that it needs the colours in itself.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = BytesIO()
    with matplotlib.rc_context():
        _set_style(_THEME, background="none")
        matplotlib.rcParams["svg.hashsalt"] = title
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(make_figure(_THEME)).print_svg(stream, metadata=metadata)
    svg = stream.getvalue().decode()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # ids that several charts of one page would share
    for name, colour in asdict(_THEME).items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    label = Markup('<svg role="img" aria-label="{}" ').format(clean_text(title))
    svg = svg.replace("<svg ", label, 1)
    if is_file:
        svg = svg.replace(">", f">\n<style>{read_colours()}</style>", 1)
    return Markup(svg)  # noqa: S704  matplotlib escapes the texts that it draws


def _set_style(palette: Palette, background: str) -> None:
    """Set matplotlib's parameters, inside `rc_context`, to the same values on every machine."""
    import matplotlib

    matplotlib.rcdefaults()
    style: dict[str, Any] = {
        "figure.facecolor": background,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "text.color": palette.ink,
        "text.parse_math": False,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.facecolor": "none",
        "axes.edgecolor": palette.line,
        "axes.labelcolor": palette.muted,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": palette.line,
        "grid.linewidth": 0.6,
        "xtick.color": palette.muted,
        "ytick.color": palette.muted,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "svg.fonttype": "none",
    }
    matplotlib.rcParams.update(style)
