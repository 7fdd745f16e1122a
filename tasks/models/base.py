"""The contract of all models: `fit` of a spec returns a served model with `recommend`, `predict_ratings` or `predict_rows`.

Training and serving are two classes on purpose. A *spec* (frozen, from YAML) may use Spark and scikit-learn. What `fit`
returns, the *served model*, is arrays and JSON with NumPy only: it is what gets exported, digested, judged and served, by
the same code in all places, and the endpoint never unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.contracts.base import Name, TaskKind
from tasks.contracts.data import DatasetRef
from tasks.contracts.predictions import AnswerPath
from tasks.contracts.training import ProbabilityOf, ScoringTerms
from tasks.errors import ModelError
from tasks.io.storage import Storage
from tasks.kinds import Spec
from tasks.models.arrays import map_arrays, pack_texts, read_arrays, unpack_texts
from tasks.models.platt import Calibration, sigmoid

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"
# The best of each row: where those of row r begin (rows + 1,), their places (found,), and their scores (found,).
Best = tuple[NDArray[np.int64], NDArray[np.int64], Floats]
LARGEST_MODEL = 4 * 2**30  # bytes
AGREEMENT = 1e-5  # the largest distance of predictions that an export or a conversion to arrays may cause
CELLS_AT_ONCE = 2**23  # of users and items, scored as one block of eight bytes each


@dataclass(frozen=True)
class FeatureTables:
    """The features of interactions as of one moment.

    users : one row a user, key `user_id`; items : one row an item, key `item_id`; pairs : one row for each user and item
    that ever met, keys `user_id` and `item_id`. All other columns are numbers (`segment` of users is text or null).
    """

    users: pd.DataFrame
    items: pd.DataFrame
    pairs: pd.DataFrame

    @cached_property
    def item_ids(self) -> NDArray[np.object_]:
        """All items, sorted: the order of every score vector."""
        return np.sort(self.items[c.ITEM_ID].to_numpy(dtype=object))

    @cached_property
    def sorted_items(self) -> pd.DataFrame:
        """`items` in the order of `item_ids`."""
        return self.items.sort_values(c.ITEM_ID, ignore_index=True)

    @cached_property
    def item_position(self) -> dict[str, int]:
        """Item -> its place in `item_ids`."""
        return {item: position for position, item in enumerate(self.item_ids)}

    @cached_property
    def longest_lookback(self) -> int | None:
        """The days of the longest window in which items are counted; None where the features count none."""
        found = (re.fullmatch(r"item_orders_(\d+)d", str(name)) for name in self.items.columns)
        return max((int(match[1]) for match in found if match), default=None)

    @cached_property
    def on_sale(self) -> NDArray[np.bool_]:
        """Which of `item_ids` were sold (or rated) in the longest lookback, (items,); all where the features count nothing.

        `items` holds all that were ever sold, so that its length grows with the history. What is compared with the size of
        the catalogue is compared with these.
        """
        days = self.longest_lookback
        if days is None:
            return np.ones(len(self.item_ids), dtype=np.bool_)
        return self.sorted_items[f"item_orders_{days}d"].to_numpy(np.float64, na_value=0.0) > 0

    @cached_property
    def sorted_pairs(self) -> pd.DataFrame:
        """`pairs` by user and item, with the item's place in `item_ids` as column `item_position`."""
        import pandas as pd

        # Numbers sort in a tenth of the time of names, and each name is looked up once.
        users, names = pd.factorize(self.pairs[c.USER_ID])
        place = np.empty(len(names), dtype=np.int64)
        place[np.argsort(np.asarray(names, dtype=object), kind="stable")] = np.arange(len(names))
        items, named = pd.factorize(self.pairs[c.ITEM_ID])
        position = pd.Index(self.item_ids).get_indexer(pd.Index(named)).astype(np.int64)[items]
        key = place[users] * (len(self.item_ids) + 1) + position
        if (key[1:] > key[:-1]).all():
            return self.pairs.reset_index(drop=True).assign(item_position=position)
        order = np.argsort(key, kind="stable")
        return self.pairs.iloc[order].reset_index(drop=True).assign(item_position=position[order])

    @cached_property
    def is_recent_pair(self) -> NDArray[np.bool_]:
        """Which of `sorted_pairs` met in the longest lookback, (pairs,); all where the features count nothing."""
        ages, days = self.sorted_pairs.get("pair_recency_days"), self.longest_lookback
        if ages is None or days is None:
            return np.ones(len(self.sorted_pairs), dtype=np.bool_)
        return ages.to_numpy(np.float64, na_value=np.inf) <= days

    @cached_property
    def bounds(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """The users of `sorted_pairs` in their order, and where the rows of each begin; one more for where the last ends."""
        users = self.sorted_pairs[c.USER_ID].to_numpy(dtype=object)
        starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]]) if len(users) else np.empty(0, np.int64)
        return users[starts], np.r_[starts, len(users)].astype(np.int64)

    @cached_property
    def _rows_of(self) -> dict[str, tuple[int, int]]:
        users, starts = self.bounds
        return dict(zip(users, zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True), strict=True))

    @cached_property
    def user_row(self) -> dict[str, int]:
        """User -> its row in `users`."""
        return {user: row for row, user in enumerate(self.users[c.USER_ID])}

    @cached_property
    def _logs(self) -> dict[str, Floats]:
        return {}

    def user_logs(self, column: str) -> Floats:
        """log(1 + value) of a column of `users`, (users + 1,), NaN where it is missing; the last is for an unknown user.

        Raises
        ------
        ModelError : there is no such column.
        """
        if column not in self._logs:
            if column not in self.users:
                raise ModelError(
                    f"the calibration needs the users' column {column}, which the features lack; they have: "
                    f"{', '.join(map(str, self.users.columns))}. Train the model again with the present features"
                )
            values = np.append(self.users[column].to_numpy(np.float64, na_value=np.nan), np.nan)
            self._logs[column] = np.log1p(np.maximum(values, 0.0))
        return self._logs[column]

    def active_users(self, days: int | None) -> list[str]:
        """The users who came in the newest `days`, sorted; all who ever came where `days` is None or no recency is counted."""
        ages = self.users.get("user_recency_days")
        if days is None or ages is None:
            return sorted(self.users[c.USER_ID])
        return sorted(self.users[c.USER_ID][ages.to_numpy(np.float64, na_value=np.inf) <= days])

    def pairs_of(self, user_id: str) -> slice:
        """The rows of `sorted_pairs` that belong to a user; empty for one who is unknown."""
        return slice(*self._rows_of.get(user_id, (0, 0)))


