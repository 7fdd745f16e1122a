"""Steps before a classifier: products of columns, selection of columns, principal components."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.errors import NotEnoughData
from tasks.models.base import ModelSpec


@dataclass(frozen=True)
class Steps:
    """Standardised columns -> the inputs of a classifier: products of columns, then one linear map.

    products : (terms, degree), the places of the columns that a term multiplies; the place after the last column is the
        constant 1.
    centre : (terms,), subtracted from each term.
    mapping : (terms, outputs): scaling, selection and rotation in one.
    """

    products: NDArray[np.int64]
    centre: Floats
    mapping: Floats

    def apply(self, values: Floats) -> Floats:
        padded = np.column_stack([values, np.ones(len(values))])
        terms = padded[:, self.products[:, 0]]
        for column in self.products.T[1:]:
            terms = terms * padded[:, column]
        return np.asarray((terms - self.centre) @ self.mapping, dtype=np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        return {f"step_{name}": array for name, array in vars(self).items()}

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]]) -> Self | None:
        """The inverse of `state`; None if there were no steps."""
        own = {name.removeprefix("step_"): array for name, array in arrays.items() if name.startswith("step_")}
        return cls(**own) if own else None


class SteppedSpec(ModelSpec):
    """A classifier whose columns may pass steps; without steps it learns from the columns themselves."""

    degree: int = Field(1, ge=1, le=3, description="products and powers of up to this many columns become columns")
    best_columns: int | None = Field(None, ge=1, description="number of columns to keep, the best by F-test")
    components: int | None = Field(None, ge=1, description="number of principal components that replace the columns")

    @property
    def has_steps(self) -> bool:
        return self.degree > 1 or self.best_columns is not None or self.components is not None

    def learn_steps(self, values: Floats, target: NDArray[np.int64]) -> Steps | None:
        """Learn the steps from standardised values (rows, columns) and target (rows,); None without steps.

        Raises
        ------
        NotEnoughData : more columns or components than the data have.
        """
        if not self.has_steps:
            return None
        from sklearn.preprocessing import PolynomialFeatures

        powers = PolynomialFeatures(self.degree, include_bias=False).fit(values[:1]).powers_
        products = np.full((len(powers), self.degree), values.shape[1], dtype=np.int64)
        for term, power in enumerate(powers):
            places = np.repeat(np.arange(len(power)), power)
            products[term, : len(places)] = places
        plain = Steps(products, np.zeros(len(products)), np.eye(len(products)))
        terms = plain.apply(values)
        centre, spread = terms.mean(axis=0), terms.std(axis=0)
        scale = np.where(spread < 1e-12, 0.0, 1.0 / np.maximum(spread, 1e-12))
        mapping = np.diag(scale)[:, self._select((terms - centre) * scale, target)]
        return Steps(products, centre, self._rotate((terms - centre) @ mapping, mapping))

    def _select(self, terms: Floats, target: NDArray[np.int64]) -> NDArray[np.intp]:
        if self.best_columns is None:
            return np.arange(terms.shape[1])
        if self.best_columns > terms.shape[1]:
            raise NotEnoughData(f"{self.kind}: best_columns {self.best_columns} is more than the {terms.shape[1]} there are")
        from sklearn.feature_selection import f_classif

        varies = terms.any(axis=0)
        scores = np.full(terms.shape[1], -1.0)
        if varies.any():
            scores[varies] = f_classif(terms[:, varies], target)[0]
        return np.sort(np.argsort(-scores, kind="stable")[: self.best_columns])

    def _rotate(self, terms: Floats, mapping: Floats) -> Floats:
        if self.components is None:
            return mapping
        if self.components > min(terms.shape):
            raise NotEnoughData(
                f"{self.kind}: components {self.components} is more than {len(terms)} rows of {terms.shape[1]} columns have"
            )
        from sklearn.decomposition import PCA

        return np.asarray(mapping @ PCA(self.components, svd_solver="full").fit(terms).components_.T, dtype=np.float64)
