"""Putting a version live ahead of its review: one person asks, another one seconds, both sign, and time takes it back.

What was asked for is on record before anything moves. A review of the version is open from the first moment, and when it approves, its
approval takes the place of the emergency's; else the stage goes back to the version before, or to none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from access.models import User
from access.permissions import Permission, Verdict, permit
from access.principal import Principal
from access.stepup import Confirmation, prove
from audit import integrity
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.dsse import envelope_digest
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.actions import tell
from notices.models import Notification
from registry import queries as registry
from registry.models import ModelVersion, Stage
from reviews import emergencies
from reviews.actions.cases import open_case, person_of
from reviews.clock import CLOCK, Effect, due
from reviews.evaluation import page_of
from reviews.independence import conflict_of
from reviews.lapses import end_break_glass
from reviews.locking import locked_version
from reviews.models import Approval, BreakGlass, Review, Round
from reviews.people import candidate, deeds_of, members
from reviews.policies import Rules
from reviews.promotion import approval_to_return_to, place
from reviews.rulebook import rules_for
from reviews.statements import MAX_REASON

MIN_TEXT: Final = 20
ADMITTED: Final = frozenset(
    {
        ModelVersion.State.REGISTERED,
        ModelVersion.State.IN_REVIEW,
        ModelVersion.State.APPROVED,
        ModelVersion.State.LIVE,
        ModelVersion.State.EXPIRED,
    }
)
State = BreakGlass.State


@governed(Action.BREAK_GLASS_ASK)
def ask(
    version: ModelVersion,
    stage: Stage,
    *,
    reason: str,
    text: str,
    hours: int,
    reauthentication: Confirmation,
    by: Principal,
) -> BreakGlass:
    """Ask, with a signature, that `version` goes live at `stage` for `hours` ahead of its review; nothing moves before a second signature.

    Opens the review that decides afterwards, where none is open. Uses up `reauthentication`.
    """
    version = locked_version(version)
    permit(by, Permission.BREAK_GLASS, version.model)
    person = person_of(by)
    rules = rules_for(version.model.tier, stage)
    _check_ask(version, stage, rules, reason=reason, text=text, hours=hours)
    holder = registry.stage_holder(version.model, stage)
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    statement = emergencies.seal_ask(
        version,
        stage,
        rules,
        proof,
        reason=reason,
        text=text.strip(),
        hours=hours,
        previous=holder.number if holder else None,
    )
    ends_at = proof.at + timedelta(hours=hours)
    case = BreakGlass.objects.create(
        review=_review(version, stage, text.strip(), ends_at, person, by),
        version=version,
        stage=stage,
        previous=holder,
        reason=reason,
        text=text.strip(),
        hours=hours,
        asked_by=person,
        asked_at=proof.at,
        asked_statement=dict(statement),
        asked_digest=envelope_digest(statement),
        asked_reauthentication=proof.reauthentication,
        ends_at=ends_at,
    )
    case.receipt = append(
        Action.BREAK_GLASS_ASK,
        by=by,
        obj=case.ledger_ref(),
        why=case.text,
        after={"stage": stage.name, "reason": reason, "hours": hours, "statement": case.asked_digest},
    )
    _tell(
        case,
        "asked",
        f"{person} asks to put {version} into {stage.title.lower()} ahead of its review",
        case.text,
        rules,
    )
    return case


@governed(Action.BREAK_GLASS_SECOND)
def second(case: BreakGlass, *, reauthentication: Confirmation, by: Principal) -> BreakGlass:
    """Agree as the second person: the version is live from now on, for the hours asked for. Uses up `reauthentication`."""
    case, rules = _to_answer(case, by)
    person = person_of(by)
    version, stage = case.version, case.stage
    integrity.require_sound()
    _check_as_asked(case, rules)
    holder = registry.stage_holder(version.model, stage)
    if holder is not None and holder.pk == version.pk:
        raise Conflict(f"{version} is live in {stage} already.", code="already-live", link=page_of(version))
    if (holder.pk if holder else None) != case.previous_id:
        raise Conflict(
            f"{stage} of {version.model} moved since this was asked for: {holder or 'no version'} is live now. "
            "Decline this one; if it is still needed, it has to be asked for again.",
            code="stage-moved",
        )
    asker = Principal.of(case.asked_by, via=by.via)
    permit(asker, Permission.BREAK_GLASS, version.model)
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    statement = emergencies.seal_answer(case, rules, proof, role=emergencies.SECONDS)
    case.state, case.seconded_by, case.seconded_at = State.IN_FORCE, person, proof.at
    case.seconded_statement, case.seconded_digest = dict(statement), envelope_digest(statement)
    case.seconded_reauthentication = proof.reauthentication
    case.ends_at = proof.at + timedelta(hours=case.hours)
    case.save()
    case.receipt = append(
        Action.BREAK_GLASS_SECOND,
        by=by,
        obj=case.ledger_ref(),
        before={"state": State.ASKED},
        after={"state": State.IN_FORCE, "until": case.ends_at.isoformat(), "statement": case.seconded_digest},
    )
    approval = Approval.objects.create(
        version=version,
        stage=stage,
        round=case.review.current_round,
        basis=Approval.Basis.BREAK_GLASS,
        break_glass=case,
        approved_at=proof.at,
        valid_until=case.ends_at,
        pulls_until=case.ends_at,
    )
    place(approval, holder, by=by)
    until = f"{case.ends_at:%d %B %Y at %H:%M} UTC"
    _tell(
        case,
        "in-force",
        f"{version} is live in {stage.title.lower()} ahead of its review, until {until}",
        case.text,
        rules,
    )
    return case


@governed(Action.BREAK_GLASS_DECLINE)
def decline(case: BreakGlass, *, reason: str, reauthentication: Confirmation, by: Principal) -> BreakGlass:
    """Refuse as the second person, with a reason; nothing moves, and the review goes on. Uses up `reauthentication`."""
    case, rules = _to_answer(case, by)
    person = person_of(by)
    if not reason.strip() or len(reason) > MAX_REASON:
        sentence = "Give the reason: whoever asked will read it."
        raise Invalid(sentence, errors={"reason": sentence})
    proof = prove(reauthentication, user=person, accepted=rules.reauthentication)
    statement = emergencies.seal_answer(case, rules, proof, role=emergencies.DECLINES, reason=reason.strip())
    case.state, case.seconded_by, case.seconded_at = State.DECLINED, person, proof.at
    case.seconded_statement, case.seconded_digest = dict(statement), envelope_digest(statement)
    case.seconded_reauthentication, case.ended_at = proof.reauthentication, proof.at
    case.save()
    append(
        Action.BREAK_GLASS_DECLINE,
        by=by,
        obj=case.ledger_ref(),
        why=reason.strip(),
        before={"state": State.ASKED},
        after={"state": State.DECLINED, "statement": case.seconded_digest},
    )
    _tell(case, "declined", f"{person} declined to put {case.version} live ahead of its review", reason.strip(), rules)
    return case


def may_answer(by: Principal, case: BreakGlass) -> Verdict:
    """Whether `by` may second or decline, with the sentence that says why not."""
    if by.user is None or not by.user.is_person or not by.user.is_active:
        return Verdict(False, "Only an active person can second a break-glass.")
    if by.user.pk == case.asked_by_id:
        return Verdict(False, "You asked for it; a second person has to agree.")
    groups = rules_for(case.version.model.tier, case.stage).emergency.groups
    if lacking := sorted(set(groups) - candidate(by.user).groups):
        return Verdict(False, f"The policy asks for a member of {lacking[0]}, and you are none.")
    if conflict := conflict_of(by.user.pk, deeds_of(case.version, case.review)):
        return Verdict(False, conflict)
    return Verdict(True, "You did not ask for it and had no hand in the version, so you may second it.")


def _check_ask(version: ModelVersion, stage: Stage, rules: Rules, *, reason: str, text: str, hours: int) -> None:
    emergency = rules.emergency
    errors = {}
    if reason not in BreakGlass.Reason.values:
        errors["reason"] = "Choose why it cannot wait."
    if len(text.strip()) < MIN_TEXT or len(text) > MAX_REASON:
        errors["text"] = f"Say in at least {MIN_TEXT} characters what happens and why this version helps."
    if not 1 <= hours <= max(emergency.hours, 1):
        errors["hours"] = f"From 1 to {emergency.hours} hours; the policy allows no more."
    if errors:
        raise Invalid(" ".join(errors.values()), errors=errors)
    if not emergency.allowed:
        raise Conflict(
            f"The policy for {stage} does not allow a version to go live ahead of its review.", code="no-break-glass"
        )
    if version.state not in ADMITTED:
        raise Conflict(
            f"{version} is {version.get_state_display().lower()}; only a version that was admitted and not withdrawn can go ahead.",
            code="state",
        )
    held = registry.stage_holder(version.model, stage)
    if held is not None and held.pk == version.pk:
        raise Conflict(f"{version} is live in {stage} already.", code="already-live")
    if BreakGlass.objects.filter(version=version, stage=stage, state__in=[State.ASKED, State.IN_FORCE]).exists():
        raise Conflict(f"A break-glass of {version} for {stage} is under way already.", code="break-glass-open")


def _review(version: ModelVersion, stage: Stage, text: str, due_at: datetime, person: User, by: Principal) -> Review:
    """The case that decides afterwards: the one that is open, else a new one, in the name of whoever asks."""
    found = Review.objects.open().of(version, stage).first()
    if found is not None:
        return found
    why = f"Opened with a break-glass, to be decided while or after the version is live ahead of it. {text}"
    # The clock opens it: whoever may break the glass need not be allowed to ask for reviews.
    return open_case(version, stage, why=why, due_at=due_at, person=person, by=CLOCK)


def _to_answer(case: BreakGlass, by: Principal) -> tuple[BreakGlass, Rules]:
    version = locked_version(ModelVersion.objects.get(pk=case.version_id))
    permit(by, Permission.SEE_MODEL, version.model)
    fresh = (
        BreakGlass.objects.select_for_update(of=("self",))
        .select_related("stage", "review__stage", "asked_by", "previous")
        .get(pk=case.pk)
    )
    fresh.version = fresh.review.version = version
    answer = may_answer(by, fresh)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="may-not-second")
    if fresh.state != State.ASKED:
        raise Conflict(f"This break-glass is {fresh.get_state_display().lower()} already.", code="break-glass-answered")
    if fresh.ends_at <= timezone.now():
        raise Conflict(
            "This request ran out before anybody seconded it. It has to be asked for again.", code="break-glass-late"
        )
    if version.state not in ADMITTED:
        raise Conflict(f"{version} is {version.get_state_display().lower()} by now.", code="state")
    return fresh, rules_for(version.model.tier, fresh.stage)


def _check_as_asked(case: BreakGlass, rules: Rules) -> None:
    """That what was asked for may still be had: under the same policies, and its review did not refuse the version meanwhile."""
    if emergencies.read(case.asked_statement).policies != [ref.as_dict() for ref in rules.refs]:
        raise Conflict(
            "A policy was published since this was asked for. Decline it; where the policy still allows it, it has to be asked for again.",
            code="policy-changed",
        )
    rejected = Round.objects.filter(
        review__version=case.version_id,
        review__stage=case.stage_id,
        state=Round.State.REJECTED,
        closed_at__gte=case.asked_at,
    )
    if rejected.exists():
        raise Conflict(
            f"A review rejected {case.version} for {case.stage} since this was asked for.", code="break-glass-rejected"
        )


@due
def endings(now: datetime) -> Sequence[Effect]:
    """Requests that nobody seconded in time; break-glasses that are over, or whose review refused the version meanwhile."""
    late = BreakGlass.objects.filter(state=State.ASKED, ends_at__lte=now)
    refused = Round.objects.filter(
        review__version=OuterRef("version"),
        review__stage=OuterRef("stage"),
        state=Round.State.REJECTED,
        closed_at__gte=OuterRef("seconded_at"),
    )
    over = BreakGlass.objects.filter(Q(ends_at__lte=now) | Exists(refused), state=State.IN_FORCE)
    return [*(partial(_give_up, case) for case in late), *(partial(_take_back, case) for case in over)]


@governed(Action.BREAK_GLASS_END)
def give_up(case: BreakGlass, now: datetime, *, by: Principal) -> BreakGlass:
    """End a request that nobody seconded within its hours."""
    version = locked_version(ModelVersion.objects.get(pk=case.version_id))
    permit(by, Permission.PROMOTE_VERSION, version.model)
    fresh = BreakGlass.objects.select_for_update(of=("self",)).select_related("stage", "asked_by").get(pk=case.pk)
    fresh.version = version
    if fresh.state != State.ASKED or fresh.ends_at > now:
        return fresh
    fresh.state, fresh.ended_at = State.LAPSED, now
    fresh.save(update_fields=["state", "ended_at"])
    append(
        Action.BREAK_GLASS_END,
        by=by,
        obj=fresh.ledger_ref(),
        before={"state": State.ASKED},
        after={"state": State.LAPSED},
    )
    tell(
        [fresh.asked_by],
        event=f"break-glass:{fresh.uuid}:lapsed",
        kind=Notification.Kind.EMERGENCY,
        title=f"Nobody seconded the break-glass of {version} in time",
        link=page_of(version),
        about=version.model,
    )
    return fresh


@governed(Action.BREAK_GLASS_END)
def take_back(case: BreakGlass, now: datetime, *, by: Principal) -> BreakGlass:
    """Put the stage back as it was, or leave it empty where the earlier version's approval does not stand, and end the break-glass."""
    version = locked_version(ModelVersion.objects.get(pk=case.version_id))
    permit(by, Permission.PROMOTE_VERSION, version.model)
    fresh = BreakGlass.objects.select_for_update(of=("self",)).select_related("stage", "previous").get(pk=case.pk)
    fresh.version = version
    if fresh.state != State.IN_FORCE:
        return fresh
    stage, reason = fresh.stage, _why_over(fresh, now)
    held = version.aliases.filter(stage=stage, promotion__approval__break_glass=fresh).exists()
    previous = locked_version(fresh.previous) if held and fresh.previous else None
    back = approval_to_return_to(previous, stage, now) if previous else None
    if back is not None:
        place(back, version, by=by, rollback=True, cites={"ends_break_glass": fresh.seconded_digest})
        reason += f" {fresh.previous} is live again."
    elif held:
        reason += " No version is live: there is none before it whose approval stands."
    ended = end_break_glass(version, stage, reason, now, by=by) or fresh
    _tell(ended, "ended", f"The break-glass of {version} is over", reason, rules_for(version.model.tier, stage))
    return ended


def _why_over(case: BreakGlass, now: datetime) -> str:
    if case.ends_at <= now:
        return f"Its {case.hours} hour{'s' if case.hours > 1 else ''} ended, and no review had approved it."
    return "Its review refused the version."


def _give_up(case: BreakGlass, now: datetime) -> None:
    give_up(case, now, by=CLOCK)


def _take_back(case: BreakGlass, now: datetime) -> None:
    take_back(case, now, by=CLOCK)


def _tell(case: BreakGlass, what: str, title: str, body: str, rules: Rules) -> None:
    """Tell the owner, whoever asked, and everybody who could second it, as far as they may see the model."""
    seconds = User.objects.filter(pk__in=[one.account for one in members(rules.emergency.groups)])
    tell(
        [case.version.model.owner, case.asked_by, *seconds],
        event=f"break-glass:{case.uuid}:{what}",
        kind=Notification.Kind.EMERGENCY,
        title=title,
        body=body,
        link=reverse("reviews:break-glass", args=[case.uuid]),
        about=case.version.model,
    )
