"""Reads outcomes that people and programs send (CSV or JSON) and measures the windows that they fall into."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from django.utils import timezone

from foundation.refusals import Invalid, TooLarge
from monitoring.archive import EPOCH
from monitoring.ingest import window_start
from monitoring.models import Outcome, PerformanceWindow, Thresholds
from monitoring.performance import assess, level_of
from registry.models import Evidence, ModelVersion
from registry.queries import evidence_of
from serving.models import Deployment

MOST_ROWS: Final = 200_000
SHAPE: Final = 'one row for each prediction: its "id" and its "label" (0 or 1)'
LABELS: Final[dict[str, int]] = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


@dataclass(frozen=True)
class Observed:
    """What really happened after one prediction."""

    prediction_id: str
    label: int


def parse(data: bytes) -> list[Observed]:
    """Outcomes from a CSV with the columns `id` and `label`, or from a JSON list of such objects (also under `outcomes`).

    Raises `Invalid` naming the first rows that are wrong; then none is taken. Raises `TooLarge` above 200,000 rows.
    """
    text = data.lstrip()
    return checked(_from_json(text) if text[:1] in (b"[", b"{") else _from_csv(text))


def checked(rows: Iterable[Any]) -> list[Observed]:
    """The rows (mappings with `id` and `label`) as outcomes; refusals as `parse` says."""
    found: list[Observed] = []
    errors: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if number > MOST_ROWS:
            raise TooLarge(
                f"At most {MOST_ROWS:,} outcomes are taken at once. Send the rest in a second file.",
                code="too-many-outcomes",
            )
        problem = _problem(row)
        if problem and len(errors) < 20:
            errors[f"row {number}"] = problem
        elif not problem:
            found.append(Observed(str(row["id"]).strip(), LABELS[_text(row["label"])]))
    if errors:
        first = next(iter(errors))
        raise Invalid(
            f"Nothing was taken. In {first}: {errors[first]} Send {SHAPE}.", code="bad-outcomes", errors=errors
        )
    if not found:
        raise Invalid(f"There are no outcomes in what was sent. Send {SHAPE}.", code="no-outcomes")
    return found


def _problem(row: Any) -> str:
    if not isinstance(row, Mapping) or not str(row.get("id") or "").strip():
        return 'there is no prediction "id".'
    if len(str(row["id"])) > 100:
        return "the id is longer than 100 characters."
    if _text(row.get("label")) not in LABELS:
        return f"the label is {row.get('label')!r:.40}, which is neither 0 nor 1."
    return ""


def _text(value: Any) -> str:
    return str(value).strip().lower()


def _from_json(data: bytes) -> list[Any]:
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"This is not readable JSON ({error}). Send {SHAPE}.", code="bad-outcomes") from error
    rows = content.get("outcomes") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise Invalid(f"The JSON holds no list of outcomes. Send {SHAPE}.", code="bad-outcomes")
    return rows


def _from_csv(data: bytes) -> Iterable[Mapping[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text))
        names = [str(name).strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = names
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"This is not a readable CSV file ({error}). Send {SHAPE}.", code="bad-outcomes") from error
    if not {"id", "label"} <= set(names):
        raise Invalid(
            f"The CSV has the columns {', '.join(names) or 'none'}; it needs id and label. Send {SHAPE}.",
            code="bad-outcomes",
        )
    return rows


def measure(
    deployment: Deployment, version: ModelVersion, starts: Sequence[datetime], thresholds: Thresholds
) -> list[PerformanceWindow]:
    """Measure anew the windows of outcomes that begin at `starts`; for the actions of this room, inside their transactions."""
    released = released_auc(version)
    length = timedelta(seconds=thresholds.window_seconds)
    return [_measure(deployment, version, start, start + length, released, thresholds) for start in sorted(set(starts))]


def measure_all(deployment: Deployment, thresholds: Thresholds) -> list[PerformanceWindow]:
    """Measure every window anew, as after a change of limits or of the windows' length."""
    PerformanceWindow.objects.filter(deployment=deployment).delete()
    found: dict[int, set[datetime]] = {}
    for version, at in Outcome.objects.filter(deployment=deployment).values_list("version_id", "predicted_at"):
        found.setdefault(version, set()).add(start_of(at, thresholds.window_seconds))
    versions = ModelVersion.objects.select_related("model").in_bulk(list(found))
    return [
        window for pk, starts in found.items() for window in measure(deployment, versions[pk], list(starts), thresholds)
    ]


def start_of(at: datetime, seconds: int) -> datetime:
    """The start of the window that holds this moment."""
    return window_start((at - EPOCH) // timedelta(microseconds=1), seconds)


def released_auc(version: ModelVersion) -> float | None:
    """The AUC that reviewers saw; None for a version without metrics."""
    metrics = evidence_of(version).get(Evidence.Kind.METRICS)
    value = ((metrics.content if metrics else {}).get("metrics") or {}).get("auc") or {}
    return value.get("value") if isinstance(value, dict) else None


def _measure(
    deployment: Deployment,
    version: ModelVersion,
    start: datetime,
    end: datetime,
    released: float | None,
    thresholds: Thresholds,
) -> PerformanceWindow:
    rows = Outcome.objects.filter(deployment=deployment, version=version, predicted_at__gte=start, predicted_at__lt=end)
    labels, scores = zip(*rows.values_list("label", "score"), strict=True)
    found = assess(labels, scores)
    auc = found.auc
    window, _ = PerformanceWindow.objects.update_or_create(
        deployment=deployment,
        version=version,
        starts_at=start,
        seconds=thresholds.window_seconds,
        defaults={
            "outcomes": found.n,
            "positives": found.positives,
            "auc": auc.value if auc else None,
            "auc_low": auc.low if auc else None,
            "auc_high": auc.high if auc else None,
            "brier": found.brier,
            "ece": found.ece,
            "released_auc": released,
            "level": level_of(found, released, thresholds.performance).value,
            "measured_at": timezone.now(),
        },
    )
    return window
