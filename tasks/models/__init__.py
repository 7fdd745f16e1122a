"""The shelf of models: each file has one kind, its spec (trains) and its served form (answers).

To add one: a file with a `ModelSpec` and a `ServedModel`, and their two entries below. The contract tests find it.
"""

from tasks.kinds import KindRegistry
from tasks.models.als import Als, AlsModel
from tasks.models.base import ServedModel
from tasks.models.bias import Bias, BiasModel
from tasks.models.bpr import Bpr, BprModel
from tasks.models.content import Content, ContentModel
from tasks.models.ease import Ease, EaseModel
from tasks.models.factorization_machine import FactorizationMachine, SparkFm
from tasks.models.factorization_machine_served import FactorizationMachineModel, SparkFmModel
from tasks.models.hybrid import Hybrid, HybridModel
from tasks.models.ials import Ials, IalsModel
from tasks.models.item_knn import ItemKnn, ItemKnnModel
from tasks.models.logistic_regression import LogisticRegressionModel, LogisticRegressionSpec
from tasks.models.mlp import Mlp, MlpModel
from tasks.models.nearest_neighbours import NearestNeighbours, NearestNeighboursModel
from tasks.models.popularity import Popularity, PopularityModel
from tasks.models.prior import Prior, PriorModel
from tasks.models.propensity_regression import PropensityRegression, PropensityRegressionModel
from tasks.models.rating_regression import RatingRegression, RatingRegressionModel
from tasks.models.support_vectors import KernelSvm, KernelSvmModel, LinearSvm, LinearSvmModel
from tasks.models.trees import (
    GradientBoosting,
    GradientBoostingModel,
    RandomForest,
    RandomForestModel,
    SparkGradientBoosting,
    SparkGradientBoostingModel,
)

MODELS = KindRegistry(
    "model",
    Popularity,
    Bias,
    Als,
    Ials,
    Bpr,
    ItemKnn,
    Ease,
    Content,
    Hybrid,
    FactorizationMachine,
    SparkFm,
    PropensityRegression,
    RatingRegression,
    Prior,
    LogisticRegressionSpec,
    GradientBoosting,
    SparkGradientBoosting,
    RandomForest,
    NearestNeighbours,
    LinearSvm,
    KernelSvm,
    Mlp,
)
SERVED: dict[str, type[ServedModel]] = {
    model.kind: model
    for model in (
        PopularityModel,
        BiasModel,
        AlsModel,
        IalsModel,
        BprModel,
        ItemKnnModel,
        EaseModel,
        ContentModel,
        HybridModel,
        FactorizationMachineModel,
        SparkFmModel,
        PropensityRegressionModel,
        RatingRegressionModel,
        PriorModel,
        LogisticRegressionModel,
        GradientBoostingModel,
        SparkGradientBoostingModel,
        RandomForestModel,
        NearestNeighboursModel,
        LinearSvmModel,
        KernelSvmModel,
        MlpModel,
    )
}

__all__ = ["MODELS", "SERVED"]
