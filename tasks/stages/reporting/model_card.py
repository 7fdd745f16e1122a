"""The model card: one HTML page for a reviewer on what was judged, on which data, how well, and where it fails.

It is made from the verdict, from the snapshots that the verdict names, and from what the run recorded. The same verdict gives
the same bytes. Where something is missing (an evaluation without tables, a run without parameters), the card says so.
"""

from __future__ import annotations

from tasks.contracts.judging import Verdict
from tasks.contracts.training import LearningCurve
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.pages import render_page
from tasks.stages.reporting import findings, sections
from tasks.stages.reporting.evidence import Training, gather_evidence, read_part


def read_training(verdict: Verdict) -> Training:
    """What MLflow holds of the challenger's training.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    candidate = verdict.candidate
    params, seconds = tracking.run_record(candidate.run_id)
    page = tracking.run_page(candidate.run_id, verdict.use_case)
    learning = None
    if tracking.has_artifact(candidate.run_id, tracking.LEARNING_CURVE):
        learning = LearningCurve.from_json(tracking.read_run_dict(candidate.run_id, tracking.LEARNING_CURVE))
    return Training(params, seconds, tracking.native_bytes(candidate.model_uri), page, learning)


def write_card(verdict: Verdict, training: Training, folder: str, storage: Storage) -> str:
    """The card of a verdict as one page of HTML.

    Parameters
    ----------
    folder : the folder in the challenger's run that holds the verdict and the report of this judging.

    Raises
    ------
    SnapshotError : a snapshot that the verdict names is gone.
    """
    split = verdict.candidate.split
    named = {"train": split.train, "validation": split.validation, "holdout": split.holdout}
    parts = tuple(read_part(name, ref, storage) for name, ref in named.items())
    evidence = gather_evidence(verdict, parts[-1], storage)
    return render_page(
        "model_card.html.j2",
        title=f"{verdict.candidate.name} for {verdict.use_case}",
        heading=f"{verdict.use_case}: {verdict.candidate.name} against {sections.name_opponent(verdict)}",
        as_of=verdict.candidate.split.as_of.isoformat(),
        banner=sections.describe_verdict(verdict),
        tiles=tuple(sections.list_tiles(verdict, training, evidence)),
        gates=sections.list_gates(verdict.gates),
        metrics=sections.describe_metrics(verdict, evidence),
        slices=findings.describe_slices(verdict.slices),
        curves=findings.describe_curves(evidence),
        errors=findings.describe_errors(evidence, verdict.weak_segments),
        data=sections.describe_data(parts),
        training=sections.describe_training(verdict, training),
        limits=tuple(sections.list_limits(verdict, parts, evidence)),
        artifacts=sections.list_artifacts(verdict, parts, training, folder),
    )
