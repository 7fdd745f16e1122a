"""Draw docs/images/features-scaling.png from build/bench/data.json: `python -m benchmarks.data.picture`."""

from __future__ import annotations

import json

from tasks.settings import ROOT

LINES = {
    "features_seconds": ("Spark, local, 4 GB (exact sums, all columns)", "#2c7fb8", 6),
    "duckdb_seconds": ("DuckDB (the same aggregates, in doubles)", "#d95f0e", 6),
    "polars_seconds": ("Polars (the same)", "#31a354", -13),
}


def main() -> None:
    """Seconds over millions of events, both logarithmic; the grey line is what is linear in Spark's largest size."""
    from matplotlib.figure import Figure

    found = json.loads((ROOT / "build" / "bench" / "data.json").read_text())
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, (label, colour, beside) in LINES.items():
        points = sorted((float(size.removesuffix("m")), cells["seconds"]) for size, cells in found[name].items())
        sizes, seconds = zip(*points, strict=True)
        axes.plot(sizes, seconds, "o-", color=colour, label=label)
        for size, value in points:
            axes.annotate(
                f"{value:,.3g}", (size, value), xytext=(0, beside), textcoords="offset points", fontsize=8, ha="center"
            )
        if name == "features_seconds":
            axes.plot(sizes, [size * seconds[-1] / sizes[-1] for size in sizes], "--", color="#b9b9b9", label="linear")
    axes.set(xscale="log", yscale="log", xlabel="million events", ylabel="seconds", title="Features of a shop, two cores")
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.margins(y=0.2)
    axes.legend(fontsize=8)
    figure.savefig(ROOT / "docs" / "images" / "features-scaling.png")


if __name__ == "__main__":
    main()
