"""Excepting one failed gate from one round by a signed decision, and taking that back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid, RequirementStatus
from notices.actions import tell
from notices.models import Notification
from reviews.actions.cases import person_of, record_gates
from reviews.actions.signatures import expected_subject_of
from reviews.evaluation import Evaluation, examine, page_of
from reviews.exceptions import seal_exception
from reviews.gates import GateOutcome
from reviews.locking import locked_review
from reviews.models import Approval, GateException, Review, Round, Slot
from reviews.people import Seating
from reviews.rulebook import rules_for

MAX_TEXT: Final = 10_000


@governed(Action.EXCEPTION_GRANT)
def grant_exception(
    round_: Round,
    gate_key: str,
    *,
    reason: str,
    compensating_control: str,
    ends_at: datetime,
    reauthentication: Confirmation,
    expected_subject: str,
    by: Principal,
) -> GateException:
    """Accept, until `ends_at`, that a gate of this round fails: signed by an independent holder of the slot that the policy names.

    Only for a gate that fails now; one that cannot be evaluated is no measured failure and is not excepted. The approval ends no
    later than the exception. One person may sign in the slot and grant as its holder; nobody grants for somebody else. A newer
    exception of the same gate replaces the older one. `expected_subject` as for `sign_off`. Uses up `reauthentication`.
    """
    review = locked_review(round_.review)
    permit(by, Permission.SEE_MODEL, review.version.model)
    round_ = _locked(round_, review)
    _check_under_way(review, round_)
    found = examine(review.version, review.stage)
    outcome = _failing(found, gate_key)
    person = person_of(by)
    slot = _slot(round_, outcome, person)
    rules = rules_for(review.version.model.tier, review.stage)
    approval = round_.approvals.filter(basis=Approval.Basis.REVIEW).first()
    latest = approval.valid_until if approval else timezone.now() + rules.valid_for
    _check_given(reason, compensating_control, ends_at, latest)
    subject = expected_subject_of(round_, rules, expected_subject)
    production = found.holder if found.holder is not None and found.holder.pk != review.version_id else None
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    envelope = seal_exception(
        round_,
        slot,
        subject,
        outcome,
        proof,
        reason=reason.strip(),
        compensating_control=compensating_control.strip(),
        ends_at=ends_at,
        compared_with=production.number if production else None,
    )
    GateException.objects.filter(round=round_, gate_key=gate_key, withdrawn_at=None).update(
        withdrawn_at=proof.at, withdrawn_why="Replaced by a newer exception."
    )
    given = GateException.objects.create(
        round=round_,
        gate_key=gate_key,
        slot=slot,
        person=person,
        reason=reason.strip(),
        compensating_control=compensating_control.strip(),
        ends_at=ends_at,
        statement=dict(envelope),
        statement_digest=envelope_digest(envelope),
        reauthentication=proof.reauthentication,
        signed_at=proof.at,
    )
    if approval is not None:
        pulls_until = ends_at + timedelta(days=rules.pulls_after_expiry_days)
        Approval.objects.filter(pk=approval.pk).update(
            valid_until=min(approval.valid_until, ends_at), pulls_until=min(approval.pulls_until, pulls_until)
        )
    record_gates(round_)
    given.receipt = append(
        Action.EXCEPTION_GRANT,
        by=by,
        obj=given.ledger_ref(),
        after={
            "gate": gate_key,
            "slot": slot.key,
            "measured": outcome.measured,
            "required": outcome.required,
            "ends_at": ends_at.isoformat(),
            "statement": given.statement_digest,
        },
    )
    _tell(given, review)
    return given


@governed(Action.EXCEPTION_WITHDRAW)
def withdraw_exception(given: GateException, *, reason: str, by: Principal) -> GateException:
    """Take one's own exception back before the version is promoted: the gate blocks again. It stays in the record."""
    review = locked_review(given.round.review)
    given = (
        GateException.objects.select_for_update(of=("self",)).select_related("round", "slot", "person").get(pk=given.pk)
    )
    given.round.review = review
    if by.user is None or by.user.pk != given.person_id:
        raise Forbidden("Only the person who granted an exception can take it back.", code="not-yours")
    if given.withdrawn_at is not None:
        raise Conflict("This exception was taken back already.", code="already-withdrawn")
    if review.closed_at is not None:
        raise Conflict(
            "The case is closed, and what was promoted rests on this exception. Revoke the approval instead.",
            code="review-closed",
            link=page_of(review.version),
        )
    _check_text("reason", reason, "Give the reason; it is kept with the record.")
    given.withdrawn_at, given.withdrawn_why = timezone.now(), reason.strip()
    given.save(update_fields=["withdrawn_at", "withdrawn_why"])
    record_gates(given.round)
    append(
        Action.EXCEPTION_WITHDRAW, by=by, obj=given.ledger_ref(), before={"standing": True}, after={"standing": False}
    )
    return given


