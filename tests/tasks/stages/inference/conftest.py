"""The endpoint's small installation serves batch scoring too."""

from tests.serving.conftest import empty_mlflow, installation

__all__ = ["empty_mlflow", "installation"]
