"""The pipeline with every gate enabled: honest challengers pass all, each mutation is stopped at its named gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.evaluation.gates import GATES
from tasks.storage import Storage
from tests.tasks import arena
from tests.tasks.evaluation.courts import Shop, Ward, knows, open_courts
from tests.tasks.evaluation.mutations import SHOP, WARD


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the module: what was trained before is found again."""
    return arena.make_empty_store(tmp_path_factory.mktemp("courts")).parent


@pytest.fixture
def courts(place: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    return open_courts(place, monkeypatch)


def test_every_gate_stops_a_mutation() -> None:
    assert set(GATES.kinds) == {gate for gate, _ in (*WARD.values(), *SHOP.values())}


def test_every_gate_judges_in_a_court() -> None:
    assert set(GATES.kinds) == {gate.kind for gate in (*Ward.GATES, *Shop.GATES)}


def test_an_honest_classifier_passes_every_gate(courts: Storage) -> None:
    verdict = Ward(courts).judge()
    assert verdict.passed, verdict.reasons
    assert len(verdict.gates) == len(Ward.GATES)


def test_an_honest_recommender_passes_every_gate(courts: Storage, place: Path) -> None:
    verdict = Shop(courts, place).judge(knows(0.8), "honest")
    assert verdict.passed, verdict.reasons


@pytest.mark.parametrize("name", WARD)
def test_a_mutation_of_the_ward_is_stopped(name: str, courts: Storage) -> None:
    gate, mutate = WARD[name]
    verdict = mutate(Ward(courts))
    assert not verdict.passed
    assert gate in [result.gate for result in verdict.gates if not result.passed], verdict.reasons


@pytest.mark.parametrize("name", SHOP)
def test_a_mutation_of_the_shop_is_stopped(name: str, courts: Storage, place: Path) -> None:
    gate, mutate = SHOP[name]
    verdict = mutate(Shop(courts, place))
    assert not verdict.passed
    assert gate in [result.gate for result in verdict.gates if not result.passed], verdict.reasons
