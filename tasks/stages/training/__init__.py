"""The training room: a model's spec and a split -> a candidate, logged in MLflow and exported, not yet judged (`train`)."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tasks import columns as c
from tasks import models
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import Candidate, ServingTerms, Start
from tasks.errors import ModelError, NotEnoughData
from tasks.guards import guard
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.metrics import score_model
from tasks.models.base import Examples, ModelSpec, ServedModel, WarmStart, read_examples
from tasks.models.encoding import text_columns
from tasks.models.signature import answer, example_question
from tasks.models.tabular import feature_columns
from tasks.settings import get_code_version
from tasks.stages.training.calibration import calibrate
from tasks.stages.training.explanations import explain
from tasks.stages.training.export import export_model
from tasks.stages.training.incremental import begin
from tasks.stages.training.learning import draw_learning_curve
from tasks.stages.training.plots import draw
from tasks.stages.training.spec import with_settings
from tasks.stages.training.tuning import CANDIDATE, tune

if TYPE_CHECKING:
    from tasks.metrics import Scored

__all__ = ["begin", "calibrate", "draw_learning_curve", "train", "tune", "with_settings"]

_WRAPPER = Path(models.__file__).parent / "as_pyfunc.py"


@guard(ModelError, NotEnoughData)
def train(
    use_case: str,
    task: TaskKind,
    spec: ModelSpec,
    split: Split,
    metrics: tuple[str, ...],
    k: int,
    exclude_seen: bool,
    seed: int,
    storage: Storage,
    run_tags: dict[str, str],
    start: Start | None = None,
    champion: ServedModel | None = None,
) -> Candidate:
    """Fit one model, calibrate and measure it on the validation window, and log all of it as one MLflow run.

    Where `begin` says so, it begins from the champion's model.

    The holdout is not opened here. What was trained before (same spec, split, seed, terms and code) is found again by the
    run's key, and nothing is computed.

    Raises
    ------
    NotEnoughData : from the model, with what it needs.
    ModelError : what was exported answers otherwise than what was trained; no model is logged that could be registered.
    ServiceUnavailable : MLflow does not answer.
    """
    terms = ServingTerms(use_case=use_case, task=task, k=k, exclude_seen=exclude_seen)
    key = _key(spec, split, metrics, terms, seed, start)
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return Candidate.from_json(tracking.read_run_dict(finished.info.run_id, CANDIDATE))

    train_examples, validation = read_examples(storage, split.train), read_examples(storage, split.validation)
    if task.is_tabular and train_examples.rows is not None:
        columns = feature_columns(train_examples.rows)
        texts = text_columns(train_examples.rows, columns)
        terms = terms.model_copy(update={"row_columns": columns, "text_columns": texts})
    if champion is not None and (why := _warm_start_problem(spec, champion, train_examples, validation)):
        start, champion = Start(is_warm=False, reason=why, full_as_of=split.as_of), None
    tags = {"titleholder.candidate": spec.candidate_name, "titleholder.code_version": get_code_version(), **run_tags}
    with tracking.start_run(use_case, spec.candidate_name, key, tags) as run:
        run.log_params(_params(spec, split, k, exclude_seen, seed, storage, start))
        run.set_tags({f"titleholder.digest.{part}": ref.digest for part, ref in _parts(split).items()})
        started = perf_counter()
        if champion is not None and isinstance(spec, WarmStart):
            model = spec.fit_from(champion, train_examples, validation, seed)
        else:
            model = spec.fit(train_examples, validation, seed)
        fit_seconds = perf_counter() - started
        if task is TaskKind.PROPENSITY:
            calibrate(model, validation, k, exclude_seen)
        scored = score_model(model, validation, task, metrics, k, exclude_seen)
        run.log_metrics({f"validation_{name}": value for name, value in scored.metrics.items()} | {"fit_seconds": fit_seconds})
        _log_plots(run, scored, task, f"{use_case}: {spec.candidate_name}, validation")
        for name, figure in explain(
            spec, model, train_examples, validation, seed, f"{use_case}: {spec.candidate_name}"
        ).items():
            run.log_figure(figure, name)
        model_uri, digest = _log_model(run, model, terms, validation, spec)
        run.set_tags({"titleholder.manifest_digest": digest})
        candidate = Candidate(
            use_case=use_case,
            name=spec.candidate_name,
            kind=spec.kind,
            run_id=run.run_id,
            model_uri=model_uri,
            manifest_digest=digest,
            split=split,
            code_version=get_code_version(),
            metrics=scored.metrics,
            fit_seconds=fit_seconds,
            settings=spec.model_dump(mode="json", exclude={"kind", "name"}),
            start=start,
        )
        run.log_dict(candidate.to_json(), CANDIDATE)
    return candidate


def _warm_start_problem(spec: ModelSpec, champion: ServedModel, train: Examples, history: Examples) -> str:
    """Why a candidate cannot start from the champion; empty if it can."""
    if not isinstance(spec, WarmStart):
        return f"the training of kind '{spec.kind}' cannot start from a champion"
    return spec.warm_start_problem(champion, train, history)


def _key(spec: ModelSpec, split: Split, metrics: tuple[str, ...], terms: ServingTerms, seed: int, start: Start | None) -> str:
    """What decides the outcome: the same key means the same model and the same figures."""
    decided = [
        spec.candidate_name,
        spec.model_dump(mode="json"),
        {part: ref.digest for part, ref in _parts(split).items()},
        split.as_of.isoformat(),
        metrics,
        terms.to_json(),
        seed,
        get_code_version(),
        start.to_json() if start else None,
    ]
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _parts(split: Split) -> dict[str, DatasetRef]:
    return {"train": split.train, "validation": split.validation, "holdout": split.holdout}


def _params(
    spec: ModelSpec, split: Split, k: int, exclude_seen: bool, seed: int, storage: Storage, start: Start | None
) -> dict[str, Any]:
    params: dict[str, Any] = {
        f"model.{name}": value for name, value in spec.model_dump(mode="json").items() if value is not None
    }
    if start is not None:
        params |= {f"start.{name}": value for name, value in start.to_json().items() if value not in (None, "")}
    params |= {"seed": seed, "k": k, "exclude_seen": exclude_seen, "as_of": split.as_of}
    for part, ref in _parts(split).items():
        window = storage.manifest(ref)["facts"].get("window")
        params[f"split.{part}"] = f"{ref.partition}/{ref.version}" + (f" labels {window}" if window else "")
        params[f"rows.{part}"] = ref.rows.get(c.LABELS, ref.rows.get(c.ROWS, 0))
    return params


def _log_plots(run: tracking.TrackedRun, scored: Scored, task: TaskKind, title: str) -> None:
    if len(scored.predictions):
        for name, figure in draw(scored.predictions, task, title).items():
            run.log_figure(figure, name)


def _log_model(
    run: tracking.TrackedRun, model: ServedModel, terms: ServingTerms, validation: Examples, spec: ModelSpec
) -> tuple[str, str]:
    """The model's address, and the digest of its manifest. What was exported is read back and compared first."""
    asked = example_question(terms, validation)
    answered = answer(model, terms, asked, validation.features)
    with tempfile.TemporaryDirectory() as folder:
        native = Path(folder) / tracking.NATIVE
        digest = export_model(model, native, terms, validation)
        params = {"kind": spec.kind, "manifest_digest": digest}
        return run.log_model(native, _WRAPPER, asked, answered, params), digest
