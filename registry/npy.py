"""Whether bytes are a plain NumPy array file: a closed set of element types, no objects, and exactly as many bytes as announced.

Pure, and without NumPy: the header is read by hand. Source: the NPY format, versions 1.0 to 3.0.
"""

from __future__ import annotations

import ast
import re
import struct
from typing import Any, Final, Protocol

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_DIMENSIONS: Final = 32
_ELEMENT: Final = re.compile(r"[<>|=]?(?P<kind>[biufcSUV?])(?P<size>\d{0,6})|[<>|=]?[mM]8(\[[0-9a-zA-Z/]{1,20}\])?")


class Readable(Protocol):
    """Where the bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""


def announced_bytes(stream: Readable) -> int:
    """Read the header from `stream` and return how many bytes of data it announces; raises `ValueError` for what is not plain."""
    start = _exactly(stream, 8)
    if start[:6] != MAGIC:
        raise ValueError("it does not start like an array file")
    major, minor = start[6], start[7]
    if minor != 0 or major not in (1, 2, 3):
        raise ValueError(f"it has the format version {major}.{minor}")
    length = struct.unpack("<H", _exactly(stream, 2))[0] if major == 1 else struct.unpack("<I", _exactly(stream, 4))[0]
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
    return _data_bytes(_exactly(stream, length).decode("utf-8" if major == 3 else "latin-1"))


def check(stream: Readable, size: int) -> None:
    """Raise `ValueError` unless `stream`, `size` bytes long, is exactly one plain array; reads it to its end."""
    counted = _Counting(stream)
    announced = announced_bytes(counted)
    header = counted.count
    while counted.read(1024**2):
        pass
    if counted.count != size or counted.count - header != announced:
        raise ValueError(f"it announces {announced:,} bytes of data and holds {counted.count - header:,}")


class _Counting:
    def __init__(self, stream: Readable) -> None:
        self.stream, self.count = stream, 0

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes, counted."""
        chunk = self.stream.read(size)
        self.count += len(chunk)
        return chunk


def _exactly(stream: Readable, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = stream.read(size - len(data))
        if not chunk:
            raise ValueError("it ends in the middle of its header")
        data += chunk
    return data


def _data_bytes(header: str) -> int:
    try:
        fields = ast.literal_eval(header.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("its header is not a plain description") from None
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header has other fields than descr, fortran_order and shape")
    if not isinstance(fields["fortran_order"], bool):
        raise ValueError("its header does not say whether it is in Fortran order")
    return _element_bytes(fields["descr"]) * _count(fields["shape"])


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("its shape is no tuple of at most 32 dimensions")
    count = 1
    for dimension in shape:
        if not isinstance(dimension, int) or isinstance(dimension, bool) or not 0 <= dimension < 2**48:
            raise ValueError("its shape has a dimension that is no count")
        count *= dimension
    return count


def _element_bytes(descr: Any) -> int:
    if isinstance(descr, list) and descr:
        return sum(_field_bytes(field) for field in descr)
    if not isinstance(descr, str):
        raise ValueError("its element type is neither a name nor a list of fields")
    match = _ELEMENT.fullmatch(descr)
    if match is None:
        raise ValueError(f"its element type {descr!r} is not one of plain numbers, text or bytes")
    if match["kind"] is None:
        return 8
    size = int(match["size"] or 1)
    return 4 * size if match["kind"] == "U" else size


def _field_bytes(field: Any) -> int:
    if not isinstance(field, tuple) or len(field) not in (2, 3) or not isinstance(field[0], str):
        raise ValueError("its element type has a field that is no pair of name and type")
    return _element_bytes(field[1]) * (_count(field[2]) if len(field) == 3 else 1)
