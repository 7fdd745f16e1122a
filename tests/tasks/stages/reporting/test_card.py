"""The model card: its figures are those of the verdict, hostile data stays text, and the same verdict gives the same bytes."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import FailedCandidate, GateMode, GateResult, Outcome, Role, Spending, Unscored, Verdict
from tasks.contracts.training import LearningCurve, LearningPoint
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.jobs.training import register_verdict
from tasks.stages.reporting import markdown
from tasks.stages.reporting.model_card import write_card
from tasks.stages.reporting.sections import interpret_learning
from tests.tasks import synthetic_classification
from tests.tasks.stages.reporting import judged_verdicts
from tests.tasks.stages.reporting.judged_verdicts import Read, card, decide

KINDS = list(TaskKind)
EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.mark.parametrize("task", KINDS)
def test_the_card_shows_the_figures_of_the_verdict(storage: Storage, task: TaskKind) -> None:
    verdict = decide(storage, task)
    page = Read(card(verdict, storage))
    assert verdict.passed and "Passed" in page.texts["top"]
    assert "shop: clever against champion version 3" in page.texts["top"]
    assert page.line("metrics", "metric")[2:5] == ["challengerchallenger", "championversion_3", "baselinepopularity"]
    sides = verdict.evaluations
    compared = {one.metric: one for one in verdict.comparisons}
    for name in sides[0].metrics:
        arrow = "↓" if name in ("rmse", "mae", "log_loss", "calibration_error") else "↑"
        line = page.line("metrics", f"{name} {arrow}")
        assert line[2:5] == [f"{side.metrics[name]:.4f}" for side in sides]
        if name in compared:
            found = compared[name]
            assert line[5:] == [f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}", found.outcome.value]
        else:
            assert line[5:] == ["", "", ""]
    assert (
        page.line("metrics", f"{compared and verdict.comparisons[0].metric} {'↓' if task in KINDS[2:] else '↑'}")[1] == "0.1234"
    )
    for gate in verdict.gates:
        assert page.line("gates", gate.gate) == [gate.gate, "enabled", "pass", gate.reason]


@pytest.mark.parametrize("task", KINDS)
def test_the_card_is_one_page_that_loads_nothing(storage: Storage, task: TaskKind) -> None:
    text = card(decide(storage, task), storage)
    page = Read(text)
    assert len(text.encode()) < 300_000
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "embed", "img", "form"})
    for tag, attributes in page.elements:
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "xlink:href"):
            address = attributes.get(name) or "#"
            assert address.startswith("#") or (tag, address) == ("a", judged_verdicts.TRAINING.page)
    policy = [attributes for tag, attributes in page.elements if attributes.get("http-equiv") == "Content-Security-Policy"]
    assert (policy[0]["content"] or "").startswith("default-src 'none';")
    pictures = [tag for tag, _ in page.elements if tag == "svg"]
    assert len(pictures) == (4 if task is TaskKind.RECOMMENDATION else 5), "intervals, slices, calibration, gain, learning"
    styles = [attributes.get("style") or "" for tag, attributes in page.elements if tag in ("path", "text", "use")]
    assert not [style for style in styles if "#" in style], "every colour is one of the page's, by day and by night"


@pytest.mark.parametrize("task", KINDS)
def test_the_same_verdict_gives_the_same_bytes(storage: Storage, task: TaskKind) -> None:
    import matplotlib

    verdict = decide(storage, task)
    first = card(verdict, storage)
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.hashsalt": None, "lines.linewidth": 9}):
        again = card(Verdict.from_json(verdict.to_json()), storage)
        assert matplotlib.rcParams["font.size"] == 30, "the style of others stays theirs"
    assert again == first


def test_the_sections_on_data_features_and_training(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY)
    holdout = verdict.candidate.split.holdout
    page = Read(card(verdict, storage))
    line = page.line("data", "holdout")
    assert line[1] == "2011-05-18 to before 2011-06-01 (14 days)"
    assert line[2:] == ["11 items, 360 labels, 346 pairs, 116 users", holdout.digest[:16], holdout.key]
    assert {"title": holdout.digest, "class": "keep"} in [attributes for tag, attributes in page.elements if tag == "code"]
    assert "Split as of 2011-06-01." in page.texts["data"] and "lookback_days [7]" in page.texts["data"]
    assert "users (1) segment" in page.texts["data"] and "items (1) item_age_days" in page.texts["data"]
    assert page.line("training", "model.factors") == ["model.factors", "64"]
    assert page.line("training", "fitting time")[1] == "3.2 s"
    assert page.line("training", "duration of the run")[1] == "12.5 s"
    assert page.line("training", "size of the exported model")[1] == "20.5 kB"
    assert page.line("training", "code version")[1] == "c0ffee"
    assert not [line for line in page.lines["training"] if line[0] == "rows.train"]
    assert page.line("artifacts", "holdout")[1] == holdout.key
    assert "titleholder history shop" in page.texts["artifacts"]


def test_the_learning_curve_is_shown_and_interpreted(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY)
    page = Read(card(verdict, storage))
    assert page.line("training", "30") == ["30", "50%", "0.4500"]
    assert "the metric changed by +0.0500 (+10.0%, positive is better): more data is likely to help" in page.texts["training"]
    assert "Left out: 10% of the data: wants 20 users." in page.texts["training"]

    def describe(fitted: float, half: float, whole: float) -> str:
        both = [(0.5, half), (1.0, whole)]
        points = [LearningPoint(share=share, units=9, fitted=fitted, validation=value) for share, value in both]
        return interpret_learning(LearningCurve(metric="log_loss", unit="rows", greater_is_better=False, points=tuple(points)))

    assert describe(0.01, 0.70, 0.69).endswith("the model overfits.") and "likely to help" in describe(0.01, 0.70, 0.69)
    assert "is unlikely to help much" in describe(0.68, 0.69, 0.69) and "overfits" not in describe(0.68, 0.69, 0.69)
    without = write_card(verdict, replace(judged_verdicts.TRAINING, learning=None), "verdict-x", storage)
    assert "The run recorded no learning curve." in Read(without).texts["training"]


def test_slices_errors_and_limits_of_users(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY)
    page = Read(card(verdict, storage))
    units = storage.read(verdict.evaluations[0].units, "units").set_index("unit")["ndcg_at_3"]
    new = units[[f"u{row:03d}" for row in range(116, 120)]]
    assert page.line("slices", "new_users")[1:3] == ["4", f"{new.mean():.4f}"]
    assert page.line("slices", "segment=Norway")[1] == "58" and page.line("slices", "segment=Peru")[1] == "58"
    labels = storage.read(verdict.candidate.split.holdout, c.LABELS)
    unknowable = int((labels[c.ITEM_ID] == "i011").sum())
    assert page.line("errors", "new to the model")[1:] == [str(unknowable), f"{unknowable / 360:.1%}", "0.0%", "0.0%", "0.0%"]
    limits = page.texts["limits"]
    assert "All 3 gates were enabled" in limits
    assert "covers 120 users with 360 purchases in the 14 days from 2011-05-18" in limits
    assert "4 of these users (3.3%) had no history" in limits
    assert (
        f"{unknowable} of the purchases ({unknowable / 360:.1%}) are of items without features, which no model can know"
        in limits
    )
    first = verdict.comparisons[0]
    assert f"below about {(first.high - first.low) / 2:.4f} (half of the interval) cannot be distinguished" in limits


@pytest.mark.parametrize("task", KINDS)
def test_the_card_shows_the_slices_that_the_gate_judged(storage: Storage, task: TaskKind) -> None:
    """Every line is a slice of the verdict, and each difference that a gate judged is the gate's own."""
    verdict = decide(storage, task, slices=True)
    page = Read(card(verdict, storage))
    (gate,) = (one for one in verdict.gates if one.gate == "no_slice_regression")
    judged = [one for one in verdict.slices if one.is_judged]
    assert judged and {one.comparison for one in judged} == set(gate.comparisons)
    lines = [line for line in page.lines["slices"][1:] if len(line) > 1]
    assert len(lines) == len(verdict.slices)
    measured = [role for role in Role if any(role in one.values for one in verdict.slices)]
    for line, one in zip(lines, verdict.slices, strict=True):
        values = [f"{one.values[role]:.4f}" if role in one.values else "" for role in measured]
        difference = "" if one.comparison is None else f"{one.comparison.difference:+.4f}"
        assert line == [one.name, f"{one.units:,}", *values, difference]
    weakest = [[one.name, f"{one.units:,}"] for one in verdict.weak_segments]
    assert [line[:2] for line in page.lines["errors"] if line[:2] in weakest] == weakest


