"""A reviewer's key and the codes that it signs, from the command to the decision that a review reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tasks.contracts.promotion import Approval, Decision, Rejection, Trust
from tasks.errors import ConfigurationError, ModelError, PromotionRefused
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage
from tasks.settings import ROOT, get_settings
from tasks.stages.registry import promote, version_of
from tasks.stages.review import Refused, judge_code
from tests.tasks import synthetic_classification
from tests.titleholder.test_cli import titleholder
from titleholder.review import make_code, submit, write_key

CASE, NOW = "breast_cancer", datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def key(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Anna's private key, whose public line is in the use case."""
    path, line = write_key("anna", tmp_path / "keys" / "anna.pem")
    document = yaml.safe_load((ROOT / "conf" / "use_cases" / f"{CASE}.yaml").read_text())
    document["review"] = {"by": "person", "expires_after": "2d", "reviewers": {"anna": line}}
    cases = tmp_path / "cases"
    cases.mkdir()
    (cases / f"{CASE}.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("TITLEHOLDER_USE_CASES", str(cases))
    get_settings.cache_clear()
    return path


@pytest.fixture
def two(key: Path, empty_store: Path, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 passed, version 2 did not."""
    synthetic_classification.open_store(empty_store, tmp_path, monkeypatch)
    synthetic_classification.register_versions(storage, tmp_path, CASE, True, False)


def judge(version: int, code: str, after: timedelta = timedelta()) -> object:
    from tasks.use_case import load_use_case

    return judge_code(version_of(CASE, version), code, load_use_case(CASE).review.reviewers, NOW + after)


@pytest.mark.servers
def test_a_signed_code_promotes_and_the_ledger_says_signed(two: None, key: Path) -> None:
    code = make_code(CASE, 1, Decision.APPROVED, is_override=False, reason="better", path=key, now=NOW)
    assert submit(CASE, 1, code).endswith(f"/#/models/{CASE}/versions/1")
    approval = judge(1, tracking.version_tags(CASE, 1)["review"])
    assert isinstance(approval, Approval)
    entry = promote(approval, "run", Ledger(get_settings().ledger_url), NOW)
    assert (entry.actor, entry.trust, entry.reason) == ("anna", Trust.SIGNED, "better")
    expired = judge(1, code, timedelta(days=2))
    assert isinstance(expired, Refused)
    assert expired.fault == "stale"
    other = judge(2, code)
    assert isinstance(other, Refused)
    assert other.fault == "mismatched"


@pytest.mark.servers
def test_rejections_and_overrides_can_be_signed(two: None, key: Path) -> None:
    assert isinstance(
        judge(1, make_code(CASE, 1, Decision.REJECTED, is_override=False, reason="unfair", path=key, now=NOW)), Rejection
    )
    with pytest.raises(PromotionRefused, match="failed a gate; to approve it all the same, add --override"):
        make_code(CASE, 2, Decision.APPROVED, is_override=False, reason="needed", path=key, now=NOW)
    approval = judge(2, make_code(CASE, 2, Decision.APPROVED, is_override=True, reason="needed", path=key, now=NOW))
    assert isinstance(approval, Approval)
    assert promote(approval, "run", Ledger(get_settings().ledger_url), NOW).is_override
    with pytest.raises(PromotionRefused, match="needs a reason"):
        make_code(CASE, 2, Decision.APPROVED, is_override=True, reason=" ", path=key, now=NOW)


def test_a_version_with_altered_tags_cannot_be_signed(two: None, key: Path) -> None:
    tracking.tag_version(CASE, 2, {"passed": "true"})
    with pytest.raises(ModelError, match="altered by hand"):
        make_code(CASE, 2, Decision.APPROVED, is_override=False, reason="it passed", path=key, now=NOW)


def test_an_unusable_key_is_refused(key: Path, tmp_path: Path) -> None:
    other, _ = write_key("mallory", tmp_path / "keys" / "mallory.pem")
    with pytest.raises(ConfigurationError, match=r"does not name this key.*it names: anna. Add there: mallory"):
        make_code(CASE, 1, Decision.APPROVED, is_override=False, reason="x", path=other)
    key.chmod(0o644)
    with pytest.raises(ConfigurationError, match="can be read by other users"):
        make_code(CASE, 1, Decision.APPROVED, is_override=False, reason="x", path=key)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        make_code(CASE, 1, Decision.APPROVED, is_override=False, reason="x", path=tmp_path / "no.pem")
    (tmp_path / "not-a-key.pem").write_text("hello")
    (tmp_path / "not-a-key.pem").chmod(0o600)
    with pytest.raises(ConfigurationError, match="expected a private key"):
        make_code(CASE, 1, Decision.APPROVED, is_override=False, reason="x", path=tmp_path / "not-a-key.pem")


@pytest.mark.servers
def test_the_command_never_overwrites_a_key(own_home: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    done = titleholder(own_home, "reviewer-key", "anna", **home)
    path = tmp_path / ".config" / "titleholder" / "anna.pem"
    assert done.returncode == 0, done.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    printed = yaml.safe_load(done.stdout.splitlines()[-1])["review"]
    assert (printed["by"], len(printed["reviewers"]["anna"])) == ("person", 44)
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "PRIVATE" not in done.stdout
    before = path.read_bytes()
    again = titleholder(own_home, "reviewer-key", "anna", **home)
    assert (again.returncode, path.read_bytes()) == (1, before)
    assert "exists: use it" in again.stderr
    assert "lower-case letters" in titleholder(own_home, "reviewer-key", "../anna", **home).stderr


@pytest.mark.servers
def test_the_command_prints_only_the_code(two: None, key: Path, own_home: Path) -> None:
    words = ("approve", CASE, "1", "--reason", "better", "--key", str(key), "--submit")
    done = titleholder(own_home, *words)
    assert done.returncode == 0, done.stderr
    (code,) = done.stdout.splitlines()
    assert tracking.version_tags(CASE, 1)["review"] == code
    assert "the tag review is set" in done.stderr
