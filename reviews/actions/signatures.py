"""Signing, taking a signature back, and dismissing a request for changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from access.stepup import Confirmation, Proof, prove
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.lifecycle import can_move, move
from reviews.actions.cases import close_review, close_round, person_of, record_gates
from reviews.conditions import Agreed, Condition, agreed, raise_conditions, settle_conditions
from reviews.evaluation import current_subject
from reviews.holding import held_back
from reviews.locking import locked_review
from reviews.models import Approval, Review, Round, SignOff, Slot
from reviews.notices import tell_requester
from reviews.people import may_sign
from reviews.policies import Rules
from reviews.rulebook import rules_for, rules_of
from reviews.standing import RoundStanding, standing_of
from reviews.statements import MEANINGS, seal_sign_off
from reviews.subjects import Subject, changes, frozen

MAX_REASON: Final = 10_000
DAYS_A_MONTH: Final = 365 / 12
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
    by: Principal,
) -> SignOff:
    """Give one person's signed decision in one slot; the last missing approval makes the round approved.

    `expected_subject` is the digest that the person saw: when anything under it changed since, `Conflict` says what, in
    `extra["changed"]`. `conditions` go with an approval with conditions, and become findings.
    The same `idempotency_key` returns the same sign-off. Uses up `reauthentication`.
    """
    review = locked_review(round_.review)
    round_ = _locked_round(round_, review)
    if earlier := _already_given(idempotency_key, round_, slot_key, decision, by):
        return earlier
    permit(by, Permission.SEE_MODEL, review.version.model)
    slot = _checked(round_, slot_key, decision, reason)
    person = person_of(by)
    answer = may_sign(person, slot, review, round_)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="not-eligible")
    rules = rules_for(review.version.model.tier, review.stage)
    subject = _expected(round_, rules, expected_subject)
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
            **({"conditions": [one.as_predicate() for one in asked]} if asked else {}),
        },
    )
    _conclude(review, round_, given, subject, by)
    return given


@governed(Action.SIGN_OFF_WITHDRAW)
def withdraw_sign_off(given: SignOff, *, reason: str, by: Principal) -> SignOff:
    """Take one's own decision back while the round is open; it stays in the record, struck through."""
    review = locked_review(given.round.review)
    given = SignOff.objects.select_for_update(of=("self",)).select_related("round", "slot", "person").get(pk=given.pk)
    given.round.review = review
    if by.user is None or by.user.pk != given.person_id:
        raise Forbidden("Only the person who gave a decision can take it back.")
    _check_open(given.round)
    _check_standing(given)
    _check_reason(reason)
    given.withdrawn_at, given.withdrawn_why = timezone.now(), reason.strip()
    given.save(update_fields=["withdrawn_at", "withdrawn_why"])
    append(
        Action.SIGN_OFF_WITHDRAW, by=by, obj=given.ledger_ref(), before={"standing": True}, after={"standing": False}
    )
    settle_conditions(given.round, by=by)
    conclude_open(review, given.round, by)
    return given


@governed(Action.SIGN_OFF_DISMISS)
def dismiss_changes_request(given: SignOff, *, reason: str, by: Principal) -> SignOff:
    """Set another slot holder's request for changes aside, with a reason; both stay in the record."""
    review = locked_review(given.round.review)
    given = SignOff.objects.select_for_update(of=("self",)).select_related("round", "slot", "person").get(pk=given.pk)
    given.round.review = review
    permit(by, Permission.SEE_MODEL, review.version.model)
    person = person_of(by)
    _check_open(given.round)
    _check_standing(given)
    if given.decision != Decision.REQUEST_CHANGES:
        raise Conflict("Only a request for changes can be dismissed.", code="not-a-changes-request")
    if person.pk == given.person_id:
        raise Conflict("This request is your own; withdraw it instead.", code="own-request")
    holds = [
        may_sign(person, slot, review, given.round) for slot in given.round.slots.select_related("group", "alternates")
    ]
    if not any(answer.allowed for answer in holds) and not _signed(person.pk, given.round):
        raise Forbidden(
            f"Only another slot holder can dismiss a request for changes. {holds[0].reason}", code="not-eligible"
        )
    _check_reason(reason)
    given.withdrawn_at, given.withdrawn_why, given.dismissed_by = timezone.now(), reason.strip(), person
    given.save(update_fields=["withdrawn_at", "withdrawn_why", "dismissed_by"])
    append(Action.SIGN_OFF_DISMISS, by=by, obj=given.ledger_ref(), after={"dismissed": True, "reason": reason.strip()})
    conclude_open(review, given.round, by)
    return given


