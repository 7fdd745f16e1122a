"""Content: vectors of text, and items without text."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import columns as c
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables
from tasks.models.content import Content, ContentModel
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import ITEMS, aged, item, known, user

CASES = {"content": Case(small={"dimensions": 8}, quick={"dimensions": 4, "max_items": 200_000, "max_words": 1000})}


def test_words_agree_with_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tasks.models.text import ItemVectors

    _, features = known()
    texts = ["Black IRON piece", "white, porcelain-piece; a piece", "", "café crème"] * 4
    items = features.sorted_items.assign(item_text=texts)
    vectors = ItemVectors.learn(FeatureTables(features.users, items, features.pairs), 1000, 1000, 1000, 7)
    expected = TfidfVectorizer().fit([text for text in texts if text]).transform(texts).toarray()
    np.testing.assert_allclose(vectors.of(items), expected, atol=1e-6)


def test_content_without_words_is_refused() -> None:
    examples, features = known()
    without_text = FeatureTables(features.users, features.items.drop(columns=c.ITEM_TEXT), features.pairs)
    with pytest.raises(NotEnoughData, match="need items with the column item_text or columns item_attribute_"):
        Content().fit(examples, Examples(without_text), 7)
    numbers = without_text.items.assign(
        item_attribute_colour=[float(int(name[1:]) % 2) for name in without_text.items[c.ITEM_ID]]
    )
    described = FeatureTables(without_text.users, numbers, without_text.pairs)
    (answer,) = Content().fit(examples, Examples(described), 7).recommend([user(0)], described, k=ITEMS // 2)
    assert set(answer.items) == {item(number) for number in range(0, ITEMS, 2)}


def test_an_old_shop_does_not_come_to_the_limit() -> None:
    """Beyond the limit the items on sale have vectors, those of a young shop; others are in no profile and in no list."""
    examples, young = known()
    old = aged(young, 100)
    limited = Content(max_items=ITEMS, dimensions=4).fit(examples, Examples(old), 7)
    fresh = Content(dimensions=4).fit(examples, Examples(young), 7)
    assert isinstance(limited, ContentModel) and isinstance(fresh, ContentModel)
    assert limited.vectors.words == fresh.vectors.words
    settings, arrays = limited.state()
    scores, path = ContentModel.from_state(settings, arrays).score_items(user(3), old)
    np.testing.assert_allclose(scores[old.on_sale], fresh.score_items(user(3), young)[0])
    assert path == "model" and not np.isfinite(scores[~old.on_sale]).any() and old.on_sale.sum() == ITEMS
    whole, _ = Content(max_items=ITEMS + 100).fit(examples, Examples(old), 7).score_items(user(3), old)
    assert np.isfinite(whole).all(), "within the limit all items that were ever sold have one"


def test_too_many_items_on_sale_are_refused() -> None:
    examples, young = known()
    with pytest.raises(NotEnoughData, match=rf"{ITEMS} items on sale, .* max_items allows {ITEMS - 1}\. .* use ials"):
        Content(max_items=ITEMS - 1).fit(examples, Examples(aged(young, 5)), 7)
