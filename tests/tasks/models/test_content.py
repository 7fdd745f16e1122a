"""Content: vectors of text, and items without text."""

from __future__ import annotations

import numpy as np
import pytest

from tasks import columns as c
from tasks.errors import NotEnoughData
from tasks.models.base import Examples, FeatureTables
from tasks.models.content import Content
from tests.contracts.cases import Case
from tests.tasks.models.checkerboard import ITEMS, item, known, user

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
