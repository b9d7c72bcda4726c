"""Everything that this room keeps."""

from reviews.models.cases import (
    APPROVED,
    APPROVING,
    Approval,
    GateResult,
    Policy,
    PolicyVersion,
    Review,
    Revocation,
    Round,
    SignOff,
    Slot,
)
from reviews.models.discussion import Comment, CommentRevision, EvidenceReading, Thread, Visit
from reviews.models.findings import Finding, FindingEvent
from reviews.models.rehearsals import PolicyRehearsal
from reviews.models.standing_in import Delegation, GateException, PolicySignature
from reviews.models.time import (
    BreakGlass,
    EnvelopeSignature,
    Escalation,
    Grace,
    Lapse,
    Reminder,
    RetrainingEnvelope,
    Rollback,
)

__all__ = [
    "APPROVED",
    "APPROVING",
    "Approval",
    "BreakGlass",
    "Comment",
    "CommentRevision",
    "Delegation",
    "EnvelopeSignature",
    "Escalation",
    "EvidenceReading",
    "Finding",
    "FindingEvent",
    "GateException",
    "GateResult",
    "Grace",
    "Lapse",
    "Policy",
    "PolicyRehearsal",
    "PolicySignature",
    "PolicyVersion",
    "Reminder",
    "RetrainingEnvelope",
    "Review",
    "Revocation",
    "Rollback",
    "Round",
    "SignOff",
    "Slot",
    "Thread",
    "Visit",
]