@dataclass(frozen=True)
class ColumnKinds:
    """How the use case declares columns that hold text. All others are nominal.

    ordinal : column -> its values, the least first. text : columns of free text.
    """

    ordinal: Mapping[str, Sequence[str]] = field(default_factory=dict)
    text: Sequence[str] = ()


@dataclass(frozen=True)
class Examples:
    """Features as of the first day of a label window, and what then happened in it.

    For interactions `features` is set and `labels` has `user_id`, `item_id`, `label`. For tabular use cases `rows` is set:
    the feature columns, `row_id` and `target`; `kinds` declares those that hold text.
    """

    features: FeatureTables | None = None
    labels: pd.DataFrame | None = None
    rows: pd.DataFrame | None = None
    kinds: ColumnKinds = field(default_factory=ColumnKinds)


@dataclass(frozen=True)
class SparkProblem:
    """An Estimator of pyspark.ml, the frame that it is fitted to, and the frame's column of right answers."""

    estimator: Any
    frame: Any
    label: str


class ModelSpec(Spec):
    """A kind of model and its settings, as in the YAML.

    tasks : the kinds of task that it fits. served : the class of what `fit` returns. limit : the setting that bounds its
    memory or time; above it `fit` raises `NotEnoughData`. Empty for kinds that accept data of every size.

    A kind that can start from a champion also derives from `WarmStart`, one that Spark's tuners can search from `SparkTuned`.
    """

    tasks: ClassVar[frozenset[TaskKind]]
    served: ClassVar[type[ServedModel]]
    limit: ClassVar[str] = ""
    name: Name | None = None

    @property
    def candidate_name(self) -> str:
        """Its name among the candidates, in MLflow and in reports."""
        return self.name or self.kind

    def fit(self, train: Examples, history: Examples, seed: int) -> ServedModel:
        """Train a model. The same inputs and seed give the same arrays, bit for bit.

        Parameters
        ----------
        train : features as of the first day of the training window, and the labels of that window. Models that learn weights
            from labels use it. `labels` has one row for each user and item, `rows` one row for each example.
        history : features as of the first day of the validation window. Models that learn from the interactions themselves
            use its `pairs`, which hold one row for each user and item that met before that day. `fit` must not read its
            labels: they select and calibrate candidates.
        seed : of every random draw.

        Returns
        -------
        A model of the class `served`.

        Raises
        ------
        NotEnoughData : the data are too few or too many; the message states the size and the limit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fit")


class WarmStart(ABC):
    """For kinds whose training can start from the served arrays of a champion of the same kind."""

    @abstractmethod
    def warm_start_problem(self, champion: ServedModel, train: Examples, history: Examples) -> str:
        """Why training cannot start from this champion; empty if it can."""

    @abstractmethod
    def fit_from(self, champion: ServedModel, train: Examples, history: Examples, seed: int) -> ServedModel:
        """Train as `ModelSpec.fit` does, from a champion for which `warm_start_problem` is empty."""


class SparkTuned(ABC):
    """For kinds that an Estimator of pyspark.ml trains, so that Spark's own tuners can search their settings.

    spark_tasks : the kinds of task for which this holds. spark_params : setting -> parameter of the Estimator.
    """

    spark_tasks: ClassVar[frozenset[TaskKind]]
    spark_params: ClassVar[Mapping[str, str]]

    @abstractmethod
    def spark_problem(self, history: Examples, seed: int) -> SparkProblem:
        """The Estimator and the frame that `ModelSpec.fit` passes to Spark."""


class Recommendation(NamedTuple):
    """The top items of one user, best first."""

    user_id: str
    items: tuple[str, ...]
    raw_scores: tuple[float, ...]
    scores: tuple[float, ...]  # calibrated to probabilities where the model was calibrated, else the raw scores
    path: AnswerPath


class ServedModel(ABC):
    """What is exported and served. Its state is arrays and JSON; `kind` names the class that loads it.

    To add one: set `kind`, implement `state`, `from_state` and one of `score_items` (recommenders), `predict_ratings`,
    `predict_rows`.
    """

    kind: ClassVar[str]
    calibration: Calibration | None = None  # raw scores of lists -> probabilities
    class_threshold: float = 0.5  # from which probability on a row is told to be of class 1

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """JSON settings and arrays from which `from_state` makes an equal model. Each class states the shapes."""

    @classmethod
    @abstractmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """The inverse of `state`."""

    def score_items(self, user_id: str, features: FeatureTables) -> tuple[Floats, AnswerPath]:
        """Raw scores of all `features.item_ids` for a user, (items,), -inf for an item without one; and their path."""
        raise ModelError(f"a model of kind '{self.kind}' does not rank items")

    def predict_ratings(self, pairs: pd.DataFrame, features: FeatureTables) -> Floats:
        """The rating of each `user_id`, `item_id` of `pairs`, (pairs,) in their order; of unknown users and items as well."""
        raise ModelError(f"a model of kind '{self.kind}' does not predict ratings")

    def predict_rows(self, rows: pd.DataFrame) -> Floats:
        """The probability of class 1 of each row, (rows,) between 0 and 1."""
        raise ModelError(f"a model of kind '{self.kind}' does not classify rows")

    def predict_values(self, values: Floats, names: tuple[str, ...]) -> Floats:
        """As `predict_rows`, from a matrix (rows, names): the endpoint builds no table for one row."""
        import pandas as pd

        return self.predict_rows(pd.DataFrame(values, columns=list(names)))

    def choose_classes(self, probabilities: Floats) -> Floats:
        """The class that each probability of class 1 tells, 0.0 or 1.0 of the same shape, by `class_threshold`."""
        return np.asarray(probabilities >= self.class_threshold, dtype=np.float64)

    def linear_weights(self) -> Floats | None:
        """The weights of a model that is linear in its encoded columns, (outputs,) in the order of `Encoding.outputs`.

        None for every other model.
        """
        return None

    def score_users(self, user_ids: list[str], features: FeatureTables) -> tuple[Floats, list[AnswerPath]]:
        """`score_items` of several users: (users, items), and their paths. Override it if many users together cost less."""
        answers = [self.score_items(user_id, features) for user_id in user_ids]
        return np.stack([scores for scores, _ in answers]), [path for _, path in answers]

    def recommend(
        self, user_ids: list[str], features: FeatureTables, k: int, exclude_seen: bool = False
    ) -> list[Recommendation]:
        """The top `k` items of each user. Ties go to the smaller item id, so that the answer is always the same."""
        answers = []
        at_once = max(1, min(256, CELLS_AT_ONCE // max(len(features.item_ids), 1)))
        for start in range(0, len(user_ids), at_once):
            block = user_ids[start : start + at_once]
            (starts, places, best), paths = self.search(block, features, k, exclude_seen)
            items, raw = features.item_ids[places].tolist(), best.tolist()
            probable = None
            if self.calibration is not None:
                shifts = np.repeat(self.activity_shifts(block, features), np.diff(starts))
                probable = self.calibrated(best, shifts).tolist()
            for user_id, path, first, end in zip(block, paths, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
                raw_scores = tuple(raw[first:end])
                scores = raw_scores if probable is None else tuple(probable[first:end])
                answers.append(Recommendation(user_id, tuple(items[first:end]), raw_scores, scores, path))
        return answers

    def search(self, user_ids: list[str], features: FeatureTables, k: int, exclude_seen: bool) -> tuple[Best, list[AnswerPath]]:
        """The best of each user of a block, and the paths. Override it if the search needs no exact scores."""
        scores, paths = self.score_users(user_ids, features)
        if exclude_seen:
            forbid_seen(scores, user_ids, features)
        return find_best(scores, k), paths

    def item_vectors(self, features: FeatureTables) -> tuple[Floats, NDArray[np.bool_]] | None:
        """The vectors whose products with a `user_vector` are the raw scores. None if the scores are no such products.

        Returns
        -------
        vectors : float64 of shape (items, factors), in the order of `features.item_ids`.
        has_score : bool of shape (items,); False for an item that the model cannot score.
        """
        return None

    def user_vector(
        self, user_id: str, features: FeatureTables, recent: Mapping[int, float] | None = None
    ) -> tuple[Floats, float] | None:
        """A user's vector for `item_vectors` of shape (factors,), and the constant that is added to each product.

        None if the model knows none of the user's items, or if it has no `item_vectors`.

        Parameters
        ----------
        recent : item position -> orders or rating since the features were built.
        """
        return None

    def activity_shifts(self, user_ids: Sequence[str], features: FeatureTables) -> Floats:
        """What the activity of each user adds to the calibration, (users,); 0 for an unknown user, as of mean activity."""
        total = np.zeros(len(user_ids))
        if self.calibration is not None and self.calibration.activity:
            rows = np.array([features.user_row.get(user, -1) for user in user_ids], dtype=np.intp)
            for column, (weight, centre) in self.calibration.activity.items():
                values = features.user_logs(column)[rows]  # -1, for an unknown user, is the last, which is NaN
                total += weight * np.where(np.isfinite(values), values - centre, 0.0)
        return total

    def calibrated(self, raw: Floats, shift: Floats | float = 0.0) -> Floats:
        """Raw scores -> probabilities of the same shape, by the curve fitted on the validation window (Platt 1999).

        Parameters
        ----------
        shift : `activity_shifts` of the users of the scores.
        """
        if self.calibration is None:
            return raw
        return sigmoid(self.calibration.slope * raw + (self.calibration.intercept + shift))


def top_places(scores: Floats, k: int) -> NDArray[np.intp]:
    """Places of the k largest finite scores (items,), largest first, ties by place: at most (k,)."""
    if k < len(scores):
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        places = np.flatnonzero(scores >= threshold)
    else:
        places = np.arange(len(scores))
    places = places[np.isfinite(scores[places])]
    return places[np.argsort(-scores[places], kind="stable")][:k]


def forbid_seen(scores: NDArray[np.floating[Any]], user_ids: list[str], features: FeatureTables) -> None:
    """Set the scores (users, items) of all items that the user of the row has met to -inf, in place."""
    seen = features.sorted_pairs["item_position"].to_numpy()
    for row, user_id in enumerate(user_ids):
        scores[row, seen[features.pairs_of(user_id)]] = -np.inf


def find_best(
    scores: NDArray[np.floating[Any]],
    k: int,
    margin: Floats | None = None,
    exact: Callable[[NDArray[np.int64], NDArray[np.int64]], Floats] | None = None,
) -> Best:
    """Of each row of (users, items) the k largest finite scores, largest first, ties by place.

    Parameters
    ----------
    margin : (users,), twice the largest error of a score: `exact` recomputes all items that could be among the best.
    exact : rows (candidates,) and places (candidates,) -> their exact scores (candidates,); None: the scores are exact.
    """
    users, size = scores.shape
    lowest = np.full(users, -np.inf)
    if k < size:
        # The k-th largest of the largest of eight is at most the k-th largest, nearly as large, and found in an eighth.
        width = size // 8 if size >= 32 * k else size
        largest = scores[:, :width]
        for start in range(width, size, width):
            part = scores[:, start : start + width]
            if part.shape[1] == width:
                largest = np.maximum(largest, part)
        lowest = np.partition(largest, width - k, axis=1)[:, width - k]
    flat = np.flatnonzero(scores >= (lowest if margin is None else lowest - margin).astype(scores.dtype)[:, None])
    flat = flat[np.isfinite(scores.ravel()[flat])]
    row, place = np.divmod(flat, max(size, 1))
    values = scores.ravel()[flat].astype(np.float64) if exact is None else exact(row, place)
    order = np.lexsort((place, -values, row))  # rows stay together: they are the first to sort by
    counts = np.bincount(row, minlength=users)
    rank = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = order[rank < k]
    starts = np.r_[0, np.cumsum(np.minimum(counts, k))].astype(np.int64)
    return starts, place[order], values[order]


def save_model(model: ServedModel, folder: Path, terms: ScoringTerms) -> str:
    """Export a model as `model.json` and `arrays.npz` with a manifest of digests; the manifest's own sha256 comes back."""
    folder.mkdir(parents=True)
    settings, arrays = model.state()
    document = {
        "kind": model.kind,
        "settings": settings,
        "calibration": model.calibration.to_json() if model.calibration else None,
        "class_threshold": model.class_threshold,
        "terms": terms.to_json(),
    }
    (folder / "model.json").write_text(json.dumps(document, sort_keys=True, indent=1))
    with (folder / "arrays.npz").open("wb") as stream:
        np.savez(
            stream, allow_pickle=False, **pack_texts(arrays)
        )  # stored, not compressed: the bytes depend on the arrays alone
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps({"files": files}, sort_keys=True, indent=1))
    return _sha256(folder / MANIFEST)


