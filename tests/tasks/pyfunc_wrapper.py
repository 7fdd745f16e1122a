"""The Python model that MLflow stores beside the exported model; it is never loaded."""

from typing import Any

import mlflow


class Nothing(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input


mlflow.models.set_model(Nothing())
