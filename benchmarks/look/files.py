"""Files in the form of public data sets, with generated rows. The right use case of each was written down beforehand.

What is right, where the data allow several answers: a column that nothing reads is ignored; ids have the type id; a table's
column of yes and no is a boolean or text; a time that describes a row, such as a birthday, is ignored.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

Random = np.random.Generator
FIRST = datetime(2024, 3, 4, tzinfo=UTC)
DAYS = 60


@dataclass(frozen=True)
class PublicFile:
    """A file, and the use case that reads it rightly.

    Parameters
    ----------
    write : writes the file or the folder, and returns its path.
    right : YAML: task, source without kind and path, and features where they are not the default.
    """

    name: str
    write: Callable[[Path, Random], Path]
    right: str


@dataclass(frozen=True)
class Line:
    """A line of an order."""

    at: datetime
    order: int
    user: int
    item: int
    pieces: int
    price: float
    is_known: bool


def make_lines(random: Random, orders_a_day: int = 12, users: int = 80, items: int = 40) -> Iterator[Line]:
    """Orders of a small shop in the order of time. Prices are the items' own."""
    order = 536_365
    for day in range(DAYS):
        times = np.sort(random.integers(8 * 3600, 20 * 3600, orders_a_day))
        for second in times:
            order += 1
            user, is_known = int(random.integers(users)), random.random() > 0.15
            for item in random.choice(items, size=random.integers(1, 5), replace=False):
                at = FIRST + timedelta(days=day, seconds=int(second))
                pieces = -1 if random.random() < 0.02 else int(random.integers(1, 9))
                yield Line(at, order, user, int(item), pieces, round(0.85 + 1.7 * int(item), 2), is_known)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], **options: Any) -> Path:
    encoding = options.pop("encoding", "utf-8")
    with path.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, **options)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def online_retail(folder: Path, random: Random) -> Path:
    """UCI Online Retail as CSV: American times without leading zeros, ids as 17850.0, pound signs in windows-1252."""
    countries = ("United Kingdom", "France", "EIRE", "Germany")
    rows = [
        [
            f"C{one.order}" if one.pieces < 0 else one.order,
            f"{85000 + one.item}{'A' if one.item % 3 else ''}",
            f"GIFT SET {one.item}, “LUXE” £ CAFÉ",
            one.pieces,
            f"{one.at.month}/{one.at.day}/{one.at.year} {one.at.hour}:{one.at.minute:02}",
            one.price,
            f"{12346 + one.user}.0" if one.is_known else "",
            countries[one.user % 4],
        ]
        for one in make_lines(random)
    ]
    header = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    return write_csv(folder / "Online Retail.csv", header, rows, encoding="windows-1252")


def retailrocket(folder: Path, random: Random) -> Path:
    """Retailrocket: milliseconds since 1970, events in words of its own, a transaction id of purchases only."""
    rows = []
    for one in make_lines(random):
        ms = int(one.at.timestamp() * 1000)
        rows.append([ms - 90_000, 1000 + one.user, "view", 300 + one.item, ""])
        if one.pieces > 2:
            rows.append([ms - 40_000, 1000 + one.user, "addtocart", 300 + one.item, ""])
        if one.pieces > 4:
            rows.append([ms + one.item, 1000 + one.user, "transaction", 300 + one.item, one.order - 530_000])
    order = random.permutation(len(rows))  # the published file is in no order
    return write_csv(
        folder / "events.csv", ["timestamp", "visitorid", "event", "itemid", "transactionid"], [rows[place] for place in order]
    )


def movielens_latest(folder: Path, random: Random) -> Path:
    """ratings.csv of MovieLens latest: half stars, seconds since 1970."""
    rows = [
        [one.user + 1, one.item + 1, float(random.integers(1, 11)) / 2, int(one.at.timestamp())] for one in make_lines(random)
    ]
    return write_csv(folder / "ratings.csv", ["userId", "movieId", "rating", "timestamp"], sorted(rows))


def bank_marketing(folder: Path, random: Random) -> Path:
    """UCI bank marketing: semicolons, all words in quotes, `unknown` as a word of its own."""
    rows: list[list[Any]] = []
    for _ in range(3000):
        said = random.random() < 0.12
        rows.append(
            [
                int(random.integers(18, 90)),
                random.choice(["admin.", "blue-collar", "technician", "retired", "unknown"]),
                random.choice(["married", "single", "divorced"]),
                random.choice(["no", "unknown", "yes"], p=[0.78, 0.2, 0.02]),
                random.choice(["yes", "no"]),
                int(random.integers(5, 1500) * (2 if said else 1)),
                int(random.integers(1, 10)),
                round(float(random.normal(93.5, 0.6)), 3),
                "yes" if said else "no",
            ]
        )
    header = ["age", "job", "marital", "default", "housing", "duration", "campaign", "cons.price.idx", "y"]
    return write_csv(folder / "bank-additional-full.csv", header, rows, delimiter=";", quoting=csv.QUOTE_NONNUMERIC)


def german_shop(folder: Path, random: Random) -> Path:
    """An export of a German shop: semicolons, decimal commas, thousands points, German times, umlauts."""

    def money(value: float) -> str:
        return f"{value:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".") + " €"

    rows = [
        [
            f"B{one.order}",
            f"K-{1000 + one.user}" if one.is_known else "",
            f"{one.item:05}",
            f"Schäkel Größe {one.item}",
            one.pieces,
            money(one.price * 40),
            f"{one.at:%d.%m.%Y %H:%M}",
        ]
        for one in make_lines(random)
    ]
    header = ["Bestellnummer", "Kundennummer", "Artikelnummer", "Bezeichnung", "Menge", "Einzelpreis", "Bestelldatum"]
    return write_csv(folder / "bestellungen.csv", header, rows, delimiter=";", encoding="windows-1252")


def plays(folder: Path, random: Random) -> Path:
    """Plays of a music service, as Last.fm's: tabs, ISO times with Z, users, artists, tracks; nobody buys anything."""
    rows = [
        [f"user_{one.user:06}", f"{one.at:%Y-%m-%dT%H:%M:%SZ}", f"t{one.item:04}", f"Song {one.item}"]
        for one in make_lines(random)
    ]
    return write_csv(folder / "plays.tsv", ["user_id", "timestamp", "track_id", "track_name"], rows, delimiter="\t")


def excel_customers(folder: Path, random: Random) -> Path:
    """Customers saved by a German Excel: a byte order mark, semicolons, percent, thousands points, Ja and Nein."""
    rows = []
    for place in range(1200):
        left = random.random() < 0.2
        income = f"{random.integers(1200, 9000):,}".replace(",", ".") + f",{random.integers(0, 100):02}"
        rows.append(
            [
                f"K{place:05}",
                int(random.integers(18, 80)),
                income,
                f"{random.random() * 9:.1f} %".replace(".", ","),
                random.choice(["Basis", "Komfort", "Premium"]),
                f"{FIRST - timedelta(days=int(random.integers(100, 3000))):%d.%m.%Y}",
                "Ja" if left else "Nein",
            ]
        )
    header = ["KundenNr", "Alter", "Einkommen", "Rabatt", "Tarif", "Vertragsbeginn", "Gekündigt"]
    return write_csv(folder / "kunden.csv", header, rows, delimiter=";", encoding="utf-8-sig")


def multi_category_shop(folder: Path, random: Random) -> Path:
    """Events of a shop as JSON lines, as REES46's: sessions, times with UTC, missing brands, 19-digit ids."""
    rows = []
    for one in make_lines(random):
        kinds = ["view"] * 2 + (["cart"] if one.pieces > 2 else []) + (["purchase"] if one.pieces > 4 else [])
        for place, kind in enumerate(kinds):
            rows.append(
                {
                    "event_time": f"{one.at + timedelta(seconds=40 * place):%Y-%m-%d %H:%M:%S} UTC",
                    "event_type": kind,
                    "product_id": 1_004_000 + one.item,
                    "category_id": 2_053_013_555_631_882_655 + one.item % 7,
                    "category_code": f"electronics.kind{one.item % 7}",
                    "brand": None if one.item % 5 == 0 else f"brand{one.item % 6}",
                    "price": one.price,
                    "user_id": 1_515_915_625_591_659_523 + one.user,
                    "user_session": f"4d3b30da-a5e4-{one.order}",
                }
            )
    return write_jsonl(folder / "2019-Oct.jsonl", rows)


