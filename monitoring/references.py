"""What a version's predictions are compared with: its training rows, found again from its own evidence.

Features: the rows that it was trained on, by the years and the recipe that its `data` evidence names. Score: the histogram of the
held-out rows in its `curves` evidence, since a model's scores on rows that it has learned by heart say little about new ones.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import structlog

from datasets import recipes, schema
from datasets.drift import Bins, Kind, category_text, reference_bins
from datasets.models import DatasetVersion
from datasets.store import read_table
from foundation.refusals import Refusal
from monitoring.drift import score_reference
from monitoring.models import Reference
from registry.models import Evidence, ModelVersion
from registry.queries import evidence_of
from serving.models import Deployment

log = structlog.get_logger(__name__)


def reference_for(deployment: Deployment, version: ModelVersion) -> Reference | None:
    """The reference, made when it is first needed; None for a version whose training rows are not in this installation."""
    kept = Reference.objects.filter(deployment=deployment, version=version).first()
    if kept is not None:
        return kept
    evidence = evidence_of(version)
    data = evidence.get(Evidence.Kind.DATA)
    if data is None or version.dataset_version is None:
        return None
    try:
        return _make(deployment, version, data.content, evidence.get(Evidence.Kind.CURVES))
    except (KeyError, TypeError, ValueError, Refusal) as error:
        # Whoever registers a version writes its evidence: what cannot be used must not stop the counting.
        log.warning("reference_unusable", deployment=deployment.name, version=str(version), error=str(error))
        return None


def _make(
    deployment: Deployment, version: ModelVersion, data: dict[str, Any], curves: Evidence | None
) -> Reference | None:
    table = version.dataset_version
    if table is None or table.digest != data.get("digest", table.digest):
        return None
    rows, source = _training_rows(table, data)
    if rows.empty:
        return None
    kinds = {column["name"]: Kind(column["kind"]) for column in data.get("schema", [])}
    features = {name: reference_bins(rows[name], kind=kinds.get(name)).as_dict() for name in data["features"]}
    reference, _ = Reference.objects.get_or_create(
        deployment=deployment,
        version=version,
        defaults={"rows": len(rows), "features": features, "score": _score(curves), "source": source},
    )
    return reference


def _training_rows(table: DatasetVersion, data: dict[str, Any]) -> tuple[pd.DataFrame, str]:
    """The rows trained on, features only, and where they come from in words."""
    time, years = table.dataset.time_column, [str(year) for year in data.get("train_years", [])]
    frame = read_table(table)
    source = f"{len(frame):,} rows of {table}"
    if data.get("recipe"):
        columns = [{"name": c["name"], "kind": c["kind"]} for c in data["schema"]]
        declared = schema.parse({"columns": columns, "label": data["target"], "time": time})
        frame = recipes.select_rows(frame, recipes.parse(data["recipe"], declared))
    if time and years:
        frame = frame[frame[time].map(category_text).isin(years)]
        source = f"the {len(frame):,} rows of {table} that it was trained on ({time} {', '.join(years)})"
    return frame[data["features"]], source


def _score(curves: Evidence | None) -> dict[str, Any] | None:
    histogram = (curves.content if curves else {}).get("score_histogram") or {}
    edges, counts = histogram.get("edges", []), histogram.get("counts", [])
    if not sum(counts):
        return None
    bins: Bins = score_reference(edges, counts)
    return bins.as_dict()
