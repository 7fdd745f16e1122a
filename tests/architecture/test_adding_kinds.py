"""A new kind takes one file, one line of registration and one test file.

Each test writes these into a temporary package, and checks that the contract tests, the proofs and the tables include the
new kind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import tests
from tasks.contracts.base import TaskKind
from tasks.errors import SourceError
from tasks.kinds import KindRegistry
from tasks.metrics import families, get_metric
from tasks.models.base import ModelSpec
from tasks.stages.evaluation.gates import GATES
from tasks.stages.evaluation.gates.base import Gate
from tasks.stages.ingestion.base import Source
from tasks.stages.ingestion.sources import SOURCES
from tasks.stages.monitoring.checks.base import DriftCheck
from tasks.stages.monitoring.judging import judge
from tests.architecture.tables import kinds
from tests.contracts.cases import case_of
from tests.proof.guards import find_guards
from tests.proof.mutations import MUTATIONS, mutations_of
from tests.proof.proof import unguarded
from tests.tasks.models.checkerboard import checkerboard
from tests.tasks.stages.evaluation import gate_examples
from tests.tasks.stages.evaluation.gate_examples import find_gate_examples
from tests.tasks.stages.ingestion import source_examples
from tests.tasks.stages.ingestion.source_examples import find_source_examples
from tests.tasks.stages.monitoring import check_examples
from tests.tasks.stages.monitoring.check_examples import find_check_examples
from tests.tasks.stages.monitoring.samples import make_windows

PACKAGE, EXAMPLES = "added_parts", "tests.added_parts"
Write = Callable[[str, str, str], None]

GATE = """
from typing import Literal
from tasks.stages.evaluation.gates.base import Context, Gate

class Cautious(Gate):
    \"\"\"There is no champion to lose.\"\"\"

    kind: Literal["cautious"] = "cautious"
    patience: int = 1

    def check(self, context: Context):
        return self.answer(context.champion is None, "there is a champion already")
"""
GATE_TEST = """
from tests.tasks.stages.evaluation.contexts import BETTER, CHAMPION, context
from tests.tasks.stages.evaluation.gate_examples import examples_of
from tests.tasks.stages.evaluation.synthetic_pipelines import SyntheticClassification

examples = examples_of("cautious", classification={})

@examples.pairs
def make_pairs():
    return [({}, context(BETTER), context(BETTER, CHAMPION))]

@examples.mutation
def a_second_champion(pipeline: SyntheticClassification):
    return pipeline.judge()
"""
CHECK = """
from typing import Literal
from tasks.contracts.monitoring import Signal
from tasks.stages.monitoring.checks.base import DriftCheck

class Silence(DriftCheck):
    \"\"\"A window without any figure.\"\"\"

    kind: Literal["silence"] = "silence"

    def judge(self, seen):
        return (self.answer("figures", "count", len(seen.figures), 1, not seen.figures, signal=Signal.FAULT),)
"""
CHECK_TEST = """
from tests.tasks.stages.monitoring.check_examples import broken_twin

@broken_twin("silence")
def make_twin(calm):
    return calm.changed(figures={})
"""
SOURCE = """
from typing import ClassVar, Literal
from tasks.stages.ingestion.base import Source, check_folder, read_bytes

class Lines(Source):
    \"\"\"Files of one line.\"\"\"

    refuses_files: ClassVar[bool] = True
    kind: Literal["lines"] = "lines"

    def files(self, folder, window):
        return [read_bytes(path) for path in sorted(check_folder(folder, self.kind).iterdir())]

    def read(self, spark, files, window):
        raise NotImplementedError
"""
SOURCE_TEST = """
from datetime import date
from tasks.contracts.base import Window
from tests.tasks.stages.ingestion.source_examples import sample

@sample("lines", faults={"an_empty_line": ("a.txt", "", "")})
def make_folder(folder):
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("one line")
    return folder, Window(start=date(2026, 1, 1), end=date(2026, 1, 2))
"""
MODEL = """
from typing import ClassVar, Literal
import numpy as np
from tasks.contracts.base import TaskKind
from tasks.models.base import ModelSpec, ServedModel

class HalfModel(ServedModel):
    kind = "half"

    def state(self):
        return {}, {}

    @classmethod
    def from_state(cls, settings, arrays):
        return cls()

    def predict_rows(self, rows):
        return np.full(len(rows), 0.5)

