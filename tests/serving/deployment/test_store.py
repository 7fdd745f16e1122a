"""What comes into service, and what must not."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.app import create_app
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role
from tasks.io import tracking
from tasks.io.storage import frame_writer
from tasks.models import champion
from tasks.models.popularity import PopularityModel
from tasks.models.prior import PriorModel
from tasks.settings import get_settings
from tests.serving.conftest import Serve, client_of, look, store_of
from tests.serving.constant_models import KINDS, Mute, Sulky, TinyClassifier, TinyRanker
from tests.serving.installation import Installation


def served_mark(client: Any) -> float:
    """The mark of the model that answers."""
    return float(client.get("/v1/shop/recommendations/u1?k=1").json()["items"][0]["score"]) // 1000


def test_serves_the_kinds_of_the_shelf(installation: Installation) -> None:
    installation.publish_features("shop")
    popular = PopularityModel(28.0)
    popular.calibration = (1.0, 0.0)
    installation.crown("shop", popular)
    installation.crown("tumours", PriorModel(0.3), TaskKind.CLASSIFICATION)
    client = client_of(create_app(installation.settings))
    for day in ("2011-01-02", "2011-01-03"):  # a newer day has a new instance of the same model
        look(client)
        answer = client.get("/v1/shop/recommendations/u1").json()
        assert [item["item_id"] for item in answer["items"]] == ["i4", "i3", "i2"]
        assert all(0.5 < item["score"] < 1.0 for item in answer["items"]), "a calibrated score is a probability"
        before = store_of(client).seats["shop"].served
        newer = installation.publish_features("shop", day=day, items=5, users=int(day[-1]))
    look(client)
    after = store_of(client).seats["shop"].served
    assert before is not None
    assert after is not None
    assert after.features_ref == newer
    assert after.model is not before.model
    row = {"mean radius": 1.0, "mean texture": 2.0}
    answer = client.post("/v1/tumours/predictions", json={"rows": [row]}).json()
    assert answer["predictions"][0]["probability"] == 0.3


def test_follows_promotions_and_features(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        installation.crown("shop", TinyRanker(2.0))
        assert served_mark(client) == 1
        look(client)
        assert served_mark(client) == 2
        newer = installation.publish_features("shop", day="2011-01-02", prefix="n")
        look(client)
        answer = client.get("/v1/shop/recommendations/u1").json()
        assert answer["features_version"] == newer.version
        assert answer["items"][0]["item_id"].startswith("n")
        assert 'titleholder_swaps_total{use_case="shop"} 3.0' in client.get("/metrics").text
        look(client)  # nothing new: nothing happens
        assert 'titleholder_swaps_total{use_case="shop"} 3.0' in client.get("/metrics").text


def test_a_promotion_rings_and_need_not_wait_for_the_poll(installation: Installation) -> None:
    """The poll comes once an hour here."""
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with client_of(create_app(installation.settings, KINDS)) as client:
        for mark in (1.0, 2.0):
            if mark > 1.0:
                installation.crown("shop", TinyRanker(mark))
            deadline = time.monotonic() + 20
            while client.get("/v1/shop/recommendations/u1").status_code != 200 or served_mark(client) != mark:
                assert time.monotonic() < deadline, client.get("/readyz").json()
                time.sleep(0.05)


def test_a_rollback_needs_no_download(installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.publish_features("shop")
    first = installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        installation.crown("shop", TinyRanker(2.0))
        look(client)
        entry = installation.promote("shop", first.version, first.manifest_digest)
        shutil.rmtree(get_settings().home / "endpoint")  # not from the cache on disk either
        monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        get_settings.cache_clear()
        look(client)
        assert served_mark(client) == 1
        assert client.get("/v1/shop/model").json()["sequence"] == entry.sequence == 3


def test_a_forged_digest_leaves_the_old_model(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        version, digest = installation.register("shop", TinyRanker(2.0))
        installation.promote("shop", version, "f" * 64)
        look(client)
        assert served_mark(client) == 1
        ready = client.get("/readyz")
        assert ready.status_code == 200  # it answers, and says that it is behind
        seat = ready.json()["use_cases"]["shop"]
        assert (seat["version"], seat["champion_version"], seat["current"]) == (1, 2, False)
        assert "manifest" in seat["last_error"]
        assert "older bundle: shop" in ready.json()["reason"]
        assert 'titleholder_swap_failures_total{use_case="shop"} 1.0' in client.get("/metrics").text
        look(client)  # its pause is not over
        assert 'titleholder_swap_failures_total{use_case="shop"} 1.0' in client.get("/metrics").text
        store_of(client).seats["shop"].retry_at = 0.0
        look(client)
        assert 'titleholder_swap_failures_total{use_case="shop"} 2.0' in client.get("/metrics").text
        installation.promote("shop", version, digest)  # the honest digest: another target, tried at once
        look(client)
        assert served_mark(client) == 2
        assert client.get("/readyz").json()["use_cases"]["shop"]["last_error"] == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE ledger SET actor = 'eve' WHERE sequence = 3", "newest entry 3 was altered; restore the ledger"),
        ("DELETE FROM ledger WHERE sequence > 1", "newest entry 1 is older than entry 2, which is in service"),
    ],
)
def test_an_altered_ledger_leaves_the_old_model(installation: Installation, serve: Serve, change: str, told: str) -> None:
    installation.publish_features("shop")
    first = installation.crown("shop", TinyRanker(1.0))
    installation.crown("shop", TinyRanker(2.0))
    with serve() as client:
        installation.promote("shop", first.version, first.manifest_digest)
        with closing(sqlite3.connect(installation.settings.home / "titleholder.db")) as database:
            database.execute(change)
            database.commit()
        look(client)
        assert served_mark(client) == 2
        assert told in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]


def test_altered_files_leave_the_old_model(installation: Installation, serve: Serve, tmp_path: Path) -> None:
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        version, digest = installation.register("shop", TinyRanker(2.0))
        arrays = max(tmp_path.glob("mlruns/**/native*/arrays.npz"), key=lambda path: path.stat().st_mtime_ns)
        arrays.write_bytes(arrays.read_bytes()[:-1] + b"!")
        installation.promote("shop", version, digest)
        look(client)
        assert served_mark(client) == 1
        assert "does not match the digest" in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]


def test_another_use_cases_model_is_refused(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        installation.crown("shop", TinyRanker(2.0), use_case="elsewhere")
        look(client)
        assert served_mark(client) == 1
        assert "exported for 'elsewhere'" in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]


def test_a_model_without_finite_answers_does_not_come_into_service(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        for bad in (Mute(2.0), Sulky(3.0)):
            installation.crown("shop", bad)
            look(client)
            assert served_mark(client) == 1
            assert "first answer" in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]
    installation.crown("tumours", TinyClassifier(float("nan")), TaskKind.CLASSIFICATION)
    with serve() as client:
        assert "no probability" in client.get("/readyz").json()["use_cases"]["tumours"]["last_error"]


def test_rows_of_the_newest_snapshot_are_the_smoke_set(installation: Installation, serve: Serve) -> None:
    honest = TinyClassifier(1.0)  # its answer is none where a sum is infinite
    for day, value, told in (("2011-01-01", 0.5, ""), ("2011-01-02", float("inf"), "no probability")):
        rows = pd.DataFrame({c.ROW_ID: ["a", "b"], "mean radius": [0.0, value], "mean texture": 0.0})
        installation.storage.publish(use_case="tumours", layer=c.FEATURES, partition=day, tables={c.ROWS: frame_writer(rows)})
        installation.crown("tumours", honest, TaskKind.CLASSIFICATION)
        with serve() as client:
            assert told in client.get("/readyz").json()["use_cases"]["tumours"]["last_error"]
            assert client.get("/readyz").json()["ready"] is not bool(told)


def test_broken_features_leave_the_old_ones(installation: Installation, serve: Serve) -> None:
    first = installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        broken = installation.publish_features("shop", day="2011-01-02", prefix="n")
        for path in installation.storage.table(broken, "items").glob("*.parquet"):
            path.write_bytes(b"PAR1")
        look(client)
        assert client.get("/v1/shop/recommendations/u1").json()["features_version"] == first.version
        assert not client.get("/readyz").json()["use_cases"]["shop"]["current"]


def test_keeps_answering_without_mlflow_and_without_ledger(
    installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.publish_features("shop")
    installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        version, digest = installation.register("shop", TinyRanker(2.0))
        installation.promote("shop", version, digest)
        up = installation.settings.mlflow_tracking_uri
        monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        get_settings.cache_clear()
        look(client)
        store_of(client).compare_aliases()
        assert served_mark(client) == 1
        seat = client.get("/readyz").json()["use_cases"]["shop"]
        assert "does not answer" in seat["last_error"]
        assert seat["alias"].startswith("unknown")
        monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", up)
        get_settings.cache_clear()
        store_of(client).seats["shop"].retry_at = 0.0
        look(client)
        assert served_mark(client) == 2

        class Gone:
            def use_cases(self) -> list[str]:
                raise OSError("the database is gone")

        store_of(client)._ledger = Gone()  # type: ignore[assignment]
        look(client)
        assert served_mark(client) == 2
        assert "the database is gone" in client.get("/readyz").json()["reason"]


def test_an_alias_that_disagrees_is_told(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    first = installation.crown("shop", TinyRanker(1.0))
    with serve() as client:
        store_of(client).compare_aliases()
        assert client.get("/readyz").json()["use_cases"]["shop"]["alias"] == "agrees"
        assert 'titleholder_alias_disagrees{use_case="shop"} 0.0' in client.get("/metrics").text
        version, _ = installation.register("shop", TinyRanker(2.0))
        tracking.set_alias("shop", Role.CHAMPION, version)  # by somebody's hand, past the ledger
        look(client)
        store_of(client).compare_aliases()
        assert served_mark(client) == 1 == first.version
        assert "disagrees" in client.get("/readyz").json()["use_cases"]["shop"]["alias"]
        assert 'titleholder_alias_disagrees{use_case="shop"} 1.0' in client.get("/metrics").text


def test_model_files_pass_through_a_private_folder_that_is_gone_afterwards(
    installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Path, int]] = []

    def watching(folder: Path, *rest: Any, **how: Any) -> Any:
        seen.append((folder, stat.S_IMODE(folder.parent.stat().st_mode)))
        return load(folder, *rest, **how)

    load = champion.load_model
    monkeypatch.setattr(champion, "load_model", watching)
    installation.crown("tumours", TinyClassifier(0.0), TaskKind.CLASSIFICATION)
    with serve() as client:
        assert client.get("/readyz").status_code == 200
    kept = get_settings().home / "endpoint" / "models" / "tumours"
    (fetched, mode), (mapped, mode_of_kept) = seen
    assert (mode, mode_of_kept) == (0o700, 0o700)
    assert not fetched.exists()
    assert mapped.parent == kept
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700, "what is kept for a start without MLflow is private too"
