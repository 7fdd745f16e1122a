"""Versions and their verdicts, as MLflow keeps them and digests prove them."""

from __future__ import annotations

import hashlib
import json

from tasks.contracts.judging import Verdict
from tasks.contracts.promotion import LostVersion, ModelVersion
from tasks.errors import ModelError
from tasks.guards import guard
from tasks.io import tracking
from tasks.io.ledger import Ledger

CARD = "model-card.html"


@guard(ModelError)
def version_of(use_case: str, version: int) -> ModelVersion:
    """A version, from its tags.

    Raises
    ------
    ModelError : there is no such version, or it was not registered by `register`.
    """
    there = tracking.versions(use_case)
    if version not in there:
        raise ModelError(f"{use_case}: there is no version {version}; there are: {', '.join(map(str, there)) or 'none'}")
    tags = tracking.version_tags(use_case, version)
    fields = ("run_id", "model_uri", "kind", "manifest_digest", "data_digest", "report_digest", "code_version", "as_of")
    missing = [name for name in (*fields, "passed") if name not in tags]
    if missing:
        raise ModelError(
            f"{use_case} version {version}: tags {', '.join(missing)} are missing, so it was not registered by the training "
            "DAG; train again"
        )
    judged = {name: tags.get(name, "") for name in ("judged_uri", "judged_digest")}  # versions of older code have none
    return ModelVersion.model_validate(
        {
            "use_case": use_case,
            "version": version,
            "passed": tags["passed"] == "true",
            **judged,
            **{name: tags[name] for name in fields},
        }
    )


@guard(ModelError)
def read_verdict(use_case: str, version: int) -> Verdict:
    """The verdict on a version, proved by the digest that the version carries.

    Raises
    ------
    ModelError : the verdict is missing, or was altered.
    """
    known = version_of(use_case, version)
    text = tracking.read_run_text(known.run_id, f"{verdict_folder(known.report_digest)}/verdict.json")
    altered = ModelError(
        f"{use_case} version {version}: its verdict is not the one that its tags name, so one of them was altered by hand; "
        "train again"
    )
    if hashlib.sha256(text.encode()).hexdigest() != known.report_digest:
        raise altered
    verdict = Verdict.from_json(json.loads(text))
    if (verdict.served_digest, verdict.passed) != (known.manifest_digest, known.passed):
        raise altered
    return verdict


@guard(ModelError)
def champion_of(use_case: str, ledger: Ledger) -> ModelVersion | LostVersion | None:
    """The champion by the ledger's head, never by the alias; None before the first.

    A version that was deleted from the registry is a lost one: no person can bring it back, so that it must not end what
    asks for it.

    Raises
    ------
    ModelError : the version now names another model than the one in the ledger.
    """
    head = ledger.head(use_case)
    if head is None:
        return None
    if head.version not in tracking.versions(use_case):
        return LostVersion(
            use_case=use_case,
            version=head.version,
            reason=f"the registry has no version {head.version} any more: it was deleted",
        )
    champion = version_of(use_case, head.version)
    if champion.manifest_digest != head.manifest_digest:
        raise ModelError(
            f"{use_case} version {head.version}: its tag manifest_digest was altered; the ledger names "
            f"{head.manifest_digest[:12]}..., the tag says {champion.manifest_digest[:12]}...: set the tag back, or roll back"
        )
    return champion


def verdict_folder(report_digest: str) -> str:
    """Where the artifacts of one judging lie in the run of its candidate."""
    return f"verdict-{report_digest[:12]}"


def card_page(version: ModelVersion) -> str:
    """The address of a version's model card in the MLflow UI."""
    return tracking.artifact_page(version.run_id, version.use_case, f"{verdict_folder(version.report_digest)}/{CARD}")


def name_version(version: int | None) -> str:
    """A version in a sentence."""
    return "no version" if version is None else f"version {version}"
