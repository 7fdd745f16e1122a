"""How a column of any program becomes one of the types that cells are read from. Without Spark and without our other modules.

Spark's workers run these functions, and may not have this package, so that the whole module is sent to them by value. It
therefore imports nothing of this project, and raises `ValueError` with the column, its type, what was stated, and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LISTS = ("list",)
NUMBERS = ("int", "long", "float", "double", "decimal")
TEXTS = ("string", "id")
_MOST_DIGITS = 38  # of Spark's decimals


def find_type(stated: str, found: Any) -> Any:
    """The Arrow type in which a column is delivered: text, or the nearest type that loses nothing. null fits every type.

    Parameters
    ----------
    stated : the type in the YAML.
    found : the column's Arrow type.

    Raises
    ------
    ValueError : the types do not fit. The message tells both.
    """
    import pyarrow as pa

    plain = _plain(found)
    if pa.types.is_null(plain):
        return pa.null()
    if _is_text(plain):
        return pa.string()
    makers = {"boolean": _for_boolean, "timestamp": _for_timestamp, "date": _for_date, "time": _for_time, "list": _for_list}
    if stated in TEXTS:
        target = _for_text(plain)
    elif stated in NUMBERS:
        target = _for_number(plain)
    else:
        target = makers[stated](plain)
    if target is None:
        raise ValueError(f"is of the type {found}, and source.cells states {stated}; {_remedy(plain)}")
    return target


def _plain(found: Any) -> Any:
    """The type without what says only how values are stored."""
    import pyarrow as pa

    while True:
        if isinstance(found, pa.BaseExtensionType):
            found = found.storage_type
        elif pa.types.is_dictionary(found) or pa.types.is_run_end_encoded(found):
            found = found.value_type
        else:
            return found


def _is_text(plain: Any) -> bool:
    import pyarrow as pa

    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(plain) for test in tests)


def is_binary(found: Any) -> bool:
    """Whether a column holds bytes, which may be no text."""
    import pyarrow as pa

    plain = _plain(found)
    return _is_text(plain) and not (
        pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
    )


def _for_text(plain: Any) -> Any:
    import pyarrow as pa

    is_nested = pa.types.is_nested(plain) or pa.types.is_duration(plain) or pa.types.is_interval(plain)
    return None if is_nested else pa.string()


def _for_number(plain: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_uint64(plain):
        return pa.decimal128(20, 0)
    if pa.types.is_integer(plain) or pa.types.is_boolean(plain):
        return pa.int64()
    if pa.types.is_floating(plain):
        return pa.float64()
    if pa.types.is_decimal(plain):
        return pa.decimal128(plain.precision, plain.scale) if 0 <= plain.scale <= plain.precision <= _MOST_DIGITS else None
    return None


def _for_boolean(plain: Any) -> Any:
    import pyarrow as pa

    return pa.bool_() if pa.types.is_boolean(plain) else _for_number(plain)


def _for_timestamp(plain: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(plain):
        return pa.timestamp("us", tz=None if plain.tz is None else "UTC")
    if pa.types.is_date(plain):
        return pa.date32()
    return None if pa.types.is_boolean(plain) else _for_number(plain)


def _for_date(plain: Any) -> Any:
    import pyarrow as pa

    is_day = pa.types.is_date(plain) or (pa.types.is_timestamp(plain) and plain.tz is None)
    return pa.date32() if is_day else None


def _for_time(plain: Any) -> Any:
    import pyarrow as pa

    return pa.string() if pa.types.is_time(plain) else None


def _for_list(plain: Any) -> Any:
    import pyarrow as pa

    is_list = pa.types.is_list(plain) or pa.types.is_large_list(plain) or pa.types.is_fixed_size_list(plain)
    is_list = is_list or pa.types.is_list_view(plain) or pa.types.is_large_list_view(plain)
    fits = is_list and (_is_text(_plain(plain.value_type)) or _for_text(_plain(plain.value_type)) is not None)
    return pa.list_(pa.string()) if fits else None


def _remedy(plain: Any) -> str:
    """What to state, or what to write, for a type."""
    import pyarrow as pa

    is_number = pa.types.is_integer(plain) or pa.types.is_floating(plain) or pa.types.is_decimal(plain)
    inner = plain.field(0).name if pa.types.is_struct(plain) and plain.num_fields else "part"
    remedies = {
        "state timestamp": pa.types.is_timestamp(plain),
        "state date or timestamp": pa.types.is_date(plain),
        "state time or string": pa.types.is_time(plain),
        "state boolean, int or string": pa.types.is_boolean(plain),
        f"write it with at most {_MOST_DIGITS} digits, or as double or text": pa.types.is_decimal256(plain),
        "state a type of numbers, or string": is_number,
        "state list, or ignore, or write it as text": pa.types.is_list(plain) or pa.types.is_large_list(plain),
        f"name its parts with dots, such as <column>.{inner}, or state ignore": pa.types.is_struct(plain),
    }
    return next((remedy for remedy, fits in remedies.items() if fits), "state ignore, or write it as text or a number")


def unite(types: Sequence[Any]) -> Any:
    """One type for a column that files of several days hold in different types.

    Raises
    ------
    ValueError : they cannot be one, such as text and numbers.
    """
    import pyarrow as pa

    different = list(dict.fromkeys(one for one in types if not pa.types.is_null(one)))
    if not different:
        return pa.string()
    if len(different) == 1:
        return different[0]
    if all(pa.types.is_integer(one) or pa.types.is_floating(one) or pa.types.is_decimal(one) for one in different):
        if any(pa.types.is_floating(one) for one in different):
            return pa.float64()
        scale = max(getattr(one, "scale", 0) for one in different)
        whole = max(one.precision - one.scale if pa.types.is_decimal(one) else 19 for one in different)
        return pa.decimal128(whole + scale, scale) if whole + scale <= _MOST_DIGITS else pa.float64()
    times = [one for one in different if pa.types.is_timestamp(one)]
    if len(times) == 1 and all(pa.types.is_date(one) for one in different if one not in times):
        return times[0]
    raise ValueError(" and ".join(str(one) for one in different))


def is_native(found: Any, target: Any, *, is_exact: bool) -> bool:
    """Whether Spark's readers of Parquet and ORC deliver a column in this type. `is_exact`: they widen no numbers."""
    import pyarrow as pa

    if pa.types.is_dictionary(found) and not is_exact:
        found = found.value_type
    if pa.types.is_timestamp(found):
        return pa.types.is_timestamp(target) and found.unit in {"ms", "us"} and (found.tz is None) == (target.tz is None)
    if pa.types.is_list(found):
        return bool(pa.types.is_list(target) and pa.types.is_string(found.value_type))
    if pa.types.is_large_string(found):
        return bool(pa.types.is_string(target))
    return bool(found == target or (found == pa.int32() and target == pa.int64() and not is_exact))


