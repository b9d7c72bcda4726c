"""Signing, taking a signature back, and dismissing a request for changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from access.stepup import Confirmation, Proof, prove
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.lifecycle import can_move, move
from reviews import announcements
from reviews.actions.cases import close_review, close_round, person_of, record_gates
from reviews.conditions import Agreed, Condition, agreed, raise_conditions, settle_conditions
from reviews.evaluation import current_subject
from reviews.holding import held_back
from reviews.independence import conflict_of
from reviews.locking import locked_review
from reviews.models import Approval, Delegation, Review, Round, SignOff, Slot
from reviews.notices import tell_requester
from reviews.people import Seating, delegation_between, group_names
from reviews.policies import Rules
from reviews.rulebook import rules_for, rules_of
from reviews.standing import RoundStanding, standing_of
from reviews.statements import MEANINGS, seal_sign_off
from reviews.subjects import Subject, changes, frozen
from reviews.succession import take_over

MAX_REASON: Final = 10_000
Decision = SignOff.Decision


@governed(Action.SIGN_OFF_GIVE)
def sign_off(
    round_: Round,
    slot_key: str,
    *,
    decision: str,
    reason: str,
    reauthentication: Confirmation,
    expected_subject: str,
    idempotency_key: str,
    conditions: Sequence[Condition] = (),
    on_behalf_of: str = "",
    expected_round: int | None = None,
    by: Principal,
) -> SignOff:
    """Give one person's signed decision in one slot; the last missing approval makes the round approved.

    `expected_subject` is the digest that the person saw: when anything under it changed since, `Conflict` says what, in
    `extra["changed"]`. `conditions` go with an approval with conditions, and become findings. `on_behalf_of` is the user name
    or uuid of somebody who gave a delegation: the decision is then theirs too, and both have to be independent. `expected_round`
    is the number that the person saw. The same `idempotency_key` returns the same sign-off. Uses up `reauthentication`.
    """
    review = locked_review(round_.review)
    round_ = _locked_round(round_, review)
    if earlier := _already_given(idempotency_key, round_, slot_key, decision, on_behalf_of, by):
        return earlier
    permit(by, Permission.SEE_MODEL, review.version.model)
    _check_round(round_, expected_round)
    slot = _checked(round_, slot_key, decision, reason)
    person = person_of(by)
    delegation = _entitled(person, slot, round_, on_behalf_of)
    rules = rules_for(review.version.model.tier, review.stage)
    subject = expected_subject_of(round_, rules, expected_subject)
    asked = agreed(round_, rules, decision, conditions, key=idempotency_key)
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    given = _record(
        round_,
        slot,
        subject,
        proof,
        decision=decision,
        reason=reason,
        key=idempotency_key,
        rules=rules,
        conditions=asked,
        delegation=delegation,
    )
    settle_conditions(round_, by=by)
    raise_conditions(given, asked, by=by)
    _refreeze(round_, subject)
    given.receipt = append(
        Action.SIGN_OFF_GIVE,
        by=by,
        obj=given.ledger_ref(),
        after={
            "decision": decision,
            "slot": slot.key,
            "round": round_.number,
            "stage": review.stage.name,
            "subject": subject.digest,
            "statement": given.statement_digest,
            **({"on_behalf_of": str(delegation.delegator.uuid)} if delegation else {}),
            **({"conditions": [one.as_predicate() for one in asked]} if asked else {}),
        },
    )
    announcements.signed_off(given, slot.key)
    _conclude(review, round_, given, subject, by)
    return given


@governed(Action.SIGN_OFF_WITHDRAW)
def withdraw_sign_off(given: SignOff, *, reason: str, by: Principal) -> SignOff:
    """Take one's own decision back while the round is open, or the one given in one's name; it stays in the record, struck through."""
    review = locked_review(given.round.review)
    given = _locked_sign_off(given, review)
    if by.user is None or by.user.pk not in _whose(given):
        raise Forbidden("Only the person who gave a decision, or for whom it was given, can take it back.")
    _check_open(given.round)
    _check_standing(given)
    _check_reason(reason)
    given.withdrawn_at, given.withdrawn_why = timezone.now(), reason.strip()
    given.save(update_fields=["withdrawn_at", "withdrawn_why"])
    given.receipt = append(
        Action.SIGN_OFF_WITHDRAW, by=by, obj=given.ledger_ref(), before={"standing": True}, after={"standing": False}
    )
    settle_conditions(given.round, by=by)
    conclude_open(review, given.round, by)
    return given


@governed(Action.SIGN_OFF_DISMISS)
def dismiss_changes_request(given: SignOff, *, reason: str, by: Principal) -> SignOff:
    """Set another slot holder's request for changes aside, with a reason; both stay in the record."""
    review = locked_review(given.round.review)
    given = _locked_sign_off(given, review)
    permit(by, Permission.SEE_MODEL, review.version.model)
    person = person_of(by)
    _check_open(given.round)
    _check_standing(given)
    if given.decision != Decision.REQUEST_CHANGES:
        raise Conflict("Only a request for changes can be dismissed.", code="not-a-changes-request")
    if person.pk in _whose(given):
        raise Conflict("This request is your own; withdraw it instead.", code="own-request")
    if why := why_not_holder(person, given.round):
        raise Forbidden(f"Only another slot holder can dismiss a request for changes. {why}", code="not-eligible")
    _check_reason(reason)
    given.withdrawn_at, given.withdrawn_why, given.dismissed_by = timezone.now(), reason.strip(), person
    given.save(update_fields=["withdrawn_at", "withdrawn_why", "dismissed_by"])
    append(Action.SIGN_OFF_DISMISS, by=by, obj=given.ledger_ref(), after={"dismissed": True, "reason": reason.strip()})
    conclude_open(review, given.round, by)
    return given


