"""The gates: what they stop, how often they err, what they can detect, and what they cost. See docs/gates.md."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from benchmarks.gate.bootstrap import measure_bootstrap
from benchmarks.gate.error_rates import NULLS, SHARED, SIZES, USERS, null_table, power_table, rate_of_equal_models
from benchmarks.gate.judgings import PER_YEAR, WEEKS, false_promotions_a_year, method_table
from benchmarks.gate.large_holdout import SLICES, measure_judging
from benchmarks.runner import Benchmark, Figures, Part
from tests.tasks.stages.registry.promotion_faults import race, survive_kills


@dataclass(frozen=True)
class Size:
    """None measures everything there is. `equal_models`, `each_null` and `each_power` count simulations, `racers` processes."""

    holdout_rows: int = 100_000
    resamples: int = 2_000
    mutations: int | None = None
    equal_models: int = 1_000
    each_null: int = 400
    null_units: tuple[int, ...] = SIZES
    each_power: int = 400
    years: int = 100
    gate_years: int = 20
    gate_weeks: int = WEEKS
    power_users: tuple[int, ...] = USERS
    kill_points: int | None = None
    racers: int = 20
    bootstrap_users: int = 20_000


FULL = Size()


def measure_costs(size: Size) -> Figures:
    """Seconds of one judging on a large holdout."""
    return {"judge_seconds": measure_judging(size.holdout_rows, size.resamples)}


def measure_mutations(size: Size) -> Figures:
    """Every mutation of the pipeline beside its honest twin."""
    from tests.proof.proof import prove

    with Progress() as progress:
        task = progress.add_task("mutations", total=None)
        proofs = prove(lambda done, total: progress.update(task, completed=done, total=total), most=size.mutations)
    for proof in proofs:
        if not proof.is_stopped:
            print(f"not stopped: {proof}")
    return {"mutations": len(proofs), "mutations_stopped": sum(proof.is_stopped for proof in proofs)}


def measure_equal_models(size: Size) -> Figures:
    """The share of equal challengers that the gate promotes."""
    with Progress() as progress:
        task = progress.add_task("equal models", total=size.equal_models // SHARED)
        by_user, by_row = rate_of_equal_models(size.equal_models, lambda: progress.advance(task))
    return {"aa_promotion_rate": by_user, "aa_promotion_rate_by_row": by_row}


def measure_nulls(size: Size) -> Figures:
    """The share of equal challengers that are promoted, for differences of several shapes."""
    with Progress() as progress:
        task = progress.add_task("nulls", total=len(NULLS) * len(size.null_units) * size.each_null // SHARED)
        table = null_table(size.each_null, lambda: progress.advance(task), sizes=size.null_units)
    worst = max(share for name, cells in table.items() if name != "symmetric" for share in cells.values())
    return {"nulls": table, "skewed_false_promotions": worst}


def measure_judgings(size: Size) -> Figures:
    """What many judgings of equal challengers promote in a year."""
    with Progress() as progress:
        task = progress.add_task("judgings", total=4 * size.years + size.gate_weeks)
        methods = method_table(size.years, lambda: progress.advance(task))
        yearly = false_promotions_a_year(size.gate_years, size.gate_weeks, lambda: progress.advance(task))
    return {"judging_methods": methods, "false_promotions_per_year": yearly}


def measure_power(size: Size) -> Figures:
    """The share of better challengers that the gate promotes."""
    with Progress() as progress:
        task = progress.add_task("power", total=len(size.power_users) * size.each_power // SHARED)
        return {"power": power_table(size.each_power, lambda: progress.advance(task), sizes=size.power_users)}


def measure_kills(size: Size) -> Figures:
    """Kill promotions at their steps, and retry them."""
    with tempfile.TemporaryDirectory() as folder:
        points, survived = survive_kills(Path(folder) / "kills", size.kill_points)
    return {"kill_points": points, "kill_survived": survived}


def measure_race(size: Size) -> Figures:
    """Start promotions at the same time."""
    with tempfile.TemporaryDirectory() as folder:
        winners, refused = race(size.racers, Path(folder) / "race")
    return {"race_winners": winners, "race_refused": refused}


BENCHMARK = Benchmark(
    name="gate",
    parts={
        "costs": Part(measure_costs),
        "bootstrap": Part(lambda size: measure_bootstrap(size.bootstrap_users, size.resamples)),
        "mutations": Part(measure_mutations, starts=("jvm",)),
        "equal_models": Part(measure_equal_models),
        "nulls": Part(measure_nulls),
        "judgings": Part(measure_judgings),
        "power": Part(measure_power),
        "kills": Part(measure_kills, starts=("servers",)),
        "race": Part(measure_race, starts=("servers",)),
    },
    full=FULL,
    smallest=Size(
        holdout_rows=20_000,
        mutations=3,
        equal_models=SHARED,
        each_null=SHARED,
        null_units=SIZES[:1],
        each_power=SHARED,
        years=2,
        gate_years=2,
        gate_weeks=3,
        power_users=USERS[:1],
        kill_points=1,
        racers=2,
        bootstrap_users=200,
    ),
    meaning={
        "mutations": "mutations of the pipeline; each guard has at least one",
        "mutations_stopped": "of these, stopped at the step and by the guard that they name, while the honest twin passes",
        "aa_promotion_rate": f"share of {FULL.equal_models} equal challengers that the shipped gate promotes; at most 0.05",
        "aa_promotion_rate_by_row": "the same comparisons with single ratings resampled instead of users: an error to avoid",
        "nulls": f"share of {FULL.each_null} equal challengers that are promoted: shape of the differences down, units across",
        "skewed_false_promotions": "the largest of these of the shapes that are not symmetric; at most 0.05",
        "judging_methods": f"ways to spend alpha, {FULL.years} years: equal challengers promoted a year, judged weekly, "
        "daily, and 20 times on one holdout; share that is found of challengers that are better by four standard errors",
        "false_promotions_per_year": f"equal challengers that the shipped gate promotes, one a week for a year, mean of "
        f"{FULL.gate_years} years with a rate of {PER_YEAR:g}; at most 0.1",
        "power": f"share of {FULL.each_power} challengers that are promoted: users down, true gain of ndcg_at_10 across",
        "judge_seconds": f"one judging: 3 metrics, {SLICES} slices, {FULL.holdout_rows} rows, {FULL.resamples} resamples",
        "bootstrap_seconds": f"paired bootstrap of one metric, {FULL.bootstrap_users} users, {FULL.resamples} resamples",
        "bootstrap_scipy_ratio": "its time over scipy.stats.bootstrap of the paired mean difference (below 1: faster)",
        "bootstrap_interval_gap": "largest distance between the ends of the two intervals, in units of the interval's width",
        "kill_points": "steps of a promotion at which it was killed",
        "kill_survived": "of these, after which a retry left one entry, and alias and endpoint agree",
        "race_winners": f"of {FULL.racers} promotions started at once, those that made their version champion",
        "race_refused": "of these, those that were refused with the reason",
    },
)
