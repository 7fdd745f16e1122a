"""Reviewers' keys and the codes that they sign: a JWT that proves who decided what on which report.

A tag in MLflow can be set by everybody who reaches its server, and MLflow does not keep by whom. A code can be set by everybody
too, but made by one person only. Ed25519 (RFC 8037): no parameter to choose wrongly, keys of one line.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from tasks.contracts.base import Contract, Name
from tasks.contracts.promotion import Decision
from tasks.errors import ConfigurationError, TitleholderError
from tasks.guards import guard

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "EdDSA"
AUDIENCE = "titleholder.review"  # a token that the same key signed for another purpose is not a code


class Code(Contract):
    """What a reviewer signs."""

    use_case: Name
    version: int = Field(ge=1)
    manifest_digest: str
    report_digest: str
    decision: Decision
    is_override: bool = False
    reason: str = Field(min_length=1, max_length=1000)
    reviewer: Name
    issued_at: datetime
    expires_at: datetime


class ForgedCode(TitleholderError):
    """Not signed by the reviewer that it names."""


class MalformedCode(TitleholderError):
    """Not a code of `titleholder approve`."""


def make_key() -> bytes:
    """A new private key, as PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def public_line(private_key: bytes) -> str:
    """The public half of a private key (PEM), as in `review.reviewers`: 32 bytes in base64."""
    return base64.b64encode(_private(private_key).public_key().public_bytes_raw()).decode()


def sign(code: Code, private_key: bytes) -> str:
    """The code as one line of text, to be pasted as the value of the tag `review`."""
    import jwt

    said = code.model_dump(mode="json", exclude={"reviewer", "issued_at", "expires_at"})
    said |= {"sub": code.reviewer, "aud": AUDIENCE}
    said |= {"iat": int(code.issued_at.timestamp()), "exp": int(code.expires_at.timestamp())}
    return jwt.encode(said, _private(private_key), algorithm=ALGORITHM)


def is_code(text: str) -> bool:
    """Whether a tag's value looks like a code, also a truncated one: every JWT begins so."""
    return text.startswith("eyJ")


@guard(MalformedCode, ForgedCode)
def read_code(text: str, reviewers: Mapping[str, str]) -> Code:
    """A code, proved by the public keys of a use case. `judge_code` compares it with the version and the time.

    Raises
    ------
    MalformedCode : not a code, or one of another kind.
    ForgedCode : signed by another key or algorithm, or in the name of a person who may not review.
    """
    import jwt

    try:
        algorithm = jwt.get_unverified_header(text).get("alg")
        claims = jwt.decode(text, options={"verify_signature": False, "verify_aud": False})
    except jwt.PyJWTError as error:
        raise MalformedCode(f"it is not a code of `titleholder approve` ({error})") from error
    if algorithm != ALGORITHM:
        raise ForgedCode(f"it is signed by the algorithm {algorithm!r}; only {ALGORITHM} proves a reviewer")
    reviewer = str(claims.get("sub"))
    if reviewer not in reviewers:
        known = ", ".join(sorted(reviewers)) or "no one"
        raise ForgedCode(f"it names the reviewer {reviewer!r}, but review.reviewers of the use case names {known}")
    try:
        # `judge_code` compares the times: its clock is an argument.
        options: Any = {"require": ["sub", "aud", "iat", "exp"], "verify_exp": False, "verify_iat": False}
        said = jwt.decode(text, _public(reviewers[reviewer]), [ALGORITHM], options, audience=AUDIENCE)
    except jwt.InvalidSignatureError as error:
        raise ForgedCode(f"{reviewer}'s key did not sign it") from error
    except jwt.PyJWTError as error:
        raise MalformedCode(f"{reviewer} signed it, but not as a decision on a version ({error})") from error
    try:
        issued, expires = (datetime.fromtimestamp(said.pop(name), UTC) for name in ("iat", "exp"))
        said = {key: value for key, value in said.items() if key not in ("sub", "aud")}
        return Code.model_validate({**said, "reviewer": reviewer, "issued_at": issued, "expires_at": expires})
    except (ValidationError, TypeError, ValueError, OverflowError, OSError) as error:
        raise MalformedCode(f"{reviewer} signed it, but not as a decision on a version") from error


def _private(pem: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"expected a private key without a password: make one with titleholder reviewer-key ({error})"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError("the key is not an Ed25519 key: make one with titleholder reviewer-key")
    return key


def _public(line: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(base64.b64decode(line, validate=True))