def _locked_sign_off(given: SignOff, review: Review) -> SignOff:
    rows = SignOff.objects.select_for_update(of=("self",))
    fresh = rows.select_related("round", "slot", "person", "delegation__delegator").get(pk=given.pk)
    fresh.round.review = review
    return fresh


def _whose(given: SignOff) -> set[int]:
    """The people whose decision it is."""
    return {given.person_id, given.delegation.delegator_id} if given.delegation else {given.person_id}


def why_not_holder(person: User, round_: Round) -> str:
    """Why `person` holds no slot of the round, for themselves or for somebody, or nothing. Who signed in it holds the one they filled."""
    slots = list(round_.slots.select_related("group", "alternates"))
    seating = Seating.of_round(round_, slots=slots)
    if conflict := conflict_of(person.pk, seating.deeds):
        return conflict
    if any(given.person_id == person.pk for given in seating.sign_offs):
        return ""
    answers = [choice.eligibility for slot in slots for choice in seating.choices(person, slot)]
    return "" if any(answer.allowed for answer in answers) else answers[0].reason


def _entitled(person: User, slot: Slot, round_: Round, on_behalf_of: str) -> Delegation | None:
    """The delegation that the person signs by, None for themselves; raises `Forbidden` where they may not sign so."""
    seating = Seating.of_round(round_)
    if not on_behalf_of:
        answer, delegation = seating.may_sign(person, slot), None
    else:
        delegation = delegation_between(on_behalf_of, person, group_names(slot), timezone.now())
        if delegation is None:
            raise Forbidden(
                f"No delegation in force lets you sign as {slot.title} for {on_behalf_of}.", code="not-delegated"
            )
        answer = seating.may_sign_for(delegation, slot)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="not-eligible")
    return delegation


def _check_round(round_: Round, expected: int | None) -> None:
    """Under the review's lock: a signature meant for another round never lands in this one."""
    newest = round_.review.current_round.number
    if expected is None or expected == round_.number == newest:
        return
    raise Conflict(
        f"You opened round {expected}, and round {newest} is the current one by now. Nothing was signed. "
        "Look at what the new round asks for, and sign there.",
        code="round-changed",
        extra={"expected_round": expected, "current_round": newest},
    )


