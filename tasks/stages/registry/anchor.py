"""The anchor: the former champion that the present one has lost most against.

Each promotion may lose a little in a slice, within its margin, and ten of them lose ten times as much. The verdicts of the
promotions say how much each one gained or lost; their sum tells which former champion to compare with, on present data.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tasks.contracts.judging import Role, Verdict
from tasks.contracts.promotion import ModelVersion
from tasks.errors import ModelError
from tasks.io.ledger import Ledger
from tasks.stages.registry.promotion import reigns
from tasks.stages.registry.versions import read_verdict, version_of

_log = logging.getLogger(__name__)
Gains = Mapping[tuple[str, str], float]  # (slice, metric) -> share of its predecessor's value that a champion gained


def anchor_of(use_case: str, ledger: Ledger, last: int) -> ModelVersion | None:
    """The anchor among the last so many former champions; None where there is none, or where `last` is 0.

    Versions that were withdrawn by a rollback are none. A champion whose verdict cannot be read counts as one that gained and
    lost nothing.
    """
    reigning = reigns(ledger.entries(use_case))[-last - 1 :] if last else []
    order = rank_losses([_gains_of(use_case, version) for version in reigning[1:]])
    for place in order:
        try:
            return version_of(use_case, reigning[place])
        except ModelError as error:
            _log.warning("version %d is no anchor: %s", reigning[place], error)
    return None


def rank_losses(gains: Sequence[Gains]) -> list[int]:
    """The places of former champions, the one that the present champion has lost most against first; of equals the oldest.

    Parameters
    ----------
    gains : of each champion but the first one over its predecessor, oldest first.
    """
    losses = []
    for place in range(len(gains)):
        since: dict[tuple[str, str], float] = {}
        for one in gains[place:]:
            for key, gain in one.items():
                since[key] = since.get(key, 0.0) + gain
        losses.append(max(0.0, *(-gain for gain in since.values())) if since else 0.0)
    return sorted(range(len(gains)), key=lambda place: (-losses[place], place))


def _gains_of(use_case: str, version: int) -> Gains:
    try:
        return gains_in(read_verdict(use_case, version))
    except ModelError as error:
        _log.warning("the gains of version %d are unknown: %s", version, error)
        return {}


def gains_in(verdict: Verdict) -> Gains:
    """What a promoted challenger gained over the champion of its verdict, over all units and in each slice."""
    slices = [one.comparison for one in verdict.slices if one.comparison is not None]
    compared = [one for one in (*verdict.comparisons, *slices) if one.opponent is Role.CHAMPION and one.champion != 0]
    return {(one.slice, one.metric): one.difference / abs(one.champion) for one in compared}