def pandas_parquet(folder: Path, random: Random) -> Path:
    """Sales that pandas saved: ids as doubles because of gaps, decimals, nanoseconds, an index that became a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = list(make_lines(random))
    table = pa.table(
        {
            "order_id": pa.array([one.order for one in lines], pa.int64()),
            "customer_id": pa.array([float(12_345_600 + one.user) if one.is_known else None for one in lines], pa.float64()),
            "sku": pa.array([f"SKU-{one.item}" for one in lines]).dictionary_encode(),
            "qty": pa.array([one.pieces for one in lines], pa.int32()),
            "unit_price": pa.array([f"{one.price:.2f}" for one in lines]).cast(pa.decimal128(10, 2)),
            "sold_at": pa.array([one.at.replace(tzinfo=None) for one in lines], pa.timestamp("ns")),
            "is_gift": pa.array([one.item % 2 == 0 for one in lines]),
            "__index_level_0__": pa.array(range(len(lines)), pa.int64()),
        }
    )
    pq.write_table(table, folder / "sales.parquet")
    return folder / "sales.parquet"


def telco_churn(folder: Path, random: Random) -> Path:
    """IBM's Telco customers: Yes and No, a blank for a missing charge, a flag of 0 and 1, an id of each row."""
    rows: list[list[Any]] = []
    for place in range(2000):
        months = int(random.integers(0, 72))
        charge = round(float(random.uniform(18, 118)), 2)
        rows.append(
            [
                f"{7590 + place}-{'VHVEG'[place % 5]}{'NOTDE'[place % 3]}X",
                random.choice(["Female", "Male"]),
                int(random.random() < 0.16),
                random.choice(["Yes", "No"]),
                months,
                random.choice(["DSL", "Fiber optic", "No"]),
                random.choice(["No", "Yes", "No internet service"]),
                charge,
                " " if months == 0 else round(charge * months, 2),
                "Yes" if random.random() < 0.27 else "No",
            ]
        )
    header = [
        "customerID",
        "gender",
        "SeniorCitizen",
        "Partner",
        "tenure",
        "InternetService",
        "OnlineSecurity",
        "MonthlyCharges",
        "TotalCharges",
        "Churn",
    ]
    return write_csv(folder / "WA_Fn-UseC_-Telco-Customer-Churn.csv", header, rows)


def kiosk(folder: Path, random: Random) -> Path:
    """Files by day of a till whose receipt numbers begin anew each morning. Most buyers are unknown."""
    days: dict[str, list[list[Any]]] = {}
    for one in make_lines(random, orders_a_day=20):
        day = days.setdefault(f"{one.at:%Y-%m-%d}", [])
        receipt = (one.order - 536_366) % 20 + 1
        day.append(
            [
                receipt,
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                f"regular{one.user}" if one.user < 25 else "",
                one.item,
                abs(one.pieces),
                one.price,
            ]
        )
    target = folder / "kiosk"
    target.mkdir()
    for name, rows in days.items():
        write_csv(target / f"{name}.csv", ["receipt", "at", "customer", "sku", "pieces", "price"], rows)
    return target


def amazon_reviews(folder: Path, random: Random) -> Path:
    """Amazon's reviews of 2018 as JSON lines: seconds since 1970 beside a time in words, a list of votes, long texts."""
    rows = [
        {
            "overall": float(random.integers(1, 6)),
            "verified": bool(random.random() < 0.9),
            "reviewTime": f"{one.at:%m %d, %Y}",
            "reviewerID": f"A{one.user:05}XYZ",
            "asin": f"B00{one.item:07}",
            "reviewerName": f"Reader {one.user}",
            "reviewText": f"It is number {one.order} of many words, and {one.pieces} of five would read it again.",
            "summary": "as told" if one.item % 2 else "good",
            "unixReviewTime": int(one.at.timestamp()) // 86_400 * 86_400,
        }
        for one in make_lines(random)
    ]
    return write_jsonl(folder / "Digital_Music.json", rows)


def superstore(folder: Path, random: Random) -> Path:
    """Tableau's Superstore: American dates without times, dollars with thousands commas, many columns that say little."""
    rows = [
        [
            place,
            f"CA-2024-{one.order}",
            f"{one.at.month}/{one.at.day}/{one.at.year}",
            f"{(one.at + timedelta(days=3)).month}/{(one.at + timedelta(days=3)).day}/{(one.at + timedelta(days=3)).year}",
            ("First Class", "Standard Class")[one.order % 2],
            f"DV-{13000 + one.user}",
            f"Person {one.user}",
            ("Consumer", "Corporate", "Home Office")[one.user % 3],
            "United States",
            f"FUR-BO-{10_000_000 + one.item}",
            ("Furniture", "Technology")[one.item % 2],
            f"Bookcase no. {one.item}",
            f"${one.price * 30 * abs(one.pieces):,.2f}",
            abs(one.pieces),
        ]
        for place, one in enumerate(make_lines(random), start=1)
    ]
    header = [
        "Row ID",
        "Order ID",
        "Order Date",
        "Ship Date",
        "Ship Mode",
        "Customer ID",
        "Customer Name",
        "Segment",
        "Country",
        "Product ID",
        "Category",
        "Product Name",
        "Sales",
        "Quantity",
    ]
    return write_csv(folder / "Sample - Superstore.csv", header, rows)


def fashion_transactions(folder: Path, random: Random) -> Path:
    """H&M's transactions: days without times, hashes of customers, article ids with leading zeros, scaled prices."""
    rows = [
        [
            f"{one.at:%Y-%m-%d}",
            f"{one.user * 7_919:064x}",
            f"{one.item + 663_713_001:010}",
            round(one.price / 590, 9),
            one.user % 2 + 1,
        ]
        for one in make_lines(random)
    ]
    header = ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
    return write_csv(folder / "transactions_train.csv", header, rows)


def titanic(folder: Path, random: Random) -> Path:
    """Titanic: a flag as target, names and tickets that are almost another one in each row, missing ages and cabins."""
    rows: list[list[Any]] = []
    for place in range(1, 892):
        age = "" if random.random() < 0.2 else float(random.integers(1, 75))
        cabin = "" if random.random() < 0.77 else f"{random.choice(list('ABCDE'))}{random.integers(1, 60)}"
        rows.append(
            [
                place,
                int(random.random() < 0.38),
                int(random.integers(1, 4)),
                f"Family{place}, Mr. Given{random.integers(300)}",
                random.choice(["male", "female"]),
                age,
                int(random.integers(0, 4)),
                f"A/5 {20_000 + place}",
                round(float(random.uniform(5, 90)), 4),
                cabin,
                random.choice(["S", "C", "Q"]),
            ]
        )
    header = ["PassengerId", "Survived", "Pclass", "Name", "Sex", "Age", "SibSp", "Ticket", "Fare", "Cabin", "Embarked"]
    return write_csv(folder / "train.csv", header, rows)


def census(folder: Path, random: Random) -> Path:
    """UCI adult as Kaggle has it: two classes of money in words, and question marks for what is unknown."""
    rows: list[list[Any]] = [
        [
            int(random.integers(17, 90)),
            random.choice(["Private", "Self-emp", "State-gov", "?"]),
            int(random.integers(12_285, 1_484_705)),
            random.choice(["HS-grad", "Bachelors", "Masters"]),
            random.choice(["Male", "Female"]),
            int(random.choice([0, 0, 0, 7688])),
            int(random.integers(10, 70)),
            ">50K" if random.random() < 0.24 else "<=50K",
        ]
        for _ in range(2500)
    ]
    header = ["age", "workclass", "fnlwgt", "education", "gender", "capital-gain", "hours-per-week", "income"]
    return write_csv(folder / "adult.csv", header, rows)


def yelp(folder: Path, random: Random) -> Path:
    """Yelp's reviews as JSON lines: random ids, stars as doubles, counts of votes, texts, times without an offset."""
    rows = [
        {
            "review_id": f"r{place:08}Q",
            "user_id": f"u-{one.user:06}_w",
            "business_id": f"b-{one.item:06}_k",
            "stars": float(random.integers(1, 6)),
            "useful": int(random.integers(0, 9)),
            "funny": 0 if place % 9 else 1,
            "cool": int(random.integers(0, 3)),
            "text": f"The staff was kind to us on visit {place} and we had a very good time.",
            "date": f"{one.at:%Y-%m-%d %H:%M:%S}",
        }
        for place, one in enumerate(make_lines(random))
    ]
    return write_jsonl(folder / "yelp_academic_dataset_review.json", rows)


