"""The life of a finding: raised, answered by its owner, sent back or closed by who verifies it, given a later date, lapsed, withdrawn."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.auth.models import Group
from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit, verdict
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.models import ModelVersion
from reviews.actions.cases import person_of
from reviews.actions.signatures import conclude_open
from reviews.clock import CLOCK
from reviews.findings import ENDED, MAX_TEXT, MAX_TITLE, address_of, how_extendable, may_verify, take_step
from reviews.lapses import lapse
from reviews.locking import locked_review, locked_version
from reviews.models import Approval, Finding, FindingEvent, Lapse, Round, Thread
from reviews.statements import seal_extension

Kind = FindingEvent.Kind


@governed(Action.FINDING_RAISE)
def raise_finding(
    version: ModelVersion,
    *,
    title: str,
    detail: str,
    severity: str,
    owner: User,
    due_at: datetime,
    verifying_group: Group,
    thread: Thread | None = None,
    by: Principal,
) -> Finding:
    """Write down something that is wrong or owed about `version`: who owns it, until when, and which group verifies it.

    It decides nothing about an approval; what does is a condition, which a signer sets.
    """
    version = locked_version(version)
    permit(by, Permission.SEE_MODEL, version.model)
    person = person_of(by)
    _check_new(version, title, detail, severity, owner, due_at, thread)
    finding = Finding.objects.create(
        version=version,
        review=thread.review if thread else version.reviews.order_by("-requested_at").first(),
        thread=thread,
        title=title.strip(),
        detail=detail.strip(),
        severity=severity,
        owner=owner,
        due_at=due_at,
        verifying_group=verifying_group,
        raised_by=person,
    )
    take_step(finding, Kind.RAISED, by=by)
    return finding


@governed(Action.FINDING_COMMENT)
def comment_on_finding(finding: Finding, body: str, *, by: Principal) -> FindingEvent:
    """Say something about it; also after it ended, for the record."""
    finding = _locked(finding)
    permit(by, Permission.SEE_MODEL, finding.version.model)
    person_of(by)
    _check_text(body, "Write something before you send it.")
    return take_step(finding, Kind.COMMENTED, body=body, by=by)


@governed(Action.FINDING_ANSWER)
def answer_finding(finding: Finding, body: str, *, by: Principal) -> FindingEvent:
    """Its owner says that it is done, and how; whoever verifies it is told. It stays owed until it is verified."""
    finding = _locked(finding)
    permit(by, Permission.SEE_MODEL, finding.version.model)
    if person_of(by).pk != finding.owner_id:
        raise Forbidden(f"Only its owner, {finding.owner}, answers this finding.", code="not-owner")
    _check_owed(finding)
    if finding.state != Finding.State.OPEN:
        raise Conflict("It was answered already and waits to be verified.", code="already-answered")
    _check_text(body, "Say what was done.")
    return take_step(finding, Kind.ANSWERED, body=body, by=by)


@governed(Action.FINDING_RETURN)
def return_finding(finding: Finding, body: str, *, by: Principal) -> FindingEvent:
    """Whoever verifies it sends the answer back to its owner."""
    finding = _locked(finding)
    _permit_verifying(finding, by)
    _check_answered(finding)
    _check_text(body, "Say what is missing.")
    return take_step(finding, Kind.RETURNED, body=body, by=by)


@governed(Action.FINDING_CLOSE)
def close_finding(finding: Finding, body: str, *, by: Principal) -> FindingEvent:
    """Whoever verifies it confirms that it is done. Where it was overdue and held an approval back, that may be given now."""
    finding = _locked(finding)
    _permit_verifying(finding, by)
    _check_answered(finding)
    _check_text(body, "Say how you verified it.")
    event = take_step(finding, Kind.CLOSED, body=body, by=by)
    _conclude(finding, by)
    return event


@governed(Action.FINDING_EXTEND)
def extend_finding(
    finding: Finding, due_at: datetime, *, reason: str, reauthentication: Confirmation, by: Principal
) -> FindingEvent:
    """Give it a later due date, by a signed decision of who verifies it. Uses up `reauthentication`."""
    finding = _locked(finding)
    person = _permit_verifying(finding, by)
    _check_owed(finding)
    _check_text(reason, "Give the reason: it is signed with the new date.", field="reason")
    rules = how_extendable(finding)
    now = timezone.now()
    if finding.is_overdue(now):
        _check_undecided(finding)
    if not max(now, finding.due_at) < due_at <= now + timedelta(days=rules.at_most_days):
        sentence = f"The new date has to be after {max(now, finding.due_at):%d %B %Y} and within {rules.at_most_days} days from now."
        raise Invalid(sentence, errors={"due_at": sentence})
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    envelope = seal_extension(finding, proof, reason=reason.strip(), due=due_at)
    event = take_step(
        finding,
        Kind.EXTENDED,
        by=by,
        body=reason,
        at=proof.at,
        due_at=due_at,
        statement=dict(envelope),
        statement_digest=envelope_digest(envelope),
        reauthentication=proof.reauthentication,
    )
    _conclude(finding, by)
    return event


@governed(Action.FINDING_WITHDRAW)
def withdraw_finding(finding: Finding, *, reason: str, by: Principal) -> FindingEvent:
    """Whoever raised a plain finding takes it back. A condition was signed: it goes with its signature, not before."""
    finding = _locked(finding)
    permit(by, Permission.SEE_MODEL, finding.version.model)
    if finding.is_condition:
        raise Conflict(
            "An approval rests on this condition, so it cannot be withdrawn: it is verified, or given a later date.",
            code="is-condition",
        )
    if person_of(by).pk != finding.raised_by_id:
        raise Forbidden(f"Only {finding.raised_by}, who raised it, withdraws this finding.", code="not-raiser")
    _check_owed(finding)
    _check_text(reason, "Give the reason; it is kept with the record.", field="reason")
    return take_step(finding, Kind.WITHDRAWN, body=reason, by=by)


@governed(Action.FINDING_LAPSE)
def lapse_condition(finding: Finding, now: datetime, *, by: Principal = CLOCK) -> FindingEvent | None:
    """End a condition that was not verified by its date, and with it the approval that rests on it; answered is not verified.

    Changes nothing, and returns None, where it was verified, extended or ended meanwhile, or where no approval rests on it yet.
    """
    finding = _locked(finding)
    if by != CLOCK:
        raise Forbidden("Conditions lapse by time alone.", code="clock-only")
    approval = approval_on(finding)
    if approval is None or not finding.is_overdue(now):
        return None
    answered = " It was answered, but nobody verified the answer." if finding.state == Finding.State.ANSWERED else ""
    reason = f"The condition “{finding.title}” was not verified by {finding.due_at:%d %B %Y}.{answered}"
    event = take_step(finding, Kind.LAPSED, body=reason, by=by, at=now)
    lapse(approval, Lapse.Kind.CONDITION, reason, now, by=by)
    return event


def approval_on(finding: Finding) -> Approval | None:
    """The approval that rests on a condition and stands; None for a plain finding."""
    if finding.sign_off is None:
        return None
    return Approval.objects.filter(
        round=finding.sign_off.round, basis=Approval.Basis.REVIEW, revocation=None, lapse=None
    ).first()


def _locked(finding: Finding) -> Finding:
    version = locked_version(ModelVersion.objects.get(pk=finding.version_id))
    chosen = Finding.objects.select_related(
        "owner", "raised_by", "verifying_group", "review", "sign_off__round__review"
    )
    fresh = chosen.locked(finding.pk)
    fresh.version = version
    return fresh


def _check_new(
    version: ModelVersion, title: str, detail: str, severity: str, owner: User, due_at: datetime, thread: Thread | None
) -> None:
    errors = {}
    if not title.strip() or len(title) > MAX_TITLE:
        errors["title"] = f"Say what is wrong or owed, in at most {MAX_TITLE} characters."
    if len(detail) > MAX_TEXT:
        errors["detail"] = f"At most {MAX_TEXT:,} characters."
    if severity not in Finding.Severity.values:
        errors["severity"] = f"Choose one of {', '.join(Finding.Severity.values)}."
    if due_at <= timezone.now():
        errors["due_at"] = "The due date has to be in the future."
    if not owner.is_person or not verdict(Principal.of(owner), Permission.SEE_MODEL, version.model).allowed:
        errors["owner"] = "Name an active person who may see this model."
    if thread is not None and thread.review.version_id != version.pk:
        errors["thread"] = "That thread is about another version."
    if errors:
        raise Invalid(f"The finding was not raised: {' '.join(errors.values())}", errors=errors)


def _permit_verifying(finding: Finding, by: Principal) -> User:
    permit(by, Permission.SEE_MODEL, finding.version.model)
    person = person_of(by)
    answer = may_verify(person, finding)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="not-verifier", link=address_of(finding))
    return person


def _check_owed(finding: Finding) -> None:
    if finding.state in ENDED:
        raise Conflict(
            f"This finding is {finding.get_state_display().lower()}; nothing is owed any more.", code="finding-ended"
        )


def _check_answered(finding: Finding) -> None:
    _check_owed(finding)
    if finding.state != Finding.State.ANSWERED:
        raise Conflict(f"{finding.owner} has not answered yet; there is nothing to verify.", code="not-answered")


def _check_undecided(finding: Finding) -> None:
    if approval_on(finding) is not None:
        raise Conflict(
            "Its due date has passed, and the approval ends with it. Another round has to be signed.",
            code="finding-overdue",
        )


def _check_text(text: str, sentence: str, *, field: str = "body") -> None:
    if not text.strip():
        raise Invalid(sentence, errors={field: sentence})
    if len(text) > MAX_TEXT:
        raise Invalid("The text is too long.", errors={field: f"At most {MAX_TEXT:,} characters."})


def _conclude(finding: Finding, by: Principal) -> None:
    """A round that waited for this condition alone may be complete now."""
    if finding.sign_off is None:
        return
    round_ = Round.objects.select_related("review").get(pk=finding.sign_off.round_id)
    round_.review = locked_review(round_.review)
    conclude_open(round_.review, round_, by)