def test_the_worst_users_with_their_lists_and_purchases(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY)
    page = Read(card(verdict, storage))
    units = storage.read(verdict.evaluations[0].units, "units").sort_values(["ndcg_at_3", "unit"])
    head = next(place for place, line in enumerate(page.lines["errors"]) if line[0] == "user")
    rows = page.lines["errors"][head + 1 : head + 11]
    assert [line[0] for line in rows] == list(units["unit"][:10])
    assert [line[3] for line in rows] == [f"{value:.4f}" for value in units["ndcg_at_3"][:10]]
    assert "THING i0" in rows[0][1] and "%" in rows[0][1], "items by name, with their probability"
    assert "THING i0" in rows[0][2]


def test_the_worst_rows_and_classes(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.CLASSIFICATION)
    page = Read(card(verdict, storage))
    found = storage.read(verdict.evaluations[0].units, c.PREDICTIONS)
    found["missed"] = (found[c.PREDICTION] - found[c.LABEL]).abs()
    worst = found.sort_values("missed", ascending=False).iloc[0]
    line = page.line("errors", worst[c.ROW_ID])
    assert line[1:3] == [f"{worst[c.PREDICTION]:.3f}", f"class {worst[c.LABEL]:g}"]
    x = storage.read(verdict.candidate.split.holdout, c.ROWS).set_index(c.ROW_ID)["x"]
    away = (x - x.mean()) / x.std()
    rows = [row for row in page.lines["errors"] if row[0] in x.index]
    assert len(rows) == 10
    for row in rows:
        assert row[3] == (f"x · {x[row[0]]:.4g}, {away[row[0]]:+.1f} sd" if abs(away[row[0]]) >= 1.5 else "")
    ones = found[found[c.LABEL] == 1]
    assert page.line("errors", "class 1")[1:4] == [
        str(len(ones)),
        f"{len(ones) / len(found):.1%}",
        f"{(ones[c.PREDICTION] >= 0.5).mean():.1%}",
    ]
    assert f"{len(ones)} of class 1" in page.texts["limits"]


