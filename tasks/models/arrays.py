"""Arrays out of an export: read into memory, or mapped, so that several processes hold large ones once between them."""

from __future__ import annotations

import math
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tasks.errors import ModelError

LEAST_MAPPED = 2**20  # bytes; what is smaller is not worth a mapping


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an uncompressed .npz, in memory. Nothing is unpickled."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """As `read_arrays`, the large ones read-only and mapped to where they stand in the file, whose pages all processes share.

    Raises
    ------
    ModelError : an array is not as long as its header says.
    """
    arrays = _read_small(path)
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                continue
            stream.seek(member.header_offset + 26)
            start = member.header_offset + 30 + sum(struct.unpack("<HH", stream.read(4)))
            stream.seek(start)
            if npy.read_magic(stream) != (1, 0):
                raise ModelError(f"{path}: array {name!r} is not of the format that an export has")
            shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
            begin = stream.tell()
            if dtype.hasobject or begin - start + math.prod(shape) * dtype.itemsize != member.file_size:
                raise ModelError(f"{path}: array {name!r} is not what its header says")
            mapped = np.memmap(path, dtype, "r", begin, shape, "F" if is_fortran else "C")
            arrays[name] = np.asarray(mapped)  # a plain array: a memmap's own methods cost on every call
    return arrays


def _read_small(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays that are not worth a mapping."""
    with np.load(path, allow_pickle=False) as archive:
        sizes = {member.filename: member.file_size for member in archive.zip.infolist()}
        return {name: archive[name] for name in archive.files if sizes[f"{name}.npy"] < LEAST_MAPPED}
