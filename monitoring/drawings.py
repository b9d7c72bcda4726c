"""The charts of a deployment's monitoring page, drawn from what `monitoring.queries` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from foundation.charts import Drawing, Event, Limit, Shares, categories, heat, plain, series
from monitoring.models import PerformanceWindow, PredictionWindow
from monitoring.queries import Picture

MOST_FEATURES: Final = 30

_Window = TypeVar("_Window", PredictionWindow, PerformanceWindow)


@dataclass(frozen=True)
class Drawings:
    """One drawing for each section."""

    score: Drawing
    auc: Drawing
    volume: Drawing
    heat: Drawing
    feature: Drawing


def draw(picture: Picture, feature: str) -> Drawings:
    """All charts; `feature` is the one whose distribution is shown (empty: the score)."""
    return Drawings(
        score=_score(picture),
        auc=_auc(picture),
        volume=_volume(picture),
        heat=_heat(picture),
        feature=_feature(picture, feature),
    )


def label(moment: datetime, seconds: int) -> str:
    """When a window began, as short as its length allows; in UTC."""
    if seconds >= 86_400:
        return f"{moment.day} {moment:%b}"
    return (
        f"{moment.day} {moment:%b %H:%M}"
        if seconds >= 3_600
        else f"{moment:%H:%M:%S}"
        if seconds < 60
        else f"{moment:%H:%M}"
    )


def _labels(windows: Sequence[_Window]) -> list[str]:
    return [label(one.starts_at, one.seconds) for one in windows]


def _events(windows: Sequence[_Window]) -> list[Event]:
    """Where another version begins to answer."""
    return [
        Event(at=i, label=f"v{one.version.number}", kind="ok")
        for i, one in enumerate(windows)
        if i == 0 or windows[i - 1].version_id != one.version_id
    ]


def _score(picture: Picture) -> Drawing:
    limits = picture.thresholds
    values = [next((m.psi for m in one.measures.all() if not m.feature), None) for one in picture.windows]
    return series(
        "Drift of the score over time",
        _labels(picture.windows),
        values,
        measure="PSI",
        limits=[
            Limit(limits.psi_warn, f"warn {limits.psi_warn:g}"),
            Limit(limits.psi_fail, f"fail {limits.psi_fail:g}", "fail"),
        ],
        events=_events(picture.windows),
        worse="up",
        period="Window of",
    )


def _auc(picture: Picture) -> Drawing:
    windows, drops = picture.performance, picture.thresholds
    released = windows[-1].released_auc if windows else None
    limits = (
        [
            Limit(released - drops.auc_drop_warn, f"warn {released - drops.auc_drop_warn:.3f}"),
            Limit(released - drops.auc_drop_fail, f"fail {released - drops.auc_drop_fail:.3f}", "fail"),
        ]
        if released is not None
        else []
    )
    return series(
        "AUC on matured outcomes",
        _labels(windows),
        [one.auc for one in windows],
        measure="AUC",
        number=lambda value: f"{value:.3f}",
        limits=limits,
        band=[
            (one.auc_low, one.auc_high) if one.auc_low is not None and one.auc_high is not None else None
            for one in windows
        ],
        events=_events(windows),
        worse="down",
        half=True,
        period="Window of",
    )


def _volume(picture: Picture) -> Drawing:
    return series(
        "Predictions by window",
        _labels(picture.windows),
        [one.rows for one in picture.windows],
        measure="predictions",
        number=plain,
        bars=True,
        half=True,
        period="Window of",
    )


def _heat(picture: Picture) -> Drawing:
    by_window = [{m.feature: m.psi for m in one.measures.all() if m.feature} for one in picture.windows]
    names = {name for found in by_window for name in found}
    worst = sorted(names, key=lambda name: (-max(found.get(name, 0.0) for found in by_window), name))
    return heat(
        [(name, [found.get(name) for found in by_window]) for name in worst[:MOST_FEATURES]],
        _labels(picture.windows),
        warn=picture.thresholds.psi_warn,
        fail=picture.thresholds.psi_fail,
        period="window of",
    )


def _feature(picture: Picture, feature: str) -> Drawing:
    bins, window = picture.bins.get(feature), picture.judged
    counts = (window.features.get(feature, []) if feature else window.score) if window is not None else []
    title = feature or "the score"
    if bins is None or len(counts) != len(bins.counts):
        return categories(title, [], Shares("training", []))
    used = [i for i, (before, now) in enumerate(zip(bins.counts, counts, strict=True)) if before or now]
    rows, total = sum(counts) or 1, bins.total or 1
    return categories(
        title,
        [bins.labels[i] for i in used],
        Shares("training", [bins.counts[i] / total for i in used], bins.total),
        Shares("newest window", [counts[i] / rows for i in used], sum(counts)),
    )
