"""The newest files, of kinds that nobody had thought of when the proposals were made. See docs/adr/0057."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from benchmarks.files.public.making import Random, make_lines, write_csv


def job_changes(folder: Path, random: Random) -> Path:
    """People in training and whether they look for another job: many gaps, ranges as words, a target of 1.0 and 0.0."""
    rows: list[list[Any]] = [
        [
            place * 3 + 1,
            f"city_{random.integers(1, 180)}",
            round(float(random.uniform(0.44, 0.95)), 3),
            random.choice(["Male", "Female", "Other", ""], p=[0.6, 0.1, 0.05, 0.25]),
            random.choice(["Has relevent experience", "No relevent experience"]),
            random.choice(["no_enrollment", "Full time course", "Part time course", ""]),
            random.choice([">20", "15", "5", "<1", "3"]),
            random.choice(["50-99", "<10", "10000+", ""]),
            int(random.integers(1, 336)),
            float(random.random() < 0.25),
        ]
        for place in range(2500)
    ]
    header = [
        "enrollee_id",
        "city",
        "city_development_index",
        "gender",
        "relevent_experience",
        "enrolled_university",
        "experience",
        "company_size",
        "training_hours",
        "target",
    ]
    return write_csv(folder / "aug_train.csv", header, rows)


def credit_risk(folder: Path, random: Random) -> Path:
    """Loans and whether they were paid back: the target stands in the middle, another flag of Y and N behind it."""
    rows: list[list[Any]] = [
        [
            int(random.integers(20, 70)),
            int(random.integers(4000, 200_000)),
            random.choice(["RENT", "OWN", "MORTGAGE"]),
            "" if random.random() < 0.03 else float(random.integers(0, 40)),
            random.choice(["PERSONAL", "EDUCATION", "MEDICAL"]),
            random.choice(list("ABCDE")),
            int(random.integers(500, 35_000)),
            int(random.random() < 0.22),
            round(float(random.uniform(0, 0.8)), 2),
            random.choice(["Y", "N"], p=[0.18, 0.82]),
        ]
        for _ in range(2500)
    ]
    header = [
        "person_age",
        "person_income",
        "person_home_ownership",
        "person_emp_length",
        "loan_intent",
        "loan_grade",
        "loan_amnt",
        "loan_status",
        "loan_percent_income",
        "cb_person_default_on_file",
    ]
    return write_csv(folder / "credit_risk_dataset.csv", header, rows)


def film_marks(folder: Path, random: Random) -> Path:
    """Marks for films with names of columns in camel case, days, and how many people found a mark useful."""
    rows = [
        [f"U{one.user}", 1_291_543 + one.item, int(random.integers(1, 6)), f"{one.at:%Y-%m-%d}", int(random.integers(0, 50))]
        for one in make_lines(random)
    ]
    return write_csv(folder / "marks.csv", ["UserID", "MovieID", "Rating", "Date", "Votes"], rows)


def marketplace(folder: Path, random: Random) -> Path:
    """Orders of a marketplace: hashes as ids, a price and a freight, a status that is almost always the same."""
    rows = [
        [
            f"{one.order * 7919:032x}",
            f"{one.user * 104_729:032x}",
            f"{one.item * 1_299_709:032x}",
            one.price,
            round(one.price / 7, 2),
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            "canceled" if one.order % 50 == 0 else "delivered",
            ("sao paulo", "curitiba", "recife")[one.user % 3],
        ]
        for one in make_lines(random)
    ]
    header = [
        "order_id",
        "customer_unique_id",
        "product_id",
        "price",
        "freight_value",
        "order_purchase_timestamp",
        "order_status",
        "customer_city",
    ]
    return write_csv(folder / "orders.csv", header, rows)


def italian_till(folder: Path, random: Random) -> Path:
    """The till of an Italian shop: receipts, cards of customers, codes, decimal commas."""
    rows = [
        [
            f"{one.at:%d/%m/%Y %H:%M:%S}",
            one.order,
            f"T{one.user:05}" if one.is_known else "",
            f"{one.item:06}",
            f"Pasta {one.item}",
            abs(one.pieces),
            f"{one.price:.2f}".replace(".", ","),
        ]
        for one in make_lines(random)
    ]
    header = ["data_ora", "scontrino", "tessera", "codice_articolo", "descrizione", "qta", "prezzo"]
    return write_csv(folder / "vendite.csv", header, rows, delimiter=";")


def analytics_events(folder: Path, random: Random) -> Path:
    """Events of a web shop as an analytics service exports them to Parquet: microseconds since 1970, a day as a number."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    events = [
        (one, place, name)
        for one in make_lines(random)
        for place, name in enumerate(["view_item", "add_to_cart", "purchase"][: 1 + abs(one.pieces) % 3])
    ]
    table = pa.table(
        {
            "event_date": pa.array([f"{one.at:%Y%m%d}" for one, _, _ in events]),
            "event_timestamp": pa.array([int(one.at.timestamp()) * 1_000_000 + place for one, place, _ in events], pa.int64()),
            "event_name": pa.array([name for _, _, name in events]),
            "user_pseudo_id": pa.array([f"{one.user}.{one.user * 31}x" for one, _, _ in events]),
            "item_id": pa.array([f"GGOE{one.item:04}" for one, _, _ in events]),
            "item_name": pa.array([f"Mug {one.item}" for one, _, _ in events]),
            "price": pa.array([one.price for one, _, _ in events], pa.float64()),
            "quantity": pa.array([abs(one.pieces) for one, _, _ in events], pa.int64()),
        }
    )
    pq.write_table(table, folder / "events.parquet")
    return folder / "events.parquet"


def page_clicks(folder: Path, random: Random) -> Path:
    """Compressed JSON lines by day: milliseconds in ISO form, views and purchases."""
    days: dict[str, list[dict[str, Any]]] = {}
    for one in make_lines(random):
        days.setdefault(f"{one.at:%Y-%m-%d}", []).append(
            {
                "time": f"{one.at:%Y-%m-%dT%H:%M:%S}.{one.item:03}Z",
                "visitor_id": f"vis-{one.user}",
                "sku": f"K{one.item}",
                "kind": "purchase" if one.pieces > 4 else "view",
            }
        )
    target = folder / "clicks"
    target.mkdir()
    for name, rows in days.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (target / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    return target


def rain(folder: Path, random: Random) -> Path:
    """Weather of Australian towns and whether it rains tomorrow: NA for what is missing, a day of each row."""

    def gap(value: Any, share: float = 0.06) -> Any:
        return "NA" if random.random() < share else value

    days = sorted({f"{one.at:%Y-%m-%d}" for one in make_lines(random)})
    rows: list[list[Any]] = [
        [
            day,
            town,
            gap(round(float(random.normal(12, 6)), 1)),
            gap(round(float(random.exponential(2.0)), 1)),
            gap(random.choice(["W", "NNE", "SSE", "N"])),
            gap(int(random.integers(10, 100))),
            random.choice(["Yes", "No"], p=[0.22, 0.78]),
            random.choice(["Yes", "No"], p=[0.22, 0.78]),
        ]
        for town in ("Albury", "Cobar", "Moree", "Sydney", "Perth", "Darwin", "Hobart", "Cairns", "Penrith", "Newcastle")
        for day in days
    ]
    header = ["Date", "Location", "MinTemp", "Rainfall", "WindGustDir", "Humidity9am", "RainToday", "RainTomorrow"]
    return write_csv(folder / "weatherAUS.csv", header, rows)
