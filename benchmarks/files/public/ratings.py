"""Ratings of films, books and restaurants."""

from __future__ import annotations

from pathlib import Path

from benchmarks.files.public.making import Random, make_lines, write_csv, write_jsonl


def movielens_latest(folder: Path, random: Random) -> Path:
    """ratings.csv of MovieLens latest: half stars, seconds since 1970."""
    rows = [
        [one.user + 1, one.item + 1, float(random.integers(1, 11)) / 2, int(one.at.timestamp())] for one in make_lines(random)
    ]
    return write_csv(folder / "ratings.csv", ["userId", "movieId", "rating", "timestamp"], sorted(rows))


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
