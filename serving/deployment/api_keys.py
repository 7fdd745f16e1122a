"""The API keys in memory. The thread that follows the ledger reloads them; a request never reads the database."""

from __future__ import annotations

from tasks.io.api_keys import ApiKey, ApiKeys, digest_key


class Keyring:
    """The API keys that are not revoked.

    Parameters
    ----------
    url : database of the keys.
    required : whether requests need a key. Without keys only requests from this machine are answered.
    """

    def __init__(self, url: str, *, required: bool) -> None:
        self.required = required
        self._url = url
        self._store: ApiKeys | None = None
        self._by_digest: dict[str, ApiKey] = {}

    def reload(self) -> None:
        """Read the keys again. If the database does not answer, the keys stay as they were."""
        if self.required:
            self._store = self._store or ApiKeys(self._url)
            self._by_digest = {key.digest: key for key in self._store.all() if key.revoked_at is None}

    def find(self, authorization: bytes) -> ApiKey | None:
        """The key in an Authorization header, `Bearer th_...`. None if it is missing, unknown or revoked."""
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        return self._by_digest.get(digest_key(key.decode("latin-1")))  # by digest: the time taken reveals nothing of a key
