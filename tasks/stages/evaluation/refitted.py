"""The gates of predictions themselves, asked again about a model that was fitted again after its verdict."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tasks.contracts.judging import Evaluation, GateMode, Role
from tasks.contracts.training import Candidate, Refit, ScoringTerms
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models import SERVED
from tasks.models.base import load_model, read_examples
from tasks.problems import problem_of
from tasks.stages.evaluation.gates.base import Context, Gate
from tasks.stages.evaluation.paired import Answers


def check_refit(
    refit: Refit, candidate: Candidate, gates: Sequence[Gate], terms: ScoringTerms, storage: Storage, *, mode: GateMode
) -> list[str]:
    """Why a refitted model must not serve, by the enabled gates that judge predictions alone; empty if it may.

    It learned from the holdout, so nothing is concluded about how good it is.
    """
    asked = [gate for gate in gates if gate.judges_refit and (gate.mode or mode) is GateMode.ENABLED]
    if not asked:
        return []
    with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
        native = tracking.download_native(refit.model_uri, Path(folder))
        model, _ = load_model(native, refit.manifest_digest, SERVED)
    scored = problem_of(terms.task).score(model, read_examples(storage, candidate.split.holdout), terms)
    evaluation = Evaluation(
        subject=Role.CHALLENGER,
        name=candidate.name,
        model_uri=refit.model_uri,
        holdout=candidate.split.holdout,
        metrics={name: value for name, value in scored.metrics.items() if math.isfinite(value)},
        units=candidate.split.holdout,
    )
    context = Context(
        task=terms.task,
        candidate=candidate,
        challenger=Answers(evaluation, scored.units, scored.predictions, terms.k),
        champion=None,
        champion_version=None,
        baseline=None,
        seed=0,
    )
    results = [gate.check(context) for gate in asked]
    return [f"{result.gate}: {result.reason}" for result in results if not result.passed]
