"""What time does to approvals that stand: reminders before the end, a review that renews them, the end itself; and the dated grace of
versions that are live when a policy is tightened. Nothing changes silently: each step is recorded and told to the model's owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Q, QuerySet

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from notices.actions import tell
from notices.models import Notification
from reviews import within
from reviews.actions.cases import open_case
from reviews.clock import CLOCK, Effect, due
from reviews.evaluation import examine, page_of
from reviews.lapses import lapse
from reviews.locking import locked_version
from reviews.models import Approval, Grace, Lapse, PolicyVersion, Reminder, Review
from reviews.policies import Rules
from reviews.quorum import Vote, missing
from reviews.rulebook import rules_for, rules_of
from reviews.standing import standing_of
from reviews.subjects import frozen

LONGEST_REMINDER = timedelta(days=365)


def standing() -> QuerySet[Approval]:
    """The approvals that have not ended."""
    return Approval.objects.filter(revocation=None, lapse=None).select_related(
        "version__model__owner", "stage", "round__review__requested_by"
    )


def live() -> QuerySet[Approval]:
    """The approvals by which a version holds its stage now."""
    return standing().filter(promotion__alias__isnull=False).prefetch_related("round__policies", "reminders")


@due
def expiries(now: datetime) -> Sequence[Effect]:
    """Approvals that have run out: at the end of pulls, or, where nothing was ever promoted by them, at the end itself."""
    over = Q(pulls_until__lte=now) | Q(promotion=None, valid_until__lte=now)
    found = standing().exclude(basis=Approval.Basis.BREAK_GLASS).filter(over).order_by("pk")
    return [partial(_expire, approval) for approval in found]


def _expire(approval: Approval, now: datetime) -> None:
    lapse(
        approval,
        Lapse.Kind.EXPIRED,
        f"It ran out on {approval.valid_until:%d %B %Y at %H:%M} UTC, and nobody renewed it.",
        now,
        by=CLOCK,
    )


@due
def reminders(now: datetime) -> Sequence[Effect]:
    """Reminders whose day has come: of several that were missed only the nearest one."""
    soon = (
        live()
        .exclude(basis=Approval.Basis.BREAK_GLASS)
        .filter(valid_until__gt=now, valid_until__lte=now + LONGEST_REMINDER)
    )
    found = []
    for approval in soon:
        days = _day_of(approval, now)
        sent = [one.days for one in approval.reminders.all()]
        if days is not None and days < min(sent, default=days + 1):
            found.append(partial(_remind, approval, days))
    return found


def _day_of(approval: Approval, now: datetime) -> int | None:
    """The nearest reminder that is due, in days before the end; one before the approval was even given is not."""
    ends = approval.valid_until
    passed = [days for days in approval.remind_days if approval.approved_at <= ends - timedelta(days=days) <= now]
    return min(passed, default=None)


def _remind(approval: Approval, days: int, now: datetime) -> None:
    remind(approval, days, now, by=CLOCK)


@governed(Action.APPROVAL_REMIND)
def remind(approval: Approval, days: int, now: datetime, *, by: Principal) -> Reminder:
    """Tell the model's owner, once, that the approval ends within `days`."""
    version = locked_version(approval.version)
    permit(by, Permission.REQUEST_REVIEW, version.model)
    reminder, created = Reminder.objects.get_or_create(approval=approval, days=days, defaults={"at": now})
    if not created:
        return reminder
    left = max(1, (approval.valid_until - now).days)
    tell(
        [version.model.owner],
        event=f"reminder:{approval.pk}:{days}",
        kind=Notification.Kind.REMINDER,
        title=f"The approval of {version} for {approval.stage} ends in {left} day{'s' if left > 1 else ''}",
        body=f"It ends on {approval.valid_until:%d %B %Y at %H:%M} UTC. Unless it is renewed by a review, it can no longer be used then.",
        link=page_of(version),
        about=version.model,
    )
    append(
        Action.APPROVAL_REMIND,
        by=by,
        obj=approval.ledger_ref(),
        after={"days": days, "ends": approval.valid_until.isoformat()},
    )
    return reminder


