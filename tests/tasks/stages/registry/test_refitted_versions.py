"""A version whose model was fitted again after its verdict: it serves the refit, and is compared by what was judged."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.contracts.judging import Verdict
from tasks.contracts.training import Refit
from tasks.errors import ModelError
from tasks.io import tracking
from tasks.jobs.training import register_verdict
from tasks.models import SERVED
from tasks.models.champion import fetch_champion
from tasks.stages.registry import champion_of, promote, read_verdict, version_of
from tests.tasks import synthetic_classification
from tests.tasks.stages.registry.registered_models import SHOP, RegistryHarness


@pytest.fixture
def verdict(harness: RegistryHarness) -> Verdict:
    """A verdict on one model, which another one serves."""
    judged, other = harness.log(), harness.log()
    refit = Refit(
        run_id=other.run_id,
        model_uri=other.model_uri,
        manifest_digest=other.manifest_digest,
        learned={"labels": 180},
        carried=("calibration",),
    )
    return harness.verdict(candidate=judged).model_copy(update={"refit": refit})


def test_ledger_and_rehearsal_have_the_served_model(harness: RegistryHarness, verdict: Verdict) -> None:
    made = register_verdict(verdict, harness.storage)
    judged, served = harness.candidates[:2]
    assert (made.model_uri, made.manifest_digest) == (served.model_uri, served.manifest_digest)
    assert made.judged == (judged.model_uri, judged.manifest_digest)
    assert made.run_id == judged.run_id, "the run that holds the verdict"
    assert read_verdict(SHOP, made.version) == verdict
    rehearsed: list[str] = []
    entry = promote(
        harness.approval(made.version), "run", harness.ledger, rehearsal=lambda _, __, digest: rehearsed.append(digest)
    )
    assert rehearsed == [served.manifest_digest] == [entry.manifest_digest]
    assert entry.judged_digest == judged.manifest_digest
    assert harness.ledger.broken_links(SHOP) == []
    model, _ = fetch_champion(entry, SERVED)
    assert np.array_equal(model.state()[1]["scores"], synthetic_classification.skilled(0.5, seed=1).scores)
    champion = champion_of(SHOP, harness.ledger)
    assert champion is not None
    text = tracking.read_run_text(made.run_id, f"verdict-{made.report_digest[:12]}/report.md")
    assert f"serves `{served.model_uri}`" in text and judged.manifest_digest[:12] in text
    card = tracking.read_run_text(made.run_id, f"verdict-{made.report_digest[:12]}/model-card.html")
    assert all(digest in card for digest in (judged.manifest_digest, served.manifest_digest))
    assert "180 labels" in card and "calibration of the judged model" in card


def test_the_judged_model_of_the_champion_gets_no_second_version(harness: RegistryHarness, verdict: Verdict) -> None:
    first = register_verdict(verdict, harness.storage)
    harness.promote(first.version)
    again = harness.verdict(passed=False, against=first.version, candidate=harness.candidates[0])
    assert register_verdict(again, harness.storage).version == first.version
    assert tracking.versions(SHOP) == [first.version]


def test_a_rollback_restores_the_refitted_model(harness: RegistryHarness, verdict: Verdict) -> None:
    first = register_verdict(verdict, harness.storage)
    harness.promote(first.version)
    second = harness.register(against=first.version)
    entry = harness.promote(second, "second")
    assert entry.judged_digest is None, "of this version the judged model serves"
    back = harness.rollback()
    assert (back.version, back.manifest_digest, back.judged_digest) == (
        first.version,
        verdict.served_digest,
        verdict.candidate.manifest_digest,
    )


def test_a_verdict_on_another_served_model_is_refused(harness: RegistryHarness, verdict: Verdict) -> None:
    made = register_verdict(verdict, harness.storage)
    tracking.tag_version(SHOP, made.version, {"manifest_digest": verdict.candidate.manifest_digest})
    with pytest.raises(ModelError, match="its verdict is not the one that its tags name"):
        read_verdict(SHOP, made.version)


def test_without_a_refit_the_judged_model_serves(harness: RegistryHarness) -> None:
    failed = harness.verdict().model_copy(update={"refit": Refit(problem="343 items, and max_items is 300")})
    made = register_verdict(failed, harness.storage)
    candidate = harness.candidates[0]
    assert made.manifest_digest == candidate.manifest_digest and made.judged == (made.model_uri, made.manifest_digest)
    assert version_of(SHOP, made.version).judged_digest == ""
    text = tracking.read_run_text(made.run_id, f"verdict-{made.report_digest[:12]}/report.md")
    assert "was not fitted again: 343 items" in text
