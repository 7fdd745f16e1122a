"""Keeps the deployments equal to the heads of the ledger."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from zoneinfo import ZoneInfo

from serving.deployment.api_keys import Keyring
from serving.deployment.bundle import Bundle, Deployment, add_ranking, copy_model
from serving.deployment.ledger_watch import LedgerFileWatcher
from serving.deployment.smoke_test import read_smoke_rows, run_smoke_test
from serving.ranking.batch_answers import BatchAnswers
from serving.telemetry.metrics import ServingMetrics
from tasks import columns as c
from tasks.contracts.data import DatasetRef
from tasks.contracts.judging import Role
from tasks.contracts.promotion import LedgerEntry
from tasks.errors import ModelError
from tasks.io import tracking
from tasks.io.ledger import Ledger
from tasks.io.storage import Storage, write_atomically
from tasks.models import SERVED
from tasks.models.base import ServedModel, read_features
from tasks.models.champion import fetch_champion
from tasks.settings import Settings

log = logging.getLogger("uvicorn.error.titleholder")

ALIAS_SECONDS = 10.0
LATE_SECONDS = 5.0  # that a read of the ledger takes until it is reported
MAX_RETRY_SECONDS = 30.0


class ModelStore:
    """Follows the ledger: loads the bundle that a new head names, verifies and smoke-tests it, and then puts it into service.

    If a bundle cannot be loaded, the old one stays in service. The reason is in `Deployment.last_error`, and further attempts
    follow with growing pauses.
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
        self.deployments: Mapping[str, Deployment] = {}  # replaced as a whole, so that readers can iterate over it
        self._ledger_error = "not read yet"
        self._asked_at: float | None = None  # when the read of the ledger that is not done yet began

    @property
    def ledger_error(self) -> str:
        """Why the ledger is not read, empty if it is. A frozen server raises no error, so a long read is reported, too."""
        waited = 0.0 if self._asked_at is None else time.monotonic() - self._asked_at
        return self._ledger_error or (f"it has not answered for {waited:.0f} s" if waited > LATE_SECONDS else "")

    # threads

    def start(self) -> None:
        """Follow the ledger and compare the aliases, in separate threads: MLflow may be down while the ledger is up."""
        settings = self._settings
        for name, work, pause, watcher in (
            ("follow-ledger", self.poll, settings.endpoint_poll_seconds, LedgerFileWatcher(settings.ledger_url)),
            ("compare-alias", self.compare_aliases, ALIAS_SECONDS, LedgerFileWatcher()),
        ):
            thread = threading.Thread(target=self._repeat, args=(work, pause, watcher), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads. A thread that waits for a server ends with the process."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def _repeat(self, work: Callable[[], None], pause: float, watcher: LedgerFileWatcher) -> None:
        while not self._stop.is_set():
            state = watcher.state()
            try:
                work()
            except Exception:  # an unexpected error must not end the thread: nothing else would restart it
                log.exception("%s failed, retrying in %g s", threading.current_thread().name, pause)
            watcher.wait(state, self._stop, pause)

    # ledger

    def poll(self) -> None:
        """Read the heads of the ledger and put into service what is new."""
        self._asked_at = time.monotonic()
        try:
            self._keys.reload()
            if self._ledger is None:
                self._ledger = Ledger(self._settings.ledger_url)
            heads = {name: self._ledger.head(name) for name in self._ledger.use_cases()}
        except Exception as error:  # any error of the database: the models in service stay
            self._ledger_error, self._asked_at = _describe(error), None
            self._metrics.ledger_failures.inc()
            if not self.deployments:
                self._start_from_saved_heads()
            return
        self._ledger_error, self._asked_at = "", None
        self._metrics.ledger_read_at.set_to_current_time()
        new = {name: Deployment(name, head) for name, head in heads.items() if head and name not in self.deployments}
        if new:
            self.deployments = {**self.deployments, **new}
        for name, head in heads.items():
            if head and not self._stop.is_set():
                self._follow(self.deployments[name], head)

    def _start_from_saved_heads(self) -> None:
        """Serve the heads that were last in service, if the ledger cannot be read at the start."""
        for path in sorted((self._cache / "heads").glob("*.json")):
            try:
                head = LedgerEntry.model_validate_json(path.read_text())
            except (OSError, ValueError) as error:
                log.error("cannot read the saved ledger head %s: %s", path, error)
                continue
            deployment = Deployment(head.use_case, head)
            self.deployments = {**self.deployments, head.use_case: deployment}
            self._follow(deployment, head)

    def _save_head(self, head: LedgerEntry) -> None:
        """Save the head for a start without the ledger. A full disk must not stop the swap."""
        folder = self._cache / "heads"
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(folder / f"{head.use_case}.json", head.model_dump_json())

    def _follow(self, deployment: Deployment, head: LedgerEntry) -> None:
        deployment.head = head
        self._metrics.champion_version.labels(deployment.use_case).set(head.version)
        target = (head.entry_digest, "")
        try:
            newest = self._storage.newest(deployment.use_case, c.FEATURES)
            target = (head.entry_digest, newest.version if newest else "")
            if _is_in_service(deployment.bundle, head, newest):
                self._add_batch_answers(deployment)
                _clear_error(deployment)
                return
            if target == deployment.failed and time.monotonic() < deployment.retry_at:
                return
            self._require_unaltered(deployment, head)
            bundle = self._load(deployment, head, newest)
        except Exception as error:  # any error: an answer of the old model is better than none
            self._record_failure(deployment, head, target, error)
            return
        before = deployment.bundle
        if before is not None and before.manifest_digest != head.manifest_digest:
            deployment.previous = before
        deployment.bundle = bundle  # the swap: one reference, which each request reads once
        if not self._is_frozen:
            self._is_frozen = True
            gc.freeze()  # the collector skips what was imported and loaded so far,
            gc.set_threshold(20_000, 20, 20)  # and runs rarely: requests leave no reference cycles
        self._save_head(head)
        _clear_error(deployment)
        self._metrics.model_version.labels(deployment.use_case).set(head.version)
        self._metrics.swaps.labels(deployment.use_case).inc()
        log.info("%s: version %s with features %s is in service", head.use_case, head.version, bundle.features_version)

    def _add_batch_answers(self, deployment: Deployment) -> None:
        """Serve batch answers as soon as they are there: batch scoring ends some time after the promotion."""
        bundle = deployment.bundle
        if bundle is None or bundle.ranking is None or bundle.features_ref is None:
            return
        if bundle.ranking.batch_answers is not None:
            return
        answers = self._read_batch_answers(bundle.use_case, bundle.version, bundle.manifest_digest, bundle.features_ref)
        if answers is not None:
            ranking = replace(bundle.ranking, batch_answers=answers)
            ranking.warm_up()
            deployment.bundle = replace(bundle, ranking=ranking)
            log.info("%s: serving the batch answers of %d users", bundle.label, len(answers.rows))

    def _read_batch_answers(self, use_case: str, version: int, digest: str, features: DatasetRef) -> BatchAnswers | None:
        return BatchAnswers.read(self._storage, use_case=use_case, version=version, manifest_digest=digest, features=features)

    def _record_failure(self, deployment: Deployment, head: LedgerEntry, target: tuple[str, str], error: Exception) -> None:
        deployment.failures = deployment.failures + 1 if target == deployment.failed else 1
        pause = min(MAX_RETRY_SECONDS, self._settings.endpoint_poll_seconds * 2 ** min(deployment.failures, 10))
        deployment.failed, deployment.retry_at = target, time.monotonic() + pause
        deployment.last_error = f"version {head.version} is not in service: {_describe(error)}"
        self._metrics.swap_failures.labels(deployment.use_case).inc()
        log.error("%s: %s (attempt %s, next in %.0f s)", deployment.use_case, deployment.last_error, deployment.failures, pause)

    def _require_unaltered(self, deployment: Deployment, head: LedgerEntry) -> None:
        """Accept a new head only if its digest is valid and no entry was removed.

        Raises
        ------
        ModelError : the ledger was altered.
        """
        where = f"{deployment.use_case}: the ledger's newest entry {head.sequence}"
        if self._ledger is not None and head.sequence in self._ledger.broken_links(deployment.use_case):
            raise ModelError(f"{where} was altered; restore the ledger's database from its backup")
        served = deployment.bundle.entry if deployment.bundle is not None else None
        if served is not None and head.sequence < served.sequence:
            raise ModelError(
                f"{where} is older than entry {served.sequence}, which is in service: entries were removed. "
                "Restore the ledger's database, or restart the endpoint if you removed them on purpose"
            )

    def _load(self, deployment: Deployment, head: LedgerEntry, newest: DatasetRef | None) -> Bundle:
        kept = [bundle for bundle in (deployment.bundle, deployment.previous) if bundle is not None]
        same = next((bundle for bundle in kept if bundle.manifest_digest == head.manifest_digest), None)
        if same is not None:
            model, terms = copy_model(same.model), same.terms
        else:
            model, terms = fetch_champion(head, self._kinds, self._cache / "models")
        bundle = Bundle(head.use_case, head.version, head.manifest_digest, model, terms, entry=head)
        if terms.task.answers_rows:
            return run_smoke_test(bundle, read_smoke_rows(self._storage, newest, terms))
        if newest is None:
            raise ModelError(f"no features snapshot found: run the DAG {deployment.use_case}.features")
        loaded = next((one.tables for one in kept if one.features_ref == newest), None)
        bundle = replace(
            bundle,
            tables=loaded or read_features(self._storage, newest),
            features_ref=newest,
            features_zone=ZoneInfo(self._storage.manifest(newest)["facts"].get("time_zone", "UTC")),
        )
        answers = self._read_batch_answers(head.use_case, head.version, head.manifest_digest, newest)
        return run_smoke_test(add_ranking(bundle, answers))

    # alias

    def compare_aliases(self) -> None:
        """Report where the MLflow alias differs from the ledger's head. The ledger decides; the alias changes nothing."""
        for deployment in self.deployments.values():
            gauge = self._metrics.alias_disagrees.labels(deployment.use_case)
            champion = deployment.head.version if deployment.head is not None else None
            try:
                alias = tracking.aliases(deployment.use_case).get(Role.CHAMPION)
            except Exception as error:  # any error, such as MLflow being down
                deployment.alias = f"unknown: {_describe(error)}"
                gauge.set(float("nan"))
                continue
            agrees = alias == champion
            named = f"version {alias}" if alias is not None else "no version"
            deployment.alias = "agrees" if agrees else f"disagrees: it names {named}, the ledger names version {champion}"
            gauge.set(0.0 if agrees else 1.0)


def _is_in_service(bundle: Bundle | None, head: LedgerEntry, newest: DatasetRef | None) -> bool:
    if bundle is None or bundle.entry != head:
        return False
    return bundle.terms.task.answers_rows or bundle.features_ref == newest


def _clear_error(deployment: Deployment) -> None:
    deployment.last_error, deployment.failures, deployment.failed = "", 0, ("", "")


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
