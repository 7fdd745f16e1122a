"""The registry of models. Each kind has a spec, which trains, and a served model, which predicts.

To add one: a module of this package with a `ModelSpec` and its `ServedModel`, and its line in `MODELS`. Contract tests and
the table of documentation find it there.
"""

from tasks.kinds import KindRegistry
from tasks.models.base import ModelSpec, ServedModel

MODELS = KindRegistry.of_modules(
    "model",
    ModelSpec,
    __name__,
    (
        "popularity",
        "bias",
        "als",
        "ials",
        "bpr",
        "item_knn",
        "ease",
        "content",
        "hybrid",
        "factorization_machine",
        "propensity_regression",
        "rating_regression",
        "prior",
        "logistic_regression",
        "trees",
        "nearest_neighbours",
        "support_vectors",
        "mlp",
    ),
)
SERVED: dict[str, type[ServedModel]] = {kind: spec.served for kind, spec in MODELS.kinds.items()}
