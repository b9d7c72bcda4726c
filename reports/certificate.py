"""Decides what a sign-off certificate says: who approved which bytes, by which policy, on which evidence, and whether it holds.

Names, times and meanings come from the signed statements, not from rows that somebody could have edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from audit.events import Action, Obj
from audit.queries import Head
from foundation.charts import Drawing
from foundation.refusals import Conflict, NotFound, RequirementStatus
from registry.models import Alias, ModelVersion, Stage
from registry.queries import evidence_of
from reports.brief import charts, measures
from reports.signed import (
    ConditionLine,
    ExceptionLine,
    Logged,
    SignatureLine,
    conditions_of,
    exceptions_in,
    head_covering,
    logged_of,
    signatures_of,
)
from reviews.exceptions import exceptions_of
from reviews.models import Approval, GateResult, Lapse, Revocation
from reviews.people import deeds_of
from reviews.promotion import requirements
from reviews.proof import why_unsound
from reviews.rulebook import rules_of
from reviews.standing import RoundStanding, standing_of
from reviews.subjects import frozen


class Holds(StrEnum):
    """Whether the approval may be relied upon at this moment."""

    IN_FORCE = "in_force"
    NOT_RELEASED = "not_released"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    ENDED = "ended"
    REVOKED = "revoked"
    UNSOUND = "unsound"

    @property
    def heading(self) -> str:
        """In large words."""
        return {
            Holds.IN_FORCE: "In force",
            Holds.NOT_RELEASED: "Approved, not released",
            Holds.SUPERSEDED: "SUPERSEDED",
            Holds.EXPIRED: "EXPIRED",
            Holds.ENDED: "ENDED",
            Holds.REVOKED: "REVOKED",
            Holds.UNSOUND: "DOES NOT HOLD",
        }[self]


@dataclass(frozen=True)
class PolicyLine:
    """One policy version that the signatures cite."""

    name: str
    number: int
    digest: str


@dataclass(frozen=True)
class Receipt:
    """Where the decision stands in the ledger; None until the sequencer has logged it, or where there is no such step."""

    review: Logged | None
    approval: Logged | None
    promotion: Logged | None
    checkpoint: Head | None

    @property
    def entry(self) -> int | None:
        """The entry of the promotion that used the approval, else of the review."""
        last = self.promotion or self.review
        return last.entry if last else None

    @property
    def steps(self) -> tuple[tuple[str, Logged], ...]:
        """What is logged of them, in words, in the order in which they happened."""
        named = (("Review asked for", self.review), ("Approved", self.approval), ("Released", self.promotion))
        return tuple((title, one) for title, one in named if one is not None)


@dataclass(frozen=True)
class Certificate:
    """Everything that page and PDF print."""

    reference: str
    issued_at: datetime
    version: ModelVersion
    approval: Approval
    holds: Holds
    why_not: str
    notes: tuple[str, ...]
    revocation: Revocation | None
    successor: Approval | None
    subject_digest: str
    policies: tuple[PolicyLine, ...]
    signatures: tuple[SignatureLine, ...]
    conditions: tuple[ConditionLine, ...]
    exceptions: tuple[ExceptionLine, ...]
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

    @property
    def ahead_of_review(self) -> bool:
        """Whether it rests on a break-glass and not on a review."""
        return self.approval.basis == Approval.Basis.BREAK_GLASS

    @property
    def by_envelope(self) -> bool:
        """Whether it rests on a retraining envelope, signed before this version existed."""
        return self.approval.basis == Approval.Basis.ENVELOPE


def certificate_of(
    version: ModelVersion, *, at: datetime, stage: Stage | None = None, number: int | None = None
) -> Certificate:
    """The certificate of the version's newest approval (for `stage`, else for the highest stage), as things are at `at`.

    `number`: of an earlier approval, as its reference names it. Raises `Conflict` with every unmet requirement where the version was
    never approved, `NotFound` where it has no approval of that number.
    """
    approval = _approval(version, stage, number)
    if approval is None:
        raise _never_approved(version, stage)
    round_ = approval.round
    subject = frozen(round_)
    evidence = evidence_of(version)
    other = round_.compared_with
    gates = list(round_.gate_results.all())
    holds, why = _standing(approval, at)
    # As they stood when the approval was given; what became of conditions is as of now.
    deeds = deeds_of(version, round_.review, until=approval.approved_at)
    standing = standing_of(round_, subject.facets, approval.approved_at, deeds=deeds)
    signatures = signatures_of(approval, standing)
    return Certificate(
        reference=f"C-{approval.approved_at.year}-{approval.pk:04d}",
        issued_at=at,
        version=version,
        approval=approval,
        holds=holds,
        why_not=why,
        notes=tuple(_notes(approval, holds, at)),
        revocation=approval.revocation or version.revocations.first(),
        successor=_successor(approval),
        subject_digest=subject.digest,
        policies=tuple(PolicyLine(one["name"], one["number"], one["digest"]) for one in subject.value["policies"]),
        signatures=signatures,
        conditions=_conditions(approval, standing, at),
        exceptions=exceptions_in(exceptions_of(round_, rules_of(round_), at, deeds)),
        gates_passed=sum(one.status == RequirementStatus.SATISFIED.value for one in gates),
        gates_open=tuple(one for one in gates if one.status not in _CLOSED),
        measures=measures(evidence),
        charts=charts(version, evidence, other, evidence_of(other) if other else {}),
        receipt=_receipt(approval, signatures),
        compared_with=other,
    )


_CLOSED: Final = frozenset({RequirementStatus.SATISFIED.value, RequirementStatus.NOT_APPLICABLE.value})


def _approval(version: ModelVersion, stage: Stage | None, number: int | None) -> Approval | None:
    approvals = Approval.objects.filter(version=version, **({"stage": stage} if stage else {}))
    related = (
        "version__model",
        "stage",
        "promotion__by",
        "revocation__by",
        "lapse",
        "round__review__stage",
        "round__review__version__model",
        "round__compared_with__model",
        "break_glass__version__model",
        "break_glass__stage",
        "envelope__model",
        "envelope__stage",
        "envelope__base",
    )
    found = approvals.select_related(*related).order_by("-stage__order", "-approved_at", "-pk")
    if number is None:
        return found.first()
    asked = found.filter(pk=number).first()
    if asked is None:
        raise NotFound(f"{version} has no approval number {number}.")
    return asked


def _successor(approval: Approval) -> Approval | None:
    """The newest approval of the same version for the same stage that took its place: once released, where this one was."""
    later = Approval.objects.filter(
        version=approval.version, stage=approval.stage, pk__gt=approval.pk, revocation=None, lapse=None
    )
    if approval.promotion is not None:
        later = later.filter(promotion__isnull=False)
    return later.order_by("-pk").first()


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
    if later := _successor(approval):
        given = f"{later.approved_at:%d %B %Y}"
        return Holds.SUPERSEDED, f"A newer approval, of {given}, took its place. Rely on that one's certificate."
    lapse = Lapse.objects.filter(approval=approval).first()
    if lapse is not None and lapse.kind != Lapse.Kind.EXPIRED:
        return Holds.ENDED, f"The approval ended on {lapse.at:%d %B %Y}. {lapse.reason}"
    if lapse is not None or approval.valid_until <= at:
        return Holds.EXPIRED, _why_expired(approval, at)
    if why := why_unsound(approval, at, released=approval.promotion is not None):
        return Holds.UNSOUND, f"The signatures behind this approval do not hold: {why}"
    if approval.promotion is None:
        return Holds.NOT_RELEASED, f"It is approved for {approval.stage.title.lower()} and has not been promoted yet."
    return Holds.IN_FORCE, ""


def _why_expired(approval: Approval, at: datetime) -> str:
    why = "The approval has run out. This version needs a new review before it is used again."
    if approval.pulls_until > at and approval.promotion is not None:
        why += (
            f" The policy lets those who use it already pull it until {approval.pulls_until:%d %B %Y}; nothing new may."
        )
    return why


def _notes(approval: Approval, holds: Holds, at: datetime) -> list[str]:
    """What a reader must not miss though the approval stands."""
    notes = []
    alias = Alias.objects.filter(model=approval.version.model, stage=approval.stage).select_related("version").first()
    if approval.promotion is not None and (alias is None or alias.version_id != approval.version_id):
        live = f"version {alias.version.number} is" if alias else "nothing is"
        notes.append(f"It is not live in {approval.stage.title.lower()} any more: {live}.")
    if holds in {Holds.IN_FORCE, Holds.NOT_RELEASED}:
        notes += [
            f"A policy was tightened: it has to be met by {grace.until:%d %B %Y}. Not met: {' '.join(map(str, grace.unmet))}"
            for grace in approval.graces.all()
            if grace.until > at
        ]
    return notes


def _conditions(approval: Approval, standing: RoundStanding, at: datetime) -> tuple[ConditionLine, ...]:
    return conditions_of(standing, at) if approval.basis == Approval.Basis.REVIEW else ()


def _receipt(approval: Approval, signatures: tuple[SignatureLine, ...]) -> Receipt:
    promoted: Obj | None = approval.promotion.ledger_ref() if approval.promotion else None
    review = logged_of(approval.round.review.ledger_ref())
    closed = logged_of(approval.round.ledger_ref(), Action.ROUND_CLOSE)
    promotion = logged_of(promoted) if promoted else None
    steps = [review, *([promotion] if promoted else []), *([closed] if closed else [])]
    return Receipt(review, closed, promotion, head_covering([*steps, *(one.logged for one in signatures)]))