@due
def recertifications(now: datetime) -> Sequence[Effect]:
    """Live versions whose approval ends soon and of which no review has been opened for that yet."""
    soon = (
        live()
        .exclude(basis=Approval.Basis.BREAK_GLASS)
        .filter(valid_until__gt=now, valid_until__lte=now + LONGEST_REMINDER, recertifications=None)
    )
    open_reviews = {(one.version_id, one.stage_id) for one in Review.objects.open()}
    return [
        partial(_recertify, approval)
        for approval in soon
        if approval.approved_at < approval.renewable_from <= now
        and (approval.version_id, approval.stage_id) not in open_reviews
        and rules_for(approval.version.model.tier, approval.stage).slots
    ]


@governed(Action.REVIEW_REQUEST)
def recertify(approval: Approval, now: datetime, *, by: Principal) -> Review | None:
    """Open the review that renews `approval`, in the name of the model's owner; None where one was opened for it before."""
    version = locked_version(approval.version)
    permit(by, Permission.REQUEST_REVIEW, version.model)
    if approval.recertifications.exists() or Review.objects.open().of(version, approval.stage).exists():
        return None
    why = (
        f"Recertification: the approval of {version} for {approval.stage} ends on {approval.valid_until:%d %B %Y}. "
        "Nothing about the version has changed; what is asked is whether it is still good enough. Opened by the clock."
    )
    return open_case(version, approval.stage, why=why, due_at=approval.valid_until, person=version.model.owner, by=by)


def _recertify(approval: Approval, now: datetime) -> None:
    recertify(approval, now, by=CLOCK)


@due
def graces_to_give(now: datetime) -> Sequence[Effect]:
    """Live versions whose approval was given under another policy version than the one in force, not looked at yet."""
    in_force = PolicyVersion.objects.filter(status=PolicyVersion.Status.PUBLISHED, published_at__lte=now)
    given = set(Grace.objects.values_list("approval", "policy_version"))
    return [
        partial(_give, approval, version)
        for version in in_force.select_related("policy")
        for approval in _under_another(version)
        if (approval.pk, version.pk) not in given
    ]


def give_grace(policy_version: PolicyVersion, now: datetime, *, by: Principal) -> list[Grace]:
    """Look at every live version that a newly published policy version applies to: what it does not meet, it gets time for.

    The same as the clock does within seconds, for whoever publishes, in the same transaction.
    """
    return [give(approval, policy_version, now, by=by) for approval in _under_another(policy_version)]


def _under_another(version: PolicyVersion) -> list[Approval]:
    """The live approvals that the policy version applies to and that were not given under it."""
    applies = version.content.get("applies_to", {})
    return list(
        live()
        .filter(stage__name=applies.get("stage"), version__model__tier__in=applies.get("tiers", ()))
        .exclude(basis=Approval.Basis.BREAK_GLASS)
        .exclude(round__policies=version)
    )


def _give(approval: Approval, version: PolicyVersion, now: datetime) -> None:
    give(approval, version, now, by=CLOCK)


