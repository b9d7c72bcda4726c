"""Rehearsing a policy: what it would change is worked out, kept with its digest, and shown to whoever signs it."""

from __future__ import annotations

from typing import Final

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict
from jobs.actions import enqueue
from jobs.models import Job
from reviews.actions.cases import person_of
from reviews.models import PolicyRehearsal, PolicyVersion
from reviews.rehearsal import AT_ONCE, Rehearsed, cases_of, rehearse

REHEARSE: Final = "reviews.rehearse_policy"
REHEARSABLE: Final = frozenset({PolicyVersion.Status.DRAFT, PolicyVersion.Status.PROPOSED})


@governed(Action.POLICY_REHEARSE)
def rehearse_policy(version: PolicyVersion, *, by: Principal) -> PolicyRehearsal:
    """Evaluate a draft or proposed text on open reviews, replay it over past promotions, and keep the result."""
    _check(version, by)
    return keep_rehearsal(version, rehearse(version), by=by)


@governed(Action.POLICY_REHEARSE)
def begin_rehearsal(version: PolicyVersion, *, by: Principal) -> PolicyRehearsal | Job:
    """Rehearse at once where there are at most 200 cases; more are a job, whose page says how far it is."""
    _check(version, by)
    if cases_of(version) <= AT_ONCE:
        return keep_rehearsal(version, rehearse(version), by=by)
    return enqueue(REHEARSE, {"version": version.pk, "digest": version.digest}, by=by)


@governed(Action.POLICY_REHEARSE)
def keep_rehearsal(version: PolicyVersion, found: Rehearsed, *, by: Principal) -> PolicyRehearsal:
    """Store what a rehearsal found. The text may have changed since: the digest says which one was rehearsed."""
    _check(version, by)
    kept = PolicyRehearsal.objects.create(
        policy_version=version,
        policy_digest=found.digest,
        result=found.as_dict(),
        digest=found.result_digest,
        by=person_of(by),
    )
    append(
        Action.POLICY_REHEARSE,
        by=by,
        obj=version.ledger_ref(),
        after={
            "policy": found.digest,
            "rehearsal": kept.digest,
            "reviews": len(found.reviews),
            "promotions": len(found.promotions),
            "would_have_failed": len(found.failed),
        },
    )
    return kept


def rehearsal_of(version: PolicyVersion) -> PolicyRehearsal | None:
    """The newest rehearsal of exactly this text."""
    return version.rehearsals.filter(policy_digest=version.digest).first()


def rehearsal_under_way(version: PolicyVersion) -> Job | None:
    """The job that rehearses this text, where it has not ended."""
    jobs = Job.objects.unfinished().filter(kind=REHEARSE, payload__digest=version.digest)
    return jobs.order_by("-created_at").first()


def _check(version: PolicyVersion, by: Principal) -> None:
    permit(by, Permission.WRITE_POLICIES if by.allows(Permission.WRITE_POLICIES) else Permission.PUBLISH_POLICIES)
    if version.status not in REHEARSABLE:
        raise Conflict(
            f"{version} is {version.get_status_display().lower()}; drafts and proposed texts are rehearsed.",
            code="not-rehearsable",
        )
