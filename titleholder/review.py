"""`titleholder reviewer-key` and `titleholder approve`: a reviewer's own key, and the words that it signs."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from tasks.contracts.base import NAME_PATTERN
from tasks.contracts.promotion import Decision
from tasks.errors import ConfigurationError, PromotionRefused
from tasks.io import tracking
from tasks.stages.registry import read_verdict, version_of
from tasks.stages.review import WORD
from tasks.stages.review.signatures import Code, make_key, public_line, sign
from tasks.use_case import load_use_case

FOLDER = Path("~/.config/titleholder")


def write_key(reviewer: str, path: Path | None) -> tuple[Path, str]:
    """Make a key pair; the private half goes to a new file of its owner alone. Path and public line come back.

    Raises
    ------
    ConfigurationError : the name is none, or there is a file already: codes that it signed would lose their key.
    """
    if not re.fullmatch(NAME_PATTERN, reviewer):
        raise ConfigurationError(
            f"a reviewer's name is small letters, digits and _, and begins with a letter; got {reviewer!r}"
        )
    path = (path or FOLDER / f"{reviewer}.pem").expanduser()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = make_key()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(f"{path} is there already: use it, or name another file with --key") from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key)
    return path, public_line(key)


def find_reviewer(use_case: str, path: Path | None) -> tuple[str, bytes]:
    """The reviewer of a use case whose private key this is, and the key.

    Parameters
    ----------
    path : the file of the private key; None: the only one in ~/.config/titleholder.

    Raises
    ------
    ConfigurationError : no key, several, one that others can read, or one that the use case's YAML does not name.
    """
    found = [path.expanduser()] if path else sorted(FOLDER.expanduser().glob("*.pem"))
    if len(found) != 1:
        there = ", ".join(one.name for one in found) or "none"
        raise ConfigurationError(
            f"one key is wanted, in {FOLDER} there is: {there}. Make one with titleholder reviewer-key, or name it with --key"
        )
    try:
        mode, key = found[0].stat().st_mode & 0o077, found[0].read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{found[0]}: the key cannot be read: {error.strerror}") from error
    if mode:
        raise ConfigurationError(f"{found[0]} can be read by others, so it proves nothing: chmod 600, or better make a new key")
    line = public_line(key)
    reviewers = load_use_case(use_case).review.reviewers
    for name, known in reviewers.items():
        if known == line:
            return name, key
    raise ConfigurationError(
        f"{use_case}.yaml: review.reviewers does not name this key, so its codes would not count; it names: "
        f'{", ".join(sorted(reviewers)) or "nobody"}. Add there: {found[0].stem}: "{line}"'
    )


def make_code(
    use_case: str,
    version: int,
    decision: Decision,
    is_override: bool,
    reason: str,
    path: Path | None,
    now: datetime | None = None,
) -> str:
    """A reviewer's word on a version as its report is now, signed. Valid as long as a review of the use case is open.

    Raises
    ------
    PromotionRefused : no reason, or an approval of a version that a gate refused which does not say that it is an override.
    ConfigurationError, ModelError : no usable key; no such version.
    """
    reviewer, key = find_reviewer(use_case, path)
    known, now = version_of(use_case, version), now or datetime.now(UTC)
    read_verdict(use_case, version)  # what is signed must be what its digests say
    if not reason.strip():
        raise PromotionRefused(f"{use_case}: a word on version {version} wants a reason; got {reason!r}")
    if decision is Decision.APPROVED and not known.passed and not is_override:
        raise PromotionRefused(f"{use_case}: version {version} did not pass; to approve it all the same say --override and why")
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
    """Set the code as the version's tag, where a review that is open sees it; the page's address comes back."""
    tracking.tag_version(use_case, version, {WORD: code})
    return tracking.version_page(use_case, version)
