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
        page = make_page(title, found, take_sample(rows, found.rows, SAMPLE_ROWS, seed))
    return page, found.to_json()