def grocery(folder: Path, random: Random) -> Path:
    """Ta-Feng groceries, as Kaggle has them: American dates, two codes of a product, pieces, and a price of the line."""
    rows = [
        [
            f"{one.at.month}/{one.at.day}/{one.at.year}",
            f"{one.user + 1_104_905:08}",
            ("20-24", "25-29", "30-34")[one.user % 3],
            f"{110_411 + one.item % 5}",
            f"{4_710_199_010_372 + one.item}",
            abs(one.pieces),
            round(one.price * abs(one.pieces)) + 1,
        ]
        for one in make_lines(random)
    ]
    header = ["TRANSACTION_DT", "CUSTOMER_ID", "AGE_GROUP", "PRODUCT_SUBCLASS", "PRODUCT_ID", "AMOUNT", "SALES_PRICE"]
    return write_csv(folder / "ta_feng_all_months_merged.csv", header, rows)


def credit_default(folder: Path, random: Random) -> Path:
    """UCI default of credit card clients: only numbers, a long name of the target, an id of each row."""
    rows: list[list[Any]] = [
        [
            place,
            int(random.integers(1, 80)) * 10_000,
            int(random.integers(1, 3)),
            int(random.integers(1, 5)),
            int(random.integers(21, 70)),
            int(random.integers(-2, 4)),
            int(random.integers(-200, 90_000)),
            int(random.random() < 0.22),
        ]
        for place in range(1, 2001)
    ]
    header = ["ID", "LIMIT_BAL", "SEX", "EDUCATION", "AGE", "PAY_0", "BILL_AMT1", "default.payment.next.month"]
    return write_csv(folder / "UCI_Credit_Card.csv", header, rows)


def web_shop_export(folder: Path, random: Random) -> Path:
    """An order export of a web shop in UTF-16 with tabs, as some tools save it: times with AM and PM, currency codes."""
    rows = [
        [
            f"#{one.order}",
            f"user{one.user}@example.org" if one.is_known else "",
            f"SKU{one.item:04}",
            f"Mug {one.item}",
            abs(one.pieces),
            f"USD {one.price * 60:,.2f}",
            f"{one.at:%m/%d/%Y %I:%M %p}",
            ("paid", "refunded")[one.order % 40 == 0],
        ]
        for one in make_lines(random)
    ]
    header = ["Order Number", "Customer", "Item SKU", "Item Name", "Qty", "Item Price", "Order Date", "Payment Status"]
    return write_csv(folder / "orders.txt", header, rows, delimiter="\t", encoding="utf-16")


def attrition(folder: Path, random: Random) -> Path:
    """IBM's employees: the target in the second column, three columns with one value, a number of each employee."""
    rows: list[list[Any]] = [
        [
            int(random.integers(18, 60)),
            "Yes" if random.random() < 0.16 else "No",
            random.choice(["Travel_Rarely", "Travel_Frequently", "Non-Travel"]),
            int(random.integers(100, 1500)),
            1,
            place * 2 + 1,
            random.choice(["Female", "Male"]),
            int(random.integers(1009, 19_999)),
            "Y",
            random.choice(["Yes", "No"]),
            80,
            int(random.integers(0, 40)),
        ]
        for place in range(1470)
    ]
    header = [
        "Age",
        "Attrition",
        "BusinessTravel",
        "DailyRate",
        "EmployeeCount",
        "EmployeeNumber",
        "Gender",
        "MonthlyIncome",
        "Over18",
        "OverTime",
        "StandardHours",
        "YearsAtCompany",
    ]
    return write_csv(folder / "WA_Fn-UseC_-HR-Employee-Attrition.csv", header, rows)


def french_shop(folder: Path, random: Random) -> Path:
    """An export of a French shop in Latin-1: spaces as thousands signs, decimal commas, days first."""
    rows = [
        [
            f"CMD-{one.order}",
            f"CL{one.user:05}" if one.is_known else "",
            f"REF{one.item:04}",
            f"Théière n° {one.item}",
            abs(one.pieces),
            f"{one.price * 50:,.2f}".replace(",", " ").replace(".", ","),
            f"{one.at:%d/%m/%Y %H:%M}",
            ("France", "Belgique", "Suisse")[one.user % 3],
        ]
        for one in make_lines(random)
    ]
    header = [
        "Numéro de commande",
        "Identifiant client",
        "Référence article",
        "Désignation",
        "Quantité",
        "Prix unitaire",
        "Date de commande",
        "Pays",
    ]
    return write_csv(folder / "commandes.csv", header, rows, delimiter=";", encoding="iso-8859-1")


def cross_sell(folder: Path, random: Random) -> Path:
    """Insurance customers: several flags of 0 and 1 beside the target, which is called Response."""
    rows: list[list[Any]] = [
        [
            place,
            random.choice(["Male", "Female"]),
            int(random.integers(20, 85)),
            int(random.random() < 0.99),
            float(random.integers(0, 53)),
            int(random.random() < 0.46),
            random.choice(["< 1 Year", "1-2 Year", "> 2 Years"]),
            random.choice(["Yes", "No"]),
            float(random.integers(2630, 540_165)),
            int(random.integers(10, 300)),
            int(random.random() < 0.12),
        ]
        for place in range(1, 2001)
    ]
    header = [
        "id",
        "Gender",
        "Age",
        "Driving_License",
        "Region_Code",
        "Previously_Insured",
        "Vehicle_Age",
        "Vehicle_Damage",
        "Annual_Premium",
        "Vintage",
        "Response",
    ]
    return write_csv(folder / "train.csv", header, rows)


def app_events(folder: Path, random: Random) -> Path:
    """Events of an app as JSON lines with nested keys and milliseconds since 1970."""
    rows = [
        {
            "user": {"id": f"u{one.user}", "country": ("DE", "AT")[one.user % 2]},
            "event": {"name": name, "timestamp": int(one.at.timestamp() * 1000) + 7_919 * place},
            "item": {"sku": f"S{one.item:03}", "price": {"amount": f"{one.price:.2f}", "currency": "EUR"}},
            "session_id": f"s-{one.order}",
        }
        for one in make_lines(random)
        for place, name in enumerate(["view_item", "add_to_cart", "purchase"][: 1 + abs(one.pieces) % 3])
    ]
    return write_jsonl(folder / "events.ndjson", rows)


