"""Reads what stands under an approval from signed statements alone: who signed what, when, with which meaning, for whom, confirmed how.

Signatures, exceptions and conditions are printed from here; a row that somebody edited changes nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from access.models import Reauthentication
from audit.events import Action, Obj, Outcome
from audit.models import Checkpoint
from audit.queries import Head, entries_for
from audit.store import read_entry
from countersign.proof.dsse import BadEnvelope, envelope_digest, open_sealed
from countersign.proof.merkle import leaf_hash
from countersign.proof.note import TreeHead
from foundation.keys import registry_signer
from reviews.conditions import owed
from reviews.exceptions import Excepted
from reviews.models import Approval, Finding, SignOff
from reviews.standing import RoundStanding
from reviews.within import counting

METHODS: Final = {method.value: str(method.label) for method in Reauthentication.Method}
DECISIONS: Final = {decision.value: str(decision.label) for decision in SignOff.Decision}


@dataclass(frozen=True)
class Logged:
    """Where the ledger has something: the entry's number, and its hash in the tree in hexadecimal digits."""

    entry: int
    leaf: str


@dataclass(frozen=True)
class SignatureLine:
    """One signature as it must be readable: printed name, UTC time, meaning, method (21 CFR 11.50), and its place in the ledger."""

    capacity: str
    name: str
    on_behalf_of: str
    decision: str
    meaning: str
    reason: str
    signed_at: datetime
    method: str
    digest: str
    logged: Logged | None

    @property
    def entry(self) -> int | None:
        """Its number in the ledger."""
        return self.logged.entry if self.logged else None

    @property
    def names(self) -> str:
        """The printed name; `B for A` where B signed for A."""
        return f"{self.name} for {self.on_behalf_of}" if self.on_behalf_of else self.name


@dataclass(frozen=True)
class ExceptionLine:
    """One excepted requirement: what was not met, and who accepted it, why, with which control, until when. `why_not`: it ended."""

    gate: str
    measured: str
    required: str
    reason: str
    control: str
    ends_at: datetime
    signature: SignatureLine
    why_not: str


@dataclass(frozen=True)
class ConditionLine:
    """One condition of the approval and how it stands: `met`, `overdue` or `open`."""

    title: str
    severity: str
    owner: str
    due_at: datetime
    state: str


def signatures_of(approval: Approval, standing: RoundStanding) -> tuple[SignatureLine, ...]:
    """The signatures that the approval rests on, in the order of the slots, each verified."""
    if approval.basis == Approval.Basis.BREAK_GLASS:
        return _of_break_glass(approval)
    if approval.basis == Approval.Basis.ENVELOPE:
        return _of_envelope(approval)
    found = [
        line_of(one.sign_off.statement, obj=one.sign_off.ledger_ref())
        for one in standing.counting
        if one.said is not None
    ]
    return tuple(line for line in found if line is not None)


def _of_break_glass(approval: Approval) -> tuple[SignatureLine, ...]:
    case = approval.break_glass
    if case is None:
        return ()
    lines = (
        line_of(case.asked_statement, obj=case.ledger_ref(), capacity="Asked for it"),
        line_of(case.seconded_statement or {}, obj=case.ledger_ref(), capacity="Seconded it"),
    )
    return tuple(line for line in lines if line is not None)


def _of_envelope(approval: Approval) -> tuple[SignatureLine, ...]:
    if approval.envelope is None:
        return ()
    lines = (
        line_of(row.statement, obj=row.ledger_ref()) for row, _ in counting(approval.envelope, approval.approved_at)
    )
    return tuple(line for line in lines if line is not None)


def exceptions_in(found: Sequence[Excepted]) -> tuple[ExceptionLine, ...]:
    """The exceptions whose statements are valid, in force or ended; withdrawn ones were given up and are left out."""
    lines = []
    for one in found:
        if one.said is None or one.row.withdrawn_at is not None:
            continue
        signature = line_of(one.row.statement, obj=one.row.ledger_ref())
        if signature is None:
            continue
        gate = one.said.predicate["gate"]
        lines.append(
            ExceptionLine(
                gate=str(gate["title"]),
                measured=str(gate["measured"]),
                required=str(gate["required"]),
                reason=str(one.said.predicate["reason"]),
                control=str(one.said.predicate["compensating_control"]),
                ends_at=one.said.ends_at,
                signature=signature,
                why_not=one.why_not,
            )
        )
    return tuple(lines)


def conditions_of(standing: RoundStanding, at: datetime) -> tuple[ConditionLine, ...]:
    """The conditions of the signatures that count, by due date, as they stand at `at`."""
    return tuple(
        ConditionLine(
            title=one.title,
            severity=_severity(one.finding),
            owner=str(one.finding.owner) if one.finding else "nobody: its finding is gone",
            due_at=one.due_at,
            state="met" if one.met else "overdue" if one.overdue else "open",
        )
        for one in owed(standing.signatures, at)
    )


def line_of(statement: Mapping[str, Any], *, obj: Obj, capacity: str = "") -> SignatureLine | None:
    """What the statement says; None where the registry did not sign it. `obj`: what the ledger has the decision under."""
    try:
        said = open_sealed(statement, registry_signer().public)["predicate"]
        person = said.get("reviewer") or said.get("person") or said["signer"]
        confirmed = str(said["reauthentication"]["method"])
        stood_in = said.get("on_behalf_of") or {}
        decision = str(said.get("decision", ""))
        return SignatureLine(
            capacity=capacity or str(said["slot"]["title"]),
            name=str(person["name"]),
            on_behalf_of=str(stood_in.get("name", "")),
            decision=DECISIONS.get(decision, decision),
            meaning=str(said["meaning"]),
            reason=str(said.get("reason") or said.get("text") or ""),
            signed_at=datetime.fromisoformat(said["issued"]),
            method=METHODS.get(confirmed, confirmed),
            digest=envelope_digest(statement),
            logged=logged_of(obj, statement=envelope_digest(statement)),
        )
    except (BadEnvelope, KeyError, TypeError, ValueError, AttributeError):
        return None


def logged_of(obj: Obj, action: Action | None = None, *, statement: str = "") -> Logged | None:
    """Where the ledger first has that something was done to `obj`; None until the sequencer has logged it.

    With `action`, or with the digest of a signed statement: the entry of that one, where there is one.
    """
    done = [one for one in entries_for(obj, 50) if one.seq is not None and one.entry.outcome == Outcome.OK]
    ours = [one for one in done if action is None or one.entry.action == action]
    signed = [
        one
        for one in ours
        if statement and isinstance(one.entry.after, dict) and one.entry.after.get("statement") == statement
    ]
    seq = min((one.seq for one in signed or ours if one.seq is not None), default=None)
    payload = None if seq is None else read_entry(seq)
    return None if seq is None or payload is None else Logged(seq, leaf_hash(payload).hex())


def head_covering(entries: Iterable[Logged | None]) -> Head | None:
    """The first checkpoint over all of these entries: the same however the ledger grows. None where one is not logged."""
    found = list(entries)
    if not found or any(one is None for one in found):
        return None
    last = max(one.entry for one in found if one is not None)
    covering = Checkpoint.objects.filter(size__gt=last).order_by("size").first()
    if covering is None:
        return None
    head = TreeHead.parse(covering.note.partition("\n\n")[0] + "\n")
    return Head(head.size, head.root.hex(), datetime.fromtimestamp(covering.t / 1_000_000, UTC), covering.note)


def _severity(finding: Finding | None) -> str:
    return str(finding.get_severity_display()) if finding else ""
