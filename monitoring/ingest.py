"""Takes predictions from the worker's log, exactly once: archived, counted into windows, and the position kept in one transaction.

A window is a stretch of the worker's clock. A date inside a scored row is not used, so scoring old rows today fills today's window.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pandas as pd
import structlog

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from audit.payload import Json
from datasets.drift import Bins, count
from foundation.refusals import Conflict
from monitoring import archive
from monitoring.drift import added, bins_from, tally
from monitoring.models import Ingested, PredictionWindow, Reference, Thresholds
from monitoring.references import reference_for
from monitoring.segments import Chunk, Prediction, flat, read, segments
from registry.models import ModelVersion
from serving.models import Deployment

log = structlog.get_logger(__name__)

MOST_CALLERS: Final = 20
OTHER_CALLERS: Final = "(others)"


@dataclass(frozen=True)
class Taken:
    """What one reading of the log brought: rows counted, and lines that were no predictions of this deployment's model."""

    rows: int = 0
    unreadable: int = 0


@dataclass(frozen=True)
class Counted:
    """A reference's bins, ready to count into."""

    features: Mapping[str, Bins]
    score: Bins | None

    @classmethod
    def of(cls, reference: Reference | None) -> Counted:
        """The reference's bins; none at all without a reference."""
        if reference is None:
            return cls({}, None)
        return cls(bins_from(reference.features), Bins.from_dict(reference.score) if reference.score else None)


@dataclass(frozen=True)
class Batch:
    """One chunk, archived and ready to count: its predictions by versions that exist, under the digest that they have."""

    chunk: Chunk
    known: Sequence[Prediction]
    versions: Mapping[int, ModelVersion]
    bins: Mapping[int, Counted]
    archive: str
    archive_digest: str

    @property
    def unreadable(self) -> int:
        """Lines that are no predictions, or that name a version or digest that the model does not have."""
        return self.chunk.unreadable + len(self.chunk.predictions) - len(self.known)


def ingest(deployment: Deployment, *, by: Principal) -> Taken:
    """Take everything that the deployment's worker has finished writing; safe to run twice at once and to kill at any moment."""
    permit(by, Permission.SEE_MONITORING)
    kept: list[Ingested] = []
    for path in segments(archive.log_folder(deployment)):
        try:
            kept.extend(_count(deployment, _prepare(deployment, chunk), by=by) for chunk in _chunks(deployment, path))
        except Conflict:
            log.info("predictions_counted_elsewhere", deployment=deployment.name, segment=path.name)
    return Taken(sum(one.rows for one in kept), sum(one.unreadable for one in kept))


def _chunks(deployment: Deployment, path: Path) -> Iterator[Chunk]:
    position = Ingested.objects.position(deployment, path.name)
    if path.stat().st_size <= position:
        return
    while (chunk := read(path, position)) is not None:
        yield chunk
        position = chunk.end
    archive.sweep(deployment, path.name)


def _prepare(deployment: Deployment, chunk: Chunk) -> Batch:
    """What is slow (references, the Parquet file), before the transaction."""
    numbers = {one.version for one in chunk.predictions}
    found = ModelVersion.objects.filter(model=deployment.model_id, number__in=numbers)
    versions = {version.number: version for version in found.select_related("model", "dataset_version__dataset")}
    known = [one for one in chunk.predictions if one.version in versions and versions[one.version].digest == one.digest]
    bins = {number: Counted.of(reference_for(deployment, version)) for number, version in versions.items()}
    name, digest = archive.write(deployment, chunk, known)
    return Batch(chunk, known, versions, bins, name, digest)


@governed(Action.PREDICTIONS_COUNT)
def _count(deployment: Deployment, batch: Batch, *, by: Principal) -> Ingested:
    """Keep the position and the counts together. Raises `Conflict` when another reader has counted this chunk meanwhile."""
    deployment = Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
    permit(by, Permission.SEE_MONITORING)
    chunk = batch.chunk
    if Ingested.objects.position(deployment, chunk.segment) != chunk.start:
        raise Conflict("These predictions have been counted already.", code="already-counted")
    seconds = Thresholds.objects.of(deployment).window_seconds
    for (number, starts_at), predictions in _by_window(batch.known, seconds).items():
        window, _ = PredictionWindow.objects.get_or_create(
            deployment=deployment, version=batch.versions[number], starts_at=starts_at, seconds=seconds
        )
        _grow(window, predictions, batch.bins[number])
    times = [archive.moment(one.t) for one in batch.known]
    kept = Ingested.objects.create(
        deployment=deployment,
        segment=chunk.segment,
        start=chunk.start,
        end=chunk.end,
        rows=len(batch.known),
        unreadable=batch.unreadable,
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        archive=batch.archive,
        archive_digest=batch.archive_digest,
    )
    after: dict[str, Json] = {
        "segment": chunk.segment,
        "end": chunk.end,
        "rows": kept.rows,
        "unreadable": kept.unreadable,
        "archive": kept.archive_digest,
    }
    append(Action.PREDICTIONS_COUNT, by=by, obj=deployment.ledger_ref(), after=after)
    return kept


def _by_window(predictions: Iterable[Prediction], seconds: int) -> dict[tuple[int, datetime], list[Prediction]]:
    found: dict[tuple[int, datetime], list[Prediction]] = defaultdict(list)
    for one in predictions:
        found[one.version, window_start(one.t, seconds)].append(one)
    return dict(sorted(found.items(), key=lambda item: item[0][1]))


def window_start(microseconds: int, seconds: int) -> datetime:
    """The start of the window of `seconds` that holds this time; windows are counted from the epoch, so they never drift."""
    return archive.EPOCH + timedelta(seconds=microseconds // (seconds * 1_000_000) * seconds)


def _grow(window: PredictionWindow, predictions: Sequence[Prediction], bins: Counted) -> None:
    window.rows += len(predictions)
    window.callers = _callers(window.callers, predictions)
    if bins.features:
        rows = pd.DataFrame([flat(one.row) for one in predictions])
        window.features = added(window.features, tally(bins.features, rows))
        window.incomplete_rows += sum(not bins.features.keys() <= one.row.keys() for one in predictions)
    if bins.score is not None:
        scores = [int(n) for n in count(bins.score, [one.score for one in predictions])]
        window.score = [one + other for one, other in zip(window.score or [0] * len(scores), scores, strict=True)]
    window.save()


def _callers(before: Mapping[str, int], predictions: Sequence[Prediction]) -> dict[str, int]:
    """Who asked; after twenty names the rest is counted together, since a caller chooses its own name."""
    callers = Counter(before)
    for one in predictions:
        name = one.caller[:100] or "(not named)"
        callers[name if name in callers or len(callers) < MOST_CALLERS else OTHER_CALLERS] += 1
    return dict(callers)