def _locked_round(round_: Round, review: Review) -> Round:
    fresh = Round.objects.select_for_update(of=("self",)).select_related("compared_with").get(pk=round_.pk)
    fresh.review = review
    return fresh


def _already_given(
    key: str, round_: Round, slot_key: str, decision: str, on_behalf_of: str, by: Principal
) -> SignOff | None:
    if not 8 <= len(key) <= 64:
        raise Invalid(
            "Send an idempotency key of 8 to 64 characters.", errors={"idempotency_key": "8 to 64 characters."}
        )
    rows = SignOff.objects.select_related("slot", "round", "person", "delegation__delegator")
    earlier = rows.filter(idempotency_key=key).first()
    if earlier is None:
        return None
    same = (earlier.round_id, earlier.slot.key, earlier.decision) == (round_.pk, slot_key, decision)
    delegator = earlier.delegation.delegator if earlier.delegation else None
    same = same and on_behalf_of in ({delegator.username, str(delegator.uuid)} if delegator else {""})
    if not same or by.user is None or earlier.person_id != by.user.pk:
        raise Conflict(
            "This idempotency key was used for another decision. Open the page again and sign there.", code="key-reused"
        )
    return earlier


def _checked(round_: Round, slot_key: str, decision: str, reason: str) -> Slot:
    if decision not in Decision.values:
        raise Invalid(
            f"A decision is one of {', '.join(MEANINGS)}.", errors={"decision": "Choose what your signature means."}
        )
    _check_reason(reason)
    _check_open(round_)
    slot = round_.slots.select_related("group", "alternates").filter(key=slot_key).first()
    if slot is None:
        keys = ", ".join(round_.slots.values_list("key", flat=True))
        raise Invalid(f"This round has no slot {slot_key}; it has {keys}.", errors={"slot": f"Choose one of {keys}."})
    return slot


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid("Give the reason for your decision.", errors={"reason": "Give the reason for your decision."})
    if len(reason) > MAX_REASON:
        raise Invalid("The reason is too long.", errors={"reason": f"At most {MAX_REASON:,} characters."})


def _check_open(round_: Round) -> None:
    if round_.review.closed_at is not None or not round_.is_open:
        raise Conflict(
            f"Round {round_.number} is closed ({round_.get_state_display().lower()}); no decision can be given or taken back in it.",
            code="round-closed",
        )


def _check_standing(given: SignOff) -> None:
    if given.withdrawn_at is not None:
        raise Conflict("This decision was taken back or dismissed already.", code="already-withdrawn")


def expected_subject_of(round_: Round, rules: Rules, expected: str) -> Subject:
    """The subject as it is now; raises `Conflict` with the difference when it is not the one that the person saw."""
    if rules_of(round_).digest != rules.digest:
        raise Conflict(
            "A policy was published since this round was opened, so it cannot be signed any more. The requester has to open a new round.",
            code="policy-changed",
        )
    subject = current_subject(round_, rules)
    if expected == subject.digest:
        return subject
    changed = changes(frozen(round_).facets, subject.facets)
    facets = ", ".join(change.facet for change in changed) or "something under review"
    raise Conflict(
        f"What you were about to sign has changed since you opened the page: {facets}. "
        "Nothing was signed. Read the difference and decide again.",
        code="subject-changed",
        extra={
            "expected_subject": expected,
            "current_subject": subject.digest,
            "changed": [{"facet": change.facet, "was": change.was, "now": change.now} for change in changed],
        },
    )


def _record(
    round_: Round,
    slot: Slot,
    subject: Subject,
    proof: Proof,
    *,
    decision: str,
    reason: str,
    key: str,
    rules: Rules,
    conditions: Sequence[Agreed],
    delegation: Delegation | None,
) -> SignOff:
    expires = proof.at + rules.valid_for
    last = round_.sign_offs.order_by("-signed_at", "-pk").first()
    envelope = seal_sign_off(
        round_,
        slot,
        subject,
        proof,
        decision=decision,
        reason=reason.strip(),
        previous=last.statement_digest if last else None,
        expires=expires,
        pulls_until=expires + timedelta(days=rules.pulls_after_expiry_days),
        conditions=[one.as_predicate() for one in conditions],
        delegation=delegation,
    )
    _replace(round_, proof, delegation)
    return SignOff.objects.create(
        round=round_,
        slot=slot,
        person=proof.person,
        decision=decision,
        reason=reason.strip(),
        statement=dict(envelope),
        statement_digest=envelope_digest(envelope),
        reauthentication=proof.reauthentication,
        delegation=delegation,
        idempotency_key=key,
        signed_at=proof.at,
    )


