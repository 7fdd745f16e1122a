"""A promotion survives kills and decides races; its broken twins do not. Few points here; the benchmark does all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tasks.stages.registry.promotion_faults import Client, Scene, installation, kill_everywhere, start_at_once

pytestmark = pytest.mark.timeout(900)  # each point is three processes, and a machine can be busy


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Client]]:
    with installation(tmp_path_factory.mktemp("faults")) as made:
        yield made


def test_a_killed_promotion_is_completed_by_its_retry(scene: tuple[Scene, Client]) -> None:
    assert kill_everywhere(*scene, most=4) == (4, 4)


def test_an_alias_ahead_of_the_ledger_is_detected(scene: tuple[Scene, Client]) -> None:
    points, survived = kill_everywhere(*scene, most=2, how="write_alias_first")
    assert survived < points == 2


def test_an_entry_that_is_written_twice_is_detected(scene: tuple[Scene, Client]) -> None:
    points, survived = kill_everywhere(*scene, most=2, how="write_again")
    assert survived < points == 2


def test_of_four_promotions_at_once_one_wins(scene: tuple[Scene, Client]) -> None:
    assert start_at_once(scene[0], 4) == (1, 3)


def test_a_race_without_compare_and_set_is_detected(scene: tuple[Scene, Client]) -> None:
    assert start_at_once(scene[0], 3, how="write_whatever_is_there") == (3, 0)
