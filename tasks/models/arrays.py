"""Arrays of an export: read into memory, or mapped so that several processes share large ones."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tasks.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

BYTES, ENDS = "_utf8", "_ends"  # what the names of the two arrays of a packed array of text end with
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


def pack_texts(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays of text as their UTF-8 bytes and where each text ends. Other arrays stay, also those of other objects.

    NumPy's own arrays of text give each text the room of the longest one.
    """
    packed: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.dtype.kind == "U" or (array.dtype.hasobject and all(isinstance(text, str) for text in array.tolist())):
            texts = [text.encode() for text in array.tolist()]
            packed[f"{name}{BYTES}"] = np.frombuffer(b"".join(texts), dtype=np.uint8)
            packed[f"{name}{ENDS}"] = np.cumsum([len(text) for text in texts], dtype=np.int64)
        else:
            packed[name] = array
    return packed


def unpack_texts(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The inverse of `pack_texts`: texts are arrays of objects. Exports of earlier versions have NumPy's arrays of text.

    Raises
    ------
    ModelError : the ends do not fit the bytes, or the bytes are no text.
    """
    found = {name: array for name, array in arrays.items() if not name.endswith((BYTES, ENDS))}
    for name in (name.removesuffix(ENDS) for name in arrays if name.endswith(ENDS)):
        ends, data = arrays[f"{name}{ENDS}"], arrays.get(f"{name}{BYTES}", np.empty(0, np.uint8)).tobytes()
        starts = np.append(0, ends)
        if ends.dtype != np.int64 or (np.diff(starts) < 0).any() or starts[-1] != len(data):
            raise ModelError(f"array {name!r}: the ends of its texts do not fit its {len(data)} bytes")
        try:
            texts = [data[start:end].decode() for start, end in zip(starts[:-1].tolist(), ends.tolist(), strict=True)]
        except UnicodeDecodeError as error:
            raise ModelError(f"array {name!r}: expected text in UTF-8: {error}") from error
        found[name] = np.array(texts, dtype=object)
    return found


def number_texts(texts: pd.Series) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
    """The distinct texts, sorted, (distinct,), and the place of each text among them, (texts,)."""
    import pandas as pd

    places, names = pd.factorize(texts.to_numpy(dtype=object), sort=True)
    return np.asarray(names, dtype=object), places.astype(np.int64)


def _read_small(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays below `LEAST_MAPPED`."""
    with np.load(path, allow_pickle=False) as archive:
        sizes = {member.filename: member.file_size for member in archive.zip.infolist()}
        return {name: archive[name] for name in archive.files if sizes[f"{name}.npy"] < LEAST_MAPPED}
