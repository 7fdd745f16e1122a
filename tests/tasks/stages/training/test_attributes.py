"""From raw files to an answer: attributes of items and users reach the models that need them, by the real engines."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tasks import columns as c
from tasks.contracts.base import Window
from tasks.contracts.data import Split
from tasks.contracts.training import Candidate, ScoringTerms
from tasks.io import tracking
from tasks.io.storage import Storage
from tasks.models import SERVED
from tasks.models.base import ServedModel, load_model, read_examples
from tasks.problems import score_model
from tasks.settings import ROOT, get_settings
from tasks.stages.features import split
from tasks.stages.ingestion import ingest
from tasks.stages.ingestion.generator import Knobs, generate_invoices
from tasks.stages.ingestion.movielens_about import GENRES
from tasks.stages.training import train
from tasks.stages.validation import validate
from tasks.use_case import UseCase, parse_use_case

pytestmark = pytest.mark.usefixtures("spark")
START = date(2011, 1, 3)
WEEKS = [START + timedelta(days=7 * week) for week in range(8)]
AS_OF = WEEKS[7]
NEW_SEASON = WEEKS[5] + timedelta(days=1)  # in the validation window: trained models do not know its items, the holdout does
COLD = [{"kind": "content", "dimensions": 20}, {"kind": "hybrid", "factors": 8, "iterations": 8, "dimensions": 20}]


@pytest.fixture(autouse=True)
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TITLEHOLDER_MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("TITLEHOLDER_CODE_VERSION", "abc123")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()


def use_case(name: str, **changes: object) -> UseCase:
    """A shipped use case, with other candidates."""
    document = yaml.safe_load((ROOT / "conf" / "use_cases" / f"{name}.yaml").read_text())
    return parse_use_case(yaml.safe_dump(document | changes), f"{name}.yaml")


def prepare(case: UseCase, folder: Path, windows: list[Window], storage: Storage) -> Split:
    validated = []
    for window in windows:
        raw = ingest(case.name, case.source, folder, window, storage)
        assert raw is not None
        validated.append(
            validate(raw, case.validation.suite, case.validation.tolerance, storage, ROOT / "expectations").validated
        )
    return split(case.features_as_of(AS_OF, validated), case.split, storage, seed=case.seed)


def train_all(case: UseCase, made: Split, storage: Storage, folder: Path) -> dict[str, tuple[Candidate, ServedModel]]:
    """Each candidate as it was exported."""
    found = {}
    for spec in case.candidates:
        candidate = train(
            spec,
            made,
            case.scoring_terms,
            storage,
            seed=case.seed,
            run_tags={},
        )
        native = tracking.download_native(candidate.model_uri, folder / candidate.name)
        model, terms = load_model(native, candidate.manifest_digest, SERVED)
        assert terms == case.scoring_terms
        found[candidate.name] = (candidate, model)
    return found


def test_new_items_and_users_get_lists_from_texts(tmp_path: Path, storage: Storage) -> None:
    knobs = Knobs(customers=200, items=40, invoices_per_day=12, drift_from=NEW_SEASON)
    generate_invoices(tmp_path / "in", START, AS_OF, 7, knobs)
    case = use_case(
        "purchase_propensity", candidates=[{"kind": "popularity"}, *COLD], split={"kind": "by_time", "holdout_days": 7}
    )
    made = prepare(case, tmp_path / "in", [Window(start=START, end=AS_OF)], storage)
    known, holdout = read_examples(storage, made.validation).features, read_examples(storage, made.holdout)
    assert known is not None
    assert holdout.features is not None
    fresh = sorted(set(holdout.features.item_ids) - set(known.item_ids))
    assert len(fresh) >= 10, "the new season is on sale"
    assert holdout.features.items[c.ITEM_TEXT].notna().all()
    newcomers = sorted(set(holdout.features.user_row) - set(known.user_row))
    assert newcomers

    for name, (_, model) in train_all(case, made, storage, tmp_path).items():
        if name == "popularity":
            continue
        places = [holdout.features.item_position[item] for item in fresh]
        scores, path = model.score_items(newcomers[0], holdout.features)
        assert path == "model", "who came after the training is known by what they met since"
        assert np.isfinite(scores[places]).all()
        assert len(np.unique(scores[places])) > 5, "each by its own words"
        answers = model.recommend([*holdout.features.user_row, "a stranger"], holdout.features, 10)
        assert {len(answer.items) for answer in answers} == {10}
        assert answers[-1].path == "popular"
        assert set(fresh) & {item for answer in answers[:-1] for item in answer.items}, "new items are recommended"
        assert all(0.0 <= score <= 1.0 for answer in answers for score in answer.scores), "calibrated, cold or not"
        terms = ScoringTerms(use_case=case.name, task=case.task, metrics=("ndcg_at_10",))
        assert score_model(model, holdout, terms).metrics["ndcg_at_10"] > 0.05


def test_attributes_influence_predicted_ratings(tmp_path: Path, storage: Storage) -> None:
    """Young people like comedies, others westerns; the holdout has new people and new films."""
    folder = tmp_path / "in"
    folder.mkdir()
    flags = [["1" if place == GENRES.index(genre) else "0" for place in range(19)] for genre in ("Comedy", "Western")]
    films = ["|".join([str(film), f"Film {film} (1990)", "", "", "", *flags[film % 2]]) for film in range(30)]
    people = ["|".join([str(one), "20" if one % 2 == 0 else "50", "F", "other", "00000"]) for one in range(60)]
    random, lines = np.random.default_rng(2), []
    for week, day in enumerate(WEEKS[:7]):
        for one in range(40 + 2 * week):  # two more people and two more films every week
            for film in random.choice(18 + 2 * week, 5, replace=False):
                stars = (4 if one % 2 == film % 2 else 2) + int(random.integers(0, 2))
                at = pd.Timestamp(day, tz="UTC") + pd.Timedelta(int(random.integers(0, 6 * 86_400)), unit="s")
                lines.append(f"{one}\t{film}\t{stars}\t{int(at.timestamp())}")
    for name, content in (("u.data", lines), ("u.item", films), ("u.user", people)):
        (folder / name).write_text("\n".join(content) + "\n", encoding="latin-1")
    case = use_case(
        "movie_rating",
        candidates=[{"kind": "bias"}, {"kind": "factorization_machine", "iterations": 60}],
        split={"kind": "by_time", "holdout_days": 7},
    )
    made = prepare(case, folder, [Window(start=START, end=AS_OF)], storage)
    trained = train_all(case, made, storage, tmp_path)
    holdout = read_examples(storage, made.holdout)
    known = read_examples(storage, made.validation).features
    assert known is not None
    assert holdout.features is not None
    assert [name for name in holdout.features.users if str(name).startswith(c.USER_ATTRIBUTE)] == [
        f"user_attribute_{name}" for name in ("age_20", "age_50", "sex_f", "work_other", "zip_0")
    ]
    errors = {
        name: score_model(
            model, holdout, ScoringTerms(use_case="test", task=case.task, metrics=("rmse",), exclude_seen=True)
        ).metrics["rmse"]
        for name, (_, model) in trained.items()
    }
    assert errors["factorization_machine"] < 0.8 * errors["bias"]

    model = trained["factorization_machine"][1]
    cold_film = max(set(holdout.features.item_ids) - set(known.item_ids), key=int)
    question = pd.DataFrame({c.USER_ID: ["0", "1"], c.ITEM_ID: cold_film})
    young, old = model.predict_ratings(question, holdout.features)
    assert (young > old + 0.5) == (int(cold_film) % 2 == 0), "a film that it never met, by its genre"
    (stranger,) = model.recommend(["a stranger"], holdout.features, 10)
    assert (len(stranger.items), stranger.path) == (10, "popular")
