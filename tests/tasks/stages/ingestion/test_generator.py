"""The generator: the same bytes for any windows, the real format, and rows that follow the known truth."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.contracts.base import Window
from tasks.stages.ingestion.generator import Knobs, generate_invoices
from tasks.stages.ingestion.invoice_files import HEADER, InvoiceFiles

START = date(2011, 3, 7)  # a Monday
SMALL = Knobs(customers=60, items=40, invoices_per_day=20)
Rows = list[dict[str, str]]


def read(folder: Path) -> dict[str, Rows]:
    days = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open(newline="") as stream:
            days[path.stem] = list(csv.DictReader(stream))
    return days


def generate(folder: Path, days: int, seed: int = 7, knobs: Knobs = SMALL, start: date = START) -> dict[str, bytes]:
    generate_invoices(folder, start, start + timedelta(days=days), seed, knobs)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_range_in_parts_gives_the_same_files(tmp_path: Path) -> None:
    whole = generate(tmp_path / "whole", 30)
    generate(tmp_path / "parts", 13)
    assert generate(tmp_path / "parts", 17, start=START + timedelta(days=13)) == whole
    assert generate(tmp_path / "again", 30) == whole
    assert generate(tmp_path / "seed", 30, seed=8) != whole


def test_saturdays_have_no_file_and_every_file_is_accepted(tmp_path: Path) -> None:
    generate(tmp_path, 14)
    files = InvoiceFiles().files(tmp_path, Window(start=START, end=START + timedelta(days=14)))
    assert [file.day.weekday() for file in files] == [0, 1, 2, 3, 4, 6] * 2
    assert sum(file.rows for file in files) == sum(map(len, read(tmp_path).values()))


def test_the_default_volume_and_dirt_are_realistic(tmp_path: Path) -> None:
    generate(tmp_path, 56, knobs=Knobs())
    days = read(tmp_path)
    rows = [row for day in days.values() for row in day]
    sales = [row for row in rows if not row["InvoiceNo"].startswith("C")]
    lines = Counter(row["InvoiceNo"] for row in sales)
    assert 300 < len(rows) / len(days) < 600
    assert 40 < len(lines) / len(days) < 75
    assert 6 <= np.median(list(lines.values())) <= 10
    assert 0.01 < 1 - len(sales) / len(rows) < 0.03
    assert 0.07 < np.mean([not row["CustomerID"] for row in rows]) < 0.13
    assert 0.003 < 1 - len({tuple(row.values()) for row in rows}) / len(rows) < 0.008
    assert all((float(row["Quantity"]) < 0) == row["InvoiceNo"].startswith("C") for row in rows)
    assert all(row["InvoiceDate"].startswith(day) for day, lines_ in days.items() for row in lines_)
    popular = [count for _, count in Counter(row["StockCode"] for row in sales).most_common()]
    assert sum(popular[: len(popular) // 10]) > 0.25 * sum(popular)
    invoices = {row["InvoiceNo"]: day for day, lines_ in days.items() for row in lines_}
    assert all(invoices[row["InvoiceNo"]] == day for day, lines_ in days.items() for row in lines_), "invoice numbers repeat"


def test_customers_and_items_change_over_time(tmp_path: Path) -> None:
    truth = generate_invoices(tmp_path, START, START + timedelta(days=1), knobs=SMALL)
    later = START + timedelta(days=120)
    for before, after in ((truth.customers(START), truth.customers(later)), (truth.items(START), truth.items(later))):
        new = set(after) - set(before)
        assert len(set(before)) == len(before) == len(set(after))
        assert 0.05 < len(new) / len(before) < 0.35


def test_probabilities_sum_to_one_and_rank_the_best_items(tmp_path: Path) -> None:
    truth = generate_invoices(tmp_path, START, START + timedelta(days=1), knobs=SMALL)
    customer = truth.customers(START)[3]
    shares = truth.probabilities(customer, START)
    assert sum(shares.values()) == pytest.approx(1.0)
    best = truth.best_items(customer, START, 5)
    assert [shares[item] for item in best] == sorted(shares.values(), reverse=True)[:5]


def test_no_ranking_from_counts_beats_the_truth(tmp_path: Path) -> None:
    truth = generate_invoices(tmp_path, START, START + timedelta(days=70), knobs=Knobs(customers=150, items=120))
    days = read(tmp_path)
    cut = (START + timedelta(days=56)).isoformat()
    sales = [(d, r["CustomerID"], r["StockCode"]) for d, rows in days.items() for r in rows if r["InvoiceNo"][0] != "C"]
    popular = [item for item, _ in Counter(item for day, _, item in sales if day < cut).most_common(10)]
    own: dict[str, Counter[str]] = defaultdict(Counter)
    bought: dict[str, set[str]] = defaultdict(set)
    for day, customer, item in sales:
        if customer and day < cut:
            own[customer][item] += 1
        elif customer:
            bought[customer].add(item)
    asked = START + timedelta(days=62)
    hits: dict[str, list[float]] = {"truth": [], "own": [], "popular": []}
    for customer, items in bought.items():
        known = customer.removesuffix(".0")
        if known in truth.customers(asked):
            history = [item for item, _ in own[customer].most_common(10)]
            hits["truth"].append(len(items.intersection(truth.best_items(known, asked, 10))))
            hits["own"].append(len(items.intersection([*history, *popular][:10])))
            hits["popular"].append(len(items.intersection(popular)))
    truth_hits, own_hits, popular_hits = (float(np.mean(hits[name])) for name in ("truth", "own", "popular"))
    assert len(hits["truth"]) > 50
    assert truth_hits > own_hits * 1.05 and own_hits > popular_hits * 1.2


def test_drawn_lines_follow_the_probabilities(tmp_path: Path) -> None:
    knobs = Knobs(customers=1, items=8, invoices_per_day=2000)
    truth = generate_invoices(tmp_path, START, START + timedelta(days=1), knobs=knobs)
    rows = next(iter(read(tmp_path).values()))
    first = {row["InvoiceNo"]: row["StockCode"] for row in reversed(rows) if row["InvoiceNo"][0] != "C"}
    counts, shares = Counter(first.values()), truth.probabilities(truth.customers(START)[0], START)
    for item, share in shares.items():
        deviation = np.sqrt(share * (1 - share) / len(first))
        assert counts[item] / len(first) == pytest.approx(share, abs=4.5 * deviation)


def test_a_new_season_changes_no_day_before_it(tmp_path: Path) -> None:
    turn = START + timedelta(days=14)
    knobs = SMALL.model_copy(update={"drift_from": turn})
    calm, turned = generate(tmp_path / "calm", 28), generate(tmp_path / "turned", 28, knobs=knobs)
    early = {name for name in calm if name < turn.isoformat()}
    assert {name for name in calm if calm[name] == turned[name]} == early

    before = generate_invoices(tmp_path / "x", START, START + timedelta(days=1), knobs=SMALL)
    after = generate_invoices(tmp_path / "x", START, START + timedelta(days=1), knobs=knobs)
    left = 1 - len(set(before.items(turn)) & set(after.items(turn))) / SMALL.items
    assert 0.4 < left < 0.8
    old_rows, new_rows = (
        [r for day, rows in read(tmp_path / n).items() if day >= turn.isoformat() for r in rows] for n in ("calm", "turned")
    )
    abroad_before, abroad_after = (np.mean([r["Country"] != "United Kingdom" for r in rows]) for rows in (old_rows, new_rows))
    assert abroad_after > abroad_before + 0.1
    price_before = {r["StockCode"]: float(r["UnitPrice"]) for r in old_rows}
    factors = [float(r["UnitPrice"]) / price_before[r["StockCode"]] for r in new_rows if r["StockCode"] in price_before]
    assert np.median(factors) == pytest.approx(1.6, abs=0.02)


def test_dirt_changes_its_share_of_its_day_only(tmp_path: Path) -> None:
    day = START + timedelta(days=2)
    clean = generate(tmp_path / "clean", 5)
    dirty = generate(tmp_path / "dirty", 5, knobs=SMALL.model_copy(update={"dirt": 0.3, "dirty_day": day}))
    assert [name for name in clean if clean[name] != dirty[name]] == [f"{day.isoformat()}.csv"]
    before, after = (read(tmp_path / name)[day.isoformat()] for name in ("clean", "dirty"))
    changed = [sum(old[name] != new[name] for name in HEADER) for old, new in zip(before, after, strict=True)]
    assert set(changed) == {0, 1}
    assert sum(changed) == round(0.3 * len(before))


def test_unknown_settings_are_refused() -> None:
    for wrong in ({"customer": 5}, {"dirt": 1.5}, {"items": 0}):
        with pytest.raises(ValidationError):
            Knobs.model_validate(wrong)
