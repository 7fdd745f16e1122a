"""Incremental learning: when a start is warm, the quality of a warm model, and its description."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.data import DatasetRef, Split
from tasks.contracts.promotion import ModelVersion
from tasks.contracts.training import Candidate, ScoringTerms, Start
from tasks.errors import ConfigurationError
from tasks.io import tracking
from tasks.io.storage import Storage, frame_writer
from tasks.models import MODELS
from tasks.models.als import AlsModel
from tasks.models.base import Examples, FeatureTables, WarmStart
from tasks.models.hybrid import HybridModel
from tasks.models.ials import Ials, IalsSpec
from tasks.models.logistic_regression import LogisticRegressionModel, LogisticRegressionSpec
from tasks.models.propensity_regression import PropensityRegression, PropensityRegressionModel
from tasks.settings import get_settings
from tasks.stages.training import begin, train
from tasks.stages.training.incremental import choose_start
from tasks.stages.training.spec import IncrementalSpec
from tests.tasks.models.checkerboard import checkerboard, item, rows, tables

DAY = date(2026, 1, 29)
POLICY = IncrementalSpec(candidates=("ials",), full_after_runs=2, full_after_days=28)
WARM = [kind for kind, spec in MODELS.kinds.items() if issubclass(spec, WarmStart)]
REF = DatasetRef(use_case="shop", layer="examples", partition="p", version="0" * 16, digest="0" * 64, rows={})


def champion_of(kind: str = "ials", as_of: date = DAY - timedelta(days=7), start: Start | None = None) -> Candidate:
    split = Split(as_of=as_of, train=REF, validation=REF, holdout=REF)
    return Candidate(
        use_case="shop",
        name=kind,
        kind=kind,
        run_id="r",
        model_uri="models:/m-1",
        manifest_digest="a" * 64,
        split=split,
        code_version="abc",
        metrics={},
        fit_seconds=1.0,
        start=start,
    )


def line(runs: int, since: date) -> Start:
    return Start(is_warm=runs > 0, reason="", warm_runs=runs, full_as_of=since)


def test_kinds_with_a_warm_start() -> None:
    assert set(WARM) == {"ials", "hybrid", "logistic_regression", "propensity_regression"}


def test_consecutive_warm_champions_are_counted() -> None:
    first = choose_start(Ials(), POLICY, DAY, champion_of(), 3)
    assert (first.is_warm, first.warm_runs, first.champion_version, first.champion_digest) == (True, 1, 3, "a" * 64)
    assert first.full_as_of == DAY - timedelta(days=7)
    second = choose_start(Ials(), POLICY, DAY, champion_of(start=first), 4)
    assert (second.is_warm, second.warm_runs, second.full_as_of) == (True, 2, first.full_as_of)


@pytest.mark.parametrize(
    ("champion", "message"),
    [
        (None, "there is no champion yet"),
        (champion_of(kind="popularity"), "the champion is of kind 'popularity'"),
        (champion_of(as_of=DAY + timedelta(days=1)), "of a later day, 2026-01-30"),
        (champion_of(start=line(2, DAY - timedelta(days=7))), "due: 2 warm champions in a row"),
        (champion_of(start=line(1, DAY - timedelta(days=28))), "due: the last full training was of 2026-01-01"),
        (champion_of(as_of=DAY - timedelta(days=28)), "due: the last full training was of 2026-01-01"),
    ],
)
def test_a_full_training_where_it_is_due(champion: Candidate | None, message: str) -> None:
    start = choose_start(Ials(), POLICY, DAY, champion, 3)
    assert message in start.reason
    assert (start.is_warm, start.warm_runs, start.full_as_of, start.champion_version) == (False, 0, DAY, None)


def test_a_kind_without_warm_start_is_refused_early() -> None:
    specs = [MODELS.parse({"kind": kind}, "test") for kind in ("als", "ials")]
    IncrementalSpec(candidates=("ials",)).check(specs)
    with pytest.raises(
        ConfigurationError,
        match="'als', whose training cannot start from a champion; kinds that can: hybrid",
    ):
        IncrementalSpec(candidates=("als",)).check(specs)
    with pytest.raises(ConfigurationError, match="no candidate 'bpr'; allowed: als, ials"):
        IncrementalSpec(candidates=("bpr",)).check(specs)


# what is learned


def without(examples: Examples, items: set[str]) -> Examples:
    """The shop before some items were new."""
    known = examples.features
    assert known is not None
    tables = [table[~table[c.ITEM_ID].isin(items)].reset_index(drop=True) for table in (known.items, known.pairs)]
    return Examples(FeatureTables(known.users, *tables))


def noisy_shop(users: int = 60, items: int = 40) -> Examples:
    """Purchases by four tastes, a tenth of them by chance: nothing that one iteration could learn."""
    random = np.random.default_rng(3)
    taste = random.random((users, 4)) @ random.random((4, items)) ** 3
    bought = taste > np.quantile(taste, 0.8)
    bought ^= random.random(bought.shape) < 0.1
    met = [(f"u{u:02d}", item(i), 1.0) for u, i in zip(*np.nonzero(bought), strict=True)]
    shop = tables(pd.DataFrame(met, columns=[c.USER_ID, c.ITEM_ID, c.LABEL]), TaskKind.RECOMMENDATION)
    return Examples(shop)


def loss_of(model: AlsModel, features: FeatureTables) -> float:
    """What iALS makes small (Hu, Koren, Volinsky 2008), with each user's vector at its best."""
    total = model.penalties.regularization * float((model.factors**2).sum())
    for user in features.user_row:
        vector = model.fold_in(user, features)
        assert vector is not None
        mine = features.sorted_pairs[features.pairs_of(user)][c.ITEM_ID]
        has = np.isin(model.items, mine.to_numpy())
        total += float(((1.0 + model.penalties.alpha * has) * (has - model.factors @ vector) ** 2).sum())
        total += model.penalties.regularization * float((vector**2).sum())
    return total


