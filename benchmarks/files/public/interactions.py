"""Exports of shops, players and libraries: who did what with which item."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.files.public.making import Random, make_lines, write_csv, write_jsonl


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


def library(folder: Path, random: Random) -> Path:
    """Loans of a library: days with slashes, when a book was borrowed and when it came back."""
    rows = [
        [one.user + 100_000, f"BC{one.item:06}", f"{one.at:%Y/%m/%d}", f"{one.at + timedelta(days=14):%Y/%m/%d}"]
        for one in make_lines(random)
    ]
    return write_csv(folder / "loans.csv", ["member_number", "book_barcode", "borrowed_on", "returned_on"], rows)


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
