"""Examples for the models' benchmark: from the archives in the folder TITLEHOLDER_DATA, or tiny generated files."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from tasks import columns as c
from tasks.models.base import Examples, FeatureTables
from tasks.stages.ingestion.generator import GeneratedTruth, generate_invoices

LOOKBACK_DAYS = (7, 28, 90)
SHA256 = {
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
    "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
    "u1.base": "ce253ec86c448b44fb3ba9a30d12dcfc2e9210cbde71efada3730c22e9ac212a",
    "u1.test": "18c6014a4b2c7324f250a63f8904a7b16b2b19f911129e346141507b0cbac950",
}
DAY = 86_400


Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Size:
    """`generated` replaces the real files by tiny generated ones. None means everything there is.

    kinds, classifiers, rating_tables : the kinds and rows to measure. chains, iterations : of the factorization machines.
    speed_shape : users, items and pairs of the speed part. memory_shape : the same of the memory part.
    """

    generated: bool = False
    generated_days: int = 212
    kinds: tuple[str, ...] | None = None
    classifiers: tuple[str, ...] | None = None
    rating_tables: tuple[str, ...] | None = None
    chains: int = 4
    iterations: int = 300
    folds: int = 5
    stratified_folds: int = 10
    oracle_steps: int = 30_000
    weeks: int = 8
    rounds: int = 5
    speed_shape: tuple[int, int, int] = (6_040, 3_706, 1_000_000)  # of MovieLens 1M
    memory_shape: tuple[int, int, int] = (200_000, 20_000, 10_000_000)


@lru_cache
def read_files(archive: str) -> dict[str, bytes]:
    """File name -> content. Known digests are checked."""
    folder = Path(os.environ.get("TITLEHOLDER_DATA", ""))
    path = folder / archive
    if not path.is_file():
        raise SystemExit(f"TITLEHOLDER_DATA must name the folder that holds {archive}; got {str(folder)!r}")
    found = {}
    with tarfile.open(path, "r:xz") as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is not None:
                found[Path(member.name).name] = stream.read()
    for name, digest in SHA256.items():
        if name in found and hashlib.sha256(found[name]).hexdigest() != digest:
            raise SystemExit(f"{path}: {name} has another digest than the published file")
    return found


# MovieLens


def movielens_files(size: Size) -> Files:
    """The files of MovieLens 100K, or generated ones of the same form."""
    return _generated_movielens() if size.generated else read_files("ml-100k.tar.xz")


@lru_cache
def _generated_movielens() -> Files:
    """60 users, 40 films, 1,200 ratings."""
    random = np.random.default_rng(7)
    pairs = random.permutation(60 * 40)[:1200]
    lines = [
        f"{1 + pair // 40}\t{1 + pair % 40}\t{random.integers(1, 6)}\t{881_000_000 + 3_600 * row}"
        for row, pair in enumerate(pairs)
    ]
    parts = {"u.data": lines, "u1.base": lines[:900], "u1.test": lines[900:]}
    parts |= {f"recommenders_split75_{name}.tsv": parts[f"u1.{file}"] for name, file in (("train", "base"), ("test", "test"))}
    parts["u.user"] = [
        f"{user}|{20 + user % 40}|{'MF'[user % 2]}|{'student' if user % 3 else 'writer'}|{user:05d}" for user in range(1, 61)
    ]
    parts["u.item"] = [
        f"{film}|Film {film} ({1990 + film % 9})|01-Jan-{1990 + film % 9}||http://example.org|"
        + "|".join(str(int(genre == film % 19)) for genre in range(19))
        for film in range(1, 41)
    ]
    return {name: "\n".join(found).encode() for name, found in parts.items()}


def read_ratings(files: Files, name: str) -> pd.DataFrame:
    """user_id, item_id, label and the day of a file of ratings."""
    columns = [c.USER_ID, c.ITEM_ID, c.LABEL, "at"]
    header = 0 if name.endswith(".tsv") and not files[name][:1].isdigit() else None
    table = pd.read_csv(io.BytesIO(files[name]), sep="\t", names=columns, header=header)
    return table.assign(
        **{c.USER_ID: table[c.USER_ID].astype(str), c.ITEM_ID: table[c.ITEM_ID].astype(str)}, day=table["at"] // DAY
    ).astype({c.LABEL: "float64"})


def rating_tables(train: pd.DataFrame, files: Files, newest: int | None = None) -> FeatureTables:
    """Features of ratings as of the day after `newest` (default: the newest of the training), with attributes of both sides.

    Users have their age by decade, sex, occupation and first digit of the zip code; films their genres and year of release.
    """
    as_of = (int(train["day"].max()) if newest is None else newest) + 1
    pairs = train[[c.USER_ID, c.ITEM_ID]].assign(
        pair_orders=1.0, pair_recency_days=(as_of - train["day"]).astype(float), pair_rating=train[c.LABEL]
    )
    people = pd.read_csv(io.BytesIO(files["u.user"]), sep="|", names=["id", "age", "sex", "work", "zip"], dtype=str)
    coded = people.assign(age=people["age"].astype(int) // 10, zip=people["zip"].str[0]).set_index("id")
    users = pd.get_dummies(coded, columns=["age", "sex", "work", "zip"], dtype=float).add_prefix(c.USER_ATTRIBUTE)
    films = pd.read_csv(io.BytesIO(files["u.item"]), sep="|", header=None, encoding="ISO-8859-1")
    genres = films.iloc[:, 5:24].to_numpy(np.float64)
    genres /= np.sqrt(np.maximum(genres.sum(axis=1, keepdims=True), 1.0))
    year = pd.get_dummies(films[2].str[-4:].fillna("none"), dtype=float)
    described = pd.DataFrame(genres, columns=[f"genre_{place}" for place in range(19)]).join(year.add_prefix("year_"))
    described.index = pd.Index(films[0].astype(str))
    counts = train[c.ITEM_ID].value_counts()
    items = described.add_prefix(c.ITEM_ATTRIBUTE).reindex(np.sort(counts.index.to_numpy()))
    items = items.assign(
        **{c.ITEM_TEXT: films.set_index(films[0].astype(str))[1].reindex(items.index)},
        item_buyers_28d=counts.reindex(items.index).astype(float),
    )
    known = users.reindex(np.sort(train[c.USER_ID].unique()))
    return FeatureTables(
        known.rename_axis(c.USER_ID).reset_index(), items.rename_axis(c.ITEM_ID).reset_index(), pairs.reset_index(drop=True)
    )


# purchases


def retail(size: Size) -> pd.DataFrame:
    """The clean purchases of Online Retail, or of a generated shop."""
    return generated(7, size.generated_days)[0] if size.generated else _online_retail()


@lru_cache
def _online_retail() -> pd.DataFrame:
    files = read_files("online-retail.tar.xz")
    parts = [pd.read_csv(io.BytesIO(files[name]), dtype=str) for name in sorted(files) if name.endswith(".csv")]
    return clean_invoices(pd.concat(parts, ignore_index=True))


def clean_invoices(rows: pd.DataFrame) -> pd.DataFrame:
    """Purchases with a customer, not cancelled, of a positive quantity and price, without duplicates."""
    quantity, price = rows["Quantity"].astype(float), rows["UnitPrice"].astype(float)
    kept = rows["CustomerID"].notna() & ~rows["InvoiceNo"].str.startswith("C") & (quantity > 0) & (price > 0)
    found = pd.DataFrame(
        {
            c.USER_ID: rows["CustomerID"].str.split(".").str[0],
            c.ITEM_ID: rows["StockCode"],
            c.EVENT_ID: rows["InvoiceNo"],
            c.ITEM_TEXT: rows["Description"],
            c.UNIT_PRICE: price,
            "day": pd.to_datetime(rows["InvoiceDate"], format="mixed").dt.normalize(),
            "quantity": quantity,
        }
    )
    return found[kept].drop_duplicates().reset_index(drop=True)


def shop_examples(rows: pd.DataFrame, as_of: pd.Timestamp, days: int) -> Examples:
    """Features as of a day, and the purchases of the `days` from it on. The columns are those of the features stage."""
    past = rows[rows["day"] < as_of]
    age = (as_of - past["day"]).dt.days.astype(float)
    events = past.assign(age=age).groupby([c.USER_ID, c.ITEM_ID, c.EVENT_ID], as_index=False).agg(age=("age", "min"))
    sides = {}
    for side, keys in (("pair", [c.USER_ID, c.ITEM_ID]), ("user", [c.USER_ID]), ("item", [c.ITEM_ID])):
        seen = events.drop_duplicates([*keys, c.EVENT_ID])
        groups = seen.groupby(keys)["age"]
        table = {f"{side}_orders": groups.size(), f"{side}_recency_days": groups.min(), f"{side}_first_age_days": groups.max()}
        table |= {f"{side}_orders_{w}d": seen[seen["age"] <= w].groupby(keys)["age"].size() for w in LOOKBACK_DAYS}
        sides[side] = pd.DataFrame(table).fillna(0.0).astype(float).reset_index()
    pairs, users, items = sides["pair"].assign(pair_rating=np.nan), sides["user"], sides["item"]
    for w in LOOKBACK_DAYS:
        recent = pairs[pairs["pair_recency_days"] <= w]
        items[f"item_buyers_{w}d"] = items[c.ITEM_ID].map(recent[c.ITEM_ID].value_counts()).fillna(0.0)
    items["item_mean_price"] = items[c.ITEM_ID].map(past.groupby(c.ITEM_ID)[c.UNIT_PRICE].mean())
    items[c.ITEM_TEXT] = items[c.ITEM_ID].map(past.groupby(c.ITEM_ID)[c.ITEM_TEXT].last())
    window = rows[(rows["day"] >= as_of) & (rows["day"] < as_of + pd.Timedelta(days=days))]
    labels = window[[c.USER_ID, c.ITEM_ID]].drop_duplicates().assign(label=1.0)
    return Examples(FeatureTables(users, items, pairs), labels.sort_values([c.USER_ID, c.ITEM_ID], ignore_index=True))


@lru_cache
def generated(seed: int, days: int) -> tuple[pd.DataFrame, GeneratedTruth]:
    """Invoices of so many days by the generator, and its truth."""
    with tempfile.TemporaryDirectory() as folder:
        first = date(2025, 1, 1)
        truth = generate_invoices(Path(folder), first, first + timedelta(days=days), seed)
        parts = [pd.read_csv(path, dtype=str) for path in sorted(Path(folder).glob("*.csv"))]
    return clean_invoices(pd.concat(parts, ignore_index=True)), truth