def test_the_worst_ratings(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.RATING)
    page = Read(card(verdict, storage))
    found = storage.read(verdict.evaluations[0].units, c.PREDICTIONS)
    given = found[found[c.LABEL] == 5]
    rmse = float(np.sqrt(((given[c.PREDICTION] - 5) ** 2).mean()))
    assert page.line("errors", "rating 5")[1:4] == [str(len(given)), f"{len(given) / len(found):.1%}", f"{rmse:.4f}"]
    assert "predicted" in page.texts["errors"] and ", given 1" in page.texts["errors"]


def test_hostile_names_texts_and_reasons_stay_text(storage: Storage) -> None:
    names = {f"i{row:03d}": f"i{row:03d}{EVIL}" for row in range(synthetic_classification.ITEMS)}
    names |= {f"text of i{row:03d}": f"\u202e{row}{EVIL}" for row in range(synthetic_classification.ITEMS)}
    names |= {"Norway": "$\\frac{$" + EVIL, "Peru": "</svg></table></section><!--"}
    verdict = decide(storage, TaskKind.PROPENSITY, names=names)
    gate = GateResult(gate="beats_champion", mode=GateMode.ENABLED, passed=False, reason=f"{EVIL} \ud800\x00 & so on")
    refused = verdict.model_copy(update={"gates": (gate,), "passed": False})
    training = replace(judged_verdicts.TRAINING, params={EVIL: EVIL}, page="javascript:alert(1)")
    plain, hostile = Read(card(decide(storage, TaskKind.PROPENSITY), storage)), Read(card(refused, storage, training))
    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in plain.elements} | {"ul", "li"}
    assert hostile.texts["gates"].count(EVIL) == 1 and hostile.texts["top"].count(EVIL) == 1, "escaped, and not lost"
    assert EVIL in hostile.texts["training"]
    assert f"\ufffd0{EVIL}"[:47] in hostile.texts["errors"], "cut where it is too long, and nothing turns its direction"
    assert all("javascript" not in (value or "") for _, attributes in hostile.elements for value in attributes.values())
    card(refused, storage, training).encode()
    sections = [attributes["id"] for tag, attributes in hostile.elements if tag == "section"]
    assert sections == [attributes["id"] for tag, attributes in plain.elements if tag == "section"]