def deliver(column: Any, target: Any) -> Any:
    """The values of a column in the type in which it is delivered. NaN becomes null. Nanoseconds are cut to microseconds.

    Raises
    ------
    ValueError : a binary column holds no UTF-8.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    values = _decode(column)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if values.type == target or pa.types.is_null(values.type):
        return values.cast(target)
    if pa.types.is_string(target):
        return _as_text(values)
    if pa.types.is_timestamp(target):
        return _as_moments(values, target)
    if pa.types.is_list(target):
        return _as_lists(values)
    return (values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values).cast(target, safe=False)


def _as_lists(values: Any) -> Any:
    """Lists of text."""
    import pyarrow as pa

    parts = values.cast(pa.list_(values.type.value_type))
    return pa.ListArray.from_arrays(parts.offsets, deliver(parts.values, pa.string()), mask=parts.is_null())


def _decode(column: Any) -> Any:
    """The values of an array without what says only how they are stored, as one array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):  # more than 2 GiB of text stay in chunks
        raise ValueError("has more text than fits into one group of rows; write smaller row groups")
    is_uuid = getattr(values.type, "extension_name", "") == "arrow.uuid"
    while True:
        if isinstance(values.type, pa.BaseExtensionType):
            values = values.storage
        elif pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        elif pa.types.is_run_end_encoded(values.type):
            values = pc.run_end_decode(values)
        else:
            break
    if is_uuid:
        import uuid

        return pa.array([None if one is None else str(uuid.UUID(bytes=one)) for one in values.to_pylist()], pa.string())
    if _is_text(values.type) and values.type != pa.string():
        try:
            return values.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid as error:
            raise ValueError("holds bytes that are no UTF-8; state ignore, or write it as text") from error
    return values


