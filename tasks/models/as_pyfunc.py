"""The script by which MLflow loads a model of this project ("models from code", without pickle), for exploration, not serving.

Rows are classified from the model's folder alone. Recommendations and ratings depend on the current interactions of users, and
use the newest features of this installation (TITLEHOLDER_HOME). The project's own loader reads the model, so that the script
runs only where the project is installed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.pyfunc import PythonModel

if TYPE_CHECKING:
    import pandas as pd


class TitleholderModel(PythonModel):  # type: ignore[misc]
    """Receives and returns tables as `tasks.models.signature` defines them."""

    def load_context(self, context: Any) -> None:
        from tasks.models import SERVED
        from tasks.models.base import MANIFEST, load_model

        folder = Path(context.artifacts["native"])
        digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        self.model, self.terms = load_model(folder, digest, SERVED)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        from tasks import columns as c
        from tasks.errors import NotEnoughData
        from tasks.io.storage import Storage
        from tasks.models.base import read_features
        from tasks.models.signature import answer
        from tasks.settings import get_settings

        features = None
        if not self.terms.task.answers_rows:
            storage = Storage(get_settings().data_root)
            newest = storage.newest(self.terms.use_case, c.FEATURES)
            if newest is None:
                raise NotEnoughData(f"{self.terms.use_case}: no features under {storage.root}; run the features DAG first")
            features = read_features(storage, newest)
        return answer(self.model, self.terms, model_input, features)


mlflow.models.set_model(TitleholderModel())
