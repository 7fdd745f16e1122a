"""A neural network of dense layers, by scikit-learn; served as its weights."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.models.platt import sigmoid
from tasks.models.tabular import Learned, TabularModel, TabularSpec


class MlpModel(TabularModel):
    """Layers of max(0, x W + b), and a last one without the maximum; the margin is the network's probability of class 1."""

    kind = "mlp"

    def margins(self, values: Floats) -> Floats:
        layers = int(self.settings["layers"])
        for layer in range(layers):
            values = values @ self.arrays[f"weights_{layer}"] + self.arrays[f"offsets_{layer}"]
            if layer < layers - 1:
                values = np.maximum(values, 0.0)
        return sigmoid(values[:, 0])


class Mlp(TabularSpec):
    """Multilayer perceptron by scikit-learn.

    Rectified linear units, the log loss, Adam. No warm start: Adam's step sizes are not served, and without them the first
    steps undo what was learned.
    """

    kind: Literal["mlp"] = "mlp"
    served = MlpModel
    layers: tuple[int, ...] = Field((32,), min_length=1, max_length=5)
    regularization: float = Field(1.0, ge=0.0, le=1e3)
    epochs: int = Field(200, ge=1, le=10_000)

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        network = MLPClassifier(self.layers, alpha=self.regularization, max_iter=self.epochs, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is a setting
            network.fit(values, target, sample_weight=weight)
        arrays = {f"weights_{layer}": array for layer, array in enumerate(network.coefs_)}
        arrays |= {f"offsets_{layer}": array for layer, array in enumerate(network.intercepts_)}
        return Learned(arrays, {"layers": len(network.coefs_)}, lambda rows: network.predict_proba(rows)[:, 1])
