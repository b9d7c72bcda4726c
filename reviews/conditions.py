"""Decides what an approval may ask for afterwards, and which of it is overdue.

A condition stands in two places: signed, in the statement of the approval, and as a finding that people work on. That it exists and
when it is due is believed from the statements alone; that it was met is believed from the finding.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Prefetch
from django.utils import timezone

from access.models import User
from access.permissions import Permission, verdict
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from countersign.proof.dsse import BadEnvelope
from foundation.refusals import Conflict, Invalid
from reviews.findings import MAX_TEXT, MAX_TITLE, take_step
from reviews.models import Finding, FindingEvent, Round, SignOff, Slot, Thread
from reviews.people import deeds_of, eligible_people
from reviews.policies import Rules
from reviews.proven import why_unproven
from reviews.standing import Signature
from reviews.statements import read_extension

MOST: Final = 20
NAMESPACE: Final = uuid.UUID("5c9e2b0e-6a52-5d0f-9f43-6f2e4e3f6b11")


@dataclass(frozen=True)
class Condition:
    """What a signer asks for. `owner`: user name or uuid; `verifying_slot`: key of a slot of the round; `thread`: uuid of its origin."""

    title: str
    detail: str
    severity: str
    owner: str
    due_at: datetime
    verifying_slot: str
    thread: str = ""


@dataclass(frozen=True)
class Agreed:
    """A condition that passed every check, with the id that the statement and its finding share."""

    id: uuid.UUID
    condition: Condition
    owner: User
    slot: Slot
    thread: Thread | None

    def as_predicate(self) -> dict[str, Any]:
        """How the statement tells it."""
        return {
            "id": str(self.id),
            "title": self.condition.title.strip(),
            "detail": self.condition.detail.strip(),
            "severity": self.condition.severity,
            "owner": {"id": str(self.owner.uuid), "name": str(self.owner), "username": self.owner.username},
            "due": self.condition.due_at.isoformat(),
            "verifying_slot": self.slot.key,
            "thread": str(self.thread.uuid) if self.thread else None,
        }


@dataclass(frozen=True)
class Owed:
    """A condition of a signature that counts, as it stands at one moment. `finding` is None where its row is gone: then it is not met."""

    id: str
    title: str
    due_at: datetime
    met: bool
    overdue: bool
    finding: Finding | None


def agreed(
    round_: Round, rules: Rules, decision: str, conditions: Sequence[Condition], *, key: str
) -> tuple[Agreed, ...]:
    """The conditions of a decision, checked; raises `Conflict` where the policy allows none and `Invalid` naming each field that is wrong.

    `key` is the decision's idempotency key: the same decision names its conditions alike.
    """
    if decision != SignOff.Decision.APPROVE_WITH_CONDITIONS:
        if conditions:
            raise _invalid({"conditions": "Only an approval with conditions carries conditions."})
        return ()
    if not rules.conditions.allowed:
        raise Conflict(
            "This policy does not allow an approval with conditions: approve, request changes or reject.",
            code="no-conditions",
        )
    if not 1 <= len(conditions) <= MOST:
        raise _invalid({"conditions": f"Write down what has to be done: from 1 to {MOST} conditions."})
    slots = {slot.key: slot for slot in round_.slots.select_related("group", "alternates")}
    latest = timezone.now() + timedelta(days=rules.conditions.at_most_days)
    errors: dict[str, str] = {}
    found = []
    for number, one in enumerate(conditions):
        owner, thread = _owner(one.owner), _thread(one.thread, round_)
        flaws = dict(_flaws(one, owner, thread, slots, latest, rules, round_))
        errors |= {f"conditions[{number}].{name}": sentence for name, sentence in flaws.items()}
        if not flaws and owner is not None:
            found.append(
                Agreed(uuid.uuid5(NAMESPACE, f"{key}/{number}"), one, owner, slots[one.verifying_slot], thread)
            )
    if errors:
        raise _invalid(errors)
    return tuple(found)


def raise_conditions(given: SignOff, conditions: Sequence[Agreed], *, by: Principal) -> None:
    """Raise the findings of an approval just signed, inside its transaction; the threads that they came from are resolved by them."""
    for one in conditions:
        finding = Finding.objects.create(
            uuid=one.id,
            version=given.round.review.version,
            review=given.round.review,
            sign_off=given,
            thread=one.thread,
            title=one.condition.title.strip(),
            detail=one.condition.detail.strip(),
            severity=one.condition.severity,
            owner=one.owner,
            due_at=one.condition.due_at,
            verifying_slot=one.slot.key,
            verifying_group=one.slot.group,
            raised_by=given.person,
            raised_at=given.signed_at,
        )
        take_step(finding, FindingEvent.Kind.RAISED, by=by, at=given.signed_at)
        if one.thread is not None and one.thread.resolved_at is None:
            _resolve(one.thread, given, by)


def settle_conditions(round_: Round, *, by: Principal, counting: Iterable[Signature] | None = None) -> None:
    """Take back the conditions on which no approval can rest any more, inside the transaction of what ended them.

    Those are the conditions of signatures that were taken back, of all when the round closed without an approval, and of those that
    are not among `counting` when it closed with one.
    """
    rows = Finding.objects.owed().filter(sign_off__round=round_)
    if counting is not None:
        rows = rows.exclude(sign_off__in=[one.sign_off for one in counting])
        why = "The approval does not rest on the signature that asked for it."
    elif round_.is_open:
        rows = rows.filter(sign_off__withdrawn_at__isnull=False)
        why = "The signature that asked for it was taken back."
    else:
        why = f"The round closed without an approval: {round_.get_state_display().lower()}."
    for finding in rows.select_related("version__model", "owner", "raised_by", "sign_off__round__review"):
        take_step(finding, FindingEvent.Kind.WITHDRAWN, body=why, by=by)


def owed(signatures: Iterable[Signature], at: datetime) -> list[Owed]:
    """Every condition of the signatures that count, by due date: met when its finding was closed, overdue when the signed date has passed.

    An answer that nobody has verified yet does not meet a condition.
    """
    signed = [
        one
        for signature in signatures
        if signature.approves and signature.said
        for one in signature.said.predicate.get("conditions", ())
    ]
    if not signed:
        return []
    extensions = FindingEvent.objects.filter(kind=FindingEvent.Kind.EXTENDED).select_related("reauthentication")
    rows = (
        Finding.objects.filter(uuid__in=[one["id"] for one in signed])
        .select_related("owner", "version")
        .prefetch_related(Prefetch("events", extensions.order_by("at", "pk"), to_attr="extensions"))
    )
    findings = {str(row.uuid): row for row in rows}
    found = [_owed(one, findings.get(str(one["id"])), at) for one in signed]
    return sorted(found, key=lambda one: one.due_at)


def signed_due(finding: Finding, first: datetime, extensions: Iterable[FindingEvent]) -> datetime:
    """When a condition is due by what was signed: the date of the approval, or that of its newest valid extension."""
    due = first
    for event in extensions:
        try:
            said = read_extension(event.statement or {})
        except BadEnvelope:
            continue
        same = said.finding == str(finding.uuid) and said.artifact == finding.version.digest
        if same and not why_unproven(event.statement or {}, "reviewer", event.reauthentication):
            due = said.due
    return due


def _owed(signed: Mapping[str, Any], finding: Finding | None, at: datetime) -> Owed:
    due = datetime.fromisoformat(str(signed["due"]))
    if finding is None:
        return Owed(str(signed["id"]), str(signed["title"]), due, False, due <= at, None)
    due = signed_due(finding, due, finding.extensions)  # type: ignore[attr-defined]  # prefetched by `owed`
    met = finding.state == Finding.State.CLOSED
    return Owed(str(finding.uuid), finding.title, due, met, not met and due <= at, finding)


def _resolve(thread: Thread, given: SignOff, by: Principal) -> None:
    thread.resolved_by, thread.resolved_at = given.person, given.signed_at
    thread.save(update_fields=["resolved_by", "resolved_at"])
    append(Action.THREAD_RESOLVE, by=by, obj=thread.ledger_ref(), after={"resolved": True, "became": "condition"})


def _flaws(
    one: Condition,
    owner: User | None,
    thread: Thread | None,
    slots: Mapping[str, Slot],
    latest: datetime,
    rules: Rules,
    round_: Round,
) -> Iterable[tuple[str, str]]:
    if not one.title.strip() or len(one.title) > MAX_TITLE:
        yield "title", f"Say what has to be done, in at most {MAX_TITLE} characters."
    if len(one.detail) > MAX_TEXT:
        yield "detail", f"At most {MAX_TEXT:,} characters."
    if one.severity not in Finding.Severity.values:
        yield "severity", f"Choose one of {', '.join(Finding.Severity.values)}."
    if not timezone.now() < one.due_at <= latest:
        yield "due_at", f"The policy asks for a due date within {rules.conditions.at_most_days} days from now."
    if one.thread and thread is None:
        yield "thread", "This review has no such thread."
    slot = slots.get(one.verifying_slot)
    if slot is None:
        yield "verifying_slot", f"Choose who verifies it: one of {', '.join(slots)}."
    if owner is None or not verdict(Principal.of(owner), Permission.SEE_MODEL, round_.review.version.model).allowed:
        yield "owner", "Name an active person who may see this model."
    elif slot is not None and not _others_verify(owner, slot, round_):
        yield "owner", f"Nobody but {owner} could verify it as {slot.title}. Choose another owner or another slot."


def _others_verify(owner: User, slot: Slot, round_: Round) -> bool:
    deeds = deeds_of(round_.review.version, round_.review)
    return any(person.pk != owner.pk for person in eligible_people(slot, deeds))


def _owner(name: str) -> User | None:
    people = User.objects.people().active()
    try:
        return people.filter(uuid=uuid.UUID(name)).first()
    except ValueError:
        return people.filter(username=name).first()


def _thread(name: str, round_: Round) -> Thread | None:
    try:
        return Thread.objects.filter(uuid=uuid.UUID(name), review=round_.review).first()
    except ValueError:
        return None


def _invalid(errors: dict[str, str]) -> Invalid:
    return Invalid(f"The conditions cannot be signed: {next(iter(errors.values()))}", errors=errors)
