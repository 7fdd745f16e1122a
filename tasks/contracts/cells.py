"""The declaration of a source's cells: what each column holds, and in which spelling. Exported with the model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_serializer, model_validator

from tasks.contracts.base import Contract
from tasks.contracts.calendar import TimeZone

CellType = Literal[
    "string", "id", "int", "long", "float", "double", "decimal", "boolean", "timestamp", "date", "time", "list", "ignore"
]
WHOLE_NUMBERS = frozenset({"int", "long"})
NUMBERS = WHOLE_NUMBERS | {"float", "double", "decimal"}
TEXTS = frozenset({"string", "id", "list"})
MOMENTS = frozenset({"timestamp", "date"})

MISSING = ("null", "none", "nan", "nat", "n/a", "#n/a", "<na>", "\\n", "<null>", "(null)", "[null]", "undefined")
NO_VALUE = ("na", "n.a.", "-", "--", "?")  # what else is no number, no time and no class, but may be a name
TRUE = ("true", "yes", "y", "t", "1", "1.0")
FALSE = ("false", "no", "n", "f", "0", "0.0")
LONGEST_ID = 200  # characters, as the endpoint accepts and databases store
OTHERS: Literal["others"] = "others"
EARLIEST, LATEST = date(1678, 1, 1), date(2261, 12, 31)

_OF_TYPES: Mapping[str, frozenset[str]] = {  # setting -> the types that it is for
    "decimal": NUMBERS,
    "thousands": NUMBERS,
    "symbols": NUMBERS,
    "percent": NUMBERS,
    "case": TEXTS,
    "words": TEXTS,
    "allowed": frozenset({"string"}),
    "true": frozenset({"boolean"}),
    "false": frozenset({"boolean"}),
    "formats": MOMENTS,
    "time_zone": MOMENTS,
    "unit": frozenset({"timestamp"}),
    "first_day": MOMENTS,
    "last_day": MOMENTS,
    "delimiter": frozenset({"list"}),
}


class Cell(Contract):
    """What the cells of a column hold. A full cell that does not become it is lost, which is counted.

    All text is cleaned first: Unicode's composed form (NFC), without invisible characters, every space as the usual one, and
    none at the ends. Words are compared in any case.

    Attributes
    ----------
    type : `id` is the text of an id: `17850.0` is 17850, and 1.2345607E7 is 12345607. `time` is a time of day, in seconds.
    decimal, thousands : the signs in numbers. None: the source's.
    symbols : what may stand around a number, such as € or EUR.
    percent : whether a number with a % is divided by 100.
    missing : words that mean a missing cell. None: the source's, or `MISSING`, and `NO_VALUE` where it is no text.
    case : what text is turned into. None: it stays.
    words : what words are turned into. Others stay.
    allowed : the only words. None: all.
    true, false : the words of a boolean. `others`: whatever is not true.
    formats : the patterns of times in text, in Spark's syntax. The first that fits is used.
    time_zone : whose local times those without an offset are. None: the source's.
    unit : of whole numbers since 1970, UTC.
    first_day, last_day : a time outside of them is lost.
    delimiter : between the elements of a list.
    """

    type: CellType = "string"
    decimal: Literal[".", ","] | None = None
    thousands: Literal[",", ".", "'", " "] | None = None
    symbols: tuple[str, ...] = ()
    percent: bool = False
    missing: tuple[str, ...] | None = None
    case: Literal["upper", "lower"] | None = None
    words: dict[str, str] = Field({})
    allowed: tuple[str, ...] | None = Field(None, min_length=1)
    true: tuple[str, ...] = TRUE
    false: tuple[str, ...] | Literal["others"] = FALSE
    formats: tuple[str, ...] = ()
    time_zone: TimeZone | None = None
    unit: Literal["s", "ms", "us", "ns"] | None = None
    first_day: date = date(1900, 1, 1)
    last_day: date = date(2199, 12, 31)
    delimiter: str = Field("|", min_length=1, max_length=3)

    @model_validator(mode="before")
    @classmethod
    def _reads_short_forms(cls, stated: Any) -> Any:
        """A type alone, one `format`, and the keys `true` and `false`, which YAML reads as booleans."""
        if isinstance(stated, str):
            return {"type": stated}
        if not isinstance(stated, dict):
            return stated
        found = {{True: "true", False: "false"}.get(key, key) if isinstance(key, bool) else key: stated[key] for key in stated}
        if "format" in found:
            if "formats" in found:
                raise ValueError("state format or formats, not both")
            found["formats"] = [found.pop("format")]
        return found

    @field_validator("missing", "allowed", "true", "false", "symbols", mode="before")
    @classmethod
    def _are_words(cls, stated: Any) -> Any:
        for word in stated if isinstance(stated, list | tuple) else ():
            if isinstance(word, bool):
                raise ValueError(f"YAML reads yes, no, on and off as booleans; got {word}: put the word in quotes")
        return [str(word) if isinstance(word, int | float) else word for word in stated] if isinstance(stated, list) else stated

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, types in _OF_TYPES.items():
            if getattr(self, name) != type(self).model_fields[name].default and self.type not in types:
                raise ValueError(f"{name} is for {', '.join(sorted(types))}; the type is {self.type}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(f"thousands and decimal must differ; got {self.thousands!r} twice")
        if self.unit is not None and self.formats:
            raise ValueError("unit is of whole numbers, and formats are of text; state one of the two")
        into = {word.lower(): other for word, other in self.words.items()}
        if chained := [word for word in self.words.values() if into.get(word.lower(), word) != word]:
            raise ValueError(f"words: {', '.join(chained)} is turned into another word; state the last one")
        if unread := [word for word in self.words.values() if word.strip().lower() in self.missing_words]:
            raise ValueError(
                f"words: {', '.join(unread)} means a missing cell; add the words that are turned into it to missing"
            )
        if not EARLIEST <= self.first_day <= self.last_day <= LATEST:
            raise ValueError(
                f"first_day and last_day must be in their order between {EARLIEST} and {LATEST}, which nanoseconds hold; got "
                f"{self.first_day} and {self.last_day}"
            )
        if self.false != OTHERS and (both := {*map(str.lower, self.true)} & {*map(str.lower, self.false)}):
            raise ValueError(f"true and false must differ; got {', '.join(sorted(both))} in both")
        return self

    @model_serializer(mode="wrap")
    def _only_what_is_stated(self, write: Any) -> dict[str, Any]:
        """The type and what differs from the defaults, so that a new setting changes no declaration that lacks it."""
        written: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {name: value for name, value in written.items() if name == "type" or getattr(self, name) != fields[name].default}

    def as_type(self, kind: CellType, **changes: Any) -> Cell:
        """The same cell as another type, without the settings that this type does not have."""
        kept = {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name != "type" and kind in _OF_TYPES.get(name, frozenset({kind}))
        }
        return Cell(**{**kept, **changes, "type": kind})

    @property
    def missing_words(self) -> frozenset[str]:
        """The words that mean a missing cell, in small letters."""
        default = MISSING if self.type in TEXTS else (*MISSING, *NO_VALUE)
        return frozenset(word.strip().lower() for word in (default if self.missing is None else self.missing))


def class_cell(positive: str | None, negative: tuple[str, ...] | Literal["others"] | None, stated: Cell) -> Cell:
    """The cell of a target: 1 for the positive words, 0 for the negative ones. Others are lost.

    Parameters
    ----------
    positive : None: the words of a boolean, such as 1 and 0 or yes and no.
    negative : None: the opposite of `positive`, where it is a word of a boolean.

    Raises
    ------
    ValueError : nothing says which words mean class 0.
    """
    if positive is None:
        if negative is not None:
            raise ValueError("negative: state positive too, the word that means class 1")
        return stated.as_type("boolean")
    word = positive.strip().lower()
    families = {**dict.fromkeys(TRUE, (TRUE, FALSE)), **dict.fromkeys(FALSE, (FALSE, TRUE))}
    if word not in families and negative is None:
        raise ValueError(
            f"positive {positive!r}: state which words mean class 0, as in negative: [<word>], or negative: others where all "
            "other words do"
        )
    same, opposite = families.get(word, ((word,), ()))
    false = opposite if negative is None else negative
    taken = set() if false == OTHERS else {each.strip().lower() for each in false}
    if word in taken:
        raise ValueError(f"positive and negative must differ; got {positive!r} in both")
    return stated.as_type("boolean", true=tuple(each for each in same if each not in taken), false=false)
