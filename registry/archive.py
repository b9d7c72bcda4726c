"""Whether bytes are a plain ZIP archive: one reading of it, whoever reads it.

Pure. It starts at byte 0, its entries follow each other without gaps, every local header says what the central directory says,
nothing is encrypted, named twice, commented, or grows beyond 200 times its size. Source: PKWARE APPNOTE 6.3.
"""

from __future__ import annotations

import re
import stat
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_EXPANSION: Final = 200
MAX_MEMBERS: Final = 20_000
STORED: Final = 0
DEFLATED: Final = 8
_NAME: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_END: Final = struct.Struct("<4s4H2LH")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_UTF8: Final = 0x800


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name and its size in bytes once unpacked."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def members(file: BinaryIO, size: int) -> list[Member]:
    """The entries of a plain archive of `size` bytes, in order; raises `ValueError` with what is not plain about it."""
    count, central_size, central_offset = _end(file, size)
    entries = _central(file, count, central_size, central_offset)
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise ValueError("it names an entry twice")
    _check_expansion(entries, size)
    position = 0
    for entry in sorted(entries, key=lambda entry: entry.offset):
        if entry.offset != position:
            raise ValueError("there are bytes in it that belong to no entry, or entries that overlap")
        position = _local_end(file, entry)
    if position != central_offset:
        raise ValueError("there are bytes between its entries and its directory")
    return [Member(entry.name.decode("ascii"), entry.size) for entry in entries]


def _end(file: BinaryIO, size: int) -> tuple[int, int, int]:
    if size < _END.size:
        raise ValueError("it is too short to be an archive")
    file.seek(size - _END.size)
    mark, disk, start_disk, here, total, central_size, central_offset, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\x05\x06" or comment:
        raise ValueError("it does not end like an archive without a comment")
    if disk or start_disk or here != total:
        raise ValueError("it is one of several disks")
    if not 0 < total <= MAX_MEMBERS or central_offset + central_size != size - _END.size:
        raise ValueError("its directory is not where it says, or has too many entries")
    return total, central_size, central_offset


def _central(file: BinaryIO, count: int, size: int, offset: int) -> list[_Entry]:
    file.seek(offset)
    data = file.read(size)
    entries, position = [], 0
    for _ in range(count):
        if position + _CENTRAL.size > len(data):
            raise ValueError("its directory is cut off")
        (
            mark,
            _,
            _,
            flags,
            method,
            _,
            _,
            crc,
            packed,
            unpacked,
            name_size,
            extra,
            comment,
            disk,
            _,
            external,
            local,
        ) = _CENTRAL.unpack_from(data, position)
        position += _CENTRAL.size
        name = data[position : position + name_size]
        position += name_size
        if mark != b"PK\x01\x02" or disk or extra or comment:
            raise ValueError("its directory has extra fields or comments")
        _check_entry(name, flags, method, external >> 16)
        entries.append(_Entry(name, flags, method, crc, packed, unpacked, local))
    if position != size:
        raise ValueError("its directory has bytes that belong to no entry")
    return entries


def _check_entry(name: bytes, flags: int, method: int, mode: int) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"it has an entry with the name {name[:80]!r}")
    shown = name.decode("ascii")
    if flags & ~_UTF8:
        raise ValueError(f"its entry {shown} is encrypted or has its size after its data")
    if method not in (STORED, DEFLATED):
        raise ValueError(f"its entry {shown} is packed by method {method}")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise ValueError(f"its entry {shown} is no regular file")


def _check_expansion(entries: list[_Entry], size: int) -> None:
    for entry in entries:
        if entry.method == STORED and entry.packed != entry.size:
            raise ValueError(f"its entry {entry.name.decode('ascii')} has two sizes")
        if entry.size > MAX_EXPANSION * max(entry.packed, 1):
            raise ValueError(f"its entry {entry.name.decode('ascii')} grows more than {MAX_EXPANSION} times")
    if sum(entry.size for entry in entries) > MAX_EXPANSION * size:
        raise ValueError(f"it grows more than {MAX_EXPANSION} times")


def _local_end(file: BinaryIO, entry: _Entry) -> int:
    """Where the entry's data ends, once its own header has been found to agree with the directory."""
    file.seek(entry.offset)
    header = file.read(_LOCAL.size)
    if len(header) < _LOCAL.size:
        raise ValueError("an entry is cut off")
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra = _LOCAL.unpack(header)
    same = (flags, method, crc, packed, size) == (entry.flags, entry.method, entry.crc, entry.packed, entry.size)
    if mark != b"PK\x03\x04" or extra or not same or file.read(name_size) != entry.name:
        raise ValueError(
            f"its entry {entry.name.decode('ascii')} says one thing in front of its data and another in the directory"
        )
    return entry.offset + _LOCAL.size + int(name_size) + entry.packed
