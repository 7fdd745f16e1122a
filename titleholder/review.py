"""`titleholder reviewer-key` and `titleholder approve`: a reviewer's key, and the decisions that it signs."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from tasks import clock
from tasks.contracts.base import NAME_PATTERN
from tasks.contracts.promotion import Decision
from tasks.errors import ConfigurationError, PromotionRefused
from tasks.io import tracking
from tasks.stages.registry import read_verdict, version_of
from tasks.stages.review import REVIEW
from tasks.stages.review.signatures import Code, make_key, public_line, sign
from tasks.use_case import load_use_case

FOLDER = Path("~/.config/titleholder")


def write_key(reviewer: str, path: Path | None) -> tuple[Path, str]:
    """Make a key pair, write the private key to a new file that only its owner can read, and return path and public line.

    Raises
    ------
    ConfigurationError : the name is invalid, or the file exists: codes that its key signed would lose it.
    """
    if not re.fullmatch(NAME_PATTERN, reviewer):
        raise ConfigurationError(
            f"expected a reviewer's name in lower-case letters, digits and _ that begins with a letter, got {reviewer!r}"
        )
    path = (path or FOLDER / f"{reviewer}.pem").expanduser()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = make_key()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} exists: use it, or name another file with --key") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key)
    return path, public_line(key)


def find_reviewer(use_case: str, path: Path | None) -> tuple[str, bytes]:
    """The name and the private key of a reviewer of a use case.

    Parameters
    ----------
    path : the file of the private key; None: the only file in ~/.config/titleholder.

    Raises
    ------
    ConfigurationError : no key, several keys, a key that other users can read, or one that the YAML does not name.
    """
    found = [path.expanduser()] if path else sorted(FOLDER.expanduser().glob("*.pem"))
    if len(found) != 1:
        there = ", ".join(one.name for one in found) or "none"
        raise ConfigurationError(
            f"expected one key in {FOLDER}, found: {there}. Make one with titleholder reviewer-key, or name one with --key"
        )
    try:
        mode, key = found[0].stat().st_mode & 0o077, found[0].read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{found[0]}: the key cannot be read: {error.strerror}") from error
    if mode:
        raise ConfigurationError(
            f"{found[0]} can be read by other users, so it proves nothing: make a new key, or at least chmod 600"
        )
    line = public_line(key)
    reviewers = load_use_case(use_case).review.reviewers
    for name, known in reviewers.items():
        if known == line:
            return name, key
    raise ConfigurationError(
        f"{use_case}.yaml: review.reviewers does not name this key, so its codes would not count; it names: "
        f'{", ".join(sorted(reviewers)) or "no reviewers"}. Add there: {found[0].stem}: "{line}"'
    )


def make_code(
    use_case: str,
    version: int,
    decision: Decision,
    *,
    reason: str,
    is_override: bool = False,
    path: Path | None = None,
    now: datetime | None = None,
) -> str:
    """A signed decision on a version with its present report. Valid as long as a review of the use case stays open.

    Raises
    ------
    PromotionRefused : no reason, or an approval without `is_override` of a version that a gate refused.
    ConfigurationError : no usable key.
    ModelError : no such version.
    """
    reviewer, key = find_reviewer(use_case, path)
    known, now = version_of(use_case, version), now or clock.now()
    read_verdict(use_case, version)  # what is signed must be what its digests say
    if not reason.strip():
        raise PromotionRefused(f"{use_case}: a decision on version {version} needs a reason, got {reason!r}")
    if decision is Decision.APPROVED and not known.passed and not is_override:
        raise PromotionRefused(f"{use_case}: version {version} failed a gate; to approve it all the same, add --override")
    code = Code(
        use_case=use_case,
        version=version,
        manifest_digest=known.manifest_digest,
        report_digest=known.report_digest,
        decision=decision,
        is_override=is_override,
        reason=reason.strip()[:1000],
        reviewer=reviewer,
        issued_at=now,
        expires_at=now + load_use_case(use_case).review.expires_after,
    )
    return sign(code, key)


def submit(use_case: str, version: int, code: str) -> str:
    """Set the code as a tag of the version, where an open review reads it, and return the address of the version."""
    tracking.tag_version(use_case, version, {REVIEW: code})
    return tracking.version_page(use_case, version)
