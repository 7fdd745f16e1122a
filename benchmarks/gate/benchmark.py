"""That the gate gates: what it stops, how often it errs, what it can see, what it costs. See docs/gates.md."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.progress import Progress
from rich.status import Status

from benchmarks.gate.error_rates import SHARED, USERS, power_table, rate_of_equal_models
from benchmarks.gate.large_holdout import ROWS, SLICES, measure_judging
from tests.tasks.stages.registry.promotion_faults import race, survive_kills

EQUAL_MODELS, EACH_POWER, RACERS = 1_000, 400, 20
MEANING = {
    "mutations": "spoilt pipelines; each guard that there is has at least one",
    "mutations_stopped": "of these, stopped at the step and by the guard that is named for it, while the honest twin passes",
    "aa_promotion_rate": f"share of {EQUAL_MODELS} equal challengers that the shipped gate promotes; at most 0.05 is promised",
    "aa_promotion_rate_by_row": "the same comparisons with single ratings resampled instead of users: what not to do",
    "power": f"share of {EACH_POWER} challengers that are promoted: users down, true gain of ndcg_at_10 across",
    "judge_seconds": f"one judging: 3 metrics, {SLICES} slices, {ROWS} holdout rows, 2000 resamples",
    "kill_points": "steps of a promotion at which it was killed",
    "kill_survived": "of these, after which a retry left one entry, and alias and endpoint agree",
    "race_winners": f"of {RACERS} promotions started at once, those that got the title",
    "race_refused": "of these, those that were refused with the reason",
}


def measure() -> dict[str, Any]:
    """All figures; some minutes."""
    from tests.proof.proof import prove

    figures: dict[str, Any] = {"judge_seconds": measure_judging()}
    with Progress() as progress:
        guarded = progress.add_task("mutations", total=None)
        proofs = prove(lambda done, total: progress.update(guarded, completed=done, total=total))
        figures["mutations"], figures["mutations_stopped"] = len(proofs), sum(proof.is_stopped for proof in proofs)
        equal = progress.add_task("equal models", total=EQUAL_MODELS // SHARED)
        rates = rate_of_equal_models(EQUAL_MODELS, lambda: progress.advance(equal))
        figures["aa_promotion_rate"], figures["aa_promotion_rate_by_row"] = rates
        power = progress.add_task("power", total=len(USERS) * EACH_POWER // SHARED)
        figures["power"] = power_table(EACH_POWER, lambda: progress.advance(power))
    for proof in proofs:
        if not proof.is_stopped:
            print(f"not stopped: {proof}")
    with Status("killing promotions at each of their steps, then racing them"), tempfile.TemporaryDirectory() as folder:
        figures["kill_points"], figures["kill_survived"] = survive_kills(Path(folder) / "kills")
        figures["race_winners"], figures["race_refused"] = race(RACERS, Path(folder) / "race")
    return {name: figures[name] for name in MEANING}