def warehouse_lines(folder: Path, random: Random) -> Path:
    """Lines of orders out of a warehouse: Parquet with keys, line numbers, decimals, and times with a zone."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = list(make_lines(random))
    table = pa.table(
        {
            "order_key": pa.array([one.order for one in lines], pa.int64()),
            "line_number": pa.array([place % 7 + 1 for place in range(len(lines))], pa.int16()),
            "customer_key": pa.array([one.user + 90_000 for one in lines], pa.int32()),
            "product_key": pa.array([one.item + 500 for one in lines], pa.int32()),
            "quantity": pa.array([f"{abs(one.pieces)}.000" for one in lines]).cast(pa.decimal128(15, 3)),
            "unit_price": pa.array([f"{one.price:.2f}" for one in lines]).cast(pa.decimal128(15, 2)),
            "ordered_at": pa.array([one.at for one in lines], pa.timestamp("us", tz="Europe/Berlin")),
            "region": pa.array([("north", "south")[one.user % 2] for one in lines]).dictionary_encode(),
        }
    )
    pq.write_table(table, folder / "order_lines.parquet")
    return folder / "order_lines.parquet"


def loans(folder: Path, random: Random) -> Path:
    """Applications for loans: gaps in most columns, 3+ among numbers, Y and N as classes, an id of each row."""

    def gap(value: Any) -> Any:
        return "" if random.random() < 0.05 else value

    rows: list[list[Any]] = [
        [
            f"LP{place:06}",
            gap(random.choice(["Male", "Female"])),
            gap(random.choice(["Yes", "No"])),
            gap(random.choice(["0", "1", "2", "3+"])),
            random.choice(["Graduate", "Not Graduate"]),
            int(random.integers(150, 20_000)),
            gap(float(random.integers(9, 600))),
            gap(float(random.random() < 0.84)),
            random.choice(["Urban", "Rural", "Semiurban"]),
            "Y" if random.random() < 0.69 else "N",
        ]
        for place in range(1001, 1615)
    ]
    header = [
        "Loan_ID",
        "Gender",
        "Married",
        "Dependents",
        "Education",
        "ApplicantIncome",
        "LoanAmount",
        "Credit_History",
        "Property_Area",
        "Loan_Status",
    ]
    return write_csv(folder / "loan_train.csv", header, rows)


def book_ratings(folder: Path, random: Random) -> Path:
    """Ratings of books from 0 to 10 with pipes between the fields, ISBNs with leading zeros and X, days first."""
    rows = [
        [
            276_700 + one.user,
            f"{one.item:09}{'X' if one.item % 4 == 0 else one.item % 10}",
            f"Book {one.item}: A Novel",
            int(random.integers(0, 11)),
            f"{one.at:%d-%m-%Y}",
        ]
        for one in make_lines(random)
    ]
    return write_csv(folder / "ratings.txt", ["user_id", "isbn", "book_title", "rating", "rated_on"], rows, delimiter="|")


def hotel_bookings(folder: Path, random: Random) -> Path:
    """Hotel bookings: NULL as a word, parts of a date in columns of their own, and a column that states the target."""
    rows: list[list[Any]] = []
    for line in make_lines(random):
        is_canceled = int(random.random() < 0.37)
        status = random.choice(["Canceled", "No-Show"], p=[0.97, 0.03]) if is_canceled else "Check-Out"
        rows.append(
            [
                ("Resort Hotel", "City Hotel")[line.item % 2],
                is_canceled,
                int(random.integers(0, 400)),
                line.at.year,
                f"{line.at:%B}",
                int(random.integers(1, 4)),
                random.choice(["BB", "HB", "SC"]),
                random.choice(["PRT", "GBR", "NULL"]),
                "NULL" if random.random() < 0.4 else int(random.integers(1, 300)),
                round(float(random.uniform(20, 400)), 2),
                status,
                f"{line.at:%Y-%m-%d}",
            ]
        )
    header = [
        "hotel",
        "is_canceled",
        "lead_time",
        "arrival_date_year",
        "arrival_date_month",
        "adults",
        "meal",
        "country",
        "agent",
        "adr",
        "reservation_status",
        "reservation_status_date",
    ]
    return write_csv(folder / "hotel_bookings.csv", header, rows)


def pharmacy(folder: Path, random: Random) -> Path:
    """The till of a Spanish pharmacy: day and time of day apart, abbreviated names, the amount of each line."""
    rows = [
        [
            f"{one.at:%d/%m/%Y}",
            f"{one.at:%H:%M}",
            one.order,
            f"C{one.user:04}" if one.is_known else "",
            f"{one.item + 650_000}",
            f"Crema {one.item}",
            abs(one.pieces),
            f"{one.price * abs(one.pieces):.2f}".replace(".", ","),
        ]
        for one in make_lines(random)
    ]
    header = ["Fecha", "Hora", "Nº Ticket", "Código Cliente", "Código Artículo", "Descripción", "Uds", "Importe"]
    return write_csv(folder / "ventas.csv", header, rows, delimiter=";", encoding="windows-1252")


def mushrooms(folder: Path, random: Random) -> Path:
    """UCI mushrooms: letters for words, the class in the first column, one column that never changes."""
    rows = [
        [
            "e" if random.random() < 0.52 else "p",
            random.choice(list("xbsfk")),
            random.choice(["t", "f"]),
            random.choice(list("alnpc")),
            "p",
            random.choice(["e", "t"]),
            random.choice(list("ebcr?")),
            random.choice(list("sndw")),
        ]
        for _ in range(2000)
    ]
    header = ["class", "cap-shape", "bruises", "odor", "veil-type", "stalk-shape", "stalk-root", "habitat"]
    return write_csv(folder / "mushrooms.csv", header, rows)


def payments(folder: Path, random: Random) -> Path:
    """PaySim: payments with a step of time, accounts of both sides, a rare flag of fraud beside another flag."""
    rows: list[list[Any]] = [
        [
            int(random.integers(1, 700)),
            random.choice(["PAYMENT", "TRANSFER", "CASH_OUT", "DEBIT"]),
            round(float(random.gamma(1.0, 90_000.0)), 2),
            f"C{random.integers(1_000_000_000, 2_000_000_000)}",
            round(float(random.gamma(1.0, 400_000.0)), 2),
            f"{random.choice(['C', 'M'])}{random.integers(1_000_000, 1_000_900)}",
            int(random.random() < 0.03),
            int(random.random() < 0.002),
        ]
        for _ in range(3000)
    ]
    header = ["step", "type", "amount", "nameOrig", "oldbalanceOrg", "nameDest", "isFraud", "isFlaggedFraud"]
    return write_csv(folder / "PS_20174392719_1491204439457_log.csv", header, rows)


def game_purchases(folder: Path, random: Random) -> Path:
    """Purchases in a game: seconds since 1970 with a fraction of zero, as pandas writes them, amounts in dollars."""
    rows = [
        [
            f"player-{one.user}",
            f"game-{one.item}",
            f"{one.at.timestamp():.1f}",
            f"{one.price:.2f}",
            ("ios", "android", "web")[one.user % 3],
        ]
        for one in make_lines(random)
    ]
    return write_csv(folder / "purchases.csv", ["player_id", "game_id", "purchased_at", "amount_usd", "platform"], rows)


def recipes(folder: Path, random: Random) -> Path:
    """Food.com's reviews: days, stars from 0 to 5, texts with line breaks and quotes."""
    rows = [
        [
            one.user + 2_000_000,
            one.item + 40_000,
            f"{one.at:%Y-%m-%d}",
            int(random.integers(0, 6)),
            f'I made this "twice",\nand number {one.order} of us liked it.',
        ]
        for one in make_lines(random)
    ]
    return write_csv(folder / "RAW_interactions.csv", ["user_id", "recipe_id", "date", "rating", "review"], rows)


def orders_array(folder: Path, random: Random) -> Path:
    """Order lines as one JSON array: camel case, times with an offset, numbers as numbers."""
    rows = [
        {
            "orderRef": f"R-{one.order}",
            "customerId": f"c{one.user}" if one.is_known else None,
            "productCode": f"P{one.item:03}",
            "productName": f"Lamp {one.item}",
            "qty": abs(one.pieces),
            "unitPrice": one.price,
            "orderedOn": f"{one.at:%Y-%m-%dT%H:%M:%S}+00:00",
        }
        for one in make_lines(random)
    ]
    path = folder / "orders.json"
    path.write_text(json.dumps(rows, indent=1))
    return path


