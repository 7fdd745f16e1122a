"""Arrays of an export: read into memory, or mapped so that several processes share large ones."""

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

LEAST_MAPPED = 2**20  # bytes; a smaller array is read into memory


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an uncompressed .npz, in memory. Nothing is unpickled."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """As `read_arrays`, with large arrays mapped read-only from the file, whose pages all processes share.

    Raises
    ------
    ModelError : the length of an array differs from its header.
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
                raise ModelError(f"{path}: array {name!r} has another format than an export")
            shape, is_fortran, dtype = npy.read_array_header_1_0(stream)
            begin = stream.tell()
            if dtype.hasobject or begin - start + math.prod(shape) * dtype.itemsize != member.file_size:
                raise ModelError(f"{path}: array {name!r} differs from its header")
            mapped = np.memmap(path, dtype, "r", begin, shape, "F" if is_fortran else "C")
            arrays[name] = np.asarray(mapped)  # a plain array: a memmap's own methods cost on every call
    return arrays


def _read_small(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays below `LEAST_MAPPED`."""
    with np.load(path, allow_pickle=False) as archive:
        sizes = {member.filename: member.file_size for member in archive.zip.infolist()}
        return {name: archive[name] for name in archive.files if sizes[f"{name}.npy"] < LEAST_MAPPED}
