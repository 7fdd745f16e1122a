"""The script by which MLflow opens one of our models ("models from code": no pickle). For people who explore, not for serving.

Rows are classified from the model's folder alone. Recommendations and ratings depend on what is known of the users today:
they are answered from the newest features of this installation (TITLEHOLDER_HOME). It loads by our own loader, and runs
where this project is installed.
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
    """Asked and answering as `tasks.models.signature` says."""

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
        if not self.terms.task.is_tabular:
            storage = Storage(get_settings().data_root)
            newest = storage.newest(self.terms.use_case, c.FEATURES)
            if newest is None:
                raise NotEnoughData(f"{self.terms.use_case}: no features under {storage.root}; run the features DAG first")
            features = read_features(storage, newest)
        return answer(self.model, self.terms, model_input, features)


mlflow.models.set_model(TitleholderModel())