def _replace(round_: Round, proof: Proof, delegation: Delegation | None) -> None:
    """The latest decision of a person counts: what they gave before, and what was given in their name."""
    standing = SignOff.objects.filter(round=round_, withdrawn_at=None)
    standing.filter(person=proof.person).update(
        withdrawn_at=proof.at, withdrawn_why="Replaced by a newer decision of the same person."
    )
    if delegation is None:
        standing.filter(delegation__delegator=proof.person).update(
            withdrawn_at=proof.at, withdrawn_why=f"Replaced by {proof.person}'s own decision."
        )


def _refreeze(round_: Round, subject: Subject) -> None:
    """The round keeps the subject of its newest signature; what older ones signed is in their statements."""
    if round_.subject_digest == subject.digest:
        return
    round_.subject, round_.subject_digest = subject.text, subject.digest
    round_.save(update_fields=["subject", "subject_digest"])
    record_gates(round_)


def _conclude(review: Review, round_: Round, given: SignOff, subject: Subject, by: Principal) -> None:
    if given.decision == Decision.REJECT:
        _reject(review, round_, given, by)
        return
    if given.decision == Decision.REQUEST_CHANGES:
        tell_requester(round_, by=by)
    _approve_when_complete(review, round_, subject, given.signed_at, by)


def conclude_open(review: Review, round_: Round, by: Principal) -> None:
    """After an objection went away, what had been signed may be enough; nothing where the round or its case is closed."""
    if review.closed_at is not None or not round_.is_open:
        return
    rules = rules_for(review.version.model.tier, review.stage)
    if rules_of(round_).digest == rules.digest:
        _approve_when_complete(review, round_, current_subject(round_, rules), timezone.now(), by)


def _approve_when_complete(review: Review, round_: Round, subject: Subject, now: datetime, by: Principal) -> None:
    standing = standing_of(round_, subject.facets, now)
    if not standing.complete or held_back(review, standing, now):
        return
    _refreeze(round_, subject)
    grace = timedelta(days=rules_of(round_).pulls_after_expiry_days)
    ends = [one.ends_at for one in round_.exceptions.filter(withdrawn_at=None, ends_at__gt=now)]
    valid_until = min([_valid_until(standing), *ends])
    state = Round.State.APPROVED_WITH_CONDITIONS if standing.conditional else Round.State.APPROVED
    close_round(round_, state, by, valid_until=valid_until)
    settle_conditions(round_, by=by, counting=standing.counting)
    approval = Approval.objects.create(
        version=review.version,
        stage=review.stage,
        round=round_,
        approved_at=now,
        valid_until=valid_until,
        pulls_until=min([_pulls_until(standing), *(end + grace for end in ends)]),
    )
    move(review.version, "approve", by=by, decision=round_)
    take_over(approval, now)
    tell_requester(round_, by=by)


def _valid_until(standing: RoundStanding) -> datetime:
    """The earliest end of any signature that counts."""
    return min(signature.said.expires for signature in standing.counting if signature.said)


def _pulls_until(standing: RoundStanding) -> datetime:
    """The earliest end of pulls that any signature that counts allows."""
    return min(signature.said.pulls_until for signature in standing.counting if signature.said)


def _reject(review: Review, round_: Round, given: SignOff, by: Principal) -> None:
    close_round(round_, Round.State.REJECTED, by)
    close_review(review)
    others = Review.objects.open().filter(version=review.version).exists()
    if not others and can_move(review.version, "reject"):
        move(review.version, "reject", by=by, decision=given)
    tell_requester(round_, by=by)
