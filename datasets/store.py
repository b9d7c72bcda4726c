"""Where the bytes of datasets lie: a content store in `settings.DATASET_DIR`.

Decides what a file must be to be kept: Parquet or CSV, whole, within the limits, with a name that is only a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from django.conf import settings

from datasets.models import DatasetVersion
from foundation.content_store import ContentStore, Readable
from foundation.refusals import Invalid, NotFound, TooLarge, Unavailable

MAX_ROWS: Final = 20_000_000
MAX_EXPANDED_BYTES: Final = 8 * 1024**3
FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,127}")
PARQUET_MAGIC: Final = b"PAR1"


@dataclass(frozen=True)
class StoredTable:
    """A kept file: its SHA-256, size in bytes, and what is in it."""

    digest: str
    size: int
    rows: int
    schema: pa.Schema


class _DatasetStore(ContentStore):
    """Files under their SHA-256 directly in `settings.DATASET_DIR`."""

    name = "dataset store"
    folder = ""
    damaged_code = "data-file-damaged"

    def __init__(self) -> None:
        super().__init__(Path(settings.DATASET_DIR))

    def too_large(self, limit: int) -> TooLarge:
        return TooLarge(f"A dataset file has at most {limit:,} bytes; this one is larger. Nothing of it was kept.")

    def broken_off(self, arrived: int) -> Invalid:
        return Invalid(
            f"The upload broke off after {arrived:,} bytes. Nothing of it was kept; send it again.",
            code="file-truncated",
        )

    def no_room(self) -> Unavailable:
        return Unavailable(
            "The disk is full, so the file could not be kept. Nothing was changed; ask an administrator to free space, then try again.",
            code="disk-full",
        )


def receive(stream: Readable, *, filename: str, limit: int | None = None) -> StoredTable:
    """Keep the table in `stream` and say what it is.

    `limit`: bytes. Raises `Invalid` for a bad name, a wrong format or a truncated file, `TooLarge` beyond the limits,
    `Unavailable` when the disk cannot take it; in each case nothing is kept.
    """
    suffix = check_name(filename)
    most = settings.MAX_FILE_BYTES if limit is None else limit
    with _DatasetStore().arriving(stream, limit=most) as (stored, path):
        rows, schema = _inspect(path, suffix)
    return StoredTable(stored.digest, stored.size, rows, schema)


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


def clear_abandoned() -> int:
    """Remove what uploads left half-written whose process was killed; returns how many files went. Those under way stay."""
    return _DatasetStore().clear_abandoned()


def path_of(digest: str) -> Path:
    """Where the file with this SHA-256 lies; raises `NotFound` for what is no digest."""
    return _DatasetStore().path(digest)


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
    open_version(version)
    if _DatasetStore().rehash(version.digest) != version.digest:
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
