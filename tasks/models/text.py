"""Vectors of items from text (TF-IDF, reduced to few dimensions) and attributes. Served with NumPy only."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tasks import columns as c
from tasks.contracts.arrays import Floats
from tasks.errors import NotEnoughData
from tasks.models.base import FeatureTables
from tasks.models.prepared import read_numbers

if TYPE_CHECKING:
    import pandas as pd

COPIES = 4  # of all items' vectors, while they are computed
WORD = re.compile(r"(?u)\b\w\w+\b")  # scikit-learn's


@dataclass(frozen=True)
class ItemVectors:
    """How an item becomes a vector: the sum of its words' rows, of length 1, and beside it its standardised attributes.

    words : sorted; weights : (words, dimensions), a word's IDF times its row in the singular vectors; centre and spread of the
    attributes. only_on_sale : whether items that were not sold in the longest lookback have no vector, because there are more
    items than the limit.
    """

    words: tuple[str, ...]
    weights: NDArray[np.float32]
    attributes: tuple[str, ...]
    centre: Floats
    spread: Floats
    only_on_sale: bool = False

    def places(self, features: FeatureTables) -> NDArray[np.int64]:
        """The places in `item_ids` of the items that have a vector."""
        return np.flatnonzero(features.on_sale) if self.only_on_sale else np.arange(len(features.item_ids))

    @classmethod
    def learn(cls, features: FeatureTables, dimensions: int, max_words: int, max_items: int, seed: int) -> Self:
        """From the items of a set of features, or where there are more than `max_items`, from those on sale.

        Raises
        ------
        NotEnoughData : the items have neither text nor attributes, or more than `max_items` are on sale.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from threadpoolctl import threadpool_limits

        items = features.sorted_items
        only_on_sale = len(items) > max_items
        if only_on_sale:
            items = items[features.on_sale]
        if len(items) > max_items:
            raise NotEnoughData(
                f"models of content store a vector of each item: {len(items)} items on sale, of {dimensions} dimensions, need "
                f"about {len(items) * dimensions * COPIES * 8 / 2**30:.1f} GB, and max_items allows {max_items}. Raise "
                "max_items if there is memory, or use ials."
            )
        attributes = tuple(str(name) for name in items.columns if str(name).startswith(c.ITEM_ATTRIBUTE))
        texts = [text for text in _texts(items) if WORD.search(text)]
        if not texts and not attributes:
            raise NotEnoughData(
                f"models of content need items with the column {c.ITEM_TEXT} or columns {c.ITEM_ATTRIBUTE}*; the items have: "
                f"{', '.join(items.columns)}. Add them to the features, or use a model without content."
            )
        words: tuple[str, ...] = ()
        weights = np.empty((0, 0), dtype=np.float32)
        if texts:
            reader = TfidfVectorizer(max_features=max_words, norm="l2", token_pattern=WORD.pattern)
            table = reader.fit_transform(texts)
            words = tuple(str(word) for word in reader.get_feature_names_out())
            kept = min(dimensions, *table.shape)
            if kept < len(words):
                with threadpool_limits(1), np.errstate(invalid="ignore"):  # of one text, the variance explained is 0 / 0
                    rows = TruncatedSVD(kept, random_state=seed).fit(table).components_.T
            else:
                rows = np.eye(len(words))
            weights = (reader.idf_[:, None] * rows).astype(np.float32)
        values = np.nan_to_num(read_numbers(items, attributes, "content")) if attributes else np.empty((len(items), 0))
        spread = values.std(axis=0)
        return cls(words, weights, attributes, values.mean(axis=0), np.where(spread < 1e-12, 1.0, spread), only_on_sale)

    def of(self, items: pd.DataFrame) -> Floats:
        """The vectors of items, (items, dimensions + attributes); zeros for unknown words and values."""
        place = {word: number for number, word in enumerate(self.words)}
        text = np.zeros((len(items), self.weights.shape[1]))
        for row, words in enumerate(_texts(items)) if self.words else ():
            counts = Counter(place[word] for word in WORD.findall(words.lower()) if word in place)
            if counts:
                text[row] = np.array(list(counts.values()), dtype=np.float64) @ self.weights[list(counts)]
        values = np.empty((len(items), 0))
        if self.attributes:
            found = read_numbers(items, self.attributes, "content")
            values = np.nan_to_num((found - self.centre) / self.spread) / np.sqrt(len(self.attributes))
        return np.hstack([_unit(text), values])

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = {"words": np.array(self.words, dtype=object), "word_weights": self.weights}
        return {"attributes": list(self.attributes), "only_on_sale": self.only_on_sale}, {
            **arrays,
            "attribute_centre": self.centre,
            "attribute_spread": self.spread,
        }

    @classmethod
    def from_state(cls, settings: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """The inverse of `state`; exports without `only_on_sale` have vectors of all items."""
        words, attributes = tuple(arrays["words"].tolist()), tuple(settings["attributes"])
        centre, spread = arrays["attribute_centre"], arrays["attribute_spread"]
        return cls(words, arrays["word_weights"], attributes, centre, spread, settings.get("only_on_sale", False))


def _texts(items: pd.DataFrame) -> list[str]:
    if c.ITEM_TEXT not in items:
        return [""] * len(items)
    return [text if isinstance(text, str) else "" for text in items[c.ITEM_TEXT]]


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))
