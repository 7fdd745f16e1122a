"""Draw docs/images/endpoint-scaling.png from build/bench/endpoint.json: `python -m benchmarks.endpoint.picture`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from serving.ranking.vector_index import EXACT_UP_TO
from tasks.settings import ROOT

SOURCE = Path("build") / "bench" / "endpoint.json"
PICTURE = ROOT / "docs" / "images" / "endpoint-scaling.png"


def draw(found: dict[str, Any], picture: Path) -> None:
    """Two panels: over workers with the fit, and over items."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.9), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    counts = np.array([int(count) for count in found["workers"]])
    rps = np.array([cells["rps"] for cells in found["workers"].values()])
    share, fine = found["parallel_share"], np.linspace(1, counts.max(), 100)
    law = rps[0] / (1 - share + share / np.minimum(fine, found["cores"]))
    left.plot(fine, law, "--", color="#999999", lw=1.5, label=f"Amdahl, p = {share:.2f}, up to the cores")
    left.plot(counts, rps, "o", color="#2171b5", ms=7, label="measured")
    left.set(xlabel="workers", xticks=counts, ylim=(0, 1.25 * rps.max()), ylabel="requests a second")
    left.set_title(f"100,000 items, 32 connections, {found['cores']:.0f} cores with the load", loc="left", fontsize=10)
    left.legend(frameon=False, loc="lower right")
    items = np.array([int(size) for size in found["catalogue"]])
    speed = [cells["rps"] for cells in found["catalogue"].values()]
    right.plot(items, speed, "o-", color="#2171b5", ms=5)
    for size, value, cells in zip(items, speed, found["catalogue"].values(), strict=True):
        right.annotate(
            f"p99 {cells['p99_ms']:.1f} ms", (size, value), (0, 8), textcoords="offset points", fontsize=8, ha="center"
        )
    right.axvline(EXACT_UP_TO * 1.2, color="#b2182b", lw=1, ls="--")
    right.text(EXACT_UP_TO * 1.3, 0, "index ", color="#b2182b", fontsize=9, va="bottom")
    right.text(EXACT_UP_TO * 1.1, 0, "exact ", color="#b2182b", fontsize=9, va="bottom", ha="right")
    right.set(
        xscale="log", xlabel="items in the catalogue", ylim=(0, 1.2 * max(speed)), xlim=(items.min() / 1.8, items.max() * 1.8)
    )
    right.set_title("top 10, one worker, 8 connections", loc="left", fontsize=10)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture)


if __name__ == "__main__":
    draw(json.loads(SOURCE.read_text()), PICTURE)
