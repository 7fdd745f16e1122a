"""The training stage: a model's spec and a split -> a candidate, logged in MLflow and exported, not yet judged (`train`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from tasks import columns as c
from tasks.code_version import get_code_version, identify_code
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import Candidate, ScoringTerms, Start
from tasks.errors import ModelError, NotEnoughData
from tasks.guards import guard
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models.base import Examples, ModelSpec, ServedModel, WarmStart, read_examples
from tasks.problems import problem_of
from tasks.stages.training.explanations import explain
from tasks.stages.training.export import log_model
from tasks.stages.training.incremental import begin
from tasks.stages.training.learning import draw_learning_curve
from tasks.stages.training.plots import draw
from tasks.stages.training.refit import refit
from tasks.stages.training.rounds import measure_cuts
from tasks.stages.training.spec import with_settings
from tasks.stages.training.tuning import CANDIDATE, tune

__all__ = ["begin", "draw_learning_curve", "refit", "train", "tune", "with_settings"]


@guard(ModelError, NotEnoughData)
def train(  # noqa: PLR0913  # what is fitted to what, and what it begins from; options by name
    spec: ModelSpec,
    split: Split,
    terms: ScoringTerms,
    storage: Storage,
    *,
    seed: int,
    run_tags: Mapping[str, str],
    start: Start | None = None,
    champion: ServedModel | None = None,
    origins: int = 1,
) -> Candidate:
    """Fit one model, calibrate and measure it on the validation window, and log all of it as one MLflow run.

    The holdout is not opened here. What was trained before (same spec, split, seed, terms and code) is found again by the
    run's key, and nothing is computed.

    Parameters
    ----------
    champion : the model that the fit begins from, where `begin` chose a warm start.
    origins : of a rolling split, how many cuts measure the settings: the validation window, and so many less one before it.

    Raises
    ------
    NotEnoughData : from the model, with what it needs.
    ModelError : the exported model predicts other values than the trained one. No model is logged.
    ServiceUnavailable : MLflow does not answer.
    """
    use_case, name, problem = terms.use_case, spec.candidate_name, problem_of(terms.task)
    key = _key(spec, split, terms, seed, start, origins)
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return Candidate.from_json(tracking.read_run_dict(finished.info.run_id, CANDIDATE))

    train_examples, validation = read_examples(storage, split.train), read_examples(storage, split.validation)
    terms = problem.complete_terms(terms, train_examples)
    if champion is not None and (why := _warm_start_problem(spec, champion, train_examples, validation)):
        start, champion = Start(is_warm=False, reason=why, full_as_of=split.as_of), None
    tags = {"titleholder.candidate": name, "titleholder.code_version": get_code_version(), **run_tags}
    with tracking.start_run(use_case, name, key, tags) as run:
        run.log_params(_params(spec, split, terms, seed, storage, start))
        run.set_tags({f"titleholder.digest.{part}": ref.digest for part, ref in _parts(split).items()})
        started = perf_counter()
        if champion is not None and isinstance(spec, WarmStart):
            model = spec.fit_from(champion, train_examples, validation, seed)
        else:
            model = spec.fit(train_examples, validation, seed)
        fit_seconds = perf_counter() - started
        problem.calibrate(model, validation, terms)
        scored = problem.score(model, validation, terms)
        measured = {f"validation_{metric}": value for metric, value in scored.metrics.items()}
        run.log_metrics(measured | {"fit_seconds": fit_seconds})
        cuts = _measure_cuts(spec, split, terms, storage, origins=origins, seed=seed)
        if scored.populations:
            run.set_tags(
                {"titleholder.populations": "; ".join(f"{', '.join(one.metrics)}: {one}" for one in scored.populations)}
            )
        figures = draw(scored, problem.plots, f"{use_case}: {name}, validation")
        figures |= explain(spec, model, train_examples, validation, seed=seed, title=f"{use_case}: {name}")
        for path, figure in figures.items():
            run.log_figure(figure, path)
        model_uri, digest = log_model(run, model, terms, validation, spec.kind)
        run.set_tags({"titleholder.manifest_digest": digest})
        candidate = Candidate(
            use_case=use_case,
            name=name,
            kind=spec.kind,
            run_id=run.run_id,
            model_uri=model_uri,
            manifest_digest=digest,
            split=split,
            code_version=get_code_version(),
            metrics=scored.metrics,
            populations=scored.populations,
            fit_seconds=fit_seconds,
            settings=spec.model_dump(mode="json", exclude={"kind", "name"}),
            start=start,
            cuts=cuts,
        )
        _log_cuts(run, candidate)
        run.log_dict(candidate.to_json(), CANDIDATE)
    return candidate


def _measure_cuts(
    spec: ModelSpec, split: Split, terms: ScoringTerms, storage: Storage, *, origins: int, seed: int
) -> tuple[dict[str, float], ...]:
    """The metrics of the settings at the cuts before the one of the validation window; none where the split has one cut.

    Raises
    ------
    NotEnoughData : the history has no earlier cut.
    """
    if origins < 2:
        return ()
    windows = [read_examples(storage, ref) for ref in split.before_holdout]
    rounds = problem_of(terms.task).earlier_cuts(windows, origins - 1, seed)
    if not rounds:
        raise NotEnoughData(
            f"{terms.use_case}: the split is to measure at {origins} cuts, and the data before the validation window allow "
            "none; ingest an earlier history, or take split by_time"
        )
    return measure_cuts(rounds, spec, terms, seed)


def _log_cuts(run: tracking.TrackedRun, candidate: Candidate) -> None:
    """Of a rolling split: each metric at each cut, its mean and its spread."""
    for metric in candidate.metrics:
        spread = candidate.spread(metric)
        if spread is None:
            continue
        for step, value in enumerate(candidate.values(metric)):
            run.log_metrics({f"cut_{metric}": value}, step=step)
        run.log_metrics({f"validation_{metric}_mean": candidate.mean(metric), f"validation_{metric}_spread": spread})


def _warm_start_problem(spec: ModelSpec, champion: ServedModel, train: Examples, history: Examples) -> str:
    """Why a candidate cannot start from the champion; empty if it can."""
    if not isinstance(spec, WarmStart):
        return f"the training of kind '{spec.kind}' cannot start from a champion"
    return spec.warm_start_problem(champion, train, history)


def _key(  # all that decides, in the order of the key
    spec: ModelSpec, split: Split, terms: ScoringTerms, seed: int, start: Start | None, origins: int
) -> str:
    """What decides the outcome: the same key means the same model and the same figures."""
    decided = [
        spec.candidate_name,
        spec.model_dump(mode="json"),
        {part: ref.version for part, ref in _parts(split).items()},
        split.as_of.isoformat(),
        terms.to_json(),
        seed,
        identify_code(),
        start.to_json() if start else None,
        [ref.version for ref in split.earlier[: origins - 1]],
        origins,
    ]
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _parts(split: Split) -> dict[str, DatasetRef]:
    return {"train": split.train, "validation": split.validation, "holdout": split.holdout}


def _params(
    spec: ModelSpec, split: Split, terms: ScoringTerms, seed: int, storage: Storage, start: Start | None
) -> dict[str, Any]:
    params: dict[str, Any] = {
        f"model.{name}": value for name, value in spec.model_dump(mode="json").items() if value is not None
    }
    if start is not None:
        params |= {f"start.{name}": value for name, value in start.to_json().items() if value not in (None, "")}
    params |= {"seed": seed, "k": terms.k, "exclude_seen": terms.exclude_seen, "as_of": split.as_of}
    if terms.task.has_probabilities and not terms.task.answers_rows:
        params["probability_of"] = terms.probability_of.value
    if terms.task.rates_pairs:
        params["relevant_from"] = terms.relevant_from
    for part, ref in _parts(split).items():
        window = storage.manifest(ref)["facts"].get("window")
        params[f"split.{part}"] = f"{ref.partition}/{ref.version}" + (f" labels {window}" if window else "")
        params[f"rows.{part}"] = ref.rows.get(c.LABELS, ref.rows.get(c.ROWS, 0))
    return params
