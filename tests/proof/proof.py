"""One mechanism for all mutations: spoil a pipeline whose honest twin passes, and see where it stops."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.contracts.judging import GateMode, Verdict
from tasks.errors import TitleholderError, ValidationFailed
from tasks.io.storage import Storage
from tests.proof.guards import find_steps
from tests.tasks import synthetic_classification
from tests.tasks.stages.evaluation.synthetic_pipelines import SyntheticClassification, SyntheticShop, open_store


@dataclass(frozen=True)
class Workbench:
    """Where pipelines run: a store, an MLflow, a folder. `honest` remembers which twins passed."""

    storage: Storage
    folder: Path
    honest: dict[Callable[[Workbench], object], tuple[str, ...]] = field(default_factory=dict)

    @property
    def classification(self) -> SyntheticClassification:
        return SyntheticClassification(self.storage)

    @property
    def shop(self) -> SyntheticShop:
        return SyntheticShop(self.storage, self.folder)


Act = Callable[[Workbench], object]


@dataclass(frozen=True)
class Mutation:
    """A spoilt pipeline, the one guard that is to stop it, and its honest twin.

    What an act gives: a verdict, the names of the guards that refused, or anything else if nothing did; or it raises.
    """

    name: str
    guard: str
    spoilt: Act
    honest: Act
    alone: bool = False  # no other guard of the step may refuse


@dataclass(frozen=True)
class Proof:
    """Where a mutation was stopped, and where its honest twin was."""

    mutation: str
    guard: str
    stopped_by: tuple[str, ...]
    honest_stopped_by: tuple[str, ...]
    is_stopped: bool


def prove_one(mutation: Mutation, place: Workbench) -> Proof:
    """Stopped means: the honest twin passes everything, and the mutation stops at the step and by the guard named for it."""
    if mutation.honest not in place.honest:
        place.honest[mutation.honest] = stopped_by(mutation.honest, place)
    honest, spoilt = place.honest[mutation.honest], stopped_by(mutation.spoilt, place)
    at_the_step = {name.partition("/")[0] for name in spoilt} == {mutation.guard.partition("/")[0]}
    named = mutation.guard in spoilt and (len(spoilt) == 1 or not mutation.alone)
    return Proof(mutation.name, mutation.guard, spoilt, honest, not honest and at_the_step and named)


def stopped_by(act: Act, place: Workbench) -> tuple[str, ...]:
    """The guards that refused; empty where nothing did."""
    try:
        outcome = act(place)
    except TitleholderError as error:
        return _named(error)
    if isinstance(outcome, Verdict):
        refused = [one.gate for one in outcome.gates if not one.passed and one.mode is GateMode.ENABLED]
        return tuple(f"judge/{gate}" for gate in refused)
    names = outcome if isinstance(outcome, tuple) else ()
    return tuple(name for name in names if isinstance(name, str))


def _named(error: TitleholderError) -> tuple[str, ...]:
    """The step that raised, by the traceback: the first one on the way down."""
    verbs = {verb.__code__: name for name, verb in find_steps().items()}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code not in verbs:
        trace = trace.tb_next
    if trace is None:
        raise error
    step, inside = verbs[trace.tb_frame.f_code], trace.tb_frame.f_locals
    if step == "ingest":
        return (f"ingest/{inside['source'].kind}",)
    if isinstance(error, ValidationFailed):
        rules = re.findall(r"^  (\w+) \(", str(error), flags=re.M)
        return tuple(f"validate/{name}" for name in (inside["suite"], *(f"{inside['suite']}.{rule}" for rule in rules)))
    return (step,)


def unguarded(guards: Iterable[str], mutations: Sequence[Mutation]) -> list[str]:
    """The guards that no mutation is to be stopped by; a step has one where any of its guards has."""
    proved = {mutation.guard for mutation in mutations}
    steps = {name.partition("/")[0] for name in proved}
    return [name for name in guards if name not in proved and name not in steps]


def open_workbench(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The pipelines of a folder, for as long as the patch lasts; the first time it is made."""
    if not (folder / "mlflow.db").exists():
        folder.mkdir(parents=True, exist_ok=True)
        synthetic_classification.make_empty_store(folder)
    return Workbench(open_store(folder, monkeypatch), folder)


def prove(report: Callable[[int, int], None] = lambda done, total: None, *, most: int | None = None) -> list[Proof]:
    """Every mutation, or the first `most` of them, in a workbench of its own."""
    from tests.proof.mutations import MUTATIONS

    proofs = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        place = open_workbench(Path(folder) / "workbench", patch)
        for mutation in MUTATIONS[:most]:
            proofs.append(prove_one(mutation, place))
            report(len(proofs), len(MUTATIONS[:most]))
    return proofs
