"""Incremental learning: whether a candidate begins from the champion of its kind, or learns from nothing (`begin`)."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, Start
from tasks.errors import ModelError
from tasks.io import tracking
from tasks.models import SERVED
from tasks.models.base import ModelSpec, ServedModel, load_model
from tasks.stages.training.spec import IncrementalSpec
from tasks.stages.training.tuning import CANDIDATE


def begin(
    spec: ModelSpec, policy: IncrementalSpec, as_of: date, champion: ModelVersion | None
) -> tuple[Start | None, ServedModel | None]:
    """What a candidate begins from, and the champion's model where it begins warm; nothing where the policy does not name it.

    The model is the one that was judged, verified by its digest. One that was refitted learned from the newest data, on which
    the candidate may be judged. A champion that cannot be loaded helps nobody: the training is full.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    if spec.candidate_name not in policy.candidates:
        return None, None
    try:
        previous = None if champion is None else Candidate.from_json(tracking.read_run_dict(champion.run_id, CANDIDATE))
        start = choose_start(spec, policy, as_of, previous, champion.version if champion else None)
        if champion is None or not start.is_warm:
            return start, None
        with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
            model_uri, digest = champion.judged  # a refitted one knows what judges the candidate
            native = tracking.download_native(model_uri, Path(folder))
            return start, load_model(native, digest, SERVED)[0]
    except ModelError as error:
        return Start(is_warm=False, reason=f"the champion cannot be loaded: {error}"[:500], full_as_of=as_of), None


def choose_start(
    spec: ModelSpec, policy: IncrementalSpec, as_of: date, champion: Candidate | None, version: int | None
) -> Start:
    """Warm, unless there is no champion of its kind, it is of a later day, or a full training is due."""

    def full(reason: str) -> Start:
        return Start(is_warm=False, reason=reason, full_as_of=as_of)

    if champion is None:
        return full("there is no champion yet")
    if champion.kind != spec.kind:
        return full(f"the champion is of kind '{champion.kind}'")
    if champion.split.as_of > as_of:
        return full(f"the champion is of a later day, {champion.split.as_of}")
    before = champion.start
    runs, since = (before.warm_runs, before.full_as_of) if before else (0, champion.split.as_of)
    if runs >= policy.full_after_runs:
        return full(f"due: {runs} warm champions in a row, {policy.full_after_runs} are allowed")
    if (as_of - since).days >= policy.full_after_days:
        return full(f"due: the last full training was of {since}, {policy.full_after_days} days are allowed")
    return Start(
        is_warm=True,
        reason=f"{runs + 1} of {policy.full_after_runs} since the full training of {since}",
        champion_version=version,
        champion_digest=champion.manifest_digest,
        warm_runs=runs + 1,
        full_as_of=since,
    )
