"""Which column is what: user, item, time, order, target. Names suggest a role, and the cells must fit it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tasks import columns as c
from tasks.contracts.base import TaskKind
from tasks.contracts.cells import FALSE, MISSING, TRUE
from tasks.stages.proposal.columns import BOOLEAN, EMPTY, NUMBER, TEXT, TIME, Column
from tasks.stages.proposal.scores import FEW, SCORES, is_like_id
from tasks.stages.proposal.words import (
    CLASS_1,
    EVENTS,
    ID,
    ITEMS,
    MONEY,
    RATINGS,
    TARGETS,
    USERS,
    YES_AND_NO,
    describes_the_row,
    event_of,
    names_any,
    words_of,
)

DAY = timedelta(days=1)
SURE, LAST = 2.5, 2.0  # points of a column that is named as a target and nothing else, and of the last one
NAMES_OF_AN_INDEX = frozenset({"index", "level", "unnamed", "0", "row", "number", "nr", "no", "serial"})  # of rows
WORDS_OF_A_TEXT = 5  # on average, from which a column of many texts is free text
MOST_WORDS, MOST_THIRD = 10, 0.2  # of words that are neither class: how many, and in what share of the rows
ENOUGH_ROWS = 100  # from which a column that states the target does so not by chance
FREE_TEXTS = 50  # different texts from which a column of words is free text


@dataclass(frozen=True)
class Doubt:
    """Something that a person should look at. `where` is a column, or a key of the YAML."""

    where: str
    text: str


@dataclass(frozen=True)
class Roles:
    """What the columns of a source are.

    Parameters
    ----------
    task : what can be learned from them.
    columns : canonical column -> column of the source.
    cells : column of the source -> declaration, in the order of the source.
    positive, negative : words of the target, where they are not those of a boolean.
    constants : canonical column -> what every row has.
    unique : within what a number of an event names one event, where it is not the default.
    texts : features of free text.
    reasons : column of the source -> why it has its role.
    """

    task: TaskKind
    columns: Mapping[str, str]
    cells: Mapping[str, Mapping[str, Any]]
    positive: str | None = None
    negative: tuple[str, ...] = ()
    constants: Mapping[str, str] = field(default_factory=dict)
    unique: str | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def assign_roles(
    columns: Sequence[Column],
    cells: Mapping[str, Sequence[Any]],
    *,
    delimiter: str = "",
    task: TaskKind | None = None,
    target: str | None = None,
) -> Roles | str:
    """What the columns are; a text where nothing can be learned from them: what is missing.

    Parameters
    ----------
    cells : column -> the cells of its rows, as text or as values.
    delimiter : of the fields of a text file.
    task, target : what a person says.
    """
    finder = _Finder(_settle_signs(columns, delimiter), cells)
    found = finder.interactions()
    lacking = ", ".join(name for name in (c.USER_ID, c.ITEM_ID, c.EVENT_AT) if name not in found)
    is_of_rows = target is not None or (task is not None and task.answers_rows)
    if not is_of_rows and task is not None and lacking:
        return f"no column for {lacking} was found, which {task} needs"
    if not is_of_rows and not lacking:
        target = finder.find_label(found) if task is None else None
        if target is None:
            return finder.describe_interactions(found, task)
    rows = finder.rows(target)
    if rows is not None:
        return rows
    if is_of_rows:
        said = f"the column {target!r} does not have" if target else "no column has"
        return f"{said} two classes, which a target needs; name another one with --target"
    return f"no column for {lacking} was found, which interactions need, and no target of two classes, which --target names"


def _settle_signs(columns: Sequence[Column], delimiter: str) -> list[Column]:
    """Where a column allows both decimal signs, the one that the others state; without others, what fits the delimiter."""
    settled = {sign for one in columns if len(one.signs) == 1 for sign in one.signs}
    if not settled and delimiter in {",", ";"}:
        settled = {"." if delimiter == "," else ","}
    found = []
    for one in columns:
        kept = {key: value for key, value in one.cell.items() if key not in {"decimal", "thousands"}}
        has_comma = any("," in value for value in one.values)
        if len(one.signs) > 1 and settled == {"."} and has_comma:
            found.append(one.as_cell(**kept, thousands=","))
        elif len(one.signs) > 1 and settled == {","} and not has_comma and delimiter == ";":
            found.append(one.as_cell(**kept, decimal=",", thousands="."))
        else:
            found.append(one)
    return found


class _Finder:
    def __init__(self, columns: Sequence[Column], cells: Mapping[str, Sequence[Any]]) -> None:
        self.columns = {one.name: one for one in columns}
        self.cells = cells
        self.doubts: list[Doubt] = []
        self.reasons: dict[str, str] = {}
        self.texts: list[str] = []
        self.guesses: list[Doubt] = []

    # interactions

    def interactions(self) -> dict[str, str]:
        """Canonical column -> the column that fits it best."""
        found: dict[str, str] = {}
        for canonical, score in SCORES.items():
            points = {name: score(one, words_of(name)) for name, one in self.columns.items() if name not in found.values()}
            best = max(points, key=lambda name: points[name], default=None)
            if best is not None and points[best] > 0:
                found[canonical] = best
        self._guess_by_elimination(found)
        return found

    def _guess_by_elimination(self, found: dict[str, str]) -> None:
        """The user or the item: by its name where it has no number, or the only id that is left."""
        taken = {column for canonical, column in found.items() if canonical != c.ITEM_TEXT}
        left = [one for one in self.columns.values() if one.name not in taken and not one.is_unique]
        for canonical, vocabulary in ((c.USER_ID, USERS), (c.ITEM_ID, ITEMS)):
            named = [one for one in left if one.kind == TEXT and one.distinct > 1 and _is_a_name_of(one, vocabulary)]
            if canonical not in found and len(named) == 1:
                if found.get(c.ITEM_TEXT) == named[0].name:
                    del found[c.ITEM_TEXT]
                found[canonical] = named[0].name
                self.guesses.append(Doubt(named[0].name, f"taken for {canonical}, because there is no number of it"))
        lacking = [name for name in (c.USER_ID, c.ITEM_ID) if name not in found]
        ids = [
            one for one in left if one.name not in found.values() and _is_named_id(one) and is_like_id(one, words_of(one.name))
        ]
        if len(lacking) == len(ids) == 1:
            found[lacking[0]] = ids[0].name
            self.guesses.append(Doubt(ids[0].name, f"taken for {lacking[0]}, because it is the only id that is left"))

    def find_label(self, found: Mapping[str, str]) -> str | None:
        """A column of two classes that is named as a target, where nothing says what users did with items."""
        if {c.EVENT_TYPE, c.QUANTITY, c.UNIT_PRICE, c.VALUE, c.EVENT_ID} & set(found):
            return None
        named = [one.name for one in self.columns.values() if _may_be_target(one) and _name_points(one) > 0]
        if len(named) != 1:
            return None
        self.doubts.append(Doubt("task", "users, items and times were found, too: --task recommendation learns from them"))
        return named[0]

    def describe_interactions(self, found: dict[str, str], task: TaskKind | None) -> Roles:
        """The roles of interactions."""
        found = dict(found)
        self.doubts += self.guesses
        if c.EVENT_ID not in found:
            found.pop(c.LINE_ID, None)
        kinds = self._read_kinds(found)
        is_rated = c.VALUE in found and self._is_rating(found)
        if c.VALUE in found and not is_rated and task is not None and task.rates_pairs:
            is_rated = True
        if not is_rated and c.VALUE in found and not (MONEY & set(words_of(found[c.VALUE]))):
            del found[c.VALUE]
        chosen = task or self._choose_task(found, is_rated, kinds)
        constants = {}
        if chosen.rates_pairs:
            for name in (c.QUANTITY, c.UNIT_PRICE, c.EVENT_ID, c.LINE_ID):
                found.pop(name, None)
            if c.EVENT_TYPE not in found:
                constants = {c.EVENT_TYPE: c.RATING}
        elif not {c.EVENT_TYPE, c.QUANTITY, c.UNIT_PRICE} & set(found):
            self.doubts.append(Doubt("event_type", "no column says what happened: each row counts as a purchase"))
        cells = {name: self._cell_of(name, found, kinds) for name in self.columns}
        unique = self._find_unique(found, chosen)
        self._look_at_users(found)
        self._look_at_the_rest(found)
        return Roles(
            chosen,
            self._ordered(found),
            cells,
            constants=constants,
            unique=unique,
            reasons=self.reasons,
            doubts=tuple(self.doubts),
        )

    def _ordered(self, found: Mapping[str, str]) -> dict[str, str]:
        order = [c.USER_ID, c.ITEM_ID, c.EVENT_AT, c.EVENT_TYPE, c.EVENT_ID, c.LINE_ID, c.QUANTITY, c.UNIT_PRICE, c.VALUE]
        return {name: found[name] for name in (*order, c.ITEM_TEXT, c.SEGMENT) if name in found}

    def _cell_of(self, name: str, found: Mapping[str, str], kinds: Mapping[str, str]) -> Mapping[str, Any]:
        """The declaration of a column by its role; ignore, where it has none."""
        roles = {column: canonical for canonical, column in found.items()}
        role, one = roles.get(name), self.columns[name]
        if role is None:
            return {"type": "ignore"}
        if role in {c.USER_ID, c.ITEM_ID, c.EVENT_ID, c.LINE_ID}:
            return {"type": "id"}
        if role == c.EVENT_TYPE:
            changed = {word: kind for word, kind in kinds.items() if word.lower() != kind}
            return {"type": "string", "words": changed} if changed else {"type": "string"}
        if role in {c.QUANTITY, c.UNIT_PRICE, c.VALUE} and one.cell.get("type") == "long":
            return {**one.cell, "type": "double"}
        return {"type": "string"} if role in {c.ITEM_TEXT, c.SEGMENT} else one.cell

    def _read_kinds(self, found: dict[str, str]) -> dict[str, str]:
        """Word of the column of event types -> ours. A column of which no word is known is none."""
        if c.EVENT_TYPE not in found:
            return {}
        one = self.columns[found[c.EVENT_TYPE]]
        known = {word: event_of(word) for word in one.values}
        kinds = {word: kind or c.OTHER for word, kind in known.items()}
        if not any(known.values()):
            del found[c.EVENT_TYPE]
            return {}
        if unknown := [word for word, kind in known.items() if kind is None]:
            rows = sum(one.values[word] for word in unknown)
            shown = ", ".join(unknown[:5])
            self.doubts.append(
                Doubt(one.name, f"{shown} ({rows} of {one.full} rows): no known event, which counts nowhere; state words")
            )
        return kinds

    def _is_rating(self, found: Mapping[str, str]) -> bool:
        one = self.columns[found[c.VALUE]]
        named = RATINGS & set(words_of(one.name))
        numbers = one.numbers if one.kind == NUMBER else {}
        fits = bool(numbers) and min(numbers) >= -1 and max(numbers) <= 100 and len(numbers) <= 101
        return bool(named) and fits and c.QUANTITY not in found

    def _choose_task(self, found: Mapping[str, str], is_rated: bool, kinds: Mapping[str, str]) -> TaskKind:
        if is_rated:
            return _TASK["rating"]
        sold = {c.QUANTITY, c.UNIT_PRICE, c.EVENT_ID, c.VALUE} & set(found)
        if c.EVENT_TYPE in found and c.PURCHASE not in kinds.values():
            self.doubts.append(
                Doubt("task", "no event is a purchase, which labels are made of; map the word of the one that counts")
            )
        return _TASK["propensity"] if sold or c.PURCHASE in kinds.values() else _TASK["recommendation"]

    def _find_unique(self, found: Mapping[str, str], task: TaskKind) -> str | None:
        """Within what a number of an event names one event: its day, where most numbers are used on several days."""
        if c.EVENT_ID not in found or c.EVENT_AT not in found:
            if c.EVENT_ID not in found and not task.rates_pairs:
                self.doubts.append(Doubt("event_id", "no column names an order: each row counts as an order of its own"))
            return None
        moments = self.columns[found[c.EVENT_AT]].times
        spans: dict[Any, list[Any]] = defaultdict(list)
        for name, moment in zip(self.cells[found[c.EVENT_ID]], moments, strict=True):
            if name not in (None, "") and moment is not None:
                spans[name].append(moment)
        several = [times for times in spans.values() if len(times) > 1]
        apart = [times for times in several if max(times) - min(times) >= DAY]
        if len(apart) > len(several) / 2 and len(several) > len(spans) / 10 and several:
            self.reasons[found[c.EVENT_ID]] = f"{len(apart)} of {len(spans)} numbers are used on several days"
            return "per_day"
        if "session" in words_of(found[c.EVENT_ID]):
            return "session"
        if apart:
            text = f"{len(apart)} of {len(spans)} have rows a day or more apart: are these one order?"
            self.doubts.append(Doubt(found[c.EVENT_ID], text))
        return None

    def _look_at_users(self, found: Mapping[str, str]) -> None:
        one = self.columns[found[c.USER_ID]]
        if lacking := one.rows - one.full:
            self.reasons[one.name] = f"{lacking} of {one.rows} rows are of unknown users"
        if one.is_unique:
            self.doubts.append(Doubt(one.name, "no user comes twice: is this a user, or a row?"))

    def _look_at_the_rest(self, found: Mapping[str, str]) -> None:
        """Columns that are not read, and that may change what the rows mean."""
        for one in self.columns.values():
            if one.name in found.values():
                continue
            words, shown = set(words_of(one.name)), ", ".join(list(one.values)[:4])
            if one.cell.get("type") == "time" and self.columns[found[c.EVENT_AT]].cell.get("type") == "date":
                text = (
                    f"holds the time of day of {found[c.EVENT_AT]}; deliver both in one column to have the order within a day"
                )
                self.doubts.append(Doubt(one.name, text))
            elif "status" in words and 2 <= one.distinct <= FEW:
                self.doubts.append(Doubt(one.name, f"is not read, so rows count alike whatever it says ({shown})"))
            elif one.kind == NUMBER and words & EVENTS and 2 <= one.distinct <= FEW:
                self.doubts.append(Doubt(one.name, f"may say what happened: map it to event_type and state words for {shown}"))

    # rows with a target

    def rows(self, target: str | None) -> Roles | None:
        """The roles of a table with a target. None where no column can be it."""
        candidates = [one for one in self.columns.values() if _may_be_target(one)]
        if target is not None:
            candidates = [one for one in candidates if one.name == target]
        if not candidates:
            return None
        names = list(self.columns)
        points = {one.name: _target_points(one, names.index(one.name), len(names)) for one in candidates}
        chosen = self.columns[max(points, key=lambda name: points[name])]
        others = [one.name for one in candidates if one.name != chosen.name]
        if target is None and (_name_points(chosen) < SURE if others else points[chosen.name] < LAST):
            beside = f"; two classes have also {', '.join(others[:4])}" if others else ""
            self.doubts.append(Doubt(chosen.name, f"taken for the target by its name, place and values{beside}: see --target"))
        found = {c.TARGET: chosen.name}
        positive, negative, cell = self._classes(chosen)
        cells: dict[str, Mapping[str, Any]] = {}
        times = [one for one in self.columns.values() if one.kind == TIME and not describes_the_row(words_of(one.name))]
        if times and (moment := max(times, key=lambda one: len(set(one.times)))):
            found[c.EVENT_AT] = moment.name
            if len(times) > 1:
                self.doubts.append(Doubt(moment.name, f"of {len(times)} times taken for the one when the features were known"))
        leaks = self._find_leaks(chosen)
        for one in self.columns.values():
            if one.name in leaks:
                cells[one.name] = {"type": "ignore"}
            else:
                cells[one.name] = cell if one.name == chosen.name else self._feature_cell(one, found)
        kept = {name: column for name, column in found.items() if column in cells}
        return Roles(_TASK["classification"], kept, cells, positive, negative, reasons=self.reasons, doubts=tuple(self.doubts))

    def _classes(self, one: Column) -> tuple[str | None, tuple[str, ...], Mapping[str, Any]]:
        """Which words mean class 1 and class 0, and the declaration of the target."""
        classes, third = _classes_of(one)
        if set(classes) <= {"0", "1", "0.0", "1.0"} and not third:
            return None, (), {"type": "int"}
        by_rows = sorted(classes, key=lambda word: (classes[word], word))
        good = [word for word in by_rows if word.lower() in CLASS_1]
        positive = good[0] if len(good) == 1 else by_rows[0]
        others = tuple(word for word in by_rows if word != positive)
        if len(good) != 1:
            text = f"{positive!r} is the rarer class and so taken for class 1; {others[0]!r} is class 0"
            self.doubts.append(Doubt(one.name, text))
        self.reasons[one.name] = ", ".join(f"{word}: {classes[word]} rows" for word in by_rows)
        cell: dict[str, Any] = {"type": "string"}
        if third:
            shown = ", ".join(f"{word} ({rows} rows)" for word, rows in third.items())
            self.doubts.append(Doubt(one.name, f"{shown}: neither class, so taken for a class that is not known yet"))
            cell["missing"] = [*third, *(word.lower() for word in one.missing if word.lower() not in MISSING), *MISSING]
        is_boolean = {word.lower() for word in classes} <= {*TRUE, *FALSE}
        return positive, () if is_boolean else others, cell

    def _feature_cell(self, one: Column, found: dict[str, str]) -> Mapping[str, Any]:
        """The declaration of a column that is not the target."""
        if one.name in found.values():
            return one.cell
        if useless := _why_useless(one):
            self.reasons[one.name] = useless
            return {"type": "ignore"}
        if _is_of_one_row(one):
            is_name = _is_named_id(one) or one.name == next(iter(self.columns))
            if c.EVENT_ID in found or not is_name or set(words_of(one.name)) <= NAMES_OF_AN_INDEX:
                self.reasons[one.name] = "another one in each row: no model learns from it"
                return {"type": "ignore"}
            found[c.EVENT_ID] = one.name
            self.reasons[one.name] = "another one in each row: the name of the row"
            return {"type": "id"}
        if one.kind == NUMBER and one.cell.get("type") == "long":
            return {**one.cell, "type": "double"}
        return self._text_cell(one) if one.kind == TEXT and one.distinct > FREE_TEXTS else one.cell

    def _text_cell(self, one: Column) -> Mapping[str, Any]:
        """The declaration of a column of many different texts."""
        length = sum(len(text.split()) * rows for text, rows in one.values.items()) / max(one.full, 1)
        if length >= WORDS_OF_A_TEXT:
            self.texts.append(one.name)
            self.reasons[one.name] = f"{length:.0f} words on average: free text"
        elif one.distinct > 0.9 * one.full:
            self.reasons[one.name] = "almost another one in each row: no model learns from it"
            return {"type": "ignore"}
        elif one.distinct > 0.5 * one.full:
            self.doubts.append(
                Doubt(one.name, f"{one.distinct} different texts in {one.full} rows: is it a name of something?")
            )
        return one.cell

    def _find_leaks(self, target: Column) -> set[str]:
        """Columns whose every value, also none, has one class of the target: they state it, or are known only with it."""
        told = [label or None for label in self.cells[target.name]]
        leaks = set()
        for one in self.columns.values():
            if one.name == target.name or not 1 <= one.distinct <= FEW:
                continue
            pairs = Counter((cell or None, label) for cell, label in zip(self.cells[one.name], told, strict=True) if label)
            if 1 < len({cell for cell, _ in pairs}) == len(pairs) and pairs.total() >= ENOUGH_ROWS:
                leaks.add(one.name)
        for name in sorted(leaks):
            text = f"is left out: each of its values has one class of {target.name}: it states it, or is known with it only"
            self.doubts.append(Doubt(name, text))
        return leaks


def _why_useless(one: Column) -> str:
    """Why no model can learn from a column; empty where one can."""
    if one.kind == TIME:
        return "a time cannot be a feature"
    if one.kind == EMPTY:
        return "no cell"
    return "the same cell in all rows" if one.distinct == 1 else ""


def _is_of_one_row(one: Column) -> bool:
    """Whether each row has another cell, and the name or the form of the cells is that of ids."""
    if not one.is_unique or one.full <= FEW:
        return False
    return (
        _is_named_id(one)
        or set(words_of(one.name)) <= NAMES_OF_AN_INDEX
        or (one.kind == TEXT and " " not in next(iter(one.values)))
    )


def _is_a_name_of(one: Column, vocabulary: Collection[str]) -> bool:
    words = words_of(one.name)
    return names_any(words, vocabulary) and bool(set(words) & {"name", "description", "title"})


def _is_named_id(one: Column) -> bool:
    return bool(set(words_of(one.name)) & ID)


def _classes_of(one: Column) -> tuple[dict[str, int], dict[str, int]]:
    """The words of a target and their rows in any case, each as it is most often written, and words that are no class.

    Where some mean yes and others no, such as `Yes`, `TRUE` and `No`, there are these two classes, and few others are none.
    """
    rows: dict[str, int] = defaultdict(int)
    spelt: dict[str, str] = {}
    for word, count in sorted(one.values.items(), key=lambda item: -item[1]):
        rows[spelt.setdefault(word.lower(), word)] += count
    for pair in YES_AND_NO:
        families = [[word for word in rows if word.lower() in family] for family in pair]
        third = {word: count for word, count in rows.items() if word.lower() not in {*pair[0], *pair[1]}}
        if all(families) and len(third) <= MOST_WORDS and sum(third.values()) <= MOST_THIRD * one.full:
            return {family[0]: sum(rows[word] for word in family) for family in families}, third
    return dict(rows), {}


def _may_be_target(one: Column) -> bool:
    if one.kind in {TIME, EMPTY}:
        return False
    return len(_classes_of(one)[0]) == 2


def _name_points(one: Column) -> float:
    """How much a column is named as a target: less, the more else its name says."""
    words = [word for word in words_of(one.name) if word not in {"is", "has", "was", "the"}]
    return max((3.0 - TARGETS.index(word) / 100 - 0.3 * (len(words) - 1) for word in words if word in TARGETS), default=0.0)


def _target_points(one: Column, place: int, columns: int) -> float:
    """How likely a column of two classes is the target: by its name, otherwise by its place."""
    by_place = 2.0 if place == columns - 1 else 1.0 if place == 0 else 0.0
    named = _name_points(one)
    return (named + by_place / 10 if named else by_place) + (0.5 if one.kind == BOOLEAN else 0.0)


_TASK = {task.value: task for task in TaskKind}
