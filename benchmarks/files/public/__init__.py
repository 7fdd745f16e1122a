"""Files in the form of public data sets, with generated rows, and the use case that is right for each.

`right/<name>.yaml` was written before anything was proposed: task, source without kind and path, and features where they are
not the default. What is right, where the data allow several answers: a column that nothing reads is ignored; ids have the type
id; a table's column of yes and no is a boolean or text; a time that describes a row, such as a birthday, is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.files.public import held_back, interactions, ratings, tables
from benchmarks.files.public.making import Random


@dataclass(frozen=True)
class PublicFile:
    """A file, and the use case that reads it rightly.

    Parameters
    ----------
    write : writes the file or the folder, and returns its path. Its name is that of the file.
    """

    write: Callable[[Path, Random], Path]

    @property
    def name(self) -> str:
        return self.write.__name__

    @property
    def right(self) -> str:
        """The right use case as YAML."""
        return (Path(__file__).parent / "right" / f"{self.name}.yaml").read_text()


FILES = (
    PublicFile(interactions.online_retail),
    PublicFile(interactions.retailrocket),
    PublicFile(ratings.movielens_latest),
    PublicFile(tables.bank_marketing),
    PublicFile(interactions.german_shop),
    PublicFile(interactions.plays),
    PublicFile(tables.excel_customers),
    PublicFile(interactions.multi_category_shop),
    PublicFile(interactions.pandas_parquet),
    PublicFile(tables.telco_churn),
    PublicFile(interactions.kiosk),
    PublicFile(ratings.amazon_reviews),
    PublicFile(interactions.superstore),
    PublicFile(interactions.fashion_transactions),
    PublicFile(tables.titanic),
    PublicFile(tables.census),
    PublicFile(ratings.yelp),
    PublicFile(interactions.grocery),
    PublicFile(tables.credit_default),
    PublicFile(interactions.web_shop_export),
    PublicFile(tables.attrition),
    PublicFile(interactions.french_shop),
    PublicFile(tables.cross_sell),
    PublicFile(interactions.app_events),
    PublicFile(interactions.warehouse_lines),
    PublicFile(tables.loans),
    PublicFile(ratings.book_ratings),
    PublicFile(tables.hotel_bookings),
    PublicFile(interactions.pharmacy),
    PublicFile(tables.mushrooms),
    PublicFile(tables.payments),
    PublicFile(interactions.game_purchases),
    PublicFile(ratings.recipes),
    PublicFile(interactions.orders_array),
    PublicFile(interactions.visits),
    PublicFile(tables.stroke),
    PublicFile(interactions.library),
    PublicFile(tables.spam),
    PublicFile(interactions.restaurant_visits),
    PublicFile(tables.airline),
    PublicFile(interactions.polish_shop),
    PublicFile(interactions.reactions),
    PublicFile(tables.claims),
    PublicFile(interactions.boxes),
    PublicFile(tables.shoppers),
    PublicFile(interactions.member_groceries),
    PublicFile(interactions.electronics),
    PublicFile(tables.bank_customers),
    PublicFile(tables.labelled_churn),
    PublicFile(ratings.rented_clothes),
    PublicFile(ratings.beer),
    PublicFile(interactions.watched_videos),
)
HELD_BACK = (
    PublicFile(held_back.job_changes),
    PublicFile(held_back.credit_risk),
    PublicFile(held_back.film_marks),
    PublicFile(held_back.marketplace),
    PublicFile(held_back.italian_till),
    PublicFile(held_back.analytics_events),
    PublicFile(held_back.page_clicks),
    PublicFile(held_back.rain),
)