def warm_spec(entry: dict[str, object]) -> IalsSpec:
    """A kind of iALS with these settings."""
    spec = MODELS.parse(entry, "test")
    assert isinstance(spec, IalsSpec)
    return spec


@pytest.mark.parametrize("kind", ["ials", "hybrid"])
def test_a_warm_iteration_replaces_many_cold_ones(kind: str) -> None:
    now = noisy_shop()
    assert now.features is not None
    new = {item(number) for number in (3, 8)}
    own = {"kind": kind, "factors": 6, "alpha": 5.0} | ({"dimensions": 8} if kind == "hybrid" else {})
    spec = warm_spec({**own, "iterations": 15, "warm_iterations": 1})
    champion = spec.fit(Examples(), without(now, new), 7)
    assert isinstance(champion, AlsModel) and not new & set(champion.items)
    assert spec.warm_start_problem(champion, Examples(), now) == ""
    warm, full = spec.fit_from(champion, Examples(), now, 7), spec.fit(Examples(), now, 7)
    one = MODELS.parse({**own, "iterations": 1}, "test").fit(Examples(), now, 7)
    assert isinstance(warm, HybridModel if kind == "hybrid" else AlsModel) and new <= set(warm.items)
    assert isinstance(full, AlsModel) and isinstance(one, AlsModel)
    found = [loss_of(model, now.features) for model in (warm, full, one)]
    assert found[0] < 1.02 * found[1] and found[2] > 1.05 * found[1], found
    again = spec.fit_from(champion, Examples(), now, 7)
    assert isinstance(again, AlsModel)
    np.testing.assert_array_equal(again.factors, warm.factors)

    other = warm_spec({**own, "factors": 8})
    assert other.warm_start_problem(champion, Examples(), now) == "the champion's vectors are not 8 long"
    forced = warm_spec({**own, "engine": "spark"})
    assert forced.warm_start_problem(champion, Examples(), now) == "Spark's ALS accepts no initial factors"


