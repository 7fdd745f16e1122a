"""Arrays of an export, in memory and mapped."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks.errors import ModelError
from tasks.models.arrays import LEAST_MAPPED, map_arrays, number_texts, pack_texts, read_arrays, unpack_texts

LARGE = np.arange(LEAST_MAPPED // 4, dtype=np.float64).reshape(-1, 2)


def test_mapped_and_read_arrays_are_equal(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    names = np.array([f"item {n}" for n in range(50_000)])
    np.savez(
        path,
        allow_pickle=False,
        large=LARGE,
        turned=np.asfortranarray(LARGE),
        names=names,
        small=np.arange(3),
        none=np.empty(0),
    )
    mapped, read = map_arrays(path), read_arrays(path)
    assert mapped.keys() == read.keys()
    for name, array in read.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert type(mapped[name]) is np.ndarray
    assert {name for name, array in mapped.items() if not array.flags.writeable} == {"large", "turned", "names"}
    mine = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]
    assert len(mine) == 3
    with pytest.raises(ValueError, match="read-only"):
        mapped["large"][0, 0] = 1.0


@pytest.mark.parametrize(
    ("before", "after"), [(b"(131072, 2)", b"(131079, 2)"), (b"'<f8'", b"'|O' "), (b"\x93NUMPY\x01", b"\x93NUMPY\x02")]
)
def test_a_wrong_header_is_refused(tmp_path: Path, before: bytes, after: bytes) -> None:
    written = io.BytesIO()
    np.save(written, LARGE)
    assert before in written.getvalue()[:128]
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as archive:
        archive.writestr("large.npy", written.getvalue().replace(before, after, 1))
    with pytest.raises((ModelError, ValueError)):
        map_arrays(tmp_path / "arrays.npz")


def test_one_long_text_does_not_widen_the_others() -> None:
    texts = np.array(["ann", "", "zoë", "x" * 20_000, *(f"user {n}" for n in range(10_000))], dtype=object)
    packed = pack_texts({"users": texts, "factors": np.ones(3)})
    assert sum(array.nbytes for array in packed.values()) < 300_000, "800 MB as an array of NumPy's texts"
    found = unpack_texts(packed)
    assert found.keys() == {"users", "factors"} and found["users"].tolist() == texts.tolist()
    former = unpack_texts({"users": np.array(["ann", "bob"])})
    assert former["users"].astype(object).tolist() == ["ann", "bob"], "exports of earlier versions load"
    assert unpack_texts(pack_texts({"users": np.empty(0, dtype=object)}))["users"].shape == (0,)


@pytest.mark.parametrize(
    ("data", "ends", "message"),
    [
        (b"ann", [3, 5], "do not fit its 3 bytes"),
        (b"ann", [3, 2, 3], "do not fit its 3 bytes"),
        (b"ann", [2], "do not fit its 3 bytes"),
        (b"\xff\xfe", [2], "expected text in UTF-8"),
    ],
)
def test_packed_texts_that_were_altered_are_refused(data: bytes, ends: list[int], message: str) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "users_utf8": np.frombuffer(data, dtype=np.uint8),
        "users_ends": np.array(ends, dtype=np.int64),
    }
    with pytest.raises(ModelError, match=message):
        unpack_texts(arrays)


def test_texts_are_numbered_in_their_order() -> None:
    names, places = number_texts(pd.Series(["b", "a", "é", "b", "Z", "10", "9"]))
    assert names.tolist() == ["10", "9", "Z", "a", "b", "é"] and places.tolist() == [4, 3, 5, 4, 2, 0, 1]