def load_model(
    folder: Path, expected_digest: str, kinds: dict[str, type[ServedModel]], *, mapped: bool = False
) -> tuple[ServedModel, ScoringTerms]:
    """Load what `save_model` wrote. Nothing is unpickled, and nothing is read before its digest was checked.

    Parameters
    ----------
    mapped : large arrays stay in the file, and all processes that map it share them. No other user may write the file.

    Raises
    ------
    ModelError : a file is missing, added or altered, the manifest is not the one that the ledger or run names, or the
        kind is unknown.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file() or _sha256(manifest) != expected_digest:
        raise ModelError(f"{folder}: the manifest is missing or is not the one expected ({expected_digest[:12]}...)")
    files: dict[str, str] = json.loads(manifest.read_text())["files"]
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    if present != set(files):
        raise ModelError(f"{folder}: holds {sorted(present)}, the manifest names {sorted(files)}")
    for name, digest in files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file() or _sha256(path) != digest:
            raise ModelError(f"{path}: does not match the digest in its manifest")
    _refuse_bombs(folder)
    document = json.loads((folder / "model.json").read_text())
    if document["kind"] not in kinds:
        raise ModelError(f"{folder}: model kind {document['kind']!r} is unknown; known: {', '.join(sorted(kinds))}")
    arrays = unpack_texts((map_arrays if mapped else read_arrays)(folder / "arrays.npz"))
    model = kinds[document["kind"]].from_state(document["settings"], arrays)
    model.calibration = Calibration.from_json(document["calibration"]) if document["calibration"] else None
    model.class_threshold = document.get("class_threshold", ServedModel.class_threshold)
    # Exports of earlier versions were calibrated on buyers, and do not say so.
    return model, ScoringTerms.from_json({"probability_of": ProbabilityOf.BUYERS, **document["terms"]})


def _refuse_bombs(folder: Path) -> None:
    """Refuse files that would grow in memory: a valid export has the same size in memory and on disk."""
    size = (folder / "model.json").stat().st_size
    with zipfile.ZipFile(folder / "arrays.npz") as archive:
        for member in archive.infolist():
            size += member.file_size
            if not re.fullmatch(r"\w+\.npy", member.filename):
                raise ModelError(f"{folder}: {member.filename[:80]!r} is not the name of an array")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > member.compress_size:
                raise ModelError(f"{folder}: array {member.filename!r} is compressed; an export stores its arrays uncompressed")
    if size > LARGEST_MODEL:
        raise ModelError(f"{folder}: {size} bytes exceed the limit of {LARGEST_MODEL}")


def read_features(storage: Storage, ref: DatasetRef) -> FeatureTables:
    """The features of a `features` or `examples` snapshot of an interaction use case."""
    return FeatureTables(*(storage.read(ref, table) for table in (c.USERS, c.ITEMS, c.PAIRS)))


def read_examples(storage: Storage, ref: DatasetRef) -> Examples:
    """The features and labels of an `examples` snapshot, ordered by key, so that all readers have the same order."""
    if c.ROWS in ref.rows:
        declared = storage.manifest(ref)["facts"].get("features", {})
        kinds = ColumnKinds(declared.get("ordinal", {}), declared.get("text", ()))
        return Examples(rows=storage.read(ref, c.ROWS).sort_values(c.ROW_ID, ignore_index=True), kinds=kinds)
    labels = storage.read(ref, c.LABELS).sort_values([c.USER_ID, c.ITEM_ID], ignore_index=True)
    return Examples(features=read_features(storage, ref), labels=labels)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
