"""The test sets of a split, on which challenger and champion are reported."""

from __future__ import annotations

import logging
import math
import tempfile
from pathlib import Path

from tasks import columns as c
from tasks.contracts.data import Split
from tasks.contracts.judging import Role, SetResult
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models import SERVED
from tasks.models.base import Examples, ServedModel, load_model, read_examples
from tasks.models.champion import describe_failure
from tasks.problems import problem_of

_log = logging.getLogger(__name__)


def evaluate_sets(
    candidate: Candidate, champion: ModelVersion | None, split: Split, terms: ScoringTerms, storage: Storage
) -> tuple[SetResult, ...]:
    """The metrics of challenger and champion on each test set, by name.

    A champion that cannot answer the rows of a set is left out there, with the reason in the log.

    Raises
    ------
    ModelError : the challenger is not the one that was trained, or cannot answer.
    ServiceUnavailable : MLflow does not answer.
    """
    if not split.tests:
        return ()
    challenger = _load(candidate.model_uri, candidate.manifest_digest)
    results = []
    for name, ref in sorted(split.tests.items()):
        examples = read_examples(storage, ref)
        values = {Role.CHALLENGER: _measure(challenger, examples, terms)}
        if champion is not None:
            try:
                values[Role.CHAMPION] = _measure(_load(*champion.judged), examples, terms)
            except Exception as error:
                fault = describe_failure(error)
                _log.warning("test set %s: version %d could not be scored: %s", name, champion.version, fault)
        results.append(SetResult(name=name, rows=ref.rows[c.ROWS], values=values))
    return tuple(results)


def _measure(model: ServedModel, examples: Examples, terms: ScoringTerms) -> dict[str, float]:
    found = problem_of(terms.task).score(model, examples, terms).metrics
    return {metric: value for metric, value in found.items() if math.isfinite(value)}


def _load(model_uri: str, digest: str) -> ServedModel:
    with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
        return load_model(tracking.download_native(model_uri, Path(folder)), digest, SERVED)[0]
