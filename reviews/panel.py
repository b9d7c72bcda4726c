"""The sign-off panel: its title, what blocks, the slots, whether you may act and why not, and the buttons that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from access.permissions import Permission, verdict
from access.principal import Principal
from foundation.refusals import Requirement, RequirementStatus
from reviews.evaluation import Evaluation
from reviews.exceptions import Excepted
from reviews.independence import Eligibility
from reviews.models import Lapse, Round, SignOff
from reviews.people import Choice, Seating
from reviews.revocation import may_revoke
from reviews.standing import Signature, SlotStanding, Standing


@dataclass(frozen=True)
class SlotRow:
    """One required sign-off as the panel lists it. `mark` is the component's: ok, you, wait, bad.

    `choices`: how the reader may sign in it, for themselves or for somebody; `mine`: their standing decision, or one in their name.
    """

    key: str
    title: str
    mark: str
    note: str
    signatures: Sequence[Signature]
    waiting_for: str
    eligibility: Eligibility | None
    mine: SignOff | None
    choices: Sequence[Choice] = ()

    @property
    def on_behalf_of(self) -> str:
        """For whom it is the reader's turn; empty: for themselves."""
        first = next(iter(self.choices), None)
        return str(first.delegation.delegator) if first and first.delegation else ""

    @property
    def stale(self) -> list[Signature]:
        """Approvals in it that no longer cover what is there."""
        return [one for one in self.signatures if one.standing is Standing.STALE and not one.asks_for_changes]

    @property
    def yours(self) -> bool:
        """Whether it is the reader's turn."""
        return self.mark == "you"


@dataclass(frozen=True)
class Panel:
    """Everything that the panel says. `look` is a modifier of `.panel`; `sign_slot` the slot that the reader could sign now."""

    title: str
    mark: str
    look: str
    text: str
    failed: Sequence[Requirement]
    insufficient: Sequence[Requirement]
    excepted: Sequence[tuple[str, Excepted]]
    waiting: Sequence[Requirement]
    slots: Sequence[SlotRow]
    signed: int
    asked: int
    sign_slot: SlotRow | None
    why_not_sign: str
    may_promote: bool
    why_not_promote: str
    may_revoke: bool
    may_request: bool
    why_not_request: str
    may_open_round: bool
    may_withdraw: bool
    dismissable: Sequence[Signature]
    valid_until: datetime | None
    may_request_again: bool = False
    exceptable: frozenset[str] = field(default_factory=frozenset)
    may_be_approved: bool = True

    @property
    def holds(self) -> bool:
        """Whether the reader holds a slot, as far as the page knows: actions ask anew."""
        return any(slot.mine or (slot.eligibility is not None and slot.eligibility.allowed) for slot in self.slots)


def panel_of(found: Evaluation, by: Principal) -> Panel:
    """The panel of one evaluation, for one reader."""
    slots = _slots(found, by)
    sign_slot = next((slot for slot in slots if slot.eligibility and slot.eligibility.allowed), None)
    title, mark, look, text = _title(found, sign_slot)
    unmet = found.unmet
    promote = verdict(by, Permission.PROMOTE_VERSION, found.version.model)
    request = verdict(by, Permission.REQUEST_REVIEW, found.version.model)
    is_open = found.review is not None and found.review.closed_at is None
    promotable = not unmet and found.holder != found.version
    thin = {one.gate.key for one in found.gates if one.insufficient and one.blocks}
    blocking = [one for one in unmet if one.status is not RequirementStatus.WAITING]
    return Panel(
        title=title,
        mark=mark,
        look=look,
        text=text,
        failed=[one for one in blocking if one.key not in thin],
        insufficient=[one for one in blocking if one.key in thin],
        excepted=_excepted(found),
        waiting=[one for one in unmet if one.status is RequirementStatus.WAITING],
        slots=slots,
        signed=sum(min(slot.signed, slot.slot.people) for slot in found.standing.slots) if found.standing else 0,
        asked=sum(slot.people for slot in found.rules.slots),
        sign_slot=sign_slot,
        why_not_sign=_why_not_sign(found, slots, sign_slot, by),
        may_promote=promotable and promote.allowed,
        why_not_promote="" if promote.allowed or not promotable else promote.reason,
        may_revoke=bool(found.approval and not found.approval.revocation_id) and may_revoke(by, found.version).allowed,
        may_request=not is_open and request.allowed and _may_be_requested(found),
        why_not_request="" if is_open or request.allowed else request.reason,
        may_open_round=is_open and request.allowed and _needs_round(found),
        may_withdraw=is_open and request.allowed,
        dismissable=_dismissable(found, by, sign_slot, slots),
        valid_until=found.approval.valid_until if found.approval else None,
        may_request_again=is_open and request.allowed and any(slot.stale for slot in slots),
        exceptable=_exceptable(found, slots, by) if is_open else frozenset(),
        may_be_approved=not _approved(found) and found.version.state not in {"rejected", "revoked", "retired"},
    )


