"""What is put into service, and what is refused."""

from __future__ import annotations

import shutil
import sqlite3
import stat
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from serving.app import create_app
from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.judging import Role
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import frame_writer
from tasks.models import champion
from tasks.models.base import load_model
from tasks.models.platt import Calibration
from tasks.models.popularity import PopularityModel
from tasks.models.prior import PriorModel
from tasks.settings import get_settings
from tests.serving.conftest import Serve, client_of, poll_ledger, store_of
from tests.serving.constant_models import KINDS, NonFiniteForOneUser, NonFiniteRanker, TinyClassifier, TinyRanker
from tests.serving.installation import Installation


def serving_mark(client: Any) -> float:
    """The mark of the model in service."""
    return float(client.get("/v1/shop/recommendations/u1?k=1").json()["items"][0]["score"]) // 1000


def test_serves_models_of_registered_kinds(installation: Installation) -> None:
    installation.publish_features("shop")
    popular = PopularityModel(28.0)
    popular.calibration = Calibration(1.0, 0.0)
    installation.register_and_promote("shop", popular)
    installation.register_and_promote("tumours", PriorModel(0.3), TaskKind.CLASSIFICATION)
    client = client_of(create_app(installation.settings))
    for day in ("2011-01-02", "2011-01-03"):  # newer features get a new instance of the same model
        poll_ledger(client)
        answer = client.get("/v1/shop/recommendations/u1").json()
        assert [item["item_id"] for item in answer["items"]] == ["i4", "i3", "i2"]
        assert all(0.5 < item["score"] < 1.0 for item in answer["items"]), "a calibrated score is a probability"
        before = store_of(client).deployments["shop"].bundle
        newer = installation.publish_features("shop", day=day, items=5, users=int(day[-1]))
    poll_ledger(client)
    after = store_of(client).deployments["shop"].bundle
    assert before is not None
    assert after is not None
    assert after.features_ref == newer
    assert after.model is not before.model
    row = {"mean radius": 1.0, "mean texture": 2.0}
    answer = client.post("/v1/tumours/predictions", json={"rows": [row]}).json()
    assert answer["predictions"][0]["probability"] == 0.3


