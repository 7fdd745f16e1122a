"""The keys as the endpoint knows them: in memory, looked up anew by the following thread, never on a request."""

from __future__ import annotations

from http import HTTPStatus

from serving.http.problems import Refusal
from serving.telemetry.metrics import ServingMetrics
from tasks.io.api_keys import ApiKey, ApiKeys, Scope, digest_key

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class Keyring:
    """Which keys open what.

    Parameters
    ----------
    url : database of the keys.
    required : False lets everybody on this machine in, and nobody else.
    """

    def __init__(self, url: str, metrics: ServingMetrics, *, required: bool) -> None:
        self.required = required
        self._url, self._metrics = url, metrics
        self._store: ApiKeys | None = None
        self._open: dict[str, ApiKey] = {}

    def look(self) -> None:
        """Read the keys again. What was known stays where the database does not answer."""
        if self.required:
            self._store = self._store or ApiKeys(self._url)
            self._open = {key.digest: key for key in self._store.all() if key.revoked_at is None}

    def admit(self, authorization: bytes, wanted: Scope) -> str:
        """The id of the key that a request brings.

        Raises
        ------
        Refusal : 401 without a key that is known, 403 where its scope is another one.
        """
        scheme, _, given = authorization.partition(b" ")
        # By the digest: how long the look-up takes tells nothing of the keys themselves.
        key = self._open.get(digest_key(given.decode("latin-1"))) if scheme.lower() == b"bearer" else None
        if key is None:
            self._metrics.refused.labels("no key" if not authorization else "unknown key").inc()
            told = "send a key: Authorization: Bearer th_..." if not authorization else "this key is not known, or was revoked"
            raise Refusal(HTTPStatus.UNAUTHORIZED, told, (), _CHALLENGE)
        if not key.opens(wanted):
            self._metrics.refused.labels("scope").inc()
            has = ", ".join(sorted(key.scopes))
            raise Refusal(HTTPStatus.FORBIDDEN, f"this key opens {has}; this address needs the scope {wanted.value}")
        return key.key_id