class Half(ModelSpec):
    \"\"\"One half for every row.\"\"\"

    served: ClassVar[type[ServedModel]] = HalfModel
    tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.CLASSIFICATION})
    kind: Literal["half"] = "half"
    rounds: int = 9

    def fit(self, train, history, seed):
        return HalfModel()
"""
MODEL_TEST = """
from tests.contracts.cases import Case

CASES = {"half": Case(small={"rounds": 1})}
"""
METRIC = """
import numpy as np
from tasks.metrics.families import ROWS, Shape, metric

@metric("caution", Shape.ROWS, tasks=ROWS, greater_is_better=True)
def caution(prediction, label):
    return 1 - np.abs(prediction - 0.5), np.ones_like(label)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the file of a kind and its test file. Both are removed from the registries after the test."""
    for folder in (tmp_path / PACKAGE, tmp_path / "tests" / PACKAGE):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(tests, "__path__", [*tests.__path__, str(tmp_path / "tests")])
    for name in [name for name in sys.modules if name.startswith((PACKAGE, EXAMPLES))]:
        monkeypatch.delitem(sys.modules, name)
    for registry in (gate_examples, check_examples, source_examples):
        monkeypatch.setattr(registry, "_FOUND", {})

    def write_files(module: str, code: str, test: str) -> None:
        (tmp_path / PACKAGE / f"{module}.py").write_text(dedent(code))
        (tmp_path / "tests" / PACKAGE / f"test_{module}.py").write_text(dedent(test))

    return write_files


def registry_of(what: str, base: type[Any], module: str) -> KindRegistry[Any]:
    """The registry with the new kind: the one line of registration."""
    return KindRegistry.of_modules(what, base, PACKAGE, (module,))


def test_a_gate_is_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("cautious", GATE, GATE_TEST)
    gates = registry_of("gate", Gate, "cautious")
    monkeypatch.setitem(GATES.kinds, "cautious", gates.kinds["cautious"])
    assert unguarded(find_guards(), MUTATIONS) == ["judge/cautious"], "without its test file the proof fails"
    examples = find_gate_examples(EXAMPLES)["cautious"]
    assert unguarded(find_guards(), [*MUTATIONS, *mutations_of(examples)]) == []
    ((settings, good, broken),) = examples.make_pairs()
    gate = gates.parse({"kind": "cautious", **settings}, "gates")
    assert (gate.check(good).passed, gate.check(broken).passed) == (True, False)
    assert "| `cautious` | There is no champion to lose. | `patience` |" in kinds(gates, "passes if", {"kind", "mode"})


def test_a_drift_check_is_found(write: Write) -> None:
    write("silence", CHECK, CHECK_TEST)
    checks = registry_of("drift check", DriftCheck, "silence")
    example, calm = find_check_examples(EXAMPLES)["silence"], make_windows(400)
    made = [checks.parse({"kind": "silence", **example.config}, "drift")]
    assert [one.violated for one in judge(made, calm.gather(made))] == [False]
    assert [one.violated for one in judge(made, example.broken(calm).gather(made))] == [True]
    assert "| `silence` | A window without any figure. |  |" in kinds(checks, "what it checks", {"kind"})


def test_a_source_is_found(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("lines", SOURCE, SOURCE_TEST)
    sources = registry_of("source", Source, "lines")
    monkeypatch.setitem(SOURCES.kinds, "lines", sources.kinds["lines"])
    assert "ingest/lines" in find_guards()
    example = find_source_examples(EXAMPLES)["lines"]
    folder, window = example.make(tmp_path / "files")
    source = sources.parse({"kind": "lines", **example.settings}, "source")
    assert folder is not None and len(source.files(folder, window)) == 1
    ((file, _, new),) = example.faults.values()
    (folder / file).write_text(new)
    with pytest.raises(SourceError, match="empty"):
        source.files(folder, window)


def test_a_model_is_found(write: Write) -> None:
    write("half", MODEL, MODEL_TEST)
    models = registry_of("model", ModelSpec, "half")
    spec = models.kinds["half"]
    assert spec.served.kind == "half"
    settings = case_of("half", spec).small
    assert settings == {"rounds": 1}
    train = checkerboard(TaskKind.CLASSIFICATION)
    assert set(models.parse({"kind": "half", **settings}, "models").fit(train, train, 7).predict_rows(train.rows)) == {0.5}


def test_a_metric_is_found(write: Write) -> None:
    write("caution", METRIC, "")
    import_module(f"{PACKAGE}.caution")
    try:
        assert get_metric("caution", TaskKind.CLASSIFICATION).greater_is_better
    finally:
        del families.FAMILIES["caution"]
