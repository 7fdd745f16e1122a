"""The models in service, and the thread that keeps them equal to the ledger's head."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from http import HTTPStatus
from typing import Any

import msgspec

from serving.deployment.api_keys import Keyring
from serving.deployment.ledger_watch import LedgerFileWatcher
from serving.deployment.smoke_test import smoke_rows, warmed
from serving.http.messages import row_decoder
from serving.http.problems import Refusal, cut
from serving.ranking.ranking import Published, Ranking
from serving.ranking.vector_index import Factors, HasVectors
from serving.telemetry.metrics import ServingMetrics
from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Role
from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ServingTerms
from tasks.errors import ModelError
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage, write_atomically
from tasks.models import SERVED
from tasks.models.base import FeatureTables, ServedModel, read_features
from tasks.models.champion import fetch_champion
from tasks.settings import Settings

log = logging.getLogger("uvicorn.error.titleholder")

FROM_REQUEST = "request"  # the features version of a tabular answer: its features came with the request
ALIAS_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class Served:
    """Model, features and the ledger entry that crowned it: swapped as one, so that no answer mixes two."""

    entry: LedgerEntry
    model: ServedModel
    terms: ServingTerms
    tables: FeatureTables | None
    features_ref: DatasetRef | None
    ranking: Ranking | None = None

    @cached_property
    def row_decoder(self) -> msgspec.json.Decoder[Any]:
        """Reads bodies of rows of exactly this model's columns."""
        return row_decoder(self.terms.row_columns, self.terms.text_columns)

    @property
    def ranks(self) -> Ranking:
        if self.ranking is None:
            raise ModelError(f"{self.entry.use_case} is tabular: it ranks nothing")
        return self.ranking

    @property
    def features(self) -> FeatureTables:
        if self.tables is None:
            raise ModelError(f"{self.entry.use_case} is tabular: it has no feature tables")
        return self.tables

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Who answers, as every answer and every row of the log says it."""
        return {
            "use_case": self.entry.use_case,
            "model_version": self.entry.version,
            "manifest_digest": self.entry.manifest_digest,
            "features_version": self.features_version,
        }

    @property
    def features_version(self) -> str:
        return self.features_ref.version if self.features_ref else FROM_REQUEST

    @cached_property
    def features_as_of(self) -> date | None:
        return date.fromisoformat(self.features_ref.partition) if self.features_ref else None


@dataclass
class Deployment:
    """One use case. `served` is read once per request; only the following thread writes it."""

    use_case: str
    head: LedgerEntry
    served: Served | None = None
    previous: Served | None = None  # another model that was in service: a rollback to it needs no download
    last_error: str = ""
    failures: int = 0
    failed: tuple[str, str] = ("", "")  # ledger entry and features version that could not be loaded
    retry_at: float = 0.0
    alias: str = "unknown: not compared yet"

    @property
    def is_current(self) -> bool:
        return self.served is not None and self.served.entry == self.head and not self.last_error


class ModelStore:
    """Follows the ledger: what it names is fetched, proved, warmed, and only then taken into service.

    A bundle that cannot be loaded leaves the old one in service; the reason is in `Deployment.last_error`, and it is tried
    again with growing pauses.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: ServingMetrics,
        keys: Keyring,
        kinds: Mapping[str, type[ServedModel]] | None = None,
    ) -> None:
        self._settings, self._metrics, self._keys = settings, metrics, keys
        self._kinds = SERVED if kinds is None else kinds
        self._storage = Storage(settings.data_root)
        self._cache = settings.home / "endpoint"
        self._ledger: Ledger | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._is_frozen = False
        self.seats: Mapping[str, Deployment] = {}  # replaced as a whole, so that a reader may walk over it
        self.ledger_error = "the ledger was not read yet"

    # the threads

    def start(self) -> None:
        """Follow the ledger and compare the alias, each in a thread of its own: a dead MLflow must not hide the ledger."""
        for name, work, pause, bell in (
            ("follow-ledger", self.look, self._settings.endpoint_poll_seconds, LedgerFileWatcher(self._settings.ledger_url)),
            ("compare-alias", self.compare_aliases, ALIAS_SECONDS, LedgerFileWatcher()),
        ):
            thread = threading.Thread(target=self._repeat, args=(work, pause, bell), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads; one that waits for a server is left to die with the process."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _repeat(self, work: Callable[[], None], pause: float, bell: LedgerFileWatcher) -> None:
        while not self._stop.is_set():
            mark = bell.mark()
            try:
                work()
            except Exception:  # the thread outlives whatever happens: it is the only way back
                log.exception("%s failed; going on", threading.current_thread().name)
            bell.wait(mark, self._stop, pause)

    # the ledger

    def look(self) -> None:
        """Read the heads, and take into service what is new."""
        try:
            self._keys.look()
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger_url)
            heads = {name: self._ledger.head(name) for name in self._ledger.use_cases()}
        except Exception as error:  # whatever the database raises: the models in service stay
            self.ledger_error = _told(error)
            self._metrics.ledger_failures.inc()
            if not self.seats:
                self._start_from_memory()
            return
        self.ledger_error = ""
        new = {name: Deployment(name, head) for name, head in heads.items() if head and name not in self.seats}
        if new:
            self.seats = {**self.seats, **new}
        for name, head in heads.items():
            if head and not self._stop.is_set():
                self._follow(self.seats[name], head)

    def _start_from_memory(self) -> None:
        """Without a ledger to ask at the start, answer as at the end of the last life. Readiness says that it is so."""
        for path in sorted((self._cache / "heads").glob("*.json")):
            try:
                head = LedgerEntry.model_validate_json(path.read_text())
            except (OSError, ValueError) as error:
                log.error("%s cannot be read: %s", path, error)
                continue
            seat = Deployment(head.use_case, head)
            self.seats = {**self.seats, head.use_case: seat}
            self._follow(seat, head)

    def _remember(self, head: LedgerEntry) -> None:
        """Keep what is in service for a start without the ledger. A full disk is no reason not to answer."""
        folder = self._cache / "heads"
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(folder / f"{head.use_case}.json", head.model_dump_json())

    def _follow(self, seat: Deployment, head: LedgerEntry) -> None:
        seat.head = head
        self._metrics.champion_version.labels(seat.use_case).set(head.version)
        wanted = (head.entry_digest, "")
        try:
            newest = self._storage.newest(seat.use_case, c.FEATURES)
            wanted = (head.entry_digest, newest.version if newest else "")
            if _is_in_service(seat.served, head, newest):
                self._take_published(seat)
                seat.last_error, seat.failures, seat.failed = "", 0, ("", "")
                return
            if wanted == seat.failed and time.monotonic() < seat.retry_at:
                return
            self._demand_unaltered(seat, head)
            served = self._load(seat, head, newest)
        except Exception as error:  # anything at all: an answer by the old model is better than none
            self._fail(seat, head, wanted, error)
            return
        before = seat.served
        if before is not None and before.entry.manifest_digest != head.manifest_digest:
            seat.previous = before
        seat.served = served  # the swap: one reference, taken once by each request
        if not self._is_frozen:
            self._is_frozen = True
            gc.freeze()  # what was imported and loaded so far stays: the collector need not walk over it in front of requests,
            gc.set_threshold(20_000, 20, 20)  # nor after each handful of them: they leave no cycles behind
        self._remember(head)
        seat.last_error, seat.failures, seat.failed = "", 0, ("", "")
        self._metrics.model_version.labels(seat.use_case).set(head.version)
        self._metrics.swaps.labels(seat.use_case).inc()
        log.info("%s: version %s with features %s is in service", seat.use_case, head.version, served.features_version)

    def _take_published(self, seat: Deployment) -> None:
        """Batch scoring follows a promotion by a while: take its answers when they are there."""
        served = seat.served
        if served is None or served.ranking is None or served.features_ref is None or served.ranking.published is not None:
            return
        published = Published.read(self._storage, served.entry, served.features_ref)
        if published is not None:
            ranking = replace(served.ranking, published=published)
            ranking.warm()
            seat.served = replace(served, ranking=ranking)
            log.info("%s: %d published answers of version %s", seat.use_case, len(published.rows), served.entry.version)

    def refusal(self, use_case: str) -> Refusal:
        """Why nothing answers for a use case: 404 unknown, 503 known but nothing could be loaded for it yet."""
        seat, later = self.seats.get(use_case), {"Retry-After": "2"}
        if seat is not None:
            told = seat.last_error or f"version {seat.head.version} is being loaded"
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"{use_case}: {told}", (), later)
        if self.ledger_error:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the ledger cannot be read yet", (), later)
        there_are = ", ".join(sorted(self.seats)) or "none: nothing was promoted yet"
        return Refusal(HTTPStatus.NOT_FOUND, f"there is no use case {cut(use_case)!a} with a champion; there are: {there_are}")

    def _fail(self, seat: Deployment, head: LedgerEntry, wanted: tuple[str, str], error: Exception) -> None:
        seat.failures = seat.failures + 1 if wanted == seat.failed else 1
        pause = min(LONGEST_WAIT_SECONDS, self._settings.endpoint_poll_seconds * 2 ** min(seat.failures, 10))
        seat.failed, seat.retry_at = wanted, time.monotonic() + pause
        seat.last_error = f"version {head.version} is not in service: {_told(error)}"
        self._metrics.swap_failures.labels(seat.use_case).inc()
        log.error("%s: %s (attempt %s, again in %.0f s)", seat.use_case, seat.last_error, seat.failures, pause)

    def _demand_unaltered(self, seat: Deployment, head: LedgerEntry) -> None:
        """A new head is believed only if its digest holds and nothing was cut off: it names what everybody will be served."""
        where = f"{seat.use_case}: the ledger's newest entry {head.sequence}"
        if self._ledger is not None and head.sequence in self._ledger.broken_links(seat.use_case):
            raise ModelError(f"{where} was altered; restore the ledger's database from its backup")
        if seat.served is not None and head.sequence < seat.served.entry.sequence:
            raise ModelError(
                f"{where} is older than entry {seat.served.entry.sequence}, which is in service: entries were removed; restore "
                "the ledger's database, or restart the endpoint if that is what you did"
            )

    def _load(self, seat: Deployment, head: LedgerEntry, newest: DatasetRef | None) -> Served:
        kept = [bundle for bundle in (seat.served, seat.previous) if bundle is not None]
        same = next((b for b in kept if b.entry.manifest_digest == head.manifest_digest), None)
        model, terms = (renewed(same.model), same.terms) if same else fetch_champion(head, self._kinds, self._cache / "models")
        if terms.task.is_tabular:
            return warmed(Served(head, model, terms, None, None), smoke_rows(self._storage, newest, terms))
        if newest is None:
            raise ModelError(f"there is no features snapshot to answer from: run the DAG {seat.use_case}.features")
        tables = next((b.tables for b in kept if b.features_ref == newest), None) or read_features(self._storage, newest)
        return warmed(with_ranking(Served(head, model, terms, tables, newest), Published.read(self._storage, head, newest)))

    # the alias

    def compare_aliases(self) -> None:
        """Tell where the MLflow alias is not the ledger's head. The ledger decides; this only makes it visible."""
        for seat in self.seats.values():
            gauge = self._metrics.alias_disagrees.labels(seat.use_case)
            try:
                alias = tracking.aliases(seat.use_case).get(Role.CHAMPION)
            except Exception as error:  # MLflow down, or anything else: unknown is an answer too
                seat.alias = f"unknown: {_told(error)}"
                gauge.set(float("nan"))
                continue
            agrees = alias == seat.head.version
            told = f"version {alias}" if alias is not None else "nothing"
            seat.alias = "agrees" if agrees else f"disagrees: it names {told}, the ledger version {seat.head.version}"
            gauge.set(0.0 if agrees else 1.0)


def renewed(model: ServedModel) -> ServedModel:
    """A second instance: what a model remembers of its features must not be shared by the old bundle and the new one."""
    state, arrays = model.state()
    fresh = type(model).from_state(state, arrays)
    fresh.calibration = model.calibration
    return fresh


def with_ranking(served: Served, published: Published | None) -> Served:
    """The bundle with all ways to an answer that it has."""
    model, tables, terms = served.model, served.features, served.terms
    factors = Factors(model, tables, terms.k) if isinstance(model, HasVectors) else None
    return replace(served, ranking=Ranking(model, terms, tables, published, factors))


def _is_in_service(served: Served | None, head: LedgerEntry, newest: DatasetRef | None) -> bool:
    if served is None or served.entry != head:
        return False
    return served.terms.task.is_tabular or served.features_ref == newest


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
