"""Random cells in the spellings of people and programs, and declarations of columns. Tests and the benchmark use the same."""

from __future__ import annotations

import random

from tasks.contracts.cells import Cell

ATOMS = (
    *("", "0", "1", "7", "12", "123", "000", ".", ",", "-", "+", "\u2212", "'", "\u2019", " ", "\t", "\n", "(", ")", "|", ";"),
    *("\u00a0", "\u202f", "\u3000", "\u200b", "\ufeff", "\u200d", "\u00ad", "\u2028", "e", "E", "e+", "E+", "€", "EUR", "%"),
    *("null", "NaN", "n/a", "NA", "\\N", "yes", "No", "TRUE", "unknown", "e\u0301", "é", "\u212b", "\u1100\u1161", "ß", "İ"),
    *("Σ", "ﬁ", "😀", "\u0928\u093c", "09:30", ":15", " pm", "cart", "addtocart", "a", "B", "x" * 70, "1.2345607E7", "17850.0"),
    *("1e+05", "1.23457E+11", "1.234,50", "1,234.50", "12.345.678", "3.5 %"),
)
CELLS = {
    "plain": Cell(),
    "upper": Cell(case="upper", missing=("unknown",)),
    "words": Cell(words={"addtocart": "cart", "é": "E"}),
    "allowed": Cell(allowed=("cart", "yes"), words={"addtocart": "cart"}),
    "name": Cell(type="id"),
    "code": Cell(type="id", case="upper"),
    "number": Cell(type="double"),
    "german": Cell(type="double", decimal=",", thousands=".", symbols=("€", "EUR"), percent=True),
    "french": Cell(type="double", decimal=",", thousands=" "),
    "swiss": Cell(type="decimal", thousands="'", symbols=("%",)),
    "whole": Cell(type="int"),
    "long": Cell(type="long", thousands=","),
    "flag": Cell(type="boolean"),
    "others": Cell(type="boolean", true=("yes",), false="others"),
    "hour": Cell(type="time"),
    "tags": Cell(type="list", delimiter=";", words={"a": "A"}),
}
TEXTS = tuple(name for name, cell in CELLS.items() if cell.type in {"string", "id", "list"})


def draw_texts(count: int, seed: int) -> list[str]:
    """Texts of one to six atoms: signs, spaces, words and numbers in the spellings of people and programs."""
    drawn = random.Random(seed)
    return ["".join(drawn.choices(ATOMS, k=drawn.choice((1, 1, 2, 2, 3, 4, 6)))) for _ in range(count)]