def _signed(person: int, round_: Round) -> bool:
    return SignOff.objects.filter(round=round_, person_id=person, withdrawn_at=None).exists()


def _locked_round(round_: Round, review: Review) -> Round:
    fresh = Round.objects.select_for_update(of=("self",)).select_related("compared_with").get(pk=round_.pk)
    fresh.review = review
    return fresh


def _already_given(key: str, round_: Round, slot_key: str, decision: str, by: Principal) -> SignOff | None:
    if not 8 <= len(key) <= 64:
        raise Invalid(
            "Send an idempotency key of 8 to 64 characters.", errors={"idempotency_key": "8 to 64 characters."}
        )
    earlier = SignOff.objects.filter(idempotency_key=key).select_related("slot", "round", "person").first()
    if earlier is None:
        return None
    same = (earlier.round_id, earlier.slot.key, earlier.decision) == (round_.pk, slot_key, decision)
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


def _expected(round_: Round, rules: Rules, expected: str) -> Subject:
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
) -> SignOff:
    expires = proof.at + timedelta(days=round(rules.valid_months * DAYS_A_MONTH))
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
        conditions=[one.as_predicate() for one in conditions],
    )
    SignOff.objects.filter(round=round_, person=proof.person, withdrawn_at=None).update(
        withdrawn_at=proof.at, withdrawn_why="Replaced by a newer decision of the same person."
    )
    return SignOff.objects.create(
        round=round_,
        slot=slot,
        person=proof.person,
        decision=decision,
        reason=reason.strip(),
        statement=dict(envelope),
        statement_digest=envelope_digest(envelope),
        reauthentication=proof.reauthentication,
        idempotency_key=key,
        signed_at=proof.at,
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
    """After an objection went away, what had been signed may be enough."""
    rules = rules_for(review.version.model.tier, review.stage)
    if rules_of(round_).digest == rules.digest:
        _approve_when_complete(review, round_, current_subject(round_, rules), timezone.now(), by)


def _approve_when_complete(review: Review, round_: Round, subject: Subject, now: datetime, by: Principal) -> None:
    standing = standing_of(round_, subject.facets, now)
    if not standing.complete or held_back(review, standing, now):
        return
    _refreeze(round_, subject)
    valid_until = _valid_until(standing)
    state = Round.State.APPROVED_WITH_CONDITIONS if standing.conditional else Round.State.APPROVED
    close_round(round_, state, by, valid_until=valid_until)
    settle_conditions(round_, by=by, counting=standing.counting)
    Approval.objects.create(
        version=review.version,
        stage=review.stage,
        round=round_,
        approved_at=now,
        valid_until=valid_until,
        pulls_until=valid_until,
    )
    move(review.version, "approve", by=by, decision=round_)
    tell_requester(round_, by=by)


def _valid_until(standing: RoundStanding) -> datetime:
    """The earliest end of any signature that counts."""
    return min(signature.said.expires for signature in standing.counting if signature.said)


def _reject(review: Review, round_: Round, given: SignOff, by: Principal) -> None:
    close_round(round_, Round.State.REJECTED, by)
    close_review(review)
    others = Review.objects.open().filter(version=review.version).exists()
    if not others and can_move(review.version, "reject"):
        move(review.version, "reject", by=by, decision=given)
    tell_requester(round_, by=by)
