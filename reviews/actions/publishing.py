"""Putting a policy in force: by the signatures of people who did not write it, counted by the rules that are in force before it."""

from __future__ import annotations

from typing import Final

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.actions import tell
from notices.models import Notification
from reviews.actions.cases import person_of
from reviews.actions.drafts import locked_policy_version, page_of, refuse_own_rounds, return_to_draft, sound_document
from reviews.actions.rehearsals import rehearsal_of
from reviews.models import Policy, PolicyRehearsal, PolicySignature, PolicyVersion
from reviews.policies import PolicyDocument
from reviews.publication import Needs, approvals_of, read_policy_signature, seal_policy_signature
from reviews.rulebook import in_force

MAX_REASON: Final = 10_000
Decision = PolicySignature.Decision
Status = PolicyVersion.Status


@governed(Action.POLICY_SIGN)
def sign_policy(
    version: PolicyVersion,
    *,
    decision: str,
    reason: str,
    reauthentication: Confirmation,
    expected_rehearsal: str = "",
    by: Principal,
) -> PolicySignature:
    """Give one person's signed decision on a proposed policy; the last approval that is needed puts it in force.

    `expected_rehearsal` is the digest of the rehearsal that the person saw; `Conflict` when it is not the newest any more. Sending a
    text back makes it a draft again. Uses up `reauthentication`.
    """
    permit(by, Permission.PUBLISH_POLICIES)
    person = person_of(by)
    version = locked_policy_version(version)
    _check(version, decision, reason)
    document = sound_document(version)
    current = next(iter(in_force(version.policy)), None)
    needs = Needs.of(document, current)
    _check_signer(person, version, needs)
    refuse_own_rounds([document, *([current[1]] if current else [])], person, by=person)
    rehearsal = _rehearsal(version, expected_rehearsal)
    proof = prove(
        reauthentication, user=person, accepted=current[1].reauthentication if current else document.reauthentication
    )
    last = version.signatures.order_by("-signed_at", "-pk").first()
    envelope = seal_policy_signature(
        version,
        proof,
        decision=decision,
        reason=reason.strip(),
        needs=needs,
        rehearsal=rehearsal.digest,
        previous=last.statement_digest if last else None,
        authors=version.authors.all(),
    )
    given = PolicySignature.objects.create(
        policy_version=version,
        person=person,
        decision=decision,
        reason=reason.strip(),
        statement=dict(envelope),
        statement_digest=envelope_digest(envelope),
        reauthentication=proof.reauthentication,
        signed_at=proof.at,
    )
    given.receipt = append(
        Action.POLICY_SIGN,
        by=by,
        obj=given.ledger_ref(),
        after={"decision": decision, "digest": version.digest, "statement": given.statement_digest},
    )
    _conclude(version, document, given, needs, by)
    return given


def _check(version: PolicyVersion, decision: str, reason: str) -> None:
    if decision not in Decision.values:
        raise Invalid(
            f"A decision is one of {', '.join(Decision.values)}.",
            errors={"decision": "Choose what your signature means."},
        )
    if not reason.strip():
        raise Invalid("Give the reason for your decision.", errors={"reason": "Give the reason for your decision."})
    if len(reason) > MAX_REASON:
        raise Invalid("The reason is too long.", errors={"reason": f"At most {MAX_REASON:,} characters."})
    if version.status != Status.PROPOSED:
        raise Conflict(
            f"{version} is {version.get_status_display().lower()}; only a proposed text is signed.",
            code="not-proposed",
            link=page_of(version),
        )


def _check_signer(person: User, version: PolicyVersion, needs: Needs) -> None:
    if version.authors.filter(pk=person.pk).exists():
        raise Forbidden(
            "You wrote or proposed this text; somebody else who may publish policies has to sign it.", code="own-draft"
        )
    if not person.groups.filter(name=needs.group).exists():
        source = f"version {needs.under.number}, which is in force," if needs.under else "this first version"
        raise Forbidden(
            f"{source.capitalize()} asks for signatures from {needs.group}, and you are not a member. "
            "An administrator adds people to groups.",
            code="not-eligible",
        )
    if any(_signer(one) == str(person.uuid) for one in _of_this_proposal(version)):
        raise Conflict("You have signed this proposal already; one signature counts once.", code="already-signed")


def _rehearsal(version: PolicyVersion, expected: str) -> PolicyRehearsal:
    found = rehearsal_of(version)
    if found is None:
        raise Conflict(
            "This text has not been rehearsed yet, so nobody knows what it would change. Rehearse it, or wait until that is done.",
            code="not-rehearsed",
            link=page_of(version),
        )
    if expected and expected != found.digest:
        raise Conflict(
            "It was rehearsed anew since you opened the page. Nothing was signed; look at the result, then sign again.",
            code="rehearsal-changed",
            extra={"expected_rehearsal": expected, "current_rehearsal": found.digest},
        )
    return found


def signatures_of_proposal(version: PolicyVersion) -> list[PolicySignature]:
    """The signatures that were given on the current proposal of exactly this text, oldest first."""
    return _of_this_proposal(version)


def _of_this_proposal(version: PolicyVersion) -> list[PolicySignature]:
    if version.proposed_at is None:
        return []
    return list(version.signatures.filter(signed_at__gte=version.proposed_at).select_related("person"))


def _signer(signature: PolicySignature) -> str:
    return read_policy_signature(signature.statement).signer


def _conclude(
    version: PolicyVersion, document: PolicyDocument, given: PolicySignature, needs: Needs, by: Principal
) -> None:
    if given.decision == Decision.RETURN:
        return_to_draft(version, "sent back", by=by)
        _tell_authors(version, given, f"{version} was sent back")
        return
    if len(approvals_of(version, version.signatures.all())) < needs.people:
        return
    _put_in_force(version, document, given, by)
    _tell_authors(version, given, f"{version} is in force")


def _put_in_force(version: PolicyVersion, document: PolicyDocument, given: PolicySignature, by: Principal) -> None:
    version.policy.versions.filter(status=Status.PUBLISHED).update(status=Status.RETIRED)
    version.status, version.published_by, version.published_at = Status.PUBLISHED, given.person, given.signed_at
    version.save(update_fields=["status", "published_by", "published_at"])
    Policy.objects.filter(pk=version.policy_id).update(title=document.title)
    version.receipt = append(
        Action.POLICY_PUBLISH,
        by=by,
        obj=version.ledger_ref(),
        before={"status": "proposed"},
        after={"status": "published", "digest": version.digest},
    )


def _tell_authors(version: PolicyVersion, given: PolicySignature, title: str) -> None:
    tell(
        version.authors.exclude(pk=given.person_id),
        event=f"policy-signature:{given.uuid}",
        kind=Notification.Kind.DECISION,
        title=title,
        body=f"{given.person}: {given.reason}",
        link=page_of(version),
    )