@governed(Action.GRACE_GIVE)
def give(approval: Approval, policy_version: PolicyVersion, now: datetime, *, by: Principal) -> Grace:
    """Give one live version the policy's grace for what it does not meet of the rules now in force; none is needed where it meets them.

    Asks for no permission of its own: it follows from the publication of the policy, which was permitted.
    """
    version = locked_version(approval.version)
    if earlier := Grace.objects.filter(approval=approval, policy_version=policy_version).first():
        return earlier
    approval.version = version
    unmet = unmet_now(approval, now)
    days = rules_for(version.model.tier, approval.stage).grace_days
    grace = Grace.objects.create(
        approval=approval,
        policy_version=policy_version,
        until=now + timedelta(days=days) if unmet else now,
        unmet=unmet,
        at=now,
    )
    append(
        Action.GRACE_GIVE,
        by=by,
        obj=approval.ledger_ref(),
        after={
            "policy": policy_version.ledger_ref().name,
            "number": policy_version.number,
            "until": grace.until.isoformat(),
            "unmet": [*unmet],
        },
    )
    if unmet:
        tell(
            [version.model.owner],
            event=f"grace:{grace.pk}",
            kind=Notification.Kind.POLICY,
            title=f"{version} does not meet the new rules for {approval.stage}",
            body=f"{policy_version} is in force. Until {grace.until:%d %B %Y at %H:%M} UTC it stays live; by then it needs a new review. "
            + " ".join(unmet),
            link=page_of(version),
            about=version.model,
        )
    return grace


def unmet_now(approval: Approval, now: datetime) -> list[str]:
    """What of the rules in force the live version does not meet, as sentences: gates, and slots that nobody signed for it."""
    version, stage = approval.version, approval.stage
    found = examine(version, stage, at=now)
    gates = [
        f"{one.gate.title}: {one.measured or 'not known'} instead of {one.required or 'what the rule asks for'}."
        for one in found.gates
        if one.blocks
    ]
    return gates + _unsigned(approval, found.rules, now)


def _unsigned(approval: Approval, rules: Rules, now: datetime) -> list[str]:
    """The slots of `rules` that the signatures behind `approval` do not fill: the same capacity, held by the same group, for as much."""
    before = {slot.key: slot for slot in rules_of(approval.round).slots}
    same = {
        slot.key
        for slot in rules.slots
        if slot.key in before
        and before[slot.key].group == slot.group
        and set(slot.answers_for) <= set(before[slot.key].answers_for)
    }
    votes = [vote for vote in _votes(approval, min(now, approval.valid_until)) if vote.slot in same]
    lacking = missing({slot.key: slot.people for slot in rules.slots}, votes)
    return [
        f"{slot.title}: {lacking[slot.key]} of {slot.people} signature{'s' if slot.people > 1 else ''} from {slot.group} missing."
        for slot in rules.slots
        if slot.key in lacking
    ]


def _votes(approval: Approval, at: datetime) -> list[Vote]:
    if approval.envelope is not None:
        return [Vote(said.slot, said.signer) for _, said in within.counting(approval.envelope, at)]
    counting = standing_of(approval.round, frozen(approval.round).facets, at).counting
    return [Vote(one.said.slot, one.said.reviewer) for one in counting if one.said]


def open_graces() -> QuerySet[Grace]:
    """The graces that still run, of approvals by which a version is live."""
    return (
        Grace.objects.filter(approval__in=live()).exclude(unmet=[]).select_related("policy_version__policy", "approval")
    )


@due
def graces_to_end(now: datetime) -> Sequence[Effect]:
    """Graces that are over."""
    return [partial(_end_grace, grace) for grace in open_graces().filter(until__lte=now)]


@governed(Action.GRACE_GIVE)
def end_grace(grace: Grace, now: datetime, *, by: Principal) -> Lapse | None:
    """At the end of a grace: the approval lapses where the version still does not meet the rules in force, and stands where it does."""
    approval = live().filter(pk=grace.approval_id).first()
    if approval is None:
        return None
    approval.version = locked_version(approval.version)
    unmet = unmet_now(approval, now)
    if unmet:
        reason = (
            f"The grace after {grace.policy_version} ended, and it still does not meet the rules. {' '.join(unmet)}"
        )
        return lapse(approval, Lapse.Kind.GRACE, reason, now, by=by)
    Grace.objects.filter(pk=grace.pk).update(unmet=[])
    append(Action.GRACE_GIVE, by=by, obj=approval.ledger_ref(), before={"unmet": grace.unmet}, after={"unmet": []})
    return None


def _end_grace(grace: Grace, now: datetime) -> None:
    end_grace(grace, now, by=CLOCK)
