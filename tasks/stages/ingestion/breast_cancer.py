"""The Wisconsin diagnostic breast cancer data that scikit-learn ships: the same 569 rows in every window."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.calendar import start_of_day
from tasks.stages.ingestion.base import Source, SourceFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NAME = "breast_cancer"


class BreastCancer(Source):
    """569 tumours with 30 measurements each, named as in the data set. `target` 1 is malignant."""

    kind: Literal["breast_cancer"] = "breast_cancer"

    def files(self, folder: Path | None, window: Window) -> list[SourceFile]:
        from sklearn.datasets import load_breast_cancer

        bunch = load_breast_cancer()
        digest = hashlib.sha256(bunch.data.tobytes() + bunch.target.tobytes()).hexdigest()
        return [SourceFile(NAME, Path(bunch.filename), digest, window.start, len(bunch.target))]

    def read(self, spark: SparkSession, files: list[SourceFile], window: Window) -> DataFrame:
        import pandas as pd
        from sklearn.datasets import load_breast_cancer

        bunch = load_breast_cancer()
        names = [str(name) for name in bunch.feature_names]
        measured = pd.DataFrame(bunch.data, columns=names)
        cells = measured.assign(diagnosis=[str(bunch.target_names[code]) for code in bunch.target])
        midnight = start_of_day(window.start, self.days_of)
        rows = pd.DataFrame(
            {
                c.ROW_ID: [f"{NAME}:{place}" for place in range(1, len(measured) + 1)],
                c.SOURCE_FILE: NAME,
                c.EVENT_AT: midnight,
                c.INGESTED_AT: midnight,
                c.AS_IT_CAME: [json.dumps(row) for row in cells.to_dict("records")],
                c.TARGET: (bunch.target == 0).astype("int64"),  # scikit-learn's 0 is malignant
            }
        )
        return spark.createDataFrame(pd.concat([rows, measured], axis=1))
