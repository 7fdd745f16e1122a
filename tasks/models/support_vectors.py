"""Support vector machines, linear and with a Gaussian kernel, by scikit-learn; served as vectors and weights."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.errors import NotEnoughData
from tasks.models.tabular import Learned, TabularModel, TabularSpec

CELLS_AT_ONCE = 2**22  # of rows and support vectors


class LinearSvmModel(TabularModel):
    """margin = weights . row + intercept."""

    kind = "linear_svm"

    def margins(self, values: Floats) -> Floats:
        return np.asarray(values @ self.arrays["weights"] + self.settings["intercept"])


class KernelSvmModel(TabularModel):
    """margin = sum over the support vectors v of weight_v * exp(-gamma * |row - v|^2) + intercept."""

    kind = "kernel_svm"

    def margins(self, values: Floats) -> Floats:
        vectors, weights = self.arrays["vectors"], self.arrays["weights"]
        at_once = max(1, CELLS_AT_ONCE // max(len(vectors), 1))
        parts = [
            np.exp(-self.settings["gamma"] * squared_distances(values[start : start + at_once], vectors)) @ weights
            for start in range(0, len(values), at_once)
        ]
        return np.asarray(np.concatenate(parts) + self.settings["intercept"])


class LinearSvm(TabularSpec):
    """Linear support vector machine with squared hinge loss, by scikit-learn.

    L2 penalty; `regularization` is the inverse of scikit-learn's C. No warm start: LIBLINEAR accepts no initial weights.
    """

    kind: Literal["linear_svm"] = "linear_svm"
    served = LinearSvmModel
    regularization: float = Field(10.0, gt=0.0, le=1e6)

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        from sklearn.svm import LinearSVC

        machine = LinearSVC(C=1.0 / self.regularization, random_state=seed, max_iter=20_000)
        machine.fit(values, target, sample_weight=weight)
        return Learned({"weights": machine.coef_[0]}, {"intercept": float(machine.intercept_[0])}, machine.decision_function)


class KernelSvm(TabularSpec):
    """Support vector machine with a Gaussian kernel, by scikit-learn.

    Hinge loss. Needs at least rows^2 steps; `max_rows` limits them. The kernel's width is `gamma` divided by the number of
    columns, whose variance is 1. No warm start: LIBSVM accepts no initial vectors.
    """

    kind: Literal["kernel_svm"] = "kernel_svm"
    served = KernelSvmModel
    limit = "max_rows"
    regularization: float = Field(1.0, gt=0.0, le=1e6, description="the inverse of scikit-learn's C")
    gamma: float = Field(1.0, gt=0.0, le=1e3)
    max_rows: int = Field(20_000, ge=2, le=200_000)

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        from sklearn.svm import SVC

        if len(values) > self.max_rows:
            raise NotEnoughData(
                f"kernel_svm compares every two rows: max_rows allows {self.max_rows}, got {len(values)}. "
                "Raise max_rows to allow more time, or use gradient_boosting or linear_svm."
            )
        gamma = self.gamma / values.shape[1]
        machine = SVC(C=1.0 / self.regularization, gamma=gamma).fit(values, target, sample_weight=weight)
        arrays = {"vectors": machine.support_vectors_, "weights": machine.dual_coef_[0]}
        return Learned(arrays, {"gamma": gamma, "intercept": float(machine.intercept_[0])}, machine.decision_function)


def squared_distances(rows: Floats, others: Floats) -> Floats:
    """|row - other|^2 of rows (rows, columns) and others (others, columns): (rows, others)."""
    squares = np.einsum("rc,rc->r", rows, rows)[:, None] + np.einsum("oc,oc->o", others, others)[None, :]
    return np.asarray(np.maximum(squares - 2.0 * rows @ others.T, 0.0))
