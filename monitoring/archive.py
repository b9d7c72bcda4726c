"""Keeps counted predictions as Parquet, so that outcomes can be joined to the scores that were answered.

A file is written before the transaction that lists it (`Ingested`); one that is not listed was left by a crash and is not read.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from typing import Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from monitoring.models import Ingested
from monitoring.segments import Chunk, Prediction
from serving.models import Deployment

SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("t", pa.int64()),
        ("version", pa.int32()),
        ("digest", pa.string()),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("caller", pa.string()),
        ("row", pa.string()),
    ]
)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Answered:
    """What the worker once answered: version, score, and when by its clock."""

    version: int
    score: float
    at: datetime


def log_folder(deployment: Deployment) -> Path:
    """Where the deployment's worker writes its segments."""
    return Path(settings.PREDICTION_LOG_DIR) / deployment.name


def folder(deployment: Deployment) -> Path:
    """Where the deployment's archive lies."""
    return log_folder(deployment) / "archive"


def moment(microseconds: int) -> datetime:
    """A time of the log (microseconds since the epoch) as a moment in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)


def write(deployment: Deployment, chunk: Chunk, predictions: Sequence[Prediction]) -> tuple[str, str]:
    """The predictions of one chunk as a Parquet file that is complete or absent: its name and SHA-256; two empty texts for none."""
    if not predictions:
        return "", ""
    target = folder(deployment)
    target.mkdir(parents=True, exist_ok=True)
    name = f"{chunk.segment.removesuffix('.log')}-{chunk.start:012d}-{chunk.end:012d}.parquet"
    partial = target / f".{name}.{os.getpid()}"
    pq.write_table(_table(predictions), partial, compression="zstd")
    with partial.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    partial.replace(target / name)
    return name, digest


def find(deployment: Deployment, ids: Collection[str]) -> dict[str, Answered]:
    """What was answered under each of `ids`; ids that the archive does not have are left out.

    Callers may name their rows themselves: where an id was used twice, the newest answer counts.
    """
    wanted = set(ids)
    found: dict[str, Answered] = {}
    for name in (
        Ingested.objects.filter(deployment=deployment)
        .exclude(archive="")
        .order_by("-last_at")
        .values_list("archive", flat=True)
    ):
        if not wanted:
            break
        table = pq.read_table(folder(deployment) / name, columns=["id", "t", "version", "score"])
        hits = table.filter(pc.is_in(table["id"], value_set=pa.array(sorted(wanted), pa.string())))
        found |= {row["id"]: Answered(row["version"], row["score"], moment(row["t"])) for row in hits.to_pylist()}
        wanted.difference_update(found)
    return found


def sweep(deployment: Deployment, segment: str) -> int:
    """Delete what a crash left of this segment: files that begin before the taken position and are not listed. Returns how many.

    They can never be listed any more, because a chunk is taken only when it begins at the position.
    """
    taken = Ingested.objects.filter(deployment=deployment, segment=segment)
    listed = set(taken.values_list("archive", flat=True))
    position = Ingested.objects.position(deployment, segment)
    stem = segment.removesuffix(".log")
    left = [
        path
        for path in folder(deployment).glob(f"{stem}-*.parquet")
        if path.name not in listed and int(path.stem.split("-")[-2]) < position
    ]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _table(predictions: Sequence[Prediction]) -> pa.Table:
    columns = {
        "id": [one.id for one in predictions],
        "t": [one.t for one in predictions],
        "version": [one.version for one in predictions],
        "digest": [one.digest for one in predictions],
        "score": [one.score for one in predictions],
        "decision": [orjson.dumps(one.decision).decode() for one in predictions],
        "caller": [one.caller for one in predictions],
        "row": [orjson.dumps(one.row).decode() for one in predictions],
    }
    return pa.table(columns, schema=SCHEMA)
