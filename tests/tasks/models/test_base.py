"""What is loaded is what was saved, or nothing is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.training import ScoringTerms
from tasks.errors import ModelError
from tasks.models import SERVED
from tasks.models.base import FeatureTables, load_model, save_model
from tasks.models.platt import Calibration
from tasks.models.popularity import PopularityModel
from tasks.models.prepared import PerFeatures

TERMS = ScoringTerms(use_case="shop", task=TaskKind.RECOMMENDATION, k=3)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, str]:
    model = PopularityModel(half_life_days=3.0)
    model.calibration = Calibration(0.5, -1.0, {"user_recency_days": (-0.7, 2.5)})
    return tmp_path / "model", save_model(model, tmp_path / "model", TERMS)


def test_terms_and_calibration_are_exported(saved: tuple[Path, str]) -> None:
    model, terms = load_model(*saved, SERVED)
    assert (terms, model.calibration) == (TERMS, Calibration(0.5, -1.0, {"user_recency_days": (-0.7, 2.5)}))
    assert isinstance(model, PopularityModel)
    assert model.half_life_days == 3.0


def add_file(folder: Path) -> None:
    (folder / "extra.py").write_text("print('run me')")


def remove_file(folder: Path) -> None:
    (folder / "arrays.npz").unlink()


def alter_settings(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(path.read_text().replace("3.0", "4.0"))


def alter_arrays(folder: Path) -> None:
    np.savez(folder / "arrays.npz", extra=np.ones(1))


def link_elsewhere(folder: Path) -> None:
    moved = folder.parent / "elsewhere.json"
    shutil.move(folder / "model.json", moved)
    (folder / "model.json").symlink_to(moved)


def forge_manifest(folder: Path) -> None:
    """Alter a file and write a manifest that agrees with it: only the digest in the ledger differs."""
    other = folder.parent / "other"
    save_model(PopularityModel(half_life_days=4.0), other, TERMS)
    shutil.copytree(other, folder, dirs_exist_ok=True)


def remove_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    "attack", [add_file, remove_file, alter_settings, alter_arrays, link_elsewhere, forge_manifest, remove_manifest]
)
def test_an_altered_export_is_refused(saved: tuple[Path, str], attack: Callable[[Path], None]) -> None:
    attack(saved[0])
    with pytest.raises(ModelError):
        load_model(*saved, SERVED)


def test_pickles_and_unknown_kinds_are_refused(tmp_path: Path) -> None:
    class Stranger(PopularityModel):
        kind = "stranger"

    digest = save_model(Stranger(1.0), tmp_path / "stranger", TERMS)
    with pytest.raises(ModelError, match="'stranger' is unknown; known: als, bias"):
        load_model(tmp_path / "stranger", digest, SERVED)

    class Pickled(PopularityModel):
        def state(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
            return {}, {"object": np.array([{}], dtype=object)}

    with pytest.raises(ValueError, match="allow_pickle=False"):
        save_model(Pickled(1.0), tmp_path / "pickled", TERMS)


def test_a_manifest_holds_every_file(saved: tuple[Path, str]) -> None:
    files = json.loads((saved[0] / "manifest.json").read_text())["files"]
    assert set(files) == {"model.json", "arrays.npz"}


def shop(items: list[str], buyers: list[float]) -> FeatureTables:
    pairs = pd.DataFrame({c.USER_ID: [], c.ITEM_ID: []}, dtype=object)
    return FeatureTables(pairs[[c.USER_ID]], pd.DataFrame({c.ITEM_ID: items, "item_buyers_7d": buyers}), pairs)


def test_ties_go_to_the_smaller_id() -> None:
    model = PopularityModel(half_life_days=7.0)
    found = [answer.items for answer in model.recommend(["ann"], shop(["b", "d", "a", "c"], [1, 2, 1, 1]), k=3)]
    assert found == [("d", "a", "b")]
    assert model.recommend(["ann"], shop(["b"], [0]), k=3)[0].items == ("b",)
    assert model.recommend(["ann"], shop([], []), k=3)[0].items == ()


def test_values_are_computed_once_for_each_features() -> None:
    made: list[FeatureTables] = []

    def count(features: FeatureTables) -> int:
        made.append(features)
        return len(made)

    once = PerFeatures(count)
    first, second = shop(["a"], [1]), shop(["a"], [2])
    assert [once(first), once(first), once(second), once(second)] == [1, 1, 2, 2]
