"""Charts of the model card: calibration and gain of each role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.contracts.judging import Role
from tasks.pages.charts import Chart, Palette
from tasks.stages.reporting.curves import Bin, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# line, marker and width: the roles differ without colour too
_LINES: dict[str, tuple[str, str, float]] = {
    Role.CHALLENGER: ("-", "o", 2.0),
    Role.CHAMPION: ("--", "s", 1.5),
    Role.BASELINE: (":", "^", 1.5),
    Role.ANCHOR: ("-.", "d", 1.2),
}


def chart_calibration(curves: Mapping[str, Sequence[Bin]], *, x_label: str, y_label: str) -> Chart:
    """The observed mean by the predicted mean of each bin. On the diagonal both are equal.

    Parameters
    ----------
    curves : role -> bins; the challenger's bins show their 95 % intervals.
    """

    def draw(axes: Axes, palette: Palette) -> None:
        ends = [value for bins in curves.values() for one in bins for value in (one.predicted, one.happened, one.high)]
        low = min([0.0, *ends]) if min(ends) < 1 else min(ends)
        axes.plot([low, max(ends)], [low, max(ends)], color=palette.muted, linewidth=0.8, dashes=(2, 2), label="as predicted")
        for role, bins in reversed(list(curves.items())):
            across, up = [one.predicted for one in bins], [one.happened for one in bins]
            line, marker, width = _LINES[role]
            colour = _colour(role, palette)
            if role == Role.CHALLENGER:
                axes.vlines(across, [one.low for one in bins], [one.high for one in bins], color=colour, linewidth=1, alpha=0.5)
            axes.plot(across, up, line, marker=marker, color=colour, linewidth=width, markersize=4.5, label=str(role))
        _add_legend(axes, palette, "upper left")

    return Chart("Calibration", x_label, y_label, draw)


def chart_gain(curves: Mapping[str, Curve], *, title: str, x_label: str, y_label: str, is_ranked: bool) -> Chart:
    """The share of the positives that is found, the best predictions first.

    Parameters
    ----------
    curves : role, `best possible` or `by chance` -> (x, share found).
    is_ranked : x is a rank in a list; otherwise it is a share of the rows.
    """

    def draw(axes: Axes, palette: Palette) -> None:
        for role, (across, up) in reversed(list(curves.items())):
            line, marker, width = _LINES.get(role, ("-", "", 0.9))
            style: dict[str, Any] = {"linestyle": line} if role in _LINES else {"dashes": (2, 2)}
            style |= {"color": _colour(role, palette), "linewidth": width, "marker": marker if is_ranked else ""}
            axes.plot(across, up, label=str(role), markersize=4.5, **style)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter("{x:.0%}")
        if is_ranked:
            axes.locator_params(axis="x", integer=True)
        else:
            axes.xaxis.set_major_formatter("{x:.0%}")
        _add_legend(axes, palette, "upper left" if is_ranked else "lower right")

    return Chart(title, x_label, y_label, draw)


def _colour(role: str, palette: Palette) -> str:
    return {
        Role.CHALLENGER.value: palette.challenger,
        Role.CHAMPION.value: palette.champion,
        Role.BASELINE.value: palette.baseline,
    }.get(str(role), palette.muted)


def _add_legend(axes: Axes, palette: Palette, location: str) -> None:
    """A legend in the order of the roles."""
    handles, labels = axes.get_legend_handles_labels()
    order = [role.value for role in Role]
    both = sorted(zip(handles, labels, strict=True), key=lambda pair: order.index(pair[1]) if pair[1] in order else len(order))
    axes.legend([handle for handle, _ in both], [label for _, label in both], loc=location, labelcolor=palette.ink)
