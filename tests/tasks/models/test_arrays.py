"""Arrays of an export, in memory and mapped."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.models.arrays import LEAST_MAPPED, map_arrays, read_arrays

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
