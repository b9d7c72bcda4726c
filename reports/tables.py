"""The two reports on governance as tables for spreadsheets: column names and rows, one pair for each list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from foundation.spreadsheets import Cell
from reports.attention import Attention
from reports.quality import Quality

Table = tuple[Sequence[str], Iterable[Sequence[Cell]]]


def _findings(found: Attention) -> Table:
    return ("model", "version", "title", "severity", "state", "condition", "owner", "due_at", "overdue"), [
        (
            one.version.model.name,
            one.version.number,
            one.title,
            one.severity,
            one.state,
            _yes(one.is_condition),
            str(one.owner),
            one.due_at,
            _yes(one.due_at <= found.at),
        )
        for one in found.findings
    ]


def _exceptions(found: Attention) -> Table:
    return ("model", "version", "stage", "gate", "by", "reason", "compensating_control", "signed_at", "ends_at"), [
        (
            one.round.review.version.model.name,
            one.round.review.version.number,
            one.round.review.stage.name,
            one.gate_key,
            str(one.person),
            one.reason,
            one.compensating_control,
            one.signed_at,
            one.ends_at,
        )
        for one in found.exceptions
    ]


def _endings(found: Attention) -> Table:
    return ("model", "version", "stage", "tier", "basis", "valid_until", "within_days", "renewal_asked"), [
        (
            line.approval.version.model.name,
            line.approval.version.number,
            line.approval.stage.name,
            line.approval.version.model.tier,
            line.approval.basis,
            line.approval.valid_until,
            line.days,
            _yes(line.renewing),
        )
        for line in found.endings
    ]


def _break_glasses(found: Attention) -> Table:
    columns = (
        *("asked_at", "model", "version", "stage", "reason", "text"),
        *("state", "asked_by", "seconded_by", "ends_at", "ended_at"),
    )
    return columns, [
        (
            one.asked_at,
            one.version.model.name,
            one.version.number,
            one.stage.name,
            one.reason,
            one.text,
            one.state,
            str(one.asked_by),
            str(one.seconded_by or ""),
            one.ends_at,
            one.ended_at,
        )
        for one in found.break_glasses
    ]


def _graces(found: Attention) -> Table:
    return ("model", "version", "stage", "policy", "policy_version", "until", "over", "unmet"), [
        (
            one.approval.version.model.name,
            one.approval.version.number,
            one.approval.stage.name,
            one.policy_version.policy.name,
            one.policy_version.number,
            one.until,
            _yes(one.until <= found.at),
            "; ".join(str(sentence) for sentence in one.unmet),
        )
        for one in found.graces
    ]


def _times(found: Quality) -> Table:
    columns = (
        *("stage", "tier", "rounds", "decided", "median_hours", "p90_hours"),
        *("overdue", "escalated", "changes_requested", "rejected"),
    )
    return columns, [
        (
            one.stage,
            one.tier,
            one.rounds,
            one.n,
            one.median_hours,
            one.p90_hours,
            one.overdue,
            one.escalated,
            one.changes_asked,
            one.rejected,
        )
        for one in found.timings
    ]


def _opened(found: Quality) -> Table:
    return ("section", "signatures", "after_marking_it", "without", "people_without"), [
        (one.section, one.n, one.after, one.without, one.people_without) for one in found.reading.sections
    ]


def _agreement(found: Quality) -> Table:
    return ("capacity", "with", "pairs", "agreed", "share"), [
        (one.one, one.other, one.n, one.agreed, one.share) for one in found.agreements
    ]


def _load(found: Quality) -> Table:
    return ("reviewer", "open", "decided", "median_hours"), [
        (one.name, one.open, one.decided, one.median_hours) for one in found.loads
    ]


def _owed(found: Quality) -> Table:
    return ("severity", "raised", "open", "overdue", "lapsed", "closed", "closed_late"), [
        (one.severity, one.raised, one.open, one.overdue, one.lapsed, one.closed, one.closed_late)
        for one in found.findings
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


ATTENTION: Final[Mapping[str, Callable[[Attention], Table]]] = {
    "findings": _findings,
    "exceptions": _exceptions,
    "running-out": _endings,
    "break-glass": _break_glasses,
    "grace": _graces,
}
QUALITY: Final[Mapping[str, Callable[[Quality], Table]]] = {
    "times": _times,
    "opened": _opened,
    "agreement": _agreement,
    "load": _load,
    "findings": _owed,
}