def test_a_new_item_starts_near_its_buyers_items() -> None:
    now = checkerboard(TaskKind.RECOMMENDATION, users=48, items=32)
    spec = Ials(factors=4, warm_iterations=1)
    champion = spec.fit(Examples(), without(now, {item(3)}), 7)
    warm = spec.fit_from(champion, Examples(), now, 7)
    assert isinstance(warm, AlsModel)
    unit = warm.factors / np.linalg.norm(warm.factors, axis=1, keepdims=True)
    likeness = unit @ unit[list(warm.items).index(item(3))]
    odd = np.array([int(name[1:]) % 2 == 1 for name in warm.items])
    assert likeness[odd].min() > likeness[~odd].max()


def test_regressions_reach_the_same_optimum() -> None:
    frame = rows()
    old, new = Examples(rows=frame[:150]), Examples(rows=frame)
    spec = LogisticRegressionSpec()
    champion = spec.fit(old, old, 7)
    assert spec.warm_start_problem(champion, new, new) == ""
    warm, full = spec.fit_from(champion, new, new, 7), spec.fit(new, new, 7)
    assert isinstance(warm, LogisticRegressionModel) and isinstance(full, LogisticRegressionModel)
    np.testing.assert_allclose(warm.weights, full.weights, atol=1e-2)
    assert LogisticRegressionSpec(degree=2).warm_start_problem(champion, new, new).startswith("its steps are learned again")
    fewer = Examples(rows=frame.drop(columns="worst area"))
    assert spec.warm_start_problem(champion, fewer, fewer) == "the champion has other columns or other encoded values"

    shop = checkerboard(TaskKind.PROPENSITY)
    regression = PropensityRegression()
    champion = regression.fit(shop, shop, 7)
    again = regression.fit_from(champion, shop, shop, 7)
    assert regression.warm_start_problem(champion, shop, shop) == ""
    assert isinstance(champion, PropensityRegressionModel) and isinstance(again, PropensityRegressionModel)
    np.testing.assert_allclose(again.weights, champion.weights, atol=1e-2)


# on a real MLflow store


@pytest.fixture
def split(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[date], Split]:
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "abc123")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()

    def make(as_of: date) -> Split:
        tables = {c.ROWS: frame_writer(pd.DataFrame(rows()))}
        refs = {
            part: storage.publish(use_case="shop", layer=c.EXAMPLES, partition=f"{as_of}.{part}", tables=tables, facts={})
            for part in ("train", "validation", "holdout")
        }
        return Split(as_of=as_of, **refs)

    return make


def test_a_warm_candidate_names_its_champion(split: Callable[[date], Split], storage: Storage) -> None:
    spec = LogisticRegressionSpec()
    policy = IncrementalSpec(candidates=("logistic_regression",))

    def made(as_of: date, champion: ModelVersion | None) -> Candidate:
        start, model = begin(spec, policy, as_of, champion)
        return train(
            spec,
            split(as_of),
            ScoringTerms(use_case="shop", task=TaskKind.CLASSIFICATION, metrics=("log_loss",), k=5),
            storage,
            seed=7,
            run_tags={},
            start=start,
            champion=model,
        )

    full = made(DAY, None)
    assert full.start is not None and not full.start.is_warm and full.start.full_as_of == DAY
    version = ModelVersion(
        use_case="shop",
        version=4,
        run_id=full.run_id,
        model_uri=full.model_uri,
        kind=full.kind,
        manifest_digest=full.manifest_digest,
        data_digest="0" * 64,
        report_digest="0" * 64,
        code_version="abc",
        passed=True,
        as_of=DAY,
    )
    warm = made(DAY + timedelta(days=7), version)
    assert warm.start is not None and warm.start.is_warm and warm.start.champion_digest == full.manifest_digest
    params = tracking.get_client().get_run(warm.run_id).data.params
    assert (params["start.is_warm"], params["start.champion_version"], params["start.full_as_of"]) == ("True", "4", str(DAY))
    assert made(DAY + timedelta(days=7), version) == warm, "it is found again"

    forged = version.model_copy(update={"manifest_digest": "f" * 64})
    start, model = begin(spec, policy, DAY + timedelta(days=8), forged)
    assert start is not None and not start.is_warm and model is None, "an altered champion is not begun from"
    assert "manifest" in start.reason
    assert begin(spec, IncrementalSpec(), DAY, version) == (None, None), "off by default"