def _as_text(values: Any) -> Any:
    """Numbers without `.0` or an exponent where they are whole, booleans as true and false, times in ISO form."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        is_whole = pc.and_(pc.equal(values, pc.trunc(values)), pc.less(pc.abs(values), 2.0**63))
        whole = pc.if_else(is_whole, values, pa.scalar(None, pa.float64())).cast(pa.int64()).cast(pa.string())
        return pc.coalesce(whole, values.cast(pa.string()))
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", tz=values.type.tz), safe=False)
    texts = values.cast(pa.string())
    if pa.types.is_timestamp(values.type) or pa.types.is_time(values.type):
        texts = pc.replace_substring_regex(texts, pattern=r"(\.\d*?)0+(Z?)$", replacement=r"\1\2")
        return pc.replace_substring_regex(texts, pattern=r"\.(Z?)$", replacement=r"\1")
    return texts


def _as_moments(values: Any, target: Any) -> Any:
    """Times in microseconds; those that do not fit are the last moment of the year 9999, which no bound accepts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(values.type) and values.type.unit in ("s", "ms"):
        per_second = 1 if values.type.unit == "s" else 1000
        last = 253_402_300_799 * per_second
        counts = values.cast(pa.int64())
        clipped = pc.min_element_wise(
            pc.max_element_wise(counts, -62_135_596_800 * per_second, skip_nulls=False), last, skip_nulls=False
        )
        values = clipped.cast(pa.timestamp(values.type.unit, tz=values.type.tz))
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    return values.cast(pa.timestamp("us", tz=values.type.tz), safe=False).cast(pa.int64()).cast(target)


def flatten(batch: Any, stated: Mapping[str, str]) -> Any:
    """A table in which parts of structs are columns named with dots, where the YAML states them."""
    import pyarrow as pa

    table = batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
    while True:
        nested = [
            field.name
            for field in table.schema
            if pa.types.is_struct(field.type)
            and field.name not in stated
            and any(_is_part(name, field.name) for name in stated)
        ]
        if not nested:
            return table
        columns: dict[str, Any] = {}
        for name in table.column_names:
            if name in nested:
                inner = pa.table({name: table[name]}).flatten()
                columns.update({part: inner[part] for part in inner.column_names})
            else:
                columns[name] = table[name]
        table = pa.table(columns)


def _is_part(name: str, of: str) -> bool:
    return name.startswith(f"{of}.")


def as_delivered(batch: Any, stated: Mapping[str, str], types: Mapping[str, Any]) -> Any:
    """The stated columns of a batch in the types in which they are delivered. A column that it lacks is null.

    Raises
    ------
    ValueError : the column, and why its values cannot be delivered.
    """
    import pyarrow as pa

    table = flatten(batch, stated)
    columns = []
    for name, target in types.items():
        try:
            found = deliver(table[name], target) if name in table.column_names else pa.nulls(table.num_rows, target)
        except (ValueError, pa.ArrowException) as error:
            raise ValueError(f"column {name!r} {error}") from error
        columns.append(found)
    return pa.Table.from_arrays(columns, names=list(types))


def spark_type(target: Any) -> str:
    """The type in Spark's syntax in which a column is delivered."""
    import pyarrow as pa

    if pa.types.is_decimal(target):
        return f"decimal({target.precision},{target.scale})"
    if pa.types.is_list(target):
        return "array<string>"
    names = {pa.string(): "string", pa.int64(): "bigint", pa.float64(): "double", pa.bool_(): "boolean", pa.date32(): "date"}
    return "timestamp" if pa.types.is_timestamp(target) else names[target]