def test_a_refused_challenger_has_its_reasons(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.RECOMMENDATION, challenger=0.2, champion=0.9)
    page = Read(card(verdict, storage))
    assert verdict.outcome is Outcome.WORSE
    assert "Refused" in page.texts["top"] and "Passed" not in page.texts["top"]
    assert all(reason in page.texts["top"] for reason in verdict.reasons)
    assert page.line("gates", "beats_champion")[2] == "refuse"
    assert ("div", {"class": "verdict bad"}) in page.elements
    assert "There is no calibration curve" in page.texts["curves"]


def test_without_a_champion_the_card_shows_the_baseline(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.RATING, champion=None)
    page = Read(card(verdict, storage))
    assert "clever against no champion" in page.texts["top"] and "There is no champion to compare with yet" in page.texts["top"]
    figures = verdict.gates[1].figures
    assert f"over the baseline{figures['difference']:+.4f}" in page.texts["top"]
    assert page.lines["metrics"][0] == ["metric", "validation", "challengerchallenger", "baselinepopularity"]
    assert page.lines["metrics"][1][0] == "rmse ↓", "the metric that decides comes first"
    assert "difference" not in page.lines["slices"][0]
    assert "There was no champion" in page.texts["limits"]


def test_a_champion_that_could_not_be_scored_is_shown_everywhere(storage: Storage) -> None:
    why = "the features lack the column x"
    first = decide(storage, TaskKind.RATING, champion=None)
    lost = Unscored(subject=Role.CHAMPION, name="version_3", reason=why)
    failed = FailedCandidate(name="ease", reason="too many items")
    verdict = first.model_copy(update={"champion_version": 3, "unscored": (lost,), "failed": (failed,)})
    page = Read(card(verdict, storage))
    assert ("div", {"class": "verdict warn"}) in page.elements and ("div", {"class": "verdict good"}) not in page.elements
    assert "clever against champion version 3, which could not be scored" in page.texts["top"]
    assert "Passed, a person must decide" in page.texts["top"] and why in page.texts["top"]
    assert page.line("gates", "beats_champion")[2] == "not judged"
    assert "Nothing shows whether this model is better" in page.texts["limits"] and why in page.texts["limits"]
    assert "Candidate ease failed and was not judged: too many items" in page.texts["limits"]
    report = markdown.write_report(verdict)
    assert f"as a first one: champion version 3 could not be scored ({why}). A person must decide" in report
    assert "candidate ease failed and was not judged: too many items" in report


@pytest.mark.parametrize(("mode", "expected"), [(GateMode.DISABLED, "not evaluated"), (GateMode.DRY_RUN, "would refuse")])
def test_a_pass_without_an_enabled_gate_is_a_warning(storage: Storage, mode: GateMode, expected: str) -> None:
    verdict = decide(storage, TaskKind.RECOMMENDATION, challenger=0.2, champion=0.9, mode=mode)
    page = Read(card(verdict, storage))
    assert verdict.passed and ("div", {"class": "verdict warn"}) in page.elements
    assert "No gate was enabled, so the verdict proves nothing." in page.texts["top"]
    assert page.line("gates", "beats_champion")[2] == expected
    assert f"Gates that could not refuse: prediction_sanity ({mode.value})" in page.texts["limits"]


def test_a_refusal_in_dry_run_is_shown(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.RECOMMENDATION)
    gate = GateResult(gate="calibration", mode=GateMode.DRY_RUN, passed=False, reason="off by much")
    page = Read(card(verdict.model_copy(update={"gates": (*verdict.gates, gate)}), storage))
    assert "Gates in dry run would have refused it: calibration." in page.texts["top"]


@pytest.mark.parametrize("task", KINDS)
def test_a_broken_model_has_a_card(storage: Storage, task: TaskKind) -> None:
    """NaN everywhere: no list, no rating, no probability."""
    verdict = decide(
        storage,
        task,
        challenger=synthetic_classification.Skilled(
            np.full((synthetic_classification.USERS, synthetic_classification.ITEMS), np.nan), np.nan
        ),
    )
    page = Read(card(verdict, storage))
    assert not verdict.passed and "prediction_sanity" in page.texts["top"]
    assert "Calibration and gain" in page.texts["curves"]