def visits(folder: Path, random: Random) -> Path:
    """Files by day of a web site, compressed, with pipes: pages, sign-ups and sales."""
    days: dict[str, list[list[Any]]] = {}
    for one in make_lines(random):
        day = days.setdefault(f"{one.at:%Y-%m-%d}", [])
        for place, action in enumerate(["pageview", "signup", "buy"][: 1 + abs(one.pieces) % 3]):
            day.append([f"v{one.order}", f"w{one.user}", f"p{one.item}", f"{one.at:%Y-%m-%d %H:%M:%S}.{place:03}", action])
    target = folder / "visits"
    target.mkdir()
    for name, rows in days.items():
        text = io.StringIO(newline="")
        csv.writer(text, delimiter="|").writerows([["visit_id", "visitor", "page", "ts", "action"], *rows])
        (target / f"{name}.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    return target


def stroke(folder: Path, random: Random) -> Path:
    """Patients with and without a stroke: N/A for a missing number, Unknown as a word, two more flags."""
    rows: list[list[Any]] = [
        [
            place * 7 + 67,
            random.choice(["Male", "Female"]),
            float(random.integers(1, 83)),
            int(random.random() < 0.1),
            int(random.random() < 0.05),
            random.choice(["Yes", "No"]),
            random.choice(["Private", "Self-employed", "Govt_job"]),
            round(float(random.uniform(55, 270)), 2),
            "N/A" if random.random() < 0.04 else round(float(random.uniform(15, 50)), 1),
            random.choice(["never smoked", "smokes", "Unknown"]),
            int(random.random() < 0.05),
        ]
        for place in range(2500)
    ]
    header = [
        "id",
        "gender",
        "age",
        "hypertension",
        "heart_disease",
        "ever_married",
        "work_type",
        "avg_glucose_level",
        "bmi",
        "smoking_status",
        "stroke",
    ]
    return write_csv(folder / "healthcare-dataset-stroke-data.csv", header, rows)


def library(folder: Path, random: Random) -> Path:
    """Loans of a library: days with slashes, when a book was borrowed and when it came back."""
    rows = [
        [one.user + 100_000, f"BC{one.item:06}", f"{one.at:%Y/%m/%d}", f"{one.at + timedelta(days=14):%Y/%m/%d}"]
        for one in make_lines(random)
    ]
    return write_csv(folder / "loans.csv", ["member_number", "book_barcode", "borrowed_on", "returned_on"], rows)


def spam(folder: Path, random: Random) -> Path:
    """Shares of words in messages, and whether they are spam."""
    rows: list[list[Any]] = [
        [
            *(round(float(random.exponential(0.3)), 2) if random.random() < 0.4 else 0 for _ in range(4)),
            int(random.integers(1, 900)),
            int(random.random() < 0.39),
        ]
        for _ in range(2300)
    ]
    header = ["word_freq_make", "word_freq_free", "word_freq_money", "char_freq_!", "capital_run_length_total", "spam"]
    return write_csv(folder / "spambase.csv", header, rows)


def restaurant_visits(folder: Path, random: Random) -> Path:
    """Visits of restaurants as Parquet: what a table spent, and how many people sat at it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = list(make_lines(random))
    table = pa.table(
        {
            "guest_id": pa.array([f"g{one.user}" for one in lines]),
            "restaurant_id": pa.array([one.item for one in lines], pa.int64()),
            "visited_at": pa.array([one.at.replace(tzinfo=None) for one in lines], pa.timestamp("ms")),
            "party_size": pa.array([abs(one.pieces) for one in lines], pa.int8()),
            "spend": pa.array([one.price * abs(one.pieces) for one in lines], pa.float32()),
        }
    )
    pq.write_table(table, folder / "visits.parquet")
    return folder / "visits.parquet"


def airline(folder: Path, random: Random) -> Path:
    """Passengers and whether they were satisfied: an index without a name of its own, classes in several words."""
    rows: list[list[Any]] = [
        [
            place,
            70_172 + place * 3,
            random.choice(["Male", "Female"]),
            random.choice(["Loyal Customer", "disloyal Customer"]),
            int(random.integers(7, 85)),
            random.choice(["Eco", "Business", "Eco Plus"]),
            int(random.integers(31, 4983)),
            int(random.integers(0, 6)),
            "" if random.random() < 0.003 else float(random.integers(0, 300)),
            "satisfied" if random.random() < 0.43 else "neutral or dissatisfied",
        ]
        for place in range(2500)
    ]
    header = [
        "Unnamed: 0",
        "id",
        "Gender",
        "Customer Type",
        "Age",
        "Class",
        "Flight Distance",
        "Inflight wifi service",
        "Arrival Delay in Minutes",
        "satisfaction",
    ]
    return write_csv(folder / "train.csv", header, rows)


def polish_shop(folder: Path, random: Random) -> Path:
    """Orders of a Polish shop in UTF-8: decimal commas with the currency behind, times without seconds."""
    rows = [
        [
            f"{one.at:%Y-%m-%d %H:%M}",
            f"ZAM/{one.order}",
            f"{one.user + 4000}" if one.is_known else "",
            f"TOW-{one.item}",
            f"Lampa nr {one.item}",
            abs(one.pieces),
            f"{one.price:.2f} zł".replace(".", ","),
        ]
        for one in make_lines(random)
    ]
    header = ["Data zamówienia", "Nr zamówienia", "ID klienta", "Kod produktu", "Nazwa produktu", "Ilość", "Cena"]
    return write_csv(folder / "zamowienia.csv", header, rows, delimiter=";")


def reactions(folder: Path, random: Random) -> Path:
    """Reactions to posts as JSON lines: seconds since 1970 with a fraction, nothing is bought."""
    rows = [
        {
            "ts": one.at.timestamp() + one.item / 1000,
            "uid": f"u{one.user}",
            "post_id": 9000 + one.item,
            "reaction": ("like", "love", "wow")[one.pieces % 3],
        }
        for one in make_lines(random)
    ]
    return write_jsonl(folder / "reactions.jsonl", rows)


def claims(folder: Path, random: Random) -> Path:
    """Insurance policies and whether a claim came: an id of each row, flags of Yes and No, a ratio as text."""
    rows: list[list[Any]] = [
        [
            f"ID{place:05}",
            round(float(random.uniform(0, 1.4)), 6),
            f"C{random.integers(1, 22)}",
            random.choice(["Petrol", "CNG", "Diesel"]),
            random.choice(["Yes", "No"]),
            random.choice(["Yes", "No"]),
            int(random.integers(2, 7)),
            int(random.random() < 0.064),
        ]
        for place in range(1, 3001)
    ]
    header = [
        "policy_id",
        "policy_tenure",
        "area_cluster",
        "fuel_type",
        "is_esc",
        "is_parking_sensors",
        "airbags",
        "claim_status",
    ]
    return write_csv(folder / "claims.csv", header, rows)


def boxes(folder: Path, random: Random) -> Path:
    """Files by day of a shop that sends boxes. From the second month on they have one column more."""
    days: dict[str, list[list[Any]]] = {}
    for one in make_lines(random):
        has_coupon = one.at.month > 3
        row = [f"B{one.order}", f"{one.at:%Y-%m-%dT%H:%M:%SZ}", f"sub{one.user}", f"box{one.item % 9}", one.price]
        days.setdefault(f"{one.at:%Y-%m-%d}", []).append(row + (["SPRING"] if has_coupon else []))
    target = folder / "boxes"
    target.mkdir()
    header = ["order_no", "ordered_at", "subscriber_id", "product_code", "price", "coupon"]
    for name, rows in days.items():
        write_csv(target / f"{name}.csv", header[: len(rows[0])], rows)
    return target


def shoppers(folder: Path, random: Random) -> Path:
    """Sessions of an online shop: TRUE and FALSE in two columns, of which the last one says whether something was bought."""
    rows: list[list[Any]] = [
        [
            int(random.integers(0, 28)),
            round(float(random.exponential(80.0)), 6),
            round(float(random.uniform(0, 0.2)), 9),
            random.choice(["Feb", "Mar", "Nov", "Dec"]),
            random.choice(["Returning_Visitor", "New_Visitor", "Other"]),
            random.choice(["TRUE", "FALSE"]),
            "TRUE" if random.random() < 0.155 else "FALSE",
        ]
        for _ in range(2500)
    ]
    header = ["Administrative", "Administrative_Duration", "BounceRates", "Month", "VisitorType", "Weekend", "Revenue"]
    return write_csv(folder / "online_shoppers_intention.csv", header, rows)


def member_groceries(folder: Path, random: Random) -> Path:
    """Groceries of members: three columns, and an item has a name and no number."""
    goods = ("whole milk", "rolls/buns", "soda", "yogurt", "tropical fruit", "sausage", "pip fruit", "bottled water")
    rows = [[1000 + one.user, f"{one.at:%d-%m-%Y}", goods[one.item % 8]] for one in make_lines(random)]
    return write_csv(folder / "Groceries_dataset.csv", ["Member_number", "Date", "itemDescription"], rows)


def electronics(folder: Path, random: Random) -> Path:
    """Purchases in a shop for electronics: ids of 19 digits, categories with dots, some users unknown."""
    rows = [
        [
            f"{one.at:%Y-%m-%d %H:%M:%S} UTC",
            2_294_359_932_054_536_986 + one.order,
            1_515_966_223_509_089_906 + one.item,
            f"{2_268_105_426_648_171_008 + one.item % 7}.0",
            f"electronics.kind{one.item % 7}" if one.item % 4 else "",
            f"brand{one.item % 6}",
            one.price,
            f"{1_515_915_625_441_993_984 + one.user}.0" if one.is_known else "",
        ]
        for one in make_lines(random)
    ]
    header = ["event_time", "order_id", "product_id", "category_id", "category_code", "brand", "price", "user_id"]
    return write_csv(folder / "kz.csv", header, rows)


def bank_customers(folder: Path, random: Random) -> Path:
    """Customers of a bank: the number of the row and that of the customer, names of families, three flags."""
    rows: list[list[Any]] = [
        [
            place,
            15_565_701 + place * 13 % 100_003,
            random.choice(["Hill", "Smith", "Chu", "Ricci", "Onio"]),
            int(random.integers(350, 850)),
            random.choice(["France", "Spain", "Germany"]),
            random.choice(["Female", "Male"]),
            int(random.integers(18, 92)),
            round(float(random.uniform(0, 250_000)), 2),
            int(random.random() < 0.7),
            int(random.random() < 0.5),
            int(random.random() < 0.2),
        ]
        for place in range(1, 2501)
    ]
    header = [
        "RowNumber",
        "CustomerId",
        "Surname",
        "CreditScore",
        "Geography",
        "Gender",
        "Age",
        "Balance",
        "HasCrCard",
        "IsActiveMember",
        "Exited",
    ]
    return write_csv(folder / "Churn_Modelling.csv", header, rows)


def labelled_churn(folder: Path, random: Random) -> Path:
    """Customers with their churn in a word and in a number, and a reason that only those have who left."""
    rows: list[list[Any]] = []
    for place in range(2000):
        has_left = random.random() < 0.27
        reason = random.choice(["Competitor", "Moved", "Price"]) if has_left else ""
        months, plan = int(random.integers(1, 72)), random.choice(["Month-to-month", "One year", "Two year"])
        rows.append([f"{place:04}-ABCDE", months, plan, round(float(random.uniform(18, 118)), 2), "Yes" if has_left else "No"])
        rows[-1] += [int(has_left), reason]
    header = ["CustomerID", "Tenure Months", "Contract", "Monthly Charges", "Churn Label", "Churn Value", "Churn Reason"]
    return write_csv(folder / "Telco_customer_churn.csv", header, rows)


def rented_clothes(folder: Path, random: Random) -> Path:
    """Reviews of rented clothes as JSON lines: months in full, weights with their unit, ratings as text."""
    rows = [
        {
            "fit": ("fit", "small", "large")[one.pieces % 3],
            "user_id": f"{420_272 + one.user}",
            "item_id": f"{2_260_466 + one.item}",
            "weight": f"{110 + one.user}lbs",
            "rating": f"{2 * (1 + one.pieces % 5)}",
            "review_summary": f"So many compliments for number {one.order}!",
            "review_date": f"{one.at:%B} {one.at.day}, {one.at.year}",
        }
        for one in make_lines(random)
    ]
    return write_jsonl(folder / "renttherunway_final_data.json", rows)


def beer(folder: Path, random: Random) -> Path:
    """Reviews of beers: five ratings of each, a profile name as user, ids of brewery and beer."""
    rows = [
        [
            one.item % 9 + 10_000,
            int(one.at.timestamp()),
            float(random.integers(2, 11)) / 2,
            float(random.integers(2, 11)) / 2,
            f"hopfan{one.user}",
            ("IPA", "Stout", "Lager")[one.item % 3],
            f"Ale of {one.item}",
            5.0 + one.item % 4,
            47_000 + one.item,
        ]
        for one in make_lines(random)
    ]
    header = [
        "brewery_id",
        "review_time",
        "review_overall",
        "review_aroma",
        "review_profilename",
        "beer_style",
        "beer_name",
        "beer_abv",
        "beer_beerid",
    ]
    return write_csv(folder / "beer_reviews.csv", header, rows)


def watched_videos(folder: Path, random: Random) -> Path:
    """What users watched, as Parquet: times in UTC, seconds, devices."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = list(make_lines(random))
    table = pa.table(
        {
            "user_id": pa.array([one.user for one in lines], pa.int64()),
            "video_id": pa.array([f"v{one.item}" for one in lines]),
            "watched_at": pa.array([one.at for one in lines], pa.timestamp("us", tz="UTC")),
            "watch_seconds": pa.array([one.price * 60 for one in lines], pa.float64()),
            "device": pa.array([("tv", "phone")[one.user % 2] for one in lines]),
        }
    )
    pq.write_table(table, folder / "watched.parquet")
    return folder / "watched.parquet"


FILES = (
    PublicFile(
        "online_retail",
        online_retail,
        """
task: propensity
source:
  encoding: windows-1252
  cells:
    InvoiceNo: id
    StockCode: id
    Description: string
    Quantity: double
    InvoiceDate: {type: timestamp, format: "M/d/yyyy H:mm"}
    UnitPrice: double
    CustomerID: id
    Country: string
  columns: {user_id: CustomerID, item_id: StockCode, event_at: InvoiceDate, event_id: InvoiceNo, quantity: Quantity,
            unit_price: UnitPrice, item_text: Description, segment: Country}
""",
    ),
    PublicFile(
        "retailrocket",
        retailrocket,
        """
task: propensity
source:
  cells:
    timestamp: {type: timestamp, unit: ms}
    visitorid: id
    event: {type: string, words: {addtocart: cart, transaction: purchase}}
    itemid: id
    transactionid: id
  columns: {user_id: visitorid, item_id: itemid, event_at: timestamp, event_type: event, event_id: transactionid}
""",
    ),
    PublicFile(
        "movielens_latest",
        movielens_latest,
        """
task: rating
source:
  cells: {userId: id, movieId: id, rating: double, timestamp: {type: timestamp, unit: s}}
  columns: {user_id: userId, item_id: movieId, value: rating, event_at: timestamp}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "bank_marketing",
        bank_marketing,
        """
task: classification
source:
  delimiter: ";"
  cells: {age: double, job: string, marital: string, default: string, housing: boolean, duration: double, campaign: double,
          cons.price.idx: double, y: string}
  columns: {target: y}
  positive: "yes"
""",
    ),
    PublicFile(
        "german_shop",
        german_shop,
        """
task: propensity
source:
  delimiter: ";"
  encoding: windows-1252
  cells:
    Bestellnummer: id
    Kundennummer: id
    Artikelnummer: id
    Bezeichnung: string
    Menge: double
    Einzelpreis: {type: double, decimal: ",", thousands: ".", symbols: ["€"]}
    Bestelldatum: {type: timestamp, format: "dd.MM.yyyy HH:mm"}
  columns: {user_id: Kundennummer, item_id: Artikelnummer, event_at: Bestelldatum, event_id: Bestellnummer, quantity: Menge,
            unit_price: Einzelpreis, item_text: Bezeichnung}
""",
    ),
    PublicFile(
        "plays",
        plays,
        """
task: recommendation
source:
  delimiter: "\\t"
  cells: {user_id: id, timestamp: {type: timestamp, format: "yyyy-MM-dd'T'HH:mm:ssXXX"}, track_id: id, track_name: string}
  columns: {user_id: user_id, item_id: track_id, event_at: timestamp, item_text: track_name}
""",
    ),
    PublicFile(
        "excel_customers",
        excel_customers,
        """
task: classification
source:
  delimiter: ";"
  cells:
    KundenNr: id
    Alter: double
    Einkommen: {type: double, decimal: ",", thousands: "."}
    Rabatt: {type: double, decimal: ",", percent: true}
    Tarif: string
    Vertragsbeginn: ignore
    Gekündigt: string
  columns: {event_id: KundenNr, target: Gekündigt}
  positive: Ja
  negative: [Nein]
""",
    ),
    PublicFile(
        "multi_category_shop",
        multi_category_shop,
        """
task: propensity
source:
  format: jsonl
  cells:
    event_time: {type: timestamp, format: "yyyy-MM-dd HH:mm:ss z"}
    event_type: string
    product_id: id
    category_id: ignore
    category_code: string
    brand: ignore
    price: double
    user_id: id
    user_session: id
  columns: {user_id: user_id, item_id: product_id, event_at: event_time, event_type: event_type, event_id: user_session,
            unit_price: price, item_text: category_code}
  event_id_unique: session
""",
    ),
    PublicFile(
        "pandas_parquet",
        pandas_parquet,
        """
task: propensity
source:
  format: parquet
  cells: {order_id: id, customer_id: id, sku: id, qty: double, unit_price: decimal, sold_at: timestamp, is_gift: ignore,
          __index_level_0__: ignore}
  columns: {user_id: customer_id, item_id: sku, event_at: sold_at, event_id: order_id, quantity: qty, unit_price: unit_price}
""",
    ),
    PublicFile(
        "telco_churn",
        telco_churn,
        """
task: classification
source:
  cells: {customerID: id, gender: string, SeniorCitizen: double, Partner: boolean, tenure: double, InternetService: string,
          OnlineSecurity: string, MonthlyCharges: double, TotalCharges: double, Churn: string}
  columns: {event_id: customerID, target: Churn}
  positive: "Yes"
""",
    ),
    PublicFile(
        "kiosk",
        kiosk,
        """
task: propensity
source:
  cells: {receipt: id, at: timestamp, customer: id, sku: id, pieces: double, price: double}
  columns: {event_id: receipt, event_at: at, user_id: customer, item_id: sku, quantity: pieces, unit_price: price}
  event_id_unique: per_day
""",
    ),
    PublicFile(
        "amazon_reviews",
        amazon_reviews,
        """
task: rating
source:
  format: jsonl
  cells:
    overall: double
    verified: ignore
    reviewTime: ignore
    reviewerID: id
    asin: id
    reviewerName: ignore
    reviewText: ignore
    summary: ignore
    unixReviewTime: {type: timestamp, unit: s}
  columns: {user_id: reviewerID, item_id: asin, value: overall, event_at: unixReviewTime}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "superstore",
        superstore,
        """
task: propensity
source:
  cells:
    Row ID: ignore
    Order ID: id
    Order Date: {type: date, format: M/d/yyyy}
    Ship Date: ignore
    Ship Mode: ignore
    Customer ID: id
    Customer Name: ignore
    Segment: string
    Country: ignore
    Product ID: id
    Category: ignore
    Product Name: string
    Sales: {type: double, thousands: ",", symbols: ["$"]}
    Quantity: double
  columns: {user_id: Customer ID, item_id: Product ID, event_at: Order Date, event_id: Order ID, quantity: Quantity,
            value: Sales, item_text: Product Name, segment: Segment}
""",
    ),
    PublicFile(
        "fashion_transactions",
        fashion_transactions,
        """
task: propensity
source:
  cells: {t_dat: date, customer_id: id, article_id: id, price: double, sales_channel_id: ignore}
  columns: {user_id: customer_id, item_id: article_id, event_at: t_dat, unit_price: price}
""",
    ),
    PublicFile(
        "titanic",
        titanic,
        """
task: classification
source:
  cells: {PassengerId: id, Survived: int, Pclass: double, Name: ignore, Sex: string, Age: double, SibSp: double, Ticket: ignore,
          Fare: double, Cabin: string, Embarked: string}
  columns: {event_id: PassengerId, target: Survived}
""",
    ),
    PublicFile(
        "census",
        census,
        """
task: classification
source:
  cells: {age: double, workclass: string, fnlwgt: double, education: string, gender: string, capital-gain: double,
          hours-per-week: double, income: string}
  columns: {target: income}
  positive: ">50K"
  negative: ["<=50K"]
""",
    ),
    PublicFile(
        "yelp",
        yelp,
        """
task: rating
source:
  format: jsonl
  cells: {review_id: ignore, user_id: id, business_id: id, stars: double, useful: ignore, funny: ignore, cool: ignore,
          text: ignore, date: timestamp}
  columns: {user_id: user_id, item_id: business_id, value: stars, event_at: date}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "grocery",
        grocery,
        """
task: propensity
source:
  cells: {TRANSACTION_DT: {type: date, format: M/d/yyyy}, CUSTOMER_ID: id, AGE_GROUP: ignore, PRODUCT_SUBCLASS: ignore,
          PRODUCT_ID: id, AMOUNT: double, SALES_PRICE: double}
  columns: {user_id: CUSTOMER_ID, item_id: PRODUCT_ID, event_at: TRANSACTION_DT, quantity: AMOUNT, value: SALES_PRICE}
""",
    ),
    PublicFile(
        "credit_default",
        credit_default,
        """
task: classification
source:
  cells: {ID: id, LIMIT_BAL: double, SEX: double, EDUCATION: double, AGE: double, PAY_0: double, BILL_AMT1: double,
          default.payment.next.month: int}
  columns: {event_id: ID, target: default.payment.next.month}
""",
    ),
    PublicFile(
        "web_shop_export",
        web_shop_export,
        """
task: propensity
source:
  delimiter: "\\t"
  encoding: utf-16
  cells:
    Order Number: id
    Customer: id
    Item SKU: id
    Item Name: string
    Qty: double
    Item Price: {type: double, thousands: ",", symbols: [USD]}
    Order Date: {type: timestamp, format: "MM/dd/yyyy hh:mm a"}
    Payment Status: ignore
  columns: {user_id: Customer, item_id: Item SKU, event_at: Order Date, event_id: Order Number, quantity: Qty,
            unit_price: Item Price, item_text: Item Name}
""",
    ),
    PublicFile(
        "attrition",
        attrition,
        """
task: classification
source:
  cells: {Age: double, Attrition: string, BusinessTravel: string, DailyRate: double, EmployeeCount: ignore, EmployeeNumber: id,
          Gender: string, MonthlyIncome: double, Over18: ignore, OverTime: boolean,
          StandardHours: ignore, YearsAtCompany: double}
  columns: {event_id: EmployeeNumber, target: Attrition}
  positive: "Yes"
""",
    ),
    PublicFile(
        "french_shop",
        french_shop,
        """
task: propensity
source:
  delimiter: ";"
  encoding: iso-8859-1
  cells:
    Numéro de commande: id
    Identifiant client: id
    Référence article: id
    Désignation: string
    Quantité: double
    Prix unitaire: {type: double, decimal: ",", thousands: " "}
    Date de commande: {type: timestamp, format: "dd/MM/yyyy HH:mm"}
    Pays: string
  columns: {user_id: Identifiant client, item_id: Référence article, event_at: Date de commande, event_id: Numéro de commande,
            quantity: Quantité, unit_price: Prix unitaire, item_text: Désignation, segment: Pays}
""",
    ),
    PublicFile(
        "cross_sell",
        cross_sell,
        """
task: classification
source:
  cells: {id: id, Gender: string, Age: double, Driving_License: double, Region_Code: double, Previously_Insured: double,
          Vehicle_Age: string, Vehicle_Damage: boolean, Annual_Premium: double, Vintage: double, Response: int}
  columns: {event_id: id, target: Response}
""",
    ),
    PublicFile(
        "app_events",
        app_events,
        """
task: propensity
source:
  format: jsonl
  cells:
    user.id: id
    user.country: string
    event.name: {type: string, words: {view_item: view, add_to_cart: cart}}
    event.timestamp: {type: timestamp, unit: ms}
    item.sku: id
    item.price.amount: double
    item.price.currency: ignore
    session_id: id
  columns: {user_id: user.id, item_id: item.sku, event_at: event.timestamp, event_type: event.name, event_id: session_id,
            unit_price: item.price.amount, segment: user.country}
  event_id_unique: session
""",
    ),
    PublicFile(
        "warehouse_lines",
        warehouse_lines,
        """
task: propensity
source:
  format: parquet
  cells: {order_key: id, line_number: id, customer_key: id, product_key: id, quantity: decimal,
          unit_price: decimal, ordered_at: timestamp, region: string}
  columns: {user_id: customer_key, item_id: product_key, event_at: ordered_at, event_id: order_key, line_id: line_number,
            quantity: quantity, unit_price: unit_price, segment: region}
""",
    ),
    PublicFile(
        "loans",
        loans,
        """
task: classification
source:
  cells: {Loan_ID: id, Gender: string, Married: boolean, Dependents: string, Education: string, ApplicantIncome: double,
          LoanAmount: double, Credit_History: double, Property_Area: string, Loan_Status: string}
  columns: {event_id: Loan_ID, target: Loan_Status}
  positive: "Y"
""",
    ),
    PublicFile(
        "book_ratings",
        book_ratings,
        """
task: rating
source:
  delimiter: "|"
  cells: {user_id: id, isbn: id, book_title: string, rating: double, rated_on: {type: date, format: dd-MM-yyyy}}
  columns: {user_id: user_id, item_id: isbn, value: rating, event_at: rated_on, item_text: book_title}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "hotel_bookings",
        hotel_bookings,
        """
task: classification
source:
  cells: {hotel: string, is_canceled: int, lead_time: double, arrival_date_year: ignore, arrival_date_month: string,
          adults: double, meal: string, country: string, agent: double, adr: double, reservation_status: ignore,
          reservation_status_date: date}
  columns: {target: is_canceled, event_at: reservation_status_date}
""",
    ),
    PublicFile(
        "pharmacy",
        pharmacy,
        """
task: propensity
source:
  delimiter: ";"
  encoding: windows-1252
  cells:
    Fecha: {type: date, format: dd/MM/yyyy}
    Hora: ignore
    Nº Ticket: id
    Código Cliente: id
    Código Artículo: id
    Descripción: string
    Uds: double
    Importe: {type: double, decimal: ","}
  columns: {user_id: Código Cliente, item_id: Código Artículo, event_at: Fecha, event_id: Nº Ticket, quantity: Uds,
            value: Importe, item_text: Descripción}
""",
    ),
    PublicFile(
        "mushrooms",
        mushrooms,
        """
task: classification
source:
  cells: {class: string, cap-shape: string, bruises: boolean, odor: string, veil-type: ignore, stalk-shape: string,
          stalk-root: string, habitat: string}
  columns: {target: class}
  positive: p
  negative: [e]
""",
    ),
    PublicFile(
        "payments",
        payments,
        """
task: classification
source:
  cells: {step: double, type: string, amount: double, nameOrig: ignore, oldbalanceOrg: double, nameDest: string, isFraud: int,
          isFlaggedFraud: double}
  columns: {target: isFraud}
""",
    ),
    PublicFile(
        "game_purchases",
        game_purchases,
        """
task: propensity
source:
  cells: {player_id: id, game_id: id, purchased_at: {type: timestamp, unit: s}, amount_usd: double, platform: ignore}
  columns: {user_id: player_id, item_id: game_id, event_at: purchased_at, value: amount_usd}
""",
    ),
    PublicFile(
        "recipes",
        recipes,
        """
task: rating
source:
  cells: {user_id: id, recipe_id: id, date: date, rating: double, review: ignore}
  columns: {user_id: user_id, item_id: recipe_id, value: rating, event_at: date}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "orders_array",
        orders_array,
        """
task: propensity
source:
  format: jsonl
  cells:
    orderRef: id
    customerId: id
    productCode: id
    productName: string
    qty: double
    unitPrice: double
    orderedOn: {type: timestamp, format: "yyyy-MM-dd'T'HH:mm:ssXXX"}
  columns: {user_id: customerId, item_id: productCode, event_at: orderedOn, event_id: orderRef, quantity: qty,
            unit_price: unitPrice, item_text: productName}
""",
    ),
    PublicFile(
        "visits",
        visits,
        """
task: propensity
source:
  delimiter: "|"
  cells:
    visit_id: id
    visitor: id
    page: id
    ts: {type: timestamp, format: "yyyy-MM-dd HH:mm:ss.SSS"}
    action: {type: string, words: {pageview: view, signup: other, buy: purchase}}
  columns: {user_id: visitor, item_id: page, event_at: ts, event_type: action, event_id: visit_id}
""",
    ),
    PublicFile(
        "stroke",
        stroke,
        """
task: classification
source:
  cells: {id: id, gender: string, age: double, hypertension: double, heart_disease: double, ever_married: boolean,
          work_type: string, avg_glucose_level: double, bmi: double, smoking_status: string, stroke: int}
  columns: {event_id: id, target: stroke}
""",
    ),
    PublicFile(
        "library",
        library,
        """
task: recommendation
source:
  cells: {member_number: id, book_barcode: id, borrowed_on: {type: date, format: yyyy/MM/dd}, returned_on: ignore}
  columns: {user_id: member_number, item_id: book_barcode, event_at: borrowed_on}
""",
    ),
    PublicFile(
        "spam",
        spam,
        """
task: classification
source:
  cells: {word_freq_make: double, word_freq_free: double, word_freq_money: double, "char_freq_!": double,
          capital_run_length_total: double, spam: int}
  columns: {target: spam}
""",
    ),
    PublicFile(
        "restaurant_visits",
        restaurant_visits,
        """
task: propensity
source:
  format: parquet
  cells: {guest_id: id, restaurant_id: id, visited_at: timestamp, party_size: ignore, spend: double}
  columns: {user_id: guest_id, item_id: restaurant_id, event_at: visited_at, value: spend}
""",
    ),
    PublicFile(
        "airline",
        airline,
        """
task: classification
source:
  cells: {"Unnamed: 0": ignore, id: id, Gender: string, Customer Type: string, Age: double, Class: string,
          Flight Distance: double, Inflight wifi service: double, Arrival Delay in Minutes: double, satisfaction: string}
  columns: {event_id: id, target: satisfaction}
  positive: satisfied
  negative: [neutral or dissatisfied]
""",
    ),
    PublicFile(
        "polish_shop",
        polish_shop,
        """
task: propensity
source:
  delimiter: ";"
  cells:
    Data zamówienia: {type: timestamp, format: "yyyy-MM-dd HH:mm"}
    Nr zamówienia: id
    ID klienta: id
    Kod produktu: id
    Nazwa produktu: string
    Ilość: double
    Cena: {type: double, decimal: ",", symbols: [zł]}
  columns: {user_id: ID klienta, item_id: Kod produktu, event_at: Data zamówienia, event_id: Nr zamówienia, quantity: Ilość,
            unit_price: Cena, item_text: Nazwa produktu}
""",
    ),
    PublicFile(
        "reactions",
        reactions,
        """
task: recommendation
source:
  format: jsonl
  cells: {ts: {type: timestamp, unit: s}, uid: id, post_id: id, reaction: ignore}
  columns: {user_id: uid, item_id: post_id, event_at: ts}
""",
    ),
    PublicFile(
        "claims",
        claims,
        """
task: classification
source:
  cells: {policy_id: id, policy_tenure: double, area_cluster: string, fuel_type: string, is_esc: boolean,
          is_parking_sensors: boolean, airbags: double, claim_status: int}
  columns: {event_id: policy_id, target: claim_status}
""",
    ),
    PublicFile(
        "boxes",
        boxes,
        """
task: propensity
source:
  headers:
    - [order_no, ordered_at, subscriber_id, product_code, price]
    - [order_no, ordered_at, subscriber_id, product_code, price, coupon]
  cells: {order_no: id, ordered_at: {type: timestamp, format: "yyyy-MM-dd'T'HH:mm:ssXXX"}, subscriber_id: id, product_code: id,
          price: double, coupon: ignore}
  columns: {user_id: subscriber_id, item_id: product_code, event_at: ordered_at, event_id: order_no, unit_price: price}
""",
    ),
    PublicFile(
        "shoppers",
        shoppers,
        """
task: classification
source:
  cells: {Administrative: double, Administrative_Duration: double, BounceRates: double, Month: string, VisitorType: string,
          Weekend: boolean, Revenue: string}
  columns: {target: Revenue}
  positive: "TRUE"
""",
    ),
    PublicFile(
        "member_groceries",
        member_groceries,
        """
task: recommendation
source:
  cells: {Member_number: id, Date: {type: date, format: dd-MM-yyyy}, itemDescription: id}
  columns: {user_id: Member_number, item_id: itemDescription, event_at: Date}
""",
    ),
    PublicFile(
        "electronics",
        electronics,
        """
task: propensity
source:
  cells: {event_time: {type: timestamp, format: "yyyy-MM-dd HH:mm:ss z"}, order_id: id, product_id: id, category_id: ignore,
          category_code: string, brand: ignore, price: double, user_id: id}
  columns: {user_id: user_id, item_id: product_id, event_at: event_time, event_id: order_id, unit_price: price,
            item_text: category_code}
""",
    ),
    PublicFile(
        "bank_customers",
        bank_customers,
        """
task: classification
source:
  cells: {RowNumber: ignore, CustomerId: id, Surname: string, CreditScore: double, Geography: string, Gender: string,
          Age: double, Balance: double, HasCrCard: double, IsActiveMember: double, Exited: int}
  columns: {event_id: CustomerId, target: Exited}
""",
    ),
    PublicFile(
        "labelled_churn",
        labelled_churn,
        """
task: classification
source:
  cells: {CustomerID: id, Tenure Months: double, Contract: string, Monthly Charges: double, Churn Label: string,
          Churn Value: ignore, Churn Reason: ignore}
  columns: {event_id: CustomerID, target: Churn Label}
  positive: "Yes"
""",
    ),
    PublicFile(
        "rented_clothes",
        rented_clothes,
        """
task: rating
source:
  format: jsonl
  cells: {fit: ignore, user_id: id, item_id: id, weight: ignore, rating: double, review_summary: ignore,
          review_date: {type: date, format: "MMMM d, yyyy"}}
  columns: {user_id: user_id, item_id: item_id, event_at: review_date, value: rating}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "beer",
        beer,
        """
task: rating
source:
  cells: {brewery_id: ignore, review_time: {type: timestamp, unit: s}, review_overall: double, review_aroma: ignore,
          review_profilename: id, beer_style: ignore, beer_name: string, beer_abv: ignore, beer_beerid: id}
  columns: {user_id: review_profilename, item_id: beer_beerid, event_at: review_time, value: review_overall,
            item_text: beer_name}
  constants: {event_type: rating}
""",
    ),
    PublicFile(
        "watched_videos",
        watched_videos,
        """
task: recommendation
source:
  format: parquet
  cells: {user_id: id, video_id: id, watched_at: timestamp, watch_seconds: ignore, device: ignore}
  columns: {user_id: user_id, item_id: video_id, event_at: watched_at}
""",
    ),
)
