"""What serves a use case: the bundle of model and features, and the deployment that holds the current bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import msgspec

from serving.deployment.row_decoder import make_row_decoder
from serving.ranking.batch_answers import BatchAnswers
from serving.ranking.ranking import Ranking
from serving.ranking.vector_index import VectorIndex
from tasks import columns as c
from tasks.contracts.calendar import UTC_ZONE, start_of_day
from tasks.contracts.cells import NUMBERS, WHOLE_NUMBERS, Cell
from tasks.contracts.data import DatasetRef
from tasks.contracts.promotion import LedgerEntry
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.io.cells import CellReader, readers_of
from tasks.models.base import FeatureTables, ServedModel

_CELLS_OF_REQUESTS = {
    **dict.fromkeys((c.USER_ID, c.ITEM_ID, c.EVENT_ID), Cell(type="id")),
    **dict.fromkeys((c.QUANTITY, c.VALUE), Cell(type="double")),
    c.SEGMENT: Cell(),
    c.TARGET: Cell(type="boolean"),
}
FROM_REQUEST = "request"  # the features version of a tabular answer: its features came with the request


@dataclass(frozen=True)
class Bundle:
    """A model with its features. Replaced as a whole, so that every answer comes from one model and one features snapshot.

    Attributes
    ----------
    tables, features_ref : the features snapshot; None for a tabular use case.
    features_zone : whose day the snapshot is of.
    ranking : the ways to rank items; None for a tabular use case.
    entry : the ledger entry that promoted the model; None for a model that is served without a promotion.
    """

    use_case: str
    version: int
    manifest_digest: str
    model: ServedModel
    terms: ScoringTerms
    tables: FeatureTables | None = None
    features_ref: DatasetRef | None = None
    features_zone: ZoneInfo = UTC_ZONE
    ranking: Ranking | None = None
    entry: LedgerEntry | None = None

    @cached_property
    def row_decoder(self) -> msgspec.json.Decoder[Any]:
        """Decodes request bodies with rows of exactly this model's columns."""
        return self._make_decoder(numbers_as_text=False)

    @cached_property
    def loose_row_decoder(self) -> msgspec.json.Decoder[Any]:
        """As `row_decoder`, with numbers as text too, as files have them."""
        return self._make_decoder(numbers_as_text=True)

    def _make_decoder(self, *, numbers_as_text: bool) -> msgspec.json.Decoder[Any]:
        terms = self.terms
        booleans = {name for name, cell in terms.cells.items() if cell.type == "boolean"}
        return make_row_decoder(terms.row_columns, terms.text_columns, booleans, numbers_as_text=numbers_as_text)

    @cached_property
    def column_readers(self) -> tuple[CellReader, ...]:
        """What reads the cells of each of the model's columns, in their order."""
        terms = self.terms
        return tuple(readers_of(terms.cells, terms.row_columns, terms.text_columns).values())

    @cached_property
    def checked_places(self) -> tuple[int, ...]:
        """The columns whose cells are read even where they are of the right type of JSON: all but plain numbers."""
        readers = enumerate(self.column_readers)
        return tuple(place for place, one in readers if one.cell.type not in NUMBERS - WHOLE_NUMBERS)

    def reader(self, name: str) -> CellReader:
        """What reads a canonical column that clients send."""
        return self._readers[name]

    @cached_property
    def _readers(self) -> dict[str, CellReader]:
        found = {name: CellReader(self.terms.cells.get(name, cell)) for name, cell in _CELLS_OF_REQUESTS.items()}
        found[c.EVENT_TYPE] = CellReader(self.terms.cells.get(c.EVENT_TYPE, Cell(allowed=c.EVENT_TYPES)))
        return found

    @property
    def ranks(self) -> Ranking:
        """The ways to rank items.

        Raises
        ------
        ModelError : the use case is tabular.
        """
        if self.ranking is None:
            raise ModelError(f"{self.use_case} is tabular and ranks no items")
        return self.ranking

    @property
    def features(self) -> FeatureTables:
        """The tables of the features snapshot.

        Raises
        ------
        ModelError : the use case is tabular.
        """
        if self.tables is None:
            raise ModelError(f"{self.use_case} is tabular and has no feature tables")
        return self.tables

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made an answer: part of every response and of every row of the prediction log."""
        return {
            "use_case": self.use_case,
            "model_version": self.version,
            "manifest_digest": self.manifest_digest,
            "features_version": self.features_version,
        }

    @property
    def features_version(self) -> str:
        """The version of the features snapshot, or `FROM_REQUEST`."""
        return self.features_ref.version if self.features_ref else FROM_REQUEST

    @cached_property
    def features_as_of(self) -> date | None:
        """The day of the features snapshot; None for a tabular use case."""
        return date.fromisoformat(self.features_ref.partition) if self.features_ref else None

    @cached_property
    def features_until(self) -> datetime | None:
        """The moment before which the events of the features happened; None for a tabular use case."""
        return None if self.features_as_of is None else start_of_day(self.features_as_of, self.features_zone)

    @property
    def label(self) -> str:
        """Use case and version, for messages."""
        return f"{self.use_case} version {self.version}"


@dataclass
class Deployment:
    """One use case in service. Only the thread that follows the ledger writes it; a request reads `bundle` once.

    Attributes
    ----------
    head : the newest ledger entry; None for a model that is served without a promotion.
    bundle : what answers requests; None until the first bundle is loaded.
    previous : the bundle of another model that was in service before: a rollback to it needs no download.
    last_error : why `head` is not in service; empty if it is.
    failures : failed attempts in a row to load `failed`.
    failed : ledger entry digest and features version that could not be loaded.
    retry_at : time.monotonic() of the next attempt.
    alias : result of the comparison with the MLflow alias.
    """

    use_case: str
    head: LedgerEntry | None
    bundle: Bundle | None = None
    previous: Bundle | None = None
    last_error: str = ""
    failures: int = 0
    failed: tuple[str, str] = ("", "")
    retry_at: float = 0.0
    alias: str = "unknown: not compared yet"

    @property
    def is_current(self) -> bool:
        """Whether the bundle is the one that the ledger's head names."""
        return self.bundle is not None and self.bundle.entry == self.head and not self.last_error


class DeploymentSource(Protocol):
    """Where the app finds its deployments, by use case."""

    deployments: Mapping[str, Deployment]

    @property
    def ledger_error(self) -> str:
        """Why the ledger is not read, empty if it is."""

    def start(self) -> None:
        """Begin to keep the deployments up to date."""

    def stop(self) -> None:
        """End it."""


def copy_model(model: ServedModel) -> ServedModel:
    """A second instance, because a model caches arrays of its features and two bundles must not share that cache."""
    state, arrays = model.state()
    fresh = type(model).from_state(state, arrays)
    fresh.calibration, fresh.class_threshold = model.calibration, model.class_threshold
    return fresh


def add_ranking(bundle: Bundle, batch_answers: BatchAnswers | None) -> Bundle:
    """The bundle of a recommender with its ranking."""
    model, tables, terms = bundle.model, bundle.features, bundle.terms
    index = VectorIndex.of_model(model, tables, k=terms.k)
    return replace(bundle, ranking=Ranking(model, terms, tables, batch_answers, index))
