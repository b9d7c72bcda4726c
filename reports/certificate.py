"""Decides what a sign-off certificate says: who approved which bytes, by which policy, on which evidence, and whether it holds.

Names, times and meanings come from the signed statements, not from rows that somebody could have edited.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from access.models import Reauthentication
from audit.events import Obj
from audit.queries import Head, entries_for, latest_checkpoint
from foundation.charts import Bin, Curve, Drawing, Reliability, calibration, roc
from foundation.refusals import Conflict, RequirementStatus
from registry.models import Evidence, ModelVersion, Stage
from registry.queries import evidence_of
from reviews.models import Approval, GateResult, Revocation, SignOff
from reviews.promotion import requirements
from reviews.proof import why_unsound
from reviews.standing import standing_of
from reviews.subjects import frozen

METHODS: Final = {method.value: str(method.label) for method in Reauthentication.Method}
DECISIONS: Final = {decision.value: str(decision.label) for decision in SignOff.Decision}


class Holds(StrEnum):
    """Whether the approval may be relied upon at this moment."""

    IN_FORCE = "in_force"
    NOT_RELEASED = "not_released"
    EXPIRED = "expired"
    REVOKED = "revoked"
    UNSOUND = "unsound"

    @property
    def heading(self) -> str:
        """In large words."""
        return {
            Holds.IN_FORCE: "In force",
            Holds.NOT_RELEASED: "Approved, not released",
            Holds.EXPIRED: "EXPIRED",
            Holds.REVOKED: "REVOKED",
            Holds.UNSOUND: "DOES NOT HOLD",
        }[self]


@dataclass(frozen=True)
class SignatureLine:
    """One signature as it must be readable: printed name, UTC time, meaning, method (21 CFR 11.50)."""

    capacity: str
    name: str
    decision: str
    meaning: str
    reason: str
    signed_at: datetime
    method: str
    digest: str


@dataclass(frozen=True)
class PolicyLine:
    """One policy version that the signatures cite."""

    name: str
    number: int
    digest: str


@dataclass(frozen=True)
class Receipt:
    """Where the decision stands in the ledger; `entry` is None until the sequencer has logged it."""

    entry: int | None
    checkpoint: Head | None


@dataclass(frozen=True)
class Certificate:
    """Everything that page and PDF print."""

    reference: str
    issued_at: datetime
    version: ModelVersion
    approval: Approval
    holds: Holds
    why_not: str
    revocation: Revocation | None
    subject_digest: str
    policies: tuple[PolicyLine, ...]
    signatures: tuple[SignatureLine, ...]
    gates_passed: int
    gates_open: tuple[GateResult, ...]
    measures: tuple[tuple[str, str], ...]
    charts: tuple[tuple[str, Drawing], ...]
    receipt: Receipt
    compared_with: ModelVersion | None

    @property
    def stage(self) -> Stage:
        """The stage that the approval is for."""
        return self.approval.stage

    @property
    def in_force(self) -> bool:
        """Whether it may be relied upon."""
        return self.holds in {Holds.IN_FORCE, Holds.NOT_RELEASED}


def certificate_of(version: ModelVersion, *, at: datetime, stage: Stage | None = None) -> Certificate:
    """The certificate of the version's newest approval (for `stage`, else for the highest stage), as things are at `at`.

    Raises `Conflict` with every unmet requirement where it was never approved.
    """
    approval = _newest_approval(version, stage)
    if approval is None:
        raise _never_approved(version, stage)
    subject = frozen(approval.round)
    evidence = evidence_of(version)
    other = approval.round.compared_with
    baseline = evidence_of(other) if other else {}
    gates = list(approval.round.gate_results.all())
    holds, why = _standing(approval, at)
    return Certificate(
        reference=f"C-{approval.approved_at.year}-{approval.pk:04d}",
        issued_at=at,
        version=version,
        approval=approval,
        holds=holds,
        why_not=why,
        revocation=approval.revocation or version.revocations.first(),
        subject_digest=subject.digest,
        policies=tuple(PolicyLine(one["name"], one["number"], one["digest"]) for one in subject.value["policies"]),
        signatures=_signatures(approval),
        gates_passed=sum(one.status == RequirementStatus.SATISFIED.value for one in gates),
        gates_open=tuple(one for one in gates if one.status not in _CLOSED),
        measures=_measures(evidence),
        charts=_charts(version, evidence, other, baseline),
        receipt=_receipt(approval),
        compared_with=other,
    )


_CLOSED: Final = frozenset({RequirementStatus.SATISFIED.value, RequirementStatus.NOT_APPLICABLE.value})


def _newest_approval(version: ModelVersion, stage: Stage | None) -> Approval | None:
    approvals = Approval.objects.filter(version=version, **({"stage": stage} if stage else {}))
    related = (
        "version__model",
        "stage",
        "promotion__by",
        "revocation__by",
        "round__review__stage",
        "round__review__version__model",
        "round__compared_with__model",
    )
    return approvals.select_related(*related).order_by("-stage__order", "-approved_at", "-pk").first()


def _never_approved(version: ModelVersion, stage: Stage | None) -> Conflict:
    wanted = stage or Stage.objects.order_by("-order").first()
    missing = requirements(version, wanted) if wanted else ()
    return Conflict(
        f"{version} has not been approved, so there is no certificate. It exists once every required person has signed.",
        code="no-approval",
        title="No certificate",
        requirements=missing,
    )


def _standing(approval: Approval, at: datetime) -> tuple[Holds, str]:
    version = approval.version
    if approval.revocation_id is not None or version.revocations.exists():
        return Holds.REVOKED, "The approval was revoked. This version must not be used."
    if approval.valid_until <= at:
        return Holds.EXPIRED, "The approval has run out. This version needs a new review before it is used again."
    if why := why_unsound(approval, at, released=approval.promotion is not None):
        return Holds.UNSOUND, f"The signatures behind this approval do not hold: {why}"
    if approval.promotion is None:
        return Holds.NOT_RELEASED, f"It is approved for {approval.stage.title.lower()} and has not been promoted yet."
    return Holds.IN_FORCE, ""


def _signatures(approval: Approval) -> tuple[SignatureLine, ...]:
    """The signatures as they stood when the approval was given, in the order of the slots."""
    standing = standing_of(approval.round, frozen(approval.round).facets, approval.approved_at)
    return tuple(
        SignatureLine(
            capacity=str(said.predicate["slot"]["title"]),
            name=said.reviewer_name,
            decision=DECISIONS.get(said.decision, said.decision),
            meaning=str(said.predicate["meaning"]),
            reason=str(said.predicate["reason"]),
            signed_at=said.issued,
            method=METHODS.get(
                said.predicate["reauthentication"]["method"], said.predicate["reauthentication"]["method"]
            ),
            digest=said.digest,
        )
        for one in standing.counting
        if (said := one.said) is not None
    )


def _measures(evidence: Mapping[str, Evidence]) -> tuple[tuple[str, str], ...]:
    """The few numbers that a reader asks for first, with their intervals."""
    metrics = _content(evidence, Evidence.Kind.METRICS).get("metrics") or {}
    lines = [
        (title, metrics.get(name))
        for name, title in (("auc", "AUC"), ("brier", "Brier score"), ("ece", "Calibration error"))
    ]
    worst = _content(evidence, Evidence.Kind.FAIRNESS).get("worst") or {}
    if worst:
        lines.append(
            (
                f"Largest equal-opportunity gap ({worst.get('attribute')}, {worst.get('group')})",
                worst.get("equal_opportunity_gap"),
            )
        )
    return tuple(
        (title, _estimate(value))
        for title, value in lines
        if isinstance(value, dict) and value.get("value") is not None
    )


def _estimate(value: Mapping[str, Any]) -> str:
    low, high = value.get("low"), value.get("high")
    interval = f", 95% interval {low:.3f} to {high:.3f}" if low is not None and high is not None else ""
    rows = f", {value['n']:,} rows" if value.get("n") else ""
    return f"{value['value']:.3f}{interval}{rows}"


def _charts(
    version: ModelVersion,
    evidence: Mapping[str, Evidence],
    other: ModelVersion | None,
    baseline: Mapping[str, Evidence],
) -> tuple[tuple[str, Drawing], ...]:
    mine, theirs = _curve(version, evidence), _curve(other, baseline) if other else None
    own, before = _reliability(version, evidence), _reliability(other, baseline) if other else None
    drawn = []
    if mine:
        drawn.append(("ROC", roc(mine, theirs)))
    if own:
        drawn.append(("Calibration", calibration(own, before)))
    return tuple(drawn)


def _curve(version: ModelVersion, evidence: Mapping[str, Evidence]) -> Curve | None:
    points = _content(evidence, Evidence.Kind.CURVES).get("roc")
    area = ((_content(evidence, Evidence.Kind.METRICS).get("metrics") or {}).get("auc") or {}).get("value")
    return Curve(f"v{version.number}", points, area) if points else None


def _reliability(version: ModelVersion, evidence: Mapping[str, Evidence]) -> Reliability | None:
    content = _content(evidence, Evidence.Kind.CALIBRATION)
    bins: Sequence[Mapping[str, Any]] = content.get("bins") or []
    drawn = [Bin(one["predicted"], one["observed"], one.get("n", 0), one.get("low"), one.get("high")) for one in bins]
    return Reliability(f"v{version.number}", drawn, content.get("ece")) if drawn else None


def _content(evidence: Mapping[str, Evidence], kind: Evidence.Kind) -> dict[str, Any]:
    found = evidence.get(kind)
    return found.content if found and isinstance(found.content, dict) else {}


def _receipt(approval: Approval) -> Receipt:
    """The entry of the promotion that used the approval, else of the review."""
    obj: Obj = approval.promotion.ledger_ref() if approval.promotion else approval.round.review.ledger_ref()
    logged = [one.seq for one in entries_for(obj, 20) if one.seq is not None]
    return Receipt(entry=max(logged, default=None), checkpoint=latest_checkpoint())
