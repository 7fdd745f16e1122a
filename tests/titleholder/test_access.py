"""`titleholder api-key` and `titleholder forget-user`, run as commands."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tasks.contracts.predictions import Prediction
from tasks.errors import ConfigurationError
from tasks.io.api_keys import ApiKeys, Scope, digest_key
from tasks.io.events import EventStore
from tasks.io.prediction_log import PredictionLog
from tasks.settings import get_settings
from titleholder.cli import app

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_key_is_shown_once_and_can_be_revoked(own_home: Path) -> None:
    key = run("api-key", "create", "the shop", "--scope", "events", "--scope", "predict").strip()
    [made] = ApiKeys(get_settings().ledger_url).all()
    assert made.digest == digest_key(key)
    assert made.scopes == {Scope.EVENTS, Scope.PREDICT}
    listed = run("api-key", "list")
    assert "the shop" in listed
    assert key not in listed
    run("api-key", "revoke", made.key_id)
    assert "revoked" in run("api-key", "list")
    with pytest.raises(ConfigurationError, match="no active key"):
        run("api-key", "revoke", made.key_id)


def prediction(name: str, subject: str, channel: str = "online") -> Prediction:
    return Prediction(
        prediction_id=name,
        made_at=NOW,
        use_case="shop",
        channel=channel,
        subject=subject,
        model_version=1,
        manifest_digest="m",
        features_version="f",
        features_as_of=date(2026, 1, 1),
        path="model",
        items=("i",),
        scores=(0.5,),
        latency_ms=1.0,
    )


@pytest.mark.parametrize("name", ["no_such_shop", "../../evil"])
def test_forget_user_refuses_an_unknown_use_case(own_home: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="use case"):
        run("forget-user", name, "erika", "--yes")
    assert not list(own_home.parent.rglob("evil*"))


def test_forget_user_erases_only_that_user(own_home: Path) -> None:
    settings = get_settings()
    log, events = PredictionLog(settings.predictions_root), EventStore(settings.events_url)
    log.append([prediction("sealed-1", "u1"), prediction("sealed-2", "u2")])
    log.rotate()
    log.seal()
    log.write_batch("shop", "v1.f", [prediction("batch-1", "u1", "batch"), prediction("batch-2", "u2", "batch")])
    log.append([prediction("open-1", "u1"), prediction("open-2", "u2")])  # a running endpoint has this journal open
    for user in ("u1", "u2"):
        happened = {
            "event_id": user,
            "user_id": user,
            "item_id": "i",
            "event_type": "view",
            "event_at": NOW,
            "value": None,
            "quantity": 1.0,
        }
        events.add_events("shop", [happened], NOW)
        became = {"prediction_id": f"batch-{user[1]}", "item_id": "", "label": 1.0, "happened_at": NOW}
        events.add_outcomes("shop", [became], NOW)
    with pytest.raises(ConfigurationError, match="holds 3 predictions for 'u1'"):
        run("forget-user", "shop", "u1")
    assert len(list(log.read("shop"))) == 6, "nothing is erased before --yes"

    assert "3 predictions, 2 events and outcomes" in run("forget-user", "shop", "u1", "--yes")
    reader = PredictionLog(settings.predictions_root)
    assert sorted(one.prediction_id for one in reader.read("shop")) == ["batch-2", "open-2", "sealed-2"]
    assert reader.find("shop", "open-1") is None
    assert [event.user_id for event in events.events_after(0)] == ["u2"]
    assert [one.prediction_id for one in events.outcomes_between("shop", NOW, NOW + timedelta(seconds=1))] == ["batch-2"]
    log.rotate()  # the journal is sealed without the user, and the request to forget is removed
    assert reader.seal() == 1
    assert sorted(one.prediction_id for one in reader.read("shop")) == ["batch-2", "open-2", "sealed-2"]
    kept = b"".join(path.read_bytes() for path in settings.predictions_root.rglob("*") if path.is_file())
    assert b"open-1" not in kept
    assert not list(settings.predictions_root.glob("*/forgotten/*"))
