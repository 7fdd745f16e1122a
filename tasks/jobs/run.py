"""What one task works with: its use case, the settings, and the adapters of storage, ledger and prediction log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

from tasks.code_version import get_code_version
from tasks.io.decisions import DecisionLog
from tasks.io.events import EventStore
from tasks.io.judgings import JudgingLog
from tasks.io.ledger import Ledger
from tasks.io.logs import quiet_libraries
from tasks.io.prediction_log import PredictionLog
from tasks.io.storage import Storage
from tasks.settings import Settings, get_settings
from tasks.use_case import UseCase, load_use_case

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Opened once per task. Jobs take it first and hand its parts to stages, which never see it."""

    use_case: UseCase
    settings: Settings
    storage: Storage
    run_id: str
    dag_id: str = ""

    @classmethod
    def open(cls, use_case: str, *, run_id: str, dag_id: str = "") -> Run:
        """Read the use case and the settings, and silence the libraries in the log of the task.

        Parameters
        ----------
        run_id : names the run in manifests and in the ledger. The same in every try of a task.
        dag_id : the DAG of the run; empty outside of Airflow.

        Raises
        ------
        ConfigurationError : there is no such use case, or its file or the environment is wrong.
        """
        quiet_libraries()
        settings = get_settings()
        _log.info("%s: code %s, data in %s", dag_id or use_case, get_code_version(), settings.data_root / use_case)
        storage = Storage(settings.data_root, run=f"{dag_id}/{run_id}" if dag_id else run_id)
        case = load_use_case(use_case)
        _log.info("%s.yaml does not state, and so by default: %s", use_case, "; ".join(case.defaults))
        return cls(case, settings, storage, run_id, dag_id)

    @property
    def name(self) -> str:
        """The name of the use case."""
        return self.use_case.name

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every MLflow run that this task writes."""
        return {"dag_id": self.dag_id, "run_id": self.run_id}

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger. A job that needs none does not open the database."""
        return Ledger(self.settings.ledger_url)

    @cached_property
    def judging_log(self) -> JudgingLog:
        """Which holdouts judged, and the alpha that was spent."""
        return JudgingLog(self.settings.ledger_url)

    @cached_property
    def decision_log(self) -> DecisionLog:
        """Drift reports, retrain decisions and retrain requests."""
        return DecisionLog(self.settings.ledger_url)

    @cached_property
    def prediction_log(self) -> PredictionLog:
        """The prediction log."""
        return PredictionLog(self.settings.predictions_root)

    @cached_property
    def event_store(self) -> EventStore:
        """Events and outcomes that clients sent to the endpoint."""
        return EventStore(self.settings.events_url)
