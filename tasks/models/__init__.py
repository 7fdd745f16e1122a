"""The shelf of models: each file has one kind, its spec (trains) and its served form (answers).

To add one: a file with a `ModelSpec` and a `ServedModel`, and their two entries below. The contract tests find it.
"""

from tasks.models.base import ServedModel
from tasks.spec import Room

MODELS = Room("model")
SERVED: dict[str, type[ServedModel]] = {}

__all__ = ["MODELS", "SERVED"]
