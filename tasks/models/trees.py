"""Gradient boosting by LightGBM or Spark and random forests by scikit-learn; served as one set of arrays of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tasks.contracts.arrays import Floats
from tasks.contracts.base import TaskKind
from tasks.errors import ModelError
from tasks.models.base import Examples, SparkProblem, SparkTuned
from tasks.models.tabular import Learned, TabularModel, TabularSpec

CELLS_AT_ONCE = 2**20  # of rows and trees


class TreesModel(TabularModel):
    """The sum over the trees of the value of a row's leaf. A leaf is its own child, so that all paths have the same length."""

    def margins(self, values: Floats) -> Floats:
        nodes = self.arrays
        values = values.astype(np.dtype(self.settings["precision"]))  # of the library, or a row may take the other side
        found = np.empty(len(values))
        at_once = max(1, CELLS_AT_ONCE // max(len(nodes["roots"]), 1))
        for start in range(0, len(values), at_once):
            part = values[start : start + at_once]
            node = np.tile(nodes["roots"], (len(part), 1))
            row = np.arange(len(part))[:, None]
            for _ in range(self.settings["depth"]):
                goes_left = part[row, nodes["feature"][node]] <= nodes["threshold"][node]
                node = np.where(goes_left, nodes["left"][node], nodes["right"][node])
            found[start : start + at_once] = nodes["value"][node].sum(axis=1)
        return found


class GradientBoostingModel(TreesModel):
    kind = "gradient_boosting"


class SparkGradientBoostingModel(TreesModel):
    kind = "spark_gradient_boosting"


class RandomForestModel(TreesModel):
    kind = "random_forest"


class GradientBoosting(TabularSpec):
    """Gradient boosted trees by LightGBM.

    Trees on the log loss (Friedman 2001; Ke and others 2017). No warm start: the served trees are not LightGBM's own file, and
    the champion has seen the rows that would calibrate further trees.
    """

    kind: Literal["gradient_boosting"] = "gradient_boosting"
    served = GradientBoostingModel
    trees: int = Field(200, ge=1, le=5000)
    learning_rate: float = Field(0.05, gt=0.0, le=1.0)
    leaves: int = Field(15, ge=2, le=1024)
    rows_per_leaf: int = Field(10, ge=1, le=100_000)
    regularization: float = Field(1.0, ge=0.0, le=1e6)
    column_share: float = Field(0.8, gt=0.0, le=1.0, description="share of the columns that each tree may use")

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        import lightgbm

        settings = {
            "objective": "binary",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.rows_per_leaf,
            "lambda_l2": self.regularization,
            "feature_fraction": self.column_share,
            "min_data_in_bin": 1,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        booster = lightgbm.train(settings, lightgbm.Dataset(values, target, weight=weight), self.trees)
        nodes = _Nodes()
        for tree in booster.dump_model()["tree_info"]:
            nodes.add_tree(tree["tree_structure"])
        return nodes.learned("float64", lambda rows: np.asarray(booster.predict(rows, raw_score=True), dtype=np.float64))


class SparkGradientBoosting(SparkTuned, TabularSpec):
    """Gradient boosted trees by Spark MLlib, for data too large for one machine.

    Each tree takes several passes over all data. No warm start: Spark's GBTClassifier accepts no initial trees.
    """

    kind: Literal["spark_gradient_boosting"] = "spark_gradient_boosting"
    spark_tasks: ClassVar[frozenset[TaskKind]] = frozenset({TaskKind.CLASSIFICATION})
    spark_params: ClassVar[Mapping[str, str]] = {
        "trees": "maxIter",
        "learning_rate": "stepSize",
        "depth": "maxDepth",
        "rows_per_leaf": "minInstancesPerNode",
        "bins": "maxBins",
    }
    served = SparkGradientBoostingModel
    trees: int = Field(50, ge=1, le=5000)
    learning_rate: float = Field(0.1, gt=0.0, le=1.0)
    depth: int = Field(4, ge=1, le=30)
    rows_per_leaf: int = Field(10, ge=1, le=100_000)
    bins: int = Field(64, ge=2, le=65_536, description="candidate splits of a column")
    calibration_folds: int = Field(2, ge=2, le=20)

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        learned = self._estimator(seed).fit(_on_spark(values, target=target.astype(np.float64), weight=weight))
        nodes = _Nodes()
        lines = iter(learned.toDebugString.splitlines()[1:])  # the only description that Spark Connect gives as well
        for line in lines:
            if found := re.fullmatch(r"\s*Tree \d+ \(weight (\S+)\):", line):
                nodes.add_text(lines, float(found[1]))

        def margins(rows: Floats) -> Floats:
            from pyspark.ml.functions import vector_to_array

            predicted = learned.transform(_on_spark(rows)).select("row", vector_to_array("rawPrediction")[1].alias("margin"))
            return np.asarray(predicted.toPandas().sort_values("row")["margin"], dtype=np.float64)

        return nodes.learned("float64", margins)

    def spark_problem(self, history: Examples, seed: int) -> SparkProblem:
        _, values, target = self.scale(history)
        steps = self.learn_steps(values, target)
        values = values if steps is None else steps.apply(values)
        frame = _on_spark(values, target=target.astype(np.float64), weight=self.weigh(target))
        return SparkProblem(self._estimator(seed), frame, "target")

    def _estimator(self, seed: int) -> Any:
        from pyspark.ml.classification import GBTClassifier

        from tasks.io.spark import make_estimator

        return make_estimator(
            GBTClassifier,
            featuresCol="features",
            labelCol="target",
            weightCol="weight",
            maxIter=self.trees,
            stepSize=self.learning_rate,
            maxDepth=self.depth,
            minInstancesPerNode=self.rows_per_leaf,
            maxBins=self.bins,
            seed=seed,
        )


class RandomForest(TabularSpec):
    """Random forest by scikit-learn (Breiman 2001).

    Trees on bootstrap samples; the prediction is the mean of their shares of class 1. No warm start: each tree learns from its
    own sample of all rows.
    """

    kind: Literal["random_forest"] = "random_forest"
    served = RandomForestModel
    trees: int = Field(200, ge=1, le=5000)
    rows_per_leaf: int = Field(2, ge=1, le=100_000)
    depth: int | None = Field(None, ge=1, le=64)

    def learn(self, values: Floats, target: NDArray[np.int64], weight: Floats, seed: int) -> Learned:
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            self.trees, min_samples_leaf=self.rows_per_leaf, max_depth=self.depth, random_state=seed, n_jobs=1
        ).fit(values, target, sample_weight=weight)
        nodes = _Nodes()
        for estimator in forest.estimators_:
            nodes.add_arrays(estimator.tree_, 1.0 / len(forest.estimators_))
        return nodes.learned("float32", lambda rows: forest.predict_proba(rows)[:, 1])


class _Nodes:
    """The nodes of all trees, in sequence."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []  # feature, threshold, left, right, value
        self.roots: list[int] = []
        self.depth = 0

    def add_tree(self, root: dict[str, Any]) -> None:
        """Add a tree of LightGBM's `dump_model`."""
        self.roots.append(len(self.rows))
        waiting = [(root, -1, 0, 0)]
        while waiting:
            node, parent, side, depth = waiting.pop()
            place = len(self.rows)
            self.depth = max(self.depth, depth)
            if parent >= 0:
                self.rows[parent][side] = place
            if "leaf_value" in node:
                self.rows.append([0, 0.0, place, place, node["leaf_value"]])
                continue
            self.rows.append([node["split_feature"], float(node["threshold"]), -1, -1, 0.0])
            waiting += [(node["left_child"], place, 2, depth + 1), (node["right_child"], place, 3, depth + 1)]

    def add_text(self, lines: Iterator[str], weight: float, depth: int = 0) -> int:
        """Add a tree of Spark's `toDebugString`, line by line; returns the place of its root."""
        if not depth:
            self.roots.append(len(self.rows))
        self.depth = max(self.depth, depth)
        place, line = len(self.rows), next(lines, "").strip()
        if leaf := re.fullmatch(r"Predict: (\S+)", line):
            self.rows.append([0, 0.0, place, place, weight * float(leaf[1])])
            return place
        split = re.fullmatch(r"If \(feature (\d+) <= (\S+)\)", line)
        if split is None:
            raise ModelError(f"spark_gradient_boosting: expected a line of a tree as Spark 4 writes it, got {line!r}")
        self.rows.append([int(split[1]), float(split[2]), -1, -1, 0.0])
        self.rows[place][2] = self.add_text(lines, weight, depth + 1)
        next(lines, "")  # Else (feature ... > ...)
        self.rows[place][3] = self.add_text(lines, weight, depth + 1)
        return place

    def add_arrays(self, tree: Any, share: float) -> None:
        """Add a tree of scikit-learn."""
        first = len(self.rows)
        self.roots.append(first)
        self.depth = max(self.depth, int(tree.max_depth))
        own = np.arange(tree.node_count)
        is_leaf = tree.children_left < 0
        left, right = (np.where(is_leaf, own, child) + first for child in (tree.children_left, tree.children_right))
        value = tree.value[:, 0, :]
        shares = share * value[:, 1] / value.sum(axis=1)
        feature, threshold = np.where(is_leaf, 0, tree.feature), np.where(is_leaf, 0.0, tree.threshold)
        self.rows += np.column_stack([feature, threshold, left, right, np.where(is_leaf, shares, 0.0)]).tolist()

    def learned(self, precision: str, own_margins: Any) -> Learned:
        table = np.array(self.rows, dtype=np.float64)
        feature, left, right = (table[:, column].astype(np.int32) for column in (0, 2, 3))
        arrays: dict[str, NDArray[Any]] = {
            "feature": feature,
            "threshold": table[:, 1],
            "left": left,
            "right": right,
            "value": table[:, 4],
            "roots": np.array(self.roots, dtype=np.int32),
        }
        return Learned(arrays, {"depth": self.depth, "precision": precision}, own_margins)


def _on_spark(values: Floats, **columns: Floats) -> Any:
    """Rows as a frame of Spark's: `row`, the vector `features`, and more columns."""
    import pandas as pd
    from pyspark.ml.feature import VectorAssembler

    from tasks.io.spark import get_spark

    names = [f"feature_{place}" for place in range(values.shape[1])]
    table = pd.DataFrame(values, columns=names).assign(row=np.arange(len(values)), **columns)
    rows = get_spark().createDataFrame(table).repartition(1).sortWithinPartitions("row")
    return VectorAssembler(inputCols=names, outputCol="features").transform(rows)
