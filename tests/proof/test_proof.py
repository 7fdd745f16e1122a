"""Every guard stops its mutations, unchanged pipelines pass, and every guard has a mutation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pyspark.sql import SparkSession

from tasks.contracts.judging import GateResult
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Context, Gate
from tests.proof.guards import find_guards, find_steps
from tests.proof.mutations import MUTATIONS
from tests.proof.proof import Act, Mutation, Workbench, open_workbench, prove_one, unguarded
from tests.tasks.stages.evaluation.gate_examples import CLASSIFICATION, SHOP
from tests.tasks.stages.evaluation.synthetic_pipelines import gates_of, scores_of

DEMANDED = {
    "nulls_in_invoice_lines",
    "shuffled_labels",
    "leaked_label",
    "train_test_bleed",
    "a_day_missing",
    "stale_as_of",
    "swapped_columns",
    "worse_model",
    "better_on_average_worse_on_a_site",
    "constant_predictions",
    "a_nan_prediction",
    "slow_model",
    "another_unit_of_the_target",
}


Passed = dict[Act, tuple[str, ...]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the module, so that trained models are reused."""
    return tmp_path_factory.mktemp("proof") / "workbench"


@pytest.fixture(scope="module")
def passed_before() -> Passed:
    return {}


@pytest.fixture
def place(
    folder: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, spark: SparkSession, passed_before: Passed
) -> Workbench:
    opened = open_workbench(folder, monkeypatch)
    return Workbench(opened.storage, opened.folder, passed_before)


def test_every_guard_has_a_mutation() -> None:
    assert unguarded(find_guards(), MUTATIONS) == [], "give it a mutation: see CONTRIBUTING.md, Add a gate"


def test_every_mutation_names_an_existing_guard() -> None:
    assert {mutation.guard for mutation in MUTATIONS} <= set(find_guards())
    names = [(mutation.guard, mutation.name) for mutation in MUTATIONS]
    assert len(set(names)) == len(names)


def test_the_documented_number_of_mutations_is_that_of_the_proof() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gates.md").read_text()
    assert f"lists the declared guards, with {len(MUTATIONS)} mutations" in " ".join(page.split())


def test_the_demanded_mutations_exist() -> None:
    assert {mutation.name for mutation in MUTATIONS} >= DEMANDED


def test_every_step_to_the_champion_is_a_guard() -> None:
    assert {"ingest", "validate", "build_features", "split", "train", "evaluate", "judge", "register", "promote"} <= set(
        find_steps()
    )


def test_a_guard_without_a_mutation_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shiny(Gate):
        kind: Literal["shiny"] = "shiny"

        def check(self, context: Context) -> GateResult:
            return self.answer(True, "it shines")

    monkeypatch.setitem(GATES.kinds, "shiny", Shiny)
    assert unguarded(find_guards(), MUTATIONS) == ["judge/shiny"]
    without = [mutation for mutation in MUTATIONS if not mutation.guard.startswith(("promote", "validate/ratings.user"))]
    assert unguarded(find_guards(), without) == ["promote", "validate/ratings.user_known", "judge/shiny"]


def test_every_gate_judges_in_a_synthetic_pipeline() -> None:
    assert set(GATES.kinds) == {gate.kind for name in (CLASSIFICATION, SHOP) for gate in gates_of(name, with_endpoint=True)}


def test_a_mutation_that_another_guard_stops_is_no_proof(place: Workbench) -> None:
    def honest(place: Workbench) -> object:
        return place.shop.judge(scores_of(0.8), "honest")

    slipped = prove_one(Mutation("nothing_spoilt", "judge/freshness", honest, honest), place)
    assert (slipped.is_stopped, slipped.stopped_by) == (False, ())
    elsewhere = prove_one(Mutation("elsewhere", "judge/freshness", lambda _: ("judge/calibration",), honest), place)
    other_step = prove_one(Mutation("other_step", "judge/freshness", lambda _: ("promote", "judge/freshness"), honest), place)
    guilty_twin = prove_one(Mutation("guilty", "judge/freshness", lambda _: ("judge/freshness",), lambda _: ("split",)), place)
    assert not (elsewhere.is_stopped or other_step.is_stopped or guilty_twin.is_stopped)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.guard}-{mutation.name}")
def test_a_mutation_is_stopped_at_its_guard(mutation: Mutation, place: Workbench) -> None:
    proof = prove_one(mutation, place)
    assert proof.is_stopped, proof