def _locked(round_: Round, review: Review) -> Round:
    fresh = Round.objects.select_for_update(of=("self",)).select_related("compared_with").get(pk=round_.pk)
    fresh.review = review
    return fresh


def _check_under_way(review: Review, round_: Round) -> None:
    if review.closed_at is not None or not (round_.is_open or round_.is_approved):
        raise Conflict(
            f"Round {round_.number} is closed ({round_.get_state_display().lower()}); no gate of it can be excepted.",
            code="round-closed",
            link=page_of(review.version),
        )


def _failing(found: Evaluation, key: str) -> GateOutcome:
    """The gate, which fails now; raises with the sentence why it cannot be excepted."""
    outcome = next((one for one in found.gates if one.gate.key == key), None)
    if outcome is None:
        keys = ", ".join(one.gate.key for one in found.gates)
        raise Invalid(f"The policy has no gate {key}; it has {keys}.", errors={"gate": "Choose one of the gates."})
    title = outcome.gate.title
    if outcome.gate.warning:
        raise Conflict(f"“{title}” is a warning and blocks nothing, so there is nothing to except.", code="gate-warns")
    if outcome.status is RequirementStatus.ERROR:
        raise Conflict(
            f"“{title}” cannot be evaluated: {outcome.explanation} Nobody knows what would be accepted, so it is not excepted. "
            f"{outcome.gate.cleared_by} can mend that.",
            code="gate-error",
        )
    if outcome.status not in {RequirementStatus.UNSATISFIED, RequirementStatus.EXCEPTED}:
        raise Conflict(f"“{title}” does not fail, so there is nothing to except.", code="gate-passes")
    return outcome


def _slot(round_: Round, outcome: GateOutcome, person: User) -> Slot:
    """The slot whose holders may except the gate, which `person` is: a member, and independent."""
    if not outcome.gate.excepted_by:
        raise Forbidden(
            f"The policy lets nobody except “{outcome.gate.title}”; it has to be met.", code="not-exceptable"
        )
    slots = list(round_.slots.select_related("group", "alternates"))
    slot = next((one for one in slots if one.key == outcome.gate.excepted_by), None)
    if slot is None:
        raise Conflict("The round has no slot that may except this gate; open a new round.", code="policy-changed")
    answer = Seating.of_round(round_, slots=slots).may_sign(person, slot)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="not-eligible")
    return slot


def _check_given(reason: str, control: str, ends_at: datetime, latest: datetime) -> None:
    _check_text("reason", reason, "Give the reason for the exception.")
    _check_text("compensating_control", control, "Say what keeps the risk in check while the requirement is not met.")
    sentence = ""
    if ends_at <= timezone.now():
        sentence = "The exception has to end in the future."
    elif ends_at > latest:
        sentence = f"An exception ends no later than the approval could last: {latest:%d %B %Y}."
    if sentence:
        raise Invalid(sentence, errors={"ends_at": sentence})


def _check_text(field: str, text: str, missing: str) -> None:
    sentence = missing if not text.strip() else f"At most {MAX_TEXT:,} characters." if len(text) > MAX_TEXT else ""
    if sentence:
        raise Invalid(sentence, errors={field: sentence})


def _tell(given: GateException, review: Review) -> None:
    version = review.version
    tell(
        [version.model.owner, review.requested_by],
        event=f"exception:{given.uuid}",
        kind=Notification.Kind.DECISION,
        title=f"A gate of {version} was excepted until {given.ends_at:%d %b %Y}",
        body=f"{given.person}, as {given.slot.title}: {given.reason}",
        link=f"{page_of(version)}#gates",
        about=version.model,
    )