@pytest.mark.parametrize("task", KINDS)
def test_a_constant_model_has_a_card(storage: Storage, task: TaskKind) -> None:
    verdict = decide(
        storage,
        task,
        challenger=synthetic_classification.Skilled(np.full((synthetic_classification.USERS, 11), 1.0), 0.0),
        champion=None,
    )
    assert "Refused" in Read(card(verdict, storage)).texts["top"]


def test_missing_tables_and_settings_are_reported(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY)
    bare = tuple(one.model_copy(update={"units": one.holdout}) for one in verdict.evaluations)
    older = verdict.model_copy(update={"evaluations": bare, "slices": (), "weak_segments": ()})
    training = replace(judged_verdicts.TRAINING, params={}, seconds=None, model_bytes=0)
    page = Read(card(older, storage, training))
    assert all(f"No {section}" in page.texts[section] for section in ("slices", "curves", "errors"))
    assert "The run recorded no settings." in page.texts["training"]
    assert page.line("training", "duration of the run")[1] == "unknown"
    assert page.line("metrics", "ndcg_at_3 ↑")[5].startswith("+"), "what the verdict itself says is there"


def test_items_without_a_text_are_shown_by_their_id(storage: Storage) -> None:
    import shutil

    verdict = decide(storage, TaskKind.PROPENSITY)
    with_texts = card(verdict, storage)
    shutil.rmtree(storage.root / judged_verdicts.SHOP / c.VALIDATED)
    without = card(verdict, storage)
    assert "THING" in with_texts and "THING" not in without and "i003" in without


def test_five_hundred_users_take_seconds(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY, users=500)
    card(verdict, storage)  # imports
    before = time.process_time()
    text = card(verdict, storage)
    assert time.process_time() - before < 3.0
    assert len(text.encode()) < 300_000


def test_a_registered_version_links_to_its_card_with_digest(storage: Storage, store: Path) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY, champion=None)
    logged = synthetic_classification.log_candidate(
        judged_verdicts.SHOP, "clever", synthetic_classification.skilled(0.9), verdict.candidate.split.holdout, store
    )
    verdict = verdict.model_copy(update={"candidate": logged})
    made = register_verdict(verdict, storage)
    artifact = f"verdict-{made.report_digest[:12]}/model-card.html"
    text = tracking.read_run_text(made.run_id, artifact)
    tags = tracking.version_tags(judged_verdicts.SHOP, made.version)
    assert hashlib.sha256(text.encode()).hexdigest() == tags["card_digest"]
    assert tags["report_digest"] == made.report_digest
    described = tracking.get_client().get_model_version(judged_verdicts.SHOP, str(made.version)).description
    assert described.startswith(f"[Model card]({tracking.artifact_page(made.run_id, judged_verdicts.SHOP, artifact)})\n")
    assert Read(text).line("training", "size of the exported model")[1].endswith("kB")
    assert register_verdict(verdict, storage) == made
    assert tracking.read_run_text(made.run_id, artifact) == text


def test_card_and_report_say_how_often_the_holdout_judged(storage: Storage) -> None:
    verdict = decide(storage, TaskKind.PROPENSITY)
    assert "The holdout judged" not in Read(card(verdict, storage)).texts["top"]
    spending = Spending(times=3, alpha=0.0021, spent=0.0304, wealth=0.002, new_share=0.5)
    lost = Unscored(subject=Role.ANCHOR, name="version_2", reason="it needs the column site")
    again = verdict.model_copy(update={"spending": spending, "unscored": (lost,)})
    page, report = Read(card(again, storage)), markdown.write_report(again)
    assert "3 times" in page.texts["top"] and "alpha 0.0021 spent, 0.03 in all" in page.texts["top"]
    assert "The same days or rows have judged 3 times" in page.texts["limits"]
    assert "anchor version_2 could not be scored and was not compared with: it needs the column site" in page.texts["limits"]
    assert "the holdout has judged 3 times, 50% of it is new; this judging spends an alpha of 0.0021, 0.03 in all" in report
    assert "anchor version_2 was not compared with: it needs the column site" in report