def test_a_ledger_that_does_not_answer_is_reported(
    installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    monkeypatch.setattr("serving.deployment.store.LATE_SECONDS", 0.2)
    frozen, reads = threading.Event(), threading.Event()

    def hang(self: Ledger) -> list[str]:
        reads.set()
        frozen.wait(30)
        return ["shop"]

    with serve() as client:
        assert client.get("/readyz").json()["reason"] == ""
        with monkeypatch.context() as patch:
            patch.setattr(Ledger, "use_cases", hang)
            reading = threading.Thread(target=poll_ledger, args=(client,))
            reading.start()
            assert reads.wait(10)
            time.sleep(0.3)
            answer = client.get("/readyz")
            assert answer.status_code == 200 and "the ledger cannot be read: it has not answered for" in answer.json()["reason"]
            frozen.set()
            reading.join(10)
        assert client.get("/readyz").json()["reason"] == ""
        assert "titleholder_ledger_read_timestamp_seconds" in client.get("/metrics").text


def test_follows_promotions_and_features(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        installation.register_and_promote("shop", TinyRanker(2.0))
        assert serving_mark(client) == 1
        poll_ledger(client)
        assert serving_mark(client) == 2
        newer = installation.publish_features("shop", day="2011-01-02", prefix="n")
        poll_ledger(client)
        answer = client.get("/v1/shop/recommendations/u1").json()
        assert answer["features_version"] == newer.version
        assert answer["items"][0]["item_id"].startswith("n")
        assert 'titleholder_swaps_total{use_case="shop"} 3.0' in client.get("/metrics").text
        poll_ledger(client)  # nothing new
        assert 'titleholder_swaps_total{use_case="shop"} 3.0' in client.get("/metrics").text


def test_features_end_at_a_local_midnight(installation: Installation, serve: Serve) -> None:
    """What a user does from then on is not in the features, and counts at once."""
    installation.publish_features("shop", day="2026-07-02", time_zone="America/New_York")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        bundle = store_of(client).deployments["shop"].bundle
        assert bundle is not None and bundle.features_until == datetime(2026, 7, 2, 4, tzinfo=UTC)


def test_promotion_is_noticed_without_waiting_for_the_poll(installation: Installation) -> None:
    """The poll interval is an hour here."""
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with client_of(create_app(installation.settings, KINDS)) as client:
        for mark in (1.0, 2.0):
            if mark > 1.0:
                installation.register_and_promote("shop", TinyRanker(mark))
            deadline = time.monotonic() + 20
            while client.get("/v1/shop/recommendations/u1").status_code != 200 or serving_mark(client) != mark:
                assert time.monotonic() < deadline, client.get("/readyz").json()
                time.sleep(0.05)


def test_rollback_needs_no_download(installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.publish_features("shop")
    first = installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        installation.register_and_promote("shop", TinyRanker(2.0))
        poll_ledger(client)
        entry = installation.promote("shop", first.version, first.manifest_digest)
        shutil.rmtree(get_settings().home / "endpoint")  # not from the cache on disk either
        monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        get_settings.cache_clear()
        poll_ledger(client)
        assert serving_mark(client) == 1
        assert client.get("/v1/shop/model").json()["sequence"] == entry.sequence == 3


def test_forged_digest_keeps_the_old_model(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        version, digest = installation.register("shop", TinyRanker(2.0))
        installation.promote("shop", version, "f" * 64)
        poll_ledger(client)
        assert serving_mark(client) == 1
        ready = client.get("/readyz")
        assert ready.status_code == 200  # it answers and reports that it is behind
        use_case = ready.json()["use_cases"]["shop"]
        assert (use_case["version"], use_case["champion_version"], use_case["current"]) == (1, 2, False)
        assert "manifest" in use_case["last_error"]
        assert "older bundle: shop" in ready.json()["reason"]
        assert 'titleholder_swap_failures_total{use_case="shop"} 1.0' in client.get("/metrics").text
        poll_ledger(client)  # before the next attempt is due
        assert 'titleholder_swap_failures_total{use_case="shop"} 1.0' in client.get("/metrics").text
        store_of(client).deployments["shop"].retry_at = 0.0
        poll_ledger(client)
        assert 'titleholder_swap_failures_total{use_case="shop"} 2.0' in client.get("/metrics").text
        installation.promote("shop", version, digest)  # the true digest: another target, loaded at once
        poll_ledger(client)
        assert serving_mark(client) == 2
        assert client.get("/readyz").json()["use_cases"]["shop"]["last_error"] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE ledger SET actor = 'eve' WHERE sequence = 3", "newest entry 3 was altered; restore the ledger"),
        ("DELETE FROM ledger WHERE sequence > 1", "newest entry 1 is older than entry 2, which is in service"),
    ],
)
def test_altered_ledger_keeps_the_old_model(installation: Installation, serve: Serve, change: str, message: str) -> None:
    installation.publish_features("shop")
    first = installation.register_and_promote("shop", TinyRanker(1.0))
    installation.register_and_promote("shop", TinyRanker(2.0))
    with serve() as client:
        installation.promote("shop", first.version, first.manifest_digest)
        with closing(sqlite3.connect(installation.settings.home / "titleholder.db")) as database:
            database.execute(change)
            database.commit()
        poll_ledger(client)
        assert serving_mark(client) == 2
        assert message in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]


def test_altered_files_keep_the_old_model(installation: Installation, serve: Serve, tmp_path: Path) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        version, digest = installation.register("shop", TinyRanker(2.0))
        arrays = max(tmp_path.glob("mlruns/**/native*/arrays.npz"), key=lambda path: path.stat().st_mtime_ns)
        arrays.write_bytes(arrays.read_bytes()[:-1] + b"!")
        installation.promote("shop", version, digest)
        poll_ledger(client)
        assert serving_mark(client) == 1
        assert "does not match the digest" in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]


def test_model_of_another_use_case_is_refused(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        installation.register_and_promote("shop", TinyRanker(2.0), use_case="elsewhere")
        poll_ledger(client)
        assert serving_mark(client) == 1
        assert "exported for 'elsewhere'" in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]