def _excepted(found: Evaluation) -> list[tuple[str, Excepted]]:
    """The exceptions by which a failed gate does not block, each with the title of its gate."""
    titles = {one.gate.key: one.gate.title for one in found.gates if one.status is RequirementStatus.EXCEPTED}
    return [(titles[one.row.gate_key], one) for one in found.exceptions if one.holds and one.row.gate_key in titles]


def _exceptable(found: Evaluation, slots: Sequence[SlotRow], by: Principal) -> frozenset[str]:
    """The failed gates that the reader could except, as a holder of the slot that the policy names for them."""
    if by.user is None or found.round is None or not found.round.is_open:
        return frozenset()
    held = {slot.key for slot in slots if slot.mine or (slot.eligibility and slot.eligibility.allowed)}
    return frozenset(one.gate.key for one in found.gates if one.blocks and one.gate.excepted_by in held)


def _title(found: Evaluation, sign_slot: SlotRow | None) -> tuple[str, str, str, str]:
    ended = _ended(found) or _signed(found)
    if ended:
        return ended
    failed = [one for one in found.unmet if one.status is not RequirementStatus.WAITING]
    waiting = len(found.unmet) - len(failed)
    stage = found.stage.title.lower()
    if failed:
        number = len(found.unmet)
        record = " You can still record your decision." if sign_slot else ""
        text = f"{_count(number, 'requirement is', 'requirements are')} open.{record}"
        return f"Cannot go to {stage} yet", "bad", "panel--blocked", text
    if found.review is None:
        text = f"Not submitted for review. All gates pass; {_count(waiting, 'sign-off is', 'sign-offs are').lower()} needed."
        return f"Cannot go to {stage} yet", "wait", "", text
    if sign_slot:
        role = f"{sign_slot.title}{f' for {sign_slot.on_behalf_of}' if sign_slot.on_behalf_of else ''}"
        if waiting > 1:
            others = f"{_count(waiting - 1, 'other is', 'others are')} missing."
            return "Waiting for you", "you", "", f"Your sign-off as {role} is asked for. {others}"
        return "Ready to approve", "you", "", f"All gates pass. Your sign-off as {role} is the last one missing."
    return (
        "Waiting for others",
        "wait",
        "",
        f"All gates pass. {_count(waiting, 'sign-off is', 'sign-offs are')} missing.",
    )


def _ended(found: Evaluation) -> tuple[str, str, str, str] | None:
    approval = found.approval
    if approval is not None and approval.revocation is not None:
        revocation = approval.revocation
        return (
            "Revoked",
            "bad",
            "panel--blocked",
            f"By {revocation.by} on {revocation.at:%d %b %Y}: {revocation.reason}",
        )
    if (lapse := lapse_of(found)) is not None:
        return (
            "Expired",
            "bad",
            "panel--blocked",
            f"{lapse.get_kind_display()} on {lapse.at:%d %b %Y}: {lapse.reason}",
        )
    if approval is not None and approval.valid_until <= found.at:
        return ("Expired", "bad", "panel--blocked", f"The approval ran out on {approval.valid_until:%d %b %Y}.")
    if found.standing is not None and found.standing.changes_requests:
        names = ", ".join(str(one.sign_off.person) for one in found.standing.changes_requests)
        return (
            f"Changes requested by {names}",
            "warn",
            "panel--blocked",
            found.standing.changes_requests[-1].sign_off.reason,
        )
    if found.round is not None and found.round.state == Round.State.REJECTED:
        return ("Rejected", "bad", "panel--blocked", "A slot holder refused this version for this stage.")
    return None


def lapse_of(found: Evaluation) -> Lapse | None:
    """How the approval ended by itself, if it did."""
    return getattr(found.approval, "lapse", None) if found.approval is not None else None


