"""A small installation: MLflow's SQL store, a ledger, a storage, and models that are promoted at will."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Role
from tasks.contracts.promotion import Action, LedgerEntry, Trust
from tasks.contracts.training import ScoringTerms
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage, frame_writer
from tasks.models.base import ServedModel, save_model
from tasks.settings import get_settings
from tests.serving.constant_models import tables

WRAPPER = Path(__file__).with_name("pyfunc_wrapper.py")
ROW_COLUMNS = ("mean radius", "mean texture")


class Installation:
    """The stored results of features, training and promotion, written through the same adapters."""

    def __init__(self, work: Path, *, has_mlflow: bool = True) -> None:
        self.settings = get_settings()
        self.has_mlflow = has_mlflow
        self.ledger = Ledger(self.settings.ledger_url)
        self.storage = Storage(self.settings.data_root)
        self._work, self._count = work, 0

    def register(
        self, use_case: str, model: ServedModel, task: TaskKind = TaskKind.PROPENSITY, /, **terms: object
    ) -> tuple[int, str]:
        """Export and register a model. Returns its version and digest.

        Without MLflow, the export goes to the endpoint's cache on disk.
        """
        self._count += 1
        native = self._work / f"export-{self._count}" / "native"
        columns = ROW_COLUMNS if task.answers_rows else ()
        document = {"use_case": use_case, "task": task, "k": 3, "row_columns": columns, **terms}
        digest = save_model(model, native, ScoringTerms.model_validate(document))
        if not self.has_mlflow:
            kept = self.settings.home / "endpoint" / "models" / use_case
            kept.mkdir(parents=True, exist_ok=True)
            native.rename(kept / digest)
            return self._count, digest
        frame = pd.DataFrame({"x": [1.0]})
        with tracking.start_run(use_case, f"run-{self._count}", f"key-{self._count}", {}) as run:
            model_uri = run.log_model(native, WRAPPER, frame, frame, {})
        return tracking.register_version(use_case, model_uri, run.run_id, {}, "test model"), digest

    def promote(self, use_case: str, version: int, digest: str, *, alias: bool = True) -> LedgerEntry:
        """Append a promotion to the ledger and set the alias."""
        head = self.ledger.head(use_case)
        entry = self.ledger.append(
            use_case=use_case,
            action=Action.PROMOTE,
            version=version,
            expected_head=head,
            manifest_digest=digest,
            data_digest="d" * 64,
            report_digest="e" * 64,
            code_version="test",
            actor="a tester",
            trust=Trust.LOCAL,
            reason="better than the champion",
            dag_run="manual",
        )
        if alias and self.has_mlflow:
            tracking.set_alias(use_case, Role.CHAMPION, version)
        return entry

    def register_and_promote(
        self, use_case: str, model: ServedModel, task: TaskKind = TaskKind.PROPENSITY, /, **terms: object
    ) -> LedgerEntry:
        """Register and promote."""
        return self.promote(use_case, *self.register(use_case, model, task, **terms))

    def publish_features(self, use_case: str, day: str = "2011-01-01", time_zone: str = "UTC", **shape: object) -> DatasetRef:
        """Publish a features snapshot with `constant_models.tables(**shape)`, of a local day."""
        return self.storage.publish(
            use_case=use_case,
            layer=c.FEATURES,
            partition=day,
            tables={name: frame_writer(frame) for name, frame in tables(**shape).items()},  # type: ignore[arg-type]
            facts={"time_zone": time_zone},
        )
