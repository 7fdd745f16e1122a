"""Fit a judged candidate again on all data, with the same settings, before it serves (`refit`)."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.code_version import get_code_version, identify_code
from tasks.contracts.calendar import start_of_day
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.training import Candidate, Refit, ScoringTerms
from tasks.errors import ModelError, NotEnoughData
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models import SERVED
from tasks.models.base import Examples, ModelSpec, ServedModel, WarmStart, load_model, read_examples, read_features
from tasks.models.smoke_test import try_model
from tasks.problems import problem_of
from tasks.stages.training.export import log_model

REFIT = "refit.json"  # artifact of a refit's run


def refit(
    candidate: Candidate,
    spec: ModelSpec,
    storage: Storage,
    *,
    features: DatasetRef | None,
    seed: int,
    run_tags: Mapping[str, str],
    champion: ServedModel | None = None,
) -> Refit:
    """Fit the candidate's settings to what it was judged without, and log the model as a run below the candidate's.

    Users and items: the labels of the newest window, and the interactions up to the split's day. Rows: those of train,
    validation and holdout together. What was learned on data that it was not fitted to, such as the calibration, is that of
    the judged model. The model is tried on a small set of questions before it is logged. What was refitted before is found
    again by the key of its run.

    Parameters
    ----------
    spec : the candidate's settings.
    features : as of the split's day; None for rows.
    champion : the model that the candidate's fit began from, where it began warm.

    Returns
    -------
    Without a model, and with the reason, where it cannot be fitted or fails its trial: then the judged model serves.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    use_case, split = candidate.use_case, candidate.split
    parts = [ref.version for ref in (split.train, split.validation, split.holdout, *([features] if features else []))]
    decided = ["refit", candidate.run_id, candidate.manifest_digest, parts, seed, identify_code()]
    key = hashlib.sha256(json.dumps(decided).encode()).hexdigest()
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return Refit.from_json(tracking.read_run_dict(finished.info.run_id, REFIT))

    judged, terms = _load(candidate)
    problem = problem_of(terms.task)
    train, history, asked = read_all(split, features, storage)
    try:
        _refuse_other_columns(problem.complete_terms(terms, train), terms)
        began = perf_counter()
        if champion is not None and isinstance(spec, WarmStart) and not spec.warm_start_problem(champion, train, history):
            model = spec.fit_from(champion, train, history, seed)
        else:
            model = spec.fit(train, history, seed)
        seconds = perf_counter() - began
        carried = problem.carry_over(judged, model)
        try_model(model, terms, asked)
    except (ModelError, NotEnoughData) as error:
        return Refit(problem=str(error)[:1000])
    learned = count_learned(train, history)
    tags = {"titleholder.refit_of": candidate.run_id, "titleholder.code_version": get_code_version(), **run_tags}
    with tracking.start_run(use_case, f"{candidate.name}.refit", key, {**tags, "mlflow.parentRunId": candidate.run_id}) as run:
        run.log_params({f"learned.{name}": count for name, count in learned.items()} | {"carried": ", ".join(carried)})
        run.log_metrics({"fit_seconds": seconds})
        try:
            model_uri, digest = log_model(run, model, terms, asked, spec.kind)
        except ModelError as error:
            made = Refit(problem=str(error)[:1000])
        else:
            made = Refit(
                run_id=run.run_id,
                model_uri=model_uri,
                manifest_digest=digest,
                learned=learned,
                carried=carried,
                fit_seconds=seconds,
            )
        run.log_dict(made.to_json(), REFIT)
    return made


def read_all(split: Split, features: DatasetRef | None, storage: Storage) -> tuple[Examples, Examples, Examples]:
    """What a refit learns from, as `ModelSpec.fit` takes it, and the examples that it is tried on."""
    holdout = read_examples(storage, split.holdout)
    if holdout.rows is None:
        if features is None:
            raise ModelError(f"{split.holdout.use_case}: a refit of users and items needs the features as of {split.as_of}")
        newest = read_features(storage, features)
        return holdout, Examples(features=newest), Examples(features=newest, labels=holdout.labels)
    import pandas as pd

    parts = [read_examples(storage, ref).rows for ref in (split.train, split.validation)]
    rows = pd.concat([*(part for part in parts if part is not None), holdout.rows], ignore_index=True)
    rows = rows.sort_values(c.ROW_ID, ignore_index=True)
    facts = storage.manifest(split.holdout)["facts"]
    days = facts.get("split", {}).get("train_days")
    if days is not None and c.SPLIT_ORDER in rows:
        first = start_of_day(split.as_of - timedelta(days=days), ZoneInfo(facts.get("time_zone", "UTC")))
        rows = rows[rows[c.SPLIT_ORDER] >= int(first.timestamp()) * 1_000_000].reset_index(drop=True)
    everything = Examples(rows=rows, kinds=holdout.kinds)
    return everything, Examples(), everything


def count_learned(train: Examples, history: Examples) -> dict[str, int]:
    """What a fit learned from, by name."""
    if train.rows is not None:
        return {"rows": len(train.rows)}
    labels = 0 if train.labels is None else len(train.labels)
    return {"labels": labels, "pairs": 0 if history.features is None else len(history.features.pairs)}


def _refuse_other_columns(found: ScoringTerms, judged: ScoringTerms) -> None:
    if (found.row_columns, found.text_columns) != (judged.row_columns, judged.text_columns):
        raise ModelError(f"all rows have the columns {_name_columns(found)}; the judged model has {_name_columns(judged)}")


def _name_columns(terms: ScoringTerms) -> str:
    return f"{', '.join(terms.row_columns) or 'none'} (text: {', '.join(terms.text_columns) or 'none'})"


def _load(candidate: Candidate) -> tuple[ServedModel, ScoringTerms]:
    with tempfile.TemporaryDirectory(prefix="titleholder-model-") as folder:
        native = tracking.download_native(candidate.model_uri, Path(folder))
        return load_model(native, candidate.manifest_digest, SERVED)
