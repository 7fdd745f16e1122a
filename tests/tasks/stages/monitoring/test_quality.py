"""Quality of mature answers: whose answers are judged, by which outcomes, and what places in a list do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind, Window
from tasks.contracts.predictions import BATCH, Prediction
from tasks.contracts.training import ProbabilityOf
from tasks.io.events import KeptOutcome
from tasks.io.storage import Storage, frame_writer
from tasks.stages.monitoring import quality as quality_module
from tasks.stages.monitoring.exposures import publish_exposures
from tasks.stages.monitoring.labels import HAPPENED, LabelPolicy
from tasks.stages.monitoring.quality import (
    HITS_NEEDED,
    QUALITY,
    Cohort,
    Tally,
    find_propensities,
    measure_cohort,
    measure_quality,
)
from tests.tasks.stages.monitoring.test_labels import COHORT, DAY, POLICY, answer, moment, sent

UNDECLARED, DECLARED = LabelPolicy(), LabelPolicy(position_power=1.0)


def labelled(*answers: tuple[str, str, Sequence[float | None]], **changed: Any) -> pd.DataFrame:
    """(answer, subject, label of each place): exposures as `attribute` returns them, with a score of 0.5."""
    rows = [
        {"prediction_id": name, "subject": subject, "position": place, c.LABEL: label}
        for name, subject, labels in answers
        for place, label in enumerate(labels, start=1)
    ]
    more = {c.PREDICTION: 0.5, c.VALUE: 0.0, "channel": "online", "path": "model", "shuffled_place": 0}
    frame = pd.DataFrame(rows).astype({c.LABEL: float}).assign(**{**more, **changed})
    return frame if HAPPENED in changed else frame.assign(**{HAPPENED: frame[c.LABEL]})


def measure(
    frame: pd.DataFrame, task: TaskKind = TaskKind.PROPENSITY, policy: LabelPolicy = DECLARED
) -> tuple[dict[str, float], dict[str, str]]:
    found = measure_quality(Tally.count(frame, task), policy, task)
    return found.figures, found.notes


# figures


def test_figures_of_lists_and_probabilities() -> None:
    frame = labelled(("p1", "u", [0, 1]), ("p2", "v", [0, 0]), ("p3", "w", [1, 0]))
    frame = frame.assign(**{c.VALUE: [0, 6.0, 0, 0, 3.0, 0], c.PREDICTION: [0.5, 0.5, 0.5, 0.5, 0.95, 0.05]})
    figures, notes = measure(frame)
    assert notes == {} and figures == pytest.approx(
        {
            "matured_answers": 3,
            "label_coverage": 1,
            "value_per_answer": 3,
            "hit_rate": 2 / 3,
            "hit_share": 2 / 6,
            "hit_share_corrected": 3 / 6,
            "dcg": (1 / np.log2(3) + 1) / 3,
            "dcg_corrected": (2 / np.log2(3) + 1) / 3,
            "brier": (4 * 0.25 + 2 * 0.05**2) / 6,
            "calibration_ratio": 3 / 2,
            "calibration_error": (1.0 + 0.05 + 0.05) / 6,
        }
    )
    assert set(figures) <= set(QUALITY)


def test_probabilities_are_compared_with_what_happened_and_hits_with_what_is_owned() -> None:
    """Of two forecasts of the same purchase both are right, and the newer one is the hit."""
    frame = labelled(("old", "u", [0]), ("new", "u", [1]), **{HAPPENED: 1.0, c.PREDICTION: 1.0})
    figures, _ = measure(frame)
    assert (figures["hit_rate"], figures["calibration_ratio"], figures["brier"]) == (0.5, 1.0, 0.0)


def test_unknown_outcomes_are_not_negative() -> None:
    """A rating that did not come is unknown: it is not in the error, and the coverage shows it."""
    frame = labelled(("p0", "u", [None]), ("p1", "v", [2.0]), ("p2", "w", [None]), ("p3", "x", [None]), **{c.PREDICTION: 4.0})
    figures, _ = measure(frame, TaskKind.RATING)
    assert figures == {"matured_answers": 4, "label_coverage": 0.25, "rmse": 2.0, "mae": 2.0}
    figures, _ = measure(frame[frame[c.LABEL].isna()], TaskKind.RATING)
    assert figures == {"matured_answers": 3, "label_coverage": 0}


def test_classes_have_no_lists() -> None:
    frame = labelled(("p0", "r0", [1]), ("p1", "r1", [0]), ("p2", "r2", [None])).assign(**{c.PREDICTION: [0.9, 0.2, 0.6]})
    figures, notes = measure(frame, TaskKind.CLASSIFICATION, UNDECLARED)
    assert figures["label_coverage"] == pytest.approx(2 / 3) and figures["brier"] == pytest.approx((0.01 + 0.04) / 2)
    assert "hit_share" not in figures and notes == {}


def test_scores_of_cold_paths_are_no_probabilities() -> None:
    frame = labelled(("p1", "u", [1]), ("p2", "v", [0])).assign(path=["model", "popular"], **{c.PREDICTION: [0.9, 57.0]})
    figures, _ = measure(frame)
    assert figures["calibration_ratio"] == pytest.approx(0.9) and figures["brier"] == pytest.approx(0.01)
    assert figures["hit_rate"] == 0.5, "the list of a cold user is an answer of the version, too"


def test_channels_and_paths_have_figures_of_their_own() -> None:
    frame = labelled(("p1", "u", [1]), ("p2", "v", [0]), ("p3", "w", [0])).assign(
        channel=["online", "batch", "batch"], path=["fold_in", "model", "popular"]
    )
    figures, _ = measure(frame)
    assert {name: value for name, value in figures.items() if name.startswith("hit_rate")} == pytest.approx(
        {
            "hit_rate": 1 / 3,
            "hit_rate.batch": 0.0,
            "hit_rate.online": 1.0,
            "hit_rate.fold_in": 1.0,
            "hit_rate.model": 0.0,
            "hit_rate.popular": 0.0,
        }
    )
    assert not any("." in name for name in measure(frame[:1])[0]), "one channel and path are the whole"


def test_parts_add_up() -> None:
    random = np.random.default_rng(3)
    answers = [(f"p{n}", f"u{n % 40}", [float(hit) for hit in random.random(5) < 0.3]) for n in range(200)]
    frame = labelled(*answers)
    frame = frame.assign(**{c.PREDICTION: random.random(len(frame)), "shuffled_place": random.integers(0, 3, len(frame))})
    parts = [frame[frame["subject"].isin({f"u{n}" for n in range(start, 40, 3)})] for start in range(3)]
    total = Tally.add([Tally.count(part, TaskKind.PROPENSITY) for part in parts])
    assert measure_quality(total, DECLARED, TaskKind.PROPENSITY).figures == pytest.approx(measure(frame)[0])
    nothing = Tally.count(frame[:0], TaskKind.PROPENSITY)
    assert measure_quality(Tally.add([nothing, nothing]), DECLARED, TaskKind.PROPENSITY).figures == {}


# places


def world(examined: tuple[float, ...], *, drawn: bool, rising: float = 0.5, users: int = 3000) -> tuple[pd.DataFrame, float]:
    """Users who buy what they see and like, of two answers each. Returned too: the share that they like.

    Parameters
    ----------
    examined : how often each place is viewed.
    drawn : whether the order of two neighbouring places is drawn at random; else better items rise from the first answer to
        the second in a share `rising` of the users, and sink in the others. A purchase belongs to the newer answer.
    """
    random = np.random.default_rng(1)
    likes = np.array([0.5, 0.3, 0.2])
    rows = []
    for user in range(users):
        rises = random.random() < rising
        for turn in (0, 1):
            order, place = np.array([0, 1, 2] if rises == (turn == 1) else [0, 2, 1]), 0
            if drawn:
                order, place = np.array([0, 1, 2]), int(random.integers(1, 3))
                if random.random() < 0.5:
                    order[[place - 1, place]] = order[[place, place - 1]]
            hits = (random.random(3) < likes[order]) & (random.random(3) < examined)
            owned = hits & (drawn or turn == 1)
            rows.append((f"{user}-{turn}", f"u{user}", owned.astype(float).tolist(), place, hits.astype(float)))
    frame = labelled(*(row[:3] for row in rows))
    frame["shuffled_place"] = np.repeat([row[3] for row in rows], 3)
    frame[HAPPENED] = np.concatenate([row[4] for row in rows])
    return frame, float(likes.mean())


def test_places_of_random_order_show_how_often_they_are_viewed() -> None:
    examined = (1.0, 0.6, 0.3)
    shown, truth = world(examined, drawn=True)
    found = find_propensities(Tally.count(shown, TaskKind.PROPENSITY), UNDECLARED)
    assert [found.by_place[place] for place in (1, 2, 3)] == pytest.approx(examined, abs=0.05)
    figures, _ = measure(shown, policy=UNDECLARED)
    assert figures["hit_share_corrected"] == pytest.approx(truth, abs=0.02)
    assert figures["hit_share"] < truth - 0.05, "the raw figure is far below what people like"


@pytest.mark.parametrize("rising", [0.2, 0.5, 0.7, 0.9])
def test_items_that_move_say_nothing_of_places(rising: float) -> None:
    """In a world in which the place does nothing: no correction without random order, and none that corrects with it."""
    shown, _ = world((1.0, 1.0, 1.0), drawn=False, rising=rising, users=500)
    figures, notes = measure(shown, policy=UNDECLARED)
    assert "hit_share_corrected" not in figures and "dcg_corrected" not in figures
    assert notes["hit_share_corrected"] == (
        f"answers with the places 1 and 2 in random order have 0 and 0 outcomes there, {HITS_NEEDED} needed at each, and no "
        "position_power is declared"
    )


def test_places_that_do_nothing_are_not_corrected() -> None:
    shown, _ = world((1.0, 1.0, 1.0), drawn=True)
    found = find_propensities(Tally.count(shown, TaskKind.PROPENSITY), DECLARED).by_place
    assert [found[place] for place in (1, 2, 3)] == pytest.approx((1.0, 1.0, 1.0), abs=0.08), "the log, not the power"


def test_the_declared_power_applies_without_random_order() -> None:
    shown = Tally.count(labelled(("p", "u", [1, 0, 0])), TaskKind.PROPENSITY)
    assert find_propensities(shown, DECLARED).by_place == pytest.approx({1: 1.0, 2: 1 / 2, 3: 1 / 3})
    assert find_propensities(shown, LabelPolicy(position_power=9.0)).by_place[3] == 0.05, "no purchase counts more than twenty"


# whose answers are judged


def publish(storage: Storage, layer: str, rows: pd.DataFrame, days: Window = COHORT) -> Any:
    return storage.publish(use_case="shop", layer=layer, partition=days.label, tables={c.ROWS: frame_writer(rows)}, facts={})


def purchases(*rows: tuple[str, str, float], source: str = "a.csv") -> pd.DataFrame:
    """(user, item, day) of purchases that cost 10."""
    frame = pd.DataFrame(
        [(f"{source}:{n}", source, moment(day), user, item) for n, (user, item, day) in enumerate(rows)],
        columns=[c.ROW_ID, c.SOURCE_FILE, c.EVENT_AT, c.USER_ID, c.ITEM_ID],
    )
    frame[c.EVENT_TYPE], frame[c.VALUE] = c.PURCHASE, 10.0
    return frame.astype({c.EVENT_AT: "datetime64[us, UTC]"})


def cohort_of(
    storage: Storage,
    log: list[Prediction],
    rows: dict[Window, pd.DataFrame],
    told: list[KeptOutcome] | None = None,
    **changed: Any,
) -> Cohort:
    settings: dict[str, Any] = {"version": 2, "learned_until": DAY, "task": TaskKind.PROPENSITY, **changed}
    span = POLICY.span_of(COHORT, settings["task"])
    exposures = publish_exposures("shop", COHORT, span, iter(log), iter(told or []), storage)
    snapshots = [publish(storage, c.VALIDATED, frame, window) for window, frame in rows.items()]
    return Cohort(COHORT, exposures, snapshots, POLICY, **settings)


LATER = Window(start=DAY + timedelta(days=5), end=DAY + timedelta(days=12))


@pytest.mark.parametrize("part_rows", [quality_module.PART_ROWS, 3], ids=["in memory", "in parts"])
def test_only_the_version_in_service_is_judged(
    spark: Any, storage: Storage, monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    """Version 1 hits nothing, version 2 everything; what a cohort of both says of version 2 is 1.0."""
    monkeypatch.setattr(quality_module, "PART_ROWS", part_rows)
    log = [answer(f"old-{n}", f"u{n}", ("a",), model_version=1) for n in range(9)]
    log += [
        answer("new", "v", ("a",), 1, model_version=2),
        answer("cold", "w", ("a",), 1, model_version=2, path="popular"),
        answer("early", "x", ("a",), model_version=2),
        answer("session", "", ("a",), 1, model_version=2, path="similar"),
        answer("after", "v", ("a",), 8, model_version=2),
    ]
    twice = purchases(("v", "a", 2), ("w", "a", 2), ("x", "a", 1), ("v", "a", 8.5))
    cohort = cohort_of(
        storage, log, {COHORT: twice, LATER: twice}, [sent("session", "a", 2)], learned_until=DAY + timedelta(days=1)
    )
    found = measure_cohort(storage, cohort)
    assert {name: found.figures[name] for name in ("matured_answers", "hit_rate", "value_per_answer")} == {
        "matured_answers": 2,  # without the day before the version had learned, and without the session
        "hit_rate": 1.0,
        "value_per_answer": 10.0,  # of windows that overlap, each row counts once
    }
    assert found.figures["hit_rate.popular"] == 1.0 and found.figures["log_cold_share"] == pytest.approx(2 / 13)
    assert found.figures["log_doubled_share"] == found.figures["log_invalid_share"] == 0

    other = measure_cohort(storage, replace(cohort, version=3))
    assert "hit_rate" not in other.figures and other.figures["log_cold_share"] == found.figures["log_cold_share"]
    assert set(other.notes) == set(QUALITY) and other.notes["hit_rate"] == (
        f"the answers for {COHORT.label} are of version 1, 2, and version 3 is judged by its own"
    )


def test_of_buyers_only_who_bought_something_tells_whether_probabilities_came_true(spark: Any, storage: Storage) -> None:
    """Two customers of four come, one of whom buys what was shown: promised 0.5, delivered to buyers 0.5, to all 0.25."""
    log = [answer(f"p{n}", f"u{n}", ("a",), 1, model_version=2, scores=(0.5,)) for n in range(4)]
    cohort = cohort_of(storage, log, {COHORT: purchases(("u0", "a", 2), ("u1", "other", 2))})
    everybody = measure_cohort(storage, cohort).figures
    buyers = measure_cohort(storage, replace(cohort, probability_of=ProbabilityOf.BUYERS)).figures
    assert (everybody["calibration_ratio"], buyers["calibration_ratio"]) == (2.0, 1.0)
    assert everybody["hit_rate"] == buyers["hit_rate"] == 0.25, "lists are measured by all answers"


def test_rows_that_a_version_has_learned_from_are_not_judged(spark: Any, storage: Storage) -> None:
    """A forest remembers its training rows; of the three rows only one is new to it."""
    scores = {"r1": 0.99, "r2": 0.01, "r3": 0.7}
    log = [answer(row, row, (), channel=BATCH, scores=(score,), model_version=2) for row, score in scores.items()]
    rows = pd.DataFrame({c.ROW_ID: list(scores), c.SOURCE_FILE: "t.csv", c.TARGET: [1, 0, 1]})
    known = pd.Timestamp(moment()).as_unit("us")
    rows = rows.assign(**{c.EVENT_AT: known, c.INGESTED_AT: known})
    split = [publish(storage, "examples", rows[[c.ROW_ID]].iloc[:2])]
    cohort = cohort_of(storage, log, {COHORT: rows}, task=TaskKind.CLASSIFICATION, learned=split)
    found = measure_cohort(storage, cohort).figures
    assert found["matured_answers"] == 1 and found["brier"] == pytest.approx(0.09)
    everything = [publish(storage, "examples", rows[[c.ROW_ID]])]
    nothing = measure_cohort(storage, replace(cohort, learned=everything))
    assert "brier" not in nothing.figures
    assert nothing.notes["brier"] == (
        f"all answers of version 2 for {COHORT.label} are of what it has learned, or for no known user"
    )


def test_a_cohort_without_answers_or_data_says_so(storage: Storage) -> None:
    cohort = Cohort(COHORT, None, (), POLICY, TaskKind.PROPENSITY, 2, date(2011, 1, 1))
    assert measure_cohort(storage, cohort).notes["hit_rate"] == f"no answer was given for {COHORT.label}"
    with_answers = cohort_of(storage, [answer("p", "u")], {})
    assert measure_cohort(storage, with_answers).notes["brier"] == f"nothing was validated since {COHORT.label}"
