"""One mechanism for all mutations: change a pipeline that passes, and record the guard that stops it."""

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
    """Where pipelines run: storage, MLflow store and folder. `honest` caches the guards that stopped unchanged pipelines."""

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
    """A changed pipeline, the one guard that must stop it, and the unchanged pipeline that must pass.

    An act returns a verdict, the names of the guards that refused, or any other value if none did. It may also raise.
    """

    name: str
    guard: str
    spoilt: Act
    honest: Act
    alone: bool = False  # no other guard of the step may refuse


@dataclass(frozen=True)
class Proof:
    """The guards that stopped a mutation and the unchanged pipeline."""

    mutation: str
    guard: str
    stopped_by: tuple[str, ...]
    honest_stopped_by: tuple[str, ...]
    is_stopped: bool


def prove_one(mutation: Mutation, place: Workbench) -> Proof:
    """A mutation is stopped if the unchanged pipeline passes, and the mutation stops at the step and guard that it names."""
    if mutation.honest not in place.honest:
        place.honest[mutation.honest] = stopped_by(mutation.honest, place)
    honest, spoilt = place.honest[mutation.honest], stopped_by(mutation.spoilt, place)
    at_the_step = {name.partition("/")[0] for name in spoilt} == {mutation.guard.partition("/")[0]}
    named = mutation.guard in spoilt and (len(spoilt) == 1 or not mutation.alone)
    return Proof(mutation.name, mutation.guard, spoilt, honest, not honest and at_the_step and named)


def stopped_by(act: Act, place: Workbench) -> tuple[str, ...]:
    """The guards that refused, or an empty tuple."""
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
    """The guard that raised: the first step in the traceback."""
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
    """The guards that no mutation names. A step counts as named if one of its guards is."""
    proved = {mutation.guard for mutation in mutations}
    steps = {name.partition("/")[0] for name in proved}
    return [name for name in guards if name not in proved and name not in steps]


def open_workbench(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """Open the workbench of a folder until the patch is undone, and create it if it is missing."""
    if not (folder / "mlflow.db").exists():
        folder.mkdir(parents=True, exist_ok=True)
        synthetic_classification.make_empty_store(folder)
    return Workbench(open_store(folder, monkeypatch), folder)


def prove(report: Callable[[int, int], None] = lambda done, total: None, *, most: int | None = None) -> list[Proof]:
    """Prove every mutation, or the first `most`, in a new workbench."""
    from tests.proof.mutations import MUTATIONS

    proofs = []
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        place = open_workbench(Path(folder) / "workbench", patch)
        for mutation in MUTATIONS[:most]:
            proofs.append(prove_one(mutation, place))
            report(len(proofs), len(MUTATIONS[:most]))
    return proofs
