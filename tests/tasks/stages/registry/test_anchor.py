"""Which former champion a challenger is compared with, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.contracts.judging import Comparison, Outcome, Role
from tasks.errors import ModelError
from tasks.stages.registry import anchor
from tasks.stages.registry.anchor import gains_in, rank_losses
from tasks.stages.registry.promotion import reigns
from tests.tasks.stages.registry.test_promotion import ledger_of

OVERALL, NEW = ("", "ndcg_at_10"), ("new_users", "ndcg_at_10")


def test_the_champion_that_most_was_lost_against() -> None:
    """Everybody gains, new users lose a little each time: the first champion was the best for them."""
    erosion = [{OVERALL: 0.02, NEW: -0.03}] * 3
    assert rank_losses(erosion) == [0, 1, 2]
    assert rank_losses([{NEW: 0.10}, {NEW: -0.03}, {NEW: -0.03}])[0] == 1, "the second one gained first"
    assert rank_losses([{OVERALL: 0.1}, {OVERALL: 0.1}]) == [0, 1], "nothing was lost: the oldest"
    assert rank_losses([{}, {OVERALL: -0.1}, {}]) == [0, 1, 2], "unknown gains count as none"
    assert rank_losses([]) == []


def comparison(difference: float, slice: str = "", opponent: Role = Role.CHAMPION) -> Comparison:
    return Comparison(
        metric="ndcg_at_10",
        challenger=0.5 + difference,
        champion=0.5,
        difference=difference,
        low=-0.1,
        high=0.1,
        confidence=0.95,
        units=200,
        resamples=2000,
        outcome=Outcome.INCONCLUSIVE,
        opponent=opponent,
        slice=slice,
    )


def verdict(overall: float, new: float) -> Any:
    slices = (SimpleNamespace(comparison=comparison(new, "new_users")), SimpleNamespace(comparison=None))
    return SimpleNamespace(comparisons=(comparison(overall), comparison(-0.4, opponent=Role.ANCHOR)), slices=slices)


def test_gains_are_shares_of_the_predecessor() -> None:
    assert gains_in(verdict(0.01, -0.02)) == {OVERALL: pytest.approx(0.02), NEW: pytest.approx(-0.04)}


def test_the_anchor_is_a_champion_that_was_not_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions 1 to 5, of which 3 was rolled back from; 4 lost most, over version 2."""
    assert reigns(ledger_of(1, 2, 3, -2, 4, 5)) == [1, 2, 4, 5]
    gains = {2: (0.1, 0.1), 4: (0.02, -0.2), 5: (0.02, 0.01)}
    gone: set[int] = set()

    def version_of(_: str, version: int) -> str:
        if version in gone:
            raise ModelError(f"there is no version {version}")
        return f"version {version}"

    def read_verdict(_: str, version: int) -> Any:
        if version not in gains:
            raise ModelError("it was altered")
        return verdict(*gains[version])

    monkeypatch.setattr(anchor, "version_of", version_of)
    monkeypatch.setattr(anchor, "read_verdict", read_verdict)
    ledger: Any = SimpleNamespace(entries=lambda _: ledger_of(1, 2, 3, -2, 4, 5))
    anchor_of: Any = anchor.anchor_of
    assert anchor_of("shop", ledger, 10) == "version 2"
    assert anchor_of("shop", ledger, 1) == "version 4", "the last one only"
    assert anchor_of("shop", ledger, 0) is None
    gone.add(2)
    assert anchor_of("shop", ledger, 10) == "version 1", "the next one"
    gains.clear()
    assert anchor_of("shop", ledger, 10) == "version 1", "without verdicts the oldest"
    ledger.entries = lambda _: ledger_of(1)
    assert anchor_of("shop", ledger, 10) is None
    ledger.entries = lambda _: []
    assert anchor_of("shop", ledger, 10) is None