def test_model_without_finite_scores_is_refused(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        for bad in (NonFiniteRanker(2.0), NonFiniteForOneUser(3.0)):
            installation.register_and_promote("shop", bad)
            poll_ledger(client)
            assert serving_mark(client) == 1
            assert "different items with finite scores" in client.get("/readyz").json()["use_cases"]["shop"]["last_error"]
    installation.register_and_promote("tumours", TinyClassifier(float("nan")), TaskKind.CLASSIFICATION)
    with serve() as client:
        assert "expected a probability" in client.get("/readyz").json()["use_cases"]["tumours"]["last_error"]


def test_smoke_test_uses_rows_of_the_newest_snapshot(installation: Installation, serve: Serve) -> None:
    model = TinyClassifier(1.0)  # its prediction is NaN if the sum of a row is infinite
    for day, value, message in (("2011-01-01", 0.5, ""), ("2011-01-02", float("inf"), "expected a probability")):
        rows = pd.DataFrame({c.ROW_ID: ["a", "b"], "mean radius": [0.0, value], "mean texture": 0.0})
        installation.storage.publish(use_case="tumours", layer=c.FEATURES, partition=day, tables={c.ROWS: frame_writer(rows)})
        installation.register_and_promote("tumours", model, TaskKind.CLASSIFICATION)
        with serve() as client:
            assert message in client.get("/readyz").json()["use_cases"]["tumours"]["last_error"]
            assert client.get("/readyz").json()["ready"] is not bool(message)


def test_broken_features_keep_the_old_ones(installation: Installation, serve: Serve) -> None:
    first = installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        broken = installation.publish_features("shop", day="2011-01-02", prefix="n")
        for path in installation.storage.table(broken, "items").glob("*.parquet"):
            path.write_bytes(b"PAR1")
        poll_ledger(client)
        assert client.get("/v1/shop/recommendations/u1").json()["features_version"] == first.version
        assert not client.get("/readyz").json()["use_cases"]["shop"]["current"]


def test_answers_continue_without_mlflow_and_ledger(
    installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.publish_features("shop")
    installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        version, digest = installation.register("shop", TinyRanker(2.0))
        installation.promote("shop", version, digest)
        up = installation.settings.mlflow_tracking_uri
        monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        get_settings.cache_clear()
        poll_ledger(client)
        store_of(client).compare_aliases()
        assert serving_mark(client) == 1
        use_case = client.get("/readyz").json()["use_cases"]["shop"]
        assert "does not answer" in use_case["last_error"]
        assert use_case["alias"].startswith("unknown")
        monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", up)
        get_settings.cache_clear()
        store_of(client).deployments["shop"].retry_at = 0.0
        poll_ledger(client)
        assert serving_mark(client) == 2

        class Gone:
            def use_cases(self) -> list[str]:
                raise OSError("the database is gone")

        store_of(client)._ledger = Gone()  # type: ignore[assignment]
        poll_ledger(client)
        assert serving_mark(client) == 2
        assert "the database is gone" in client.get("/readyz").json()["reason"]


def test_alias_that_disagrees_is_reported(installation: Installation, serve: Serve) -> None:
    installation.publish_features("shop")
    first = installation.register_and_promote("shop", TinyRanker(1.0))
    with serve() as client:
        store_of(client).compare_aliases()
        assert client.get("/readyz").json()["use_cases"]["shop"]["alias"] == "agrees"
        assert 'titleholder_alias_disagrees{use_case="shop"} 0.0' in client.get("/metrics").text
        version, _ = installation.register("shop", TinyRanker(2.0))
        tracking.set_alias("shop", Role.CHAMPION, version)  # without the ledger
        poll_ledger(client)
        store_of(client).compare_aliases()
        assert serving_mark(client) == 1 == first.version
        assert "disagrees" in client.get("/readyz").json()["use_cases"]["shop"]["alias"]
        assert 'titleholder_alias_disagrees{use_case="shop"} 1.0' in client.get("/metrics").text


def test_downloaded_model_files_stay_private(installation: Installation, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Path, int]] = []

    def recording(folder: Path, *rest: Any, **how: Any) -> Any:
        seen.append((folder, stat.S_IMODE(folder.parent.stat().st_mode)))
        return load(folder, *rest, **how)

    load = load_model
    monkeypatch.setattr(champion, "load_model", recording)
    installation.register_and_promote("tumours", TinyClassifier(0.0), TaskKind.CLASSIFICATION)
    with serve() as client:
        assert client.get("/readyz").status_code == 200
    kept = get_settings().home / "endpoint" / "models" / "tumours"
    (fetched, mode), (mapped, mode_of_kept) = seen
    assert (mode, mode_of_kept) == (0o700, 0o700)
    assert not fetched.exists()
    assert mapped.parent == kept
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700, "the cache for a start without MLflow is private too"
