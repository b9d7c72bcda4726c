"""Where the bytes of datasets lie: write-once files named by their SHA-256 in `settings.DATASET_DIR`.

Decides what a file must be to be kept: Parquet or CSV, whole, within the limits, with a name that is only a name. Bytes are
hashed while they are written, synced, and linked into place, so that nothing half-written is ever visible.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from django.conf import settings

from datasets.models import DatasetVersion
from foundation.refusals import Invalid, NotFound, TooLarge, Unavailable

CHUNK_BYTES: Final = 1024 * 1024
MAX_ROWS: Final = 20_000_000
MAX_EXPANDED_BYTES: Final = 8 * 1024**3
FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,127}")
PARQUET_MAGIC: Final = b"PAR1"


class Readable(Protocol):
    """Whatever bytes come from: a file, an upload, a request body."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes; nothing at the end."""


@dataclass(frozen=True)
class StoredTable:
    """A kept file: its SHA-256, size in bytes, and what is in it."""

    digest: str
    size: int
    rows: int
    schema: pa.Schema


def receive(stream: Readable, *, filename: str, limit: int | None = None) -> StoredTable:
    """Keep the table in `stream` and say what it is.

    `limit`: bytes. Raises `Invalid` for a bad name, a wrong format or a truncated file, `TooLarge` beyond the limits,
    `Unavailable` when the disk is full; in each case nothing is kept.
    """
    suffix = check_name(filename)
    with _incoming() as (path, file):
        digest, size = _copy(stream, file, settings.MAX_FILE_BYTES if limit is None else limit)
        rows, schema = _inspect(path, suffix)
        _link(path, digest)
    return StoredTable(digest, size, rows, schema)


def check_name(filename: str) -> str:
    """The suffix of an acceptable file name, `.parquet` or `.csv`; raises `Invalid` for anything else, paths included."""
    if not FILE_NAME.fullmatch(filename) or ".." in filename:
        raise Invalid(
            f"The file name {filename[:80]!r} is not accepted. Use a plain name of letters, digits, spaces, "
            "dots, hyphens and underscores, without folders.",
            code="file-name",
        )
    suffix = Path(filename).suffix.lower()
    if suffix not in {".parquet", ".csv"}:
        raise Invalid(f"{filename} is neither .parquet nor .csv. Convert it to one of them.", code="file-format")
    return suffix


def path_of(digest: str) -> Path:
    """Where the file with this SHA-256 lies."""
    return Path(settings.DATASET_DIR) / digest[:2] / digest


def open_version(version: DatasetVersion) -> Path:
    """The file of `version`; raises `NotFound` when it is gone and `Unavailable` when its size is not the recorded one."""
    path = path_of(version.digest)
    if not path.is_file():
        raise NotFound(
            f"The file of {version} is not in the store. Restore it from a backup.", code="data-file-missing"
        )
    if path.stat().st_size != version.size_bytes:
        raise Unavailable(
            f"The file of {version} does not have its recorded size. Restore it from a backup.",
            code="data-file-damaged",
        )
    return path


def verify(version: DatasetVersion) -> None:
    """Hash the file of `version` again; raises `Unavailable` when it is not what was registered."""
    digest = hashlib.sha256()
    with open_version(version).open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != version.digest:
        raise Unavailable(
            f"The bytes of {version} have changed since it was registered. Restore it from a backup.",
            code="data-file-damaged",
        )


def read_table(version: DatasetVersion, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of `version`, all columns or the named ones."""
    return read_file(open_version(version), columns)


def read_file(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The rows of a kept file, whichever of the two formats it has."""
    with path.open("rb") as file:
        is_parquet = file.read(4) == PARQUET_MAGIC
    wanted = None if columns is None else list(columns)
    if is_parquet:
        return pq.read_table(path, columns=wanted).to_pandas()
    return _read_csv(path).select(wanted).to_pandas() if wanted else _read_csv(path).to_pandas()


def _copy(stream: Readable, file: BinaryIO, limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := _read(stream, size):
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"A dataset file has at most {limit:,} bytes; this one is larger. Nothing of it was kept.")
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    os.fsync(file.fileno())
    return digest.hexdigest(), size


def _read(stream: Readable, size: int) -> bytes:
    """The next chunk; an upload that breaks off is a refusal, a disk that is full is not."""
    try:
        return stream.read(CHUNK_BYTES)
    except OSError as error:
        raise Invalid(
            f"The upload broke off after {size:,} bytes. Nothing of it was kept; send it again.", code="file-truncated"
        ) from error


def _inspect(path: Path, suffix: str) -> tuple[int, pa.Schema]:
    try:
        rows, schema = _inspect_parquet(path) if suffix == ".parquet" else _inspect_csv(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        told = "cut off or not Parquet" if suffix == ".parquet" else "not a CSV table with one header and equal rows"
        raise Invalid(
            f"The file cannot be read: it is {told}. Nothing of it was kept; export it again.", code="file-format"
        ) from error
    if rows == 0:
        raise Invalid("The table has no rows.", code="file-empty")
    if rows > MAX_ROWS:
        raise TooLarge(f"A dataset version has at most {MAX_ROWS:,} rows; this one has {rows:,}.")
    return rows, schema


def _inspect_parquet(path: Path) -> tuple[int, pa.Schema]:
    """Row count and schema from the footer, then one pass over all pages: a footer can promise what is not there."""
    file = pq.ParquetFile(path)
    groups = range(file.metadata.num_row_groups)
    if sum(file.metadata.row_group(group).total_byte_size for group in groups) > MAX_EXPANDED_BYTES:
        raise TooLarge(f"The table unpacks to more than {MAX_EXPANDED_BYTES:,} bytes.")
    rows = sum(batch.num_rows for batch in file.iter_batches(batch_size=1_000_000))
    return rows, file.schema_arrow


def _inspect_csv(path: Path) -> tuple[int, pa.Schema]:
    table = _read_csv(path)
    return table.num_rows, table.schema


def _read_csv(path: Path) -> pa.Table:
    return pacsv.read_csv(path, parse_options=pacsv.ParseOptions(newlines_in_values=False))


def _link(temporary: Path, digest: str) -> None:
    """Give the written file its final name; an identical file that is there already is as good."""
    target = path_of(digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o440)
    try:
        os.link(temporary, target)
    except FileExistsError:
        return
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _incoming() -> Iterator[tuple[Path, BinaryIO]]:
    """A temporary file on the same file system, gone at the end whatever happens; a full disk becomes a refusal."""
    folder = Path(settings.DATASET_DIR) / "incoming"
    path = folder / secrets.token_hex(16)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            yield path, file
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise
        raise Unavailable(
            "The disk is full, so the file could not be kept. Nothing was changed; ask an administrator to free space, then try again.",
            code="disk-full",
        ) from error
    finally:
        path.unlink(missing_ok=True)
