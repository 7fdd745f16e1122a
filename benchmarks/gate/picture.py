"""Draw docs/images/gate-power.png from build/bench/gate.json: `python -m benchmarks.gate.picture`."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.gate.error_rates import WORKING_POINT
from tasks.settings import ROOT

SOURCE, PICTURE = Path("build") / "bench" / "gate.json", ROOT / "docs" / "images" / "gate-power.png"
SHADES = ("#c6dbef", "#9ecae1", "#6baed6", "#2171b5", "#08306b")


def draw(power: dict[str, dict[str, float]], picture: Path) -> None:
    """One curve for each number of users, over the true gain."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for shade, (size, cells) in zip(SHADES, power.items(), strict=True):
        gains, shares = [float(gain) for gain in cells], list(cells.values())
        axes.plot(gains, shares, "o-", color=shade, lw=2, ms=4, label=f"{int(size):,} users")
    users, gain = WORKING_POINT
    reached = power[str(users)][f"{gain:g}"]
    axes.axhline(0.8, color="#999999", lw=1, ls="--")
    axes.axhline(0.05, color="#b2182b", lw=1, ls="--")
    axes.text(0.05, 0.06, "at most this by mistake: 0.05", color="#b2182b", ha="right", va="bottom", fontsize=9)
    axes.text(0.0, 0.81, "four of five", color="#666666", va="bottom", fontsize=9)
    axes.annotate(
        f"working point: {users:,} users,\ntrue gain {gain:g}: {reached:.2f}",
        (gain, reached),
        (0.031, 0.18),
        fontsize=9,
        arrowprops={"arrowstyle": "->", "color": "#333333"},
    )
    axes.set(xlabel="true gain of nDCG@10", ylabel="share of challengers promoted", ylim=(0, 1.03), xlim=(-0.001, 0.051))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.42))
    axes.set_title("How often the gate promotes a challenger that is truly better by so much", loc="left", fontsize=11)
    figure.savefig(picture)


if __name__ == "__main__":
    draw(json.loads(SOURCE.read_text())["power"], PICTURE)
