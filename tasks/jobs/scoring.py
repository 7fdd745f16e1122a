"""The job of `<use_case>.batch_scoring`: the champion's predictions for active users, or for all rows."""

from __future__ import annotations

from datetime import datetime

from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.errors import NothingToDo
from tasks.jobs.run import Run
from tasks.stages import inference


def score(run: Run, *, published: DatasetRef | None, made_at: datetime) -> DatasetRef:
    """Publish the champion's predictions as a snapshot and as rows of the prediction log.

    Parameters
    ----------
    published : the features of the event that started this run; None: the newest ones.
    made_at : when the run was due, which the log gives as the time of the predictions.

    Raises
    ------
    NothingToDo : the use case has no champion or no features yet, or no user is active.
    ModelError : the model is not the one that the ledger names, or its predictions are not fit to be published.
    """
    champion = run.ledger.head(run.name)
    features = published or run.storage.newest(run.name, c.FEATURES)
    if champion is None or features is None:
        missing = "champion" if champion is None else "features"
        raise NothingToDo(f"{run.name} has no {missing} yet: nothing to score")
    return inference.score(
        run.name,
        champion,
        features,
        run.storage,
        run.prediction_log,
        made_at,
        active_days=run.use_case.batch_scoring.active_days,
    )


def find_champion_fault(run: Run) -> str:
    """Why the champion cannot answer the newest features, as the use case describes them now.

    Empty if it can, and where there is no champion or no features yet.

    Raises
    ------
    ServiceUnavailable : MLflow does not answer.
    """
    champion, features = run.ledger.head(run.name), run.storage.newest(run.name, c.FEATURES)
    if champion is None or features is None:
        return ""
    described = run.use_case.features
    return inference.find_champion_fault(
        champion,
        features,
        run.storage,
        lookback_days=described.lookback_days,
        declared=[one.name for one in described.declared],
    )
