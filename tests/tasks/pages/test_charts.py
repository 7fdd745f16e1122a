"""Charts use the colours of the page, escape their texts, and give the same bytes again."""

from __future__ import annotations

import re
from dataclasses import asdict

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from tasks import pages
from tasks.contracts.training import LearningCurve, LearningPoint
from tasks.pages.charts import LIGHT, Interval, Palette, chart_intervals, chart_learning, render_svg

POINTS = tuple(LearningPoint(share=share, units=int(60 * share), validation=0.4 + 0.1 * share) for share in (0.25, 0.5, 1.0))
CURVE = LearningCurve(metric="ndcg_at_3", unit="users", greater_is_better=True, points=POINTS)
INTERVALS = [Interval("a <b>", 0.1, 0.2, 0.3), Interval("worse", -0.3, -0.2, -0.1), Interval("unclear", -0.1, 0.0, 0.1)]


def test_an_inline_chart_uses_css_variables_only() -> None:
    svg = chart_intervals(INTERVALS, title="A <title>", x_label="x").to_svg()
    assert not re.search(r"#[0-9a-f]{6}", svg)
    assert {"var(--good)", "var(--bad)", "var(--open)"} <= set(re.findall(r"var\(--\w+\)", svg))
    assert 'aria-label="A &lt;title&gt;"' in svg and "a &lt;b&gt;" in svg and "<title>" not in svg


def test_the_light_palette_has_the_colours_of_the_stylesheet() -> None:
    light = pages.read_colours().partition("@media")[0]
    found = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light))
    assert {name: found[name] for name in asdict(LIGHT)} == asdict(LIGHT)


def test_a_figure_uses_the_light_palette() -> None:
    figure = chart_learning(CURVE, "Learning curve").to_figure()
    (axes,) = figure.axes
    assert axes.get_lines()[0].get_color() == LIGHT.challenger
    assert np.asarray(axes.get_lines()[0].get_xdata()).tolist() == [15, 30, 60]


def test_the_same_chart_gives_the_same_bytes() -> None:
    first = chart_learning(CURVE, "Learning curve").to_svg()
    with matplotlib.rc_context({"font.size": 30, "svg.hashsalt": None}):
        assert chart_learning(CURVE, "Learning curve").to_svg() == first
        assert matplotlib.rcParams["font.size"] == 30


def test_a_file_contains_the_colours_of_both_schemes() -> None:
    def make_figure(palette: Palette) -> Figure:
        figure = Figure()
        figure.subplots().plot([1, 2], color=palette.bad)
        return figure

    svg = render_svg(make_figure, "one line", is_file=True)
    assert svg.startswith("<svg ") and svg.count("<style>") == 1
    assert "@media (prefers-color-scheme: dark)" in svg and "--bad: #b3261e" in svg
    assert "<style" not in render_svg(make_figure, "one line")
