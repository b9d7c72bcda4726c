"""The tables behind the monitoring page, for people who want the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from foundation.spreadsheets import Cell
from monitoring.queries import Picture

Table = tuple[Sequence[str], Iterable[Sequence[Cell]]]


def drift(picture: Picture) -> Table:
    """One line for each window and feature; the score stands under the name `(score)`."""
    columns = ("window_start", "window_end", "version", "rows", "feature", "psi", "ks", "missing", "unseen", "level")
    rows = [
        (
            w.starts_at,
            w.ends_at,
            w.version.number,
            w.rows,
            m.feature or "(score)",
            m.psi,
            m.ks,
            m.missing,
            m.unseen,
            m.level,
        )
        for w in picture.windows
        for m in w.measures.all()
    ]
    return columns, rows


def performance(picture: Picture) -> Table:
    """One line for each window of outcomes."""
    columns = (
        "window_start",
        "window_end",
        "version",
        "outcomes",
        "positives",
        "auc",
        "auc_low",
        "auc_high",
        "released_auc",
        "brier",
        "ece",
        "level",
    )
    rows = [
        (
            w.starts_at,
            w.ends_at,
            w.version.number,
            w.outcomes,
            w.positives,
            w.auc,
            w.auc_low,
            w.auc_high,
            w.released_auc,
            w.brier,
            w.ece,
            w.level,
        )
        for w in picture.performance
    ]
    return columns, rows


def alerts(picture: Picture) -> Table:
    """One line for each alert, newest first."""
    columns = (
        "opened",
        "version",
        "alert",
        "severity",
        "measured",
        "limit",
        "acknowledged_by",
        "acknowledged",
        "note",
        "closed",
        "because",
    )
    rows = [
        (
            a.opened_at,
            a.version.number,
            str(a),
            a.severity,
            a.measured,
            a.limit,
            str(a.acknowledged_by or ""),
            a.acknowledged_at,
            a.note,
            a.closed_at,
            a.closed_because,
        )
        for a in picture.alerts
    ]
    return columns, rows


EXPORTS: Final[dict[str, Callable[[Picture], Table]]] = {"drift": drift, "performance": performance, "alerts": alerts}
