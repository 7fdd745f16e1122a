"""The stage of profiling: validated snapshots -> one page of statistics and charts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from tasks import columns as c
from tasks.code_version import digest_modules
from tasks.contracts.calendar import UTC_ZONE
from tasks.contracts.data import DatasetRef
from tasks.errors import NotEnoughData
from tasks.guards import guard
from tasks.io.storage import Storage

__all__ = ["PAGE", "draw_profile", "profile"]

PAGE = "profile.html"
SAMPLE_ROWS = 20_000  # about so many rows are in Evidently's charts; all other figures are of all rows
EXAMPLES = 3  # lost cells that are shown of each column


@guard(NotEnoughData)
def profile(
    use_case: str,
    label: str,
    snapshots: Sequence[DatasetRef],
    storage: Storage,
    seed: int,
    run_tags: dict[str, str],
    *,
    zone: ZoneInfo = UTC_ZONE,
) -> str:
    """Log the page of snapshots to MLflow as `profile.html`, with its figures, and return its address there.

    The same snapshots and seed give the same page, which is made once.

    Parameters
    ----------
    label : the name of the rows on the page, such as `known before 2011-03-01`.
    snapshots : raw or validated rows. Where windows overlap, each source file counts once.
    seed : picks the sample, by a hash of the row id.
    zone : whose days and hours are counted.

    Raises
    ------
    NotEnoughData : no snapshot, or one without a row.
    ServiceUnavailable : MLflow does not answer.
    """
    from tasks.io import tracking

    decided = [label, seed, zone.key, digest_modules(__name__), *(ref.key for ref in snapshots)]
    key = f"profile-{hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:32]}"
    finished = tracking.find_finished_run(use_case, key)
    if finished is not None:
        return tracking.artifact_page(finished.info.run_id, use_case, PAGE)
    page, figures = draw_profile(f"{use_case}, {label}", snapshots, storage, seed, zone)
    with tracking.start_run(use_case, f"profile {label}", key, run_tags) as run:
        run.log_params({"label": label, "snapshots": len(snapshots), "seed": seed})
        run.log_metrics({"rows": float(figures["rows"])})
        run.log_dict(figures, "profile.json")
        run.log_text(page, PAGE)
    return tracking.artifact_page(run.run_id, use_case, PAGE)


def draw_profile(
    title: str, snapshots: Sequence[DatasetRef], storage: Storage, seed: int, zone: ZoneInfo = UTC_ZONE
) -> tuple[str, dict[str, Any]]:
    """The page as HTML, and its figures."""
    from tasks.io.history import read_history
    from tasks.io.spark import caching, spark_for
    from tasks.stages.profiling.measuring import measure, take_sample
    from tasks.stages.profiling.page import make_page

    with spark_for(sum(ref.rows[c.ROWS] for ref in snapshots)) as spark, caching() as keep:
        rows = keep(read_history(spark, storage, snapshots, None).drop(c.AS_IT_CAME, c.LOST_CELLS))
        found = measure(rows, zone)
        cells = sum_cells(snapshots, storage)
        page = make_page(title, found, take_sample(rows, found.rows, SAMPLE_ROWS, seed), cells)
    return page, {**found.to_json(), "cells": cells}


def sum_cells(snapshots: Sequence[DatasetRef], storage: Storage) -> dict[str, dict[str, Any]]:
    """Column of the source -> `full` and `lost` cells of all raw snapshots behind these, and up to three `examples`.

    A raw snapshot that is not stored any more is left out.
    """
    summed: dict[str, dict[str, Any]] = {}
    for ref in snapshots:
        inputs = [ref] if ref.layer == c.RAW else map(DatasetRef.from_json, storage.manifest(ref)["inputs"])
        for raw in inputs:
            if raw.layer != c.RAW or raw.version not in storage.versions(raw.use_case, raw.layer, raw.partition):
                continue
            for column, counts in storage.manifest(raw).get("figures", {}).get("cells", {}).items():
                total = summed.setdefault(column, {"full": 0, "lost": 0, "examples": []})
                total["full"] += counts["full"]
                total["lost"] += counts["lost"]
                total["examples"] = [*total["examples"], *counts.get("examples", ())][:EXAMPLES]
    return summed
