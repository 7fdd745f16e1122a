"""The MLflow wrapper that is stored beside the exported model. The endpoint never loads it."""

import mlflow


class Nothing(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN201
        return model_input


mlflow.models.set_model(Nothing())