def _signed(found: Evaluation) -> tuple[str, str, str, str] | None:
    if found.approval is None or found.unmet:
        return None
    until = f"{found.approval.valid_until:%d %b %Y}"
    if found.holder == found.version:
        return (
            f"Approved until {until}",
            "ok",
            "",
            f"Live in {found.stage.title.lower()}. The approval covers these bytes only.",
        )
    return (f"Approved until {until}", "ok", "", "Every requirement is met. Ready to promote.")


def _slots(found: Evaluation, by: Principal) -> list[SlotRow]:
    if found.standing is None or found.round is None:
        return [
            SlotRow(
                rule.key,
                rule.title,
                "wait",
                "not started",
                (),
                ", ".join(map(str, found.seating.eligible(rule)[:5])),
                None,
                None,
            )
            for rule in found.rules.slots
        ]
    return [_slot(slot, found.round, by, found.seating) for slot in found.standing.slots]


def _slot(slot: SlotStanding, round_: Round, by: Principal, seating: Seating) -> SlotRow:
    mine = next(
        (
            one
            for one in slot.signatures
            if by.user and by.user.pk in _whose(one.sign_off) and one.sign_off.withdrawn_at is None
        ),
        None,
    )
    choices: list[Choice] = []
    if by.user is not None and round_.is_open and round_.review.closed_at is None and not (mine and mine.counts):
        choices = seating.choices(by.user, slot.slot)
    allowed = [choice for choice in choices if choice.eligibility.allowed]
    answer = next(iter(allowed or choices)).eligibility if choices else None
    full = not slot.lacking
    mark = "ok" if full else "you" if allowed else "wait"
    people = [] if full else seating.eligible(slot.slot)
    names = ", ".join(map(str, people[:4])) if people else ("" if full else "nobody: no independent member")
    note = f"{slot.signed} of {slot.slot.people}" if slot.slot.people > 1 else ""
    return SlotRow(
        slot.slot.key,
        slot.slot.title,
        mark,
        note,
        slot.signatures,
        names,
        None if full and not mine else answer,
        mine.sign_off if mine else None,
        allowed if not full or mine else (),
    )


def _whose(given: SignOff) -> set[int]:
    return {given.person_id, given.delegation.delegator_id} if given.delegation else {given.person_id}


def _why_not_sign(found: Evaluation, slots: Sequence[SlotRow], sign_slot: SlotRow | None, by: Principal) -> str:
    if sign_slot is not None:
        return ""
    if found.round is None or found.review is None or found.review.closed_at is not None or not found.round.is_open:
        return ""
    mine = next((slot for slot in slots if slot.mine), None)
    if mine is not None:
        return _signed_by_you(mine, by)
    reasons = [slot.eligibility.reason for slot in slots if slot.eligibility]
    own = [reason for reason in reasons if not reason.startswith("Only ")]
    return next(iter(own or reasons), "Every slot is filled.")


def _signed_by_you(slot: SlotRow, by: Principal) -> str:
    given = slot.mine
    if given is None or given.delegation is None:
        return f"You signed as {slot.title}."
    if by.user is not None and given.person_id == by.user.pk:
        return f"You signed as {slot.title} for {given.delegation.delegator}."
    return f"{given.person} signed as {slot.title} for you."


def _may_be_requested(found: Evaluation) -> bool:
    return (
        found.version.state in {"registered", "expired", "approved", "live", "in_review"}
        and found.holder != found.version
        and not _approved(found)
    )


def _approved(found: Evaluation) -> bool:
    return found.approval is not None and not found.unmet


def _needs_round(found: Evaluation) -> bool:
    if found.round is None or found.standing is None:
        return False
    stale = any(one.standing is Standing.STALE for one in found.standing.signatures)
    keys = {one.key for one in found.unmet}
    return bool(
        found.standing.changes_requests
        or "policy-changed" in keys
        or (stale and not found.round.is_open)
        or "round" in keys
        or "expired" in keys
    )


def _dismissable(
    found: Evaluation, by: Principal, sign_slot: SlotRow | None, slots: Sequence[SlotRow]
) -> list[Signature]:
    if found.standing is None or by.user is None or not (sign_slot or any(slot.mine for slot in slots)):
        return []
    return [one for one in found.standing.changes_requests if by.user.pk not in _whose(one.sign_off)]


def _count(number: int, one: str, many: str) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return f"{words[number] if number < len(words) else number} {one if number == 1 else many}"
