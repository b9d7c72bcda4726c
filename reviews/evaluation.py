"""Decides what still stands between one version and one stage: every gate, every slot, every objection, all at once.

The page, the API, the refusal of a promotion and the promotion itself ask this one function, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TypeGuard

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse
from django.utils import timezone

from foundation.refusals import Conflict, Requirement, RequirementStatus
from registry import queries as registry
from registry.models import ModelVersion, Promotion, Stage
from reviews.counting import Counted, Memberships, counted
from reviews.exceptions import Excepted, excepted, exceptions_of, now_applying
from reviews.facts import Facts, VersionFacts, facts_for
from reviews.gates import GateOutcome, evaluate
from reviews.holding import condition_requirements, thread_requirements
from reviews.independence import Deed, unfillable
from reviews.models import APPROVED, APPROVING, Approval, BreakGlass, GateException, Review, Round, SignOff, Slot
from reviews.people import Seating, deeds_of, group_names
from reviews.policies import Rules, SlotRule
from reviews.rulebook import rules_for
from reviews.standing import RoundStanding, Signature, SlotStanding, Standing, standing_of
from reviews.subjects import Subject, facets_of, frozen, subject_of

UNDER_WAY = (BreakGlass.State.ASKED, BreakGlass.State.IN_FORCE)
NOT_CONSIDERED = {
    ModelVersion.State.QUARANTINED: "Its files are still being fetched or scanned.",
    ModelVersion.State.REJECTED: "It was rejected; register a new version.",
    ModelVersion.State.REVOKED: "Its approval was revoked; register a new version.",
    ModelVersion.State.RETIRED: "It was retired; register a new version.",
}


@dataclass(frozen=True)
class Evaluation:
    """Everything that was looked at for one version and stage, as of `at`. `holder`: the version that has the stage's alias now.

    `record` and `live` are what was read of the version and of the one in production, `evidence` and `live_evidence` what the rules
    count of it, `seating` who may sign where: whoever shows the case reads nothing twice.
    """

    version: ModelVersion
    stage: Stage
    rules: Rules
    holder: ModelVersion | None
    facts: Facts
    gates: tuple[GateOutcome, ...]
    review: Review | None
    round: Round | None
    standing: RoundStanding | None
    approval: Approval | None
    requirements: tuple[Requirement, ...]
    record: registry.Record
    live: registry.Record | None
    evidence: Counted
    live_evidence: Counted | None
    seating: Seating
    at: datetime
    exceptions: tuple[Excepted, ...] = ()

    @property
    def subject(self) -> Subject | None:
        """What a signature given now would sign; None where no round is open."""
        if self.round is None or not self.round.is_open:
            return None
        return subject_of(self.version, self.stage, self.rules, self.round.compared_with, self.record)

    @property
    def unmet(self) -> tuple[Requirement, ...]:
        """What blocks."""
        return tuple(requirement for requirement in self.requirements if requirement.blocks)


@dataclass(frozen=True)
class Known:
    """What whoever asks has read already in this request: the rounds of the version for the stage, and who holds the stage's alias."""

    rounds: Sequence[Round]
    holder: ModelVersion | None


def examine(
    version: ModelVersion, stage: Stage, *, at: datetime | None = None, known: Known | None = None
) -> Evaluation:
    """Evaluate everything anew. Lock model, version and review first where a decision follows from it, and bring nothing `known`."""
    now = at or timezone.now()
    rules = rules_for(version.model.tier, stage)
    known = known or Known(rounds_of(version, stage), registry.stage_holder(version.model, stage))
    holder = known.holder
    production = holder if holder is not None and holder.pk != version.pk else None
    records = registry.records_of([version, production] if production else [version])
    record, live = records[version.pk], records[production.pk] if production else None
    members = Memberships()
    evidence, live_evidence = counted(record, rules, members), counted(live, rules, members) if live else None
    facts = facts_for(
        version_facts(record, evidence), version_facts(live, live_evidence) if live and live_evidence else None
    )
    round_ = deciding(known.rounds)
    review = round_.review if round_ else None
    deeds = deeds_of(version, review, until=now, rounds=known.rounds)
    facets = facets_of(version, rules, record)
    standing = standing_of(round_, facets, now, deeds=deeds) if round_ else None
    seating = _seating(rules, standing, deeds)
    exceptions: tuple[Excepted, ...] = ()
    if _excepts(round_):
        against = _compared_with(version, stage, holder)
        exceptions = now_applying(exceptions_of(round_, rules, now, deeds), facets, against)
    gates = excepted(evaluate(rules.gates, facts, evidence.reasons), exceptions)
    approval = _approval_of(round_) if round_ else None
    link = page_of(version)
    requirements = (
        *_version_requirements(version, rules, link),
        *(outcome.requirement(link) for outcome in gates if not outcome.gate.warning),
        *_signature_requirements(rules, standing, seating, link, signed_in_advance(approval)),
        *(thread_requirements(review, link) if review else ()),
        *(condition_requirements(standing, now) if standing else ()),
        *_round_requirements(rules, round_, standing, approval, now, link),
    )
    return Evaluation(
        version=version,
        stage=stage,
        rules=rules,
        holder=holder,
        facts=facts,
        gates=gates,
        review=review,
        round=round_,
        standing=standing,
        approval=approval,
        requirements=requirements,
        record=record,
        live=live,
        evidence=evidence,
        live_evidence=live_evidence,
        seating=seating,
        at=now,
        exceptions=exceptions,
    )


def _compared_with(version: ModelVersion, stage: Stage, holder: ModelVersion | None) -> set[int | None]:
    """Against which live version an exception counts: the one now; for a version that is live itself, the one before it too."""
    if holder is None or holder.pk != version.pk:
        return {holder.number if holder else None}
    before = Promotion.objects.filter(alias__version=version, alias__stage=stage).values_list(
        "previous__number", flat=True
    )
    return {None, *before}


def _excepts(round_: Round | None) -> TypeGuard[Round]:
    """Whether any exception was given in the round; asked anew where it was not read by `rounds_of`."""
    return round_ is not None and bool(getattr(round_, "excepting", True))


def _approval_of(round_: Round) -> Approval | None:
    if not getattr(round_, "approving", True):  # annotated by `rounds_of`; asked anew where it was not
        return None
    rows = round_.approvals.exclude(basis=Approval.Basis.BREAK_GLASS)
    return rows.select_related("revocation", "lapse", "envelope").first()


def signed_in_advance(approval: Approval | None) -> dict[str, list[str]]:
    """Who signed the retraining envelope that an approval rests on, by the key of the slot; nobody for any other approval."""
    found: dict[str, list[str]] = {}
    if approval is not None and approval.envelope is not None:
        for row in approval.envelope.signatures.select_related("person"):
            found.setdefault(row.slot_key, []).append(str(row.person))
    return found


def _seating(rules: Rules, standing: RoundStanding | None, deeds: list[Deed]) -> Seating:
    slots: list[Slot | SlotRule] = [one.slot for one in standing.slots] if standing else [*rules.slots]
    given = [one.sign_off for one in standing.signatures] if standing else []
    names = frozenset(name for slot in slots for name in group_names(slot) if name)
    return Seating(deeds, [one for one in given if one.withdrawn_at is None], names)


def version_facts(record: registry.Record, evidence: Counted) -> VersionFacts:
    """What the registry knows of a version and the rules count, for `facts`."""
    return VersionFacts(
        record.version.number,
        record.version.model.tier,
        {kind: row.content for kind, row in evidence.evidence.items()},
        record.card.sections if record.card else {},
        evidence.reasons,
        evidence.measured_after_policy,
    )


def rounds_of(version: ModelVersion, stage: Stage | None = None) -> list[Round]:
    """The rounds of the version, newest first, with what a decision reads of them; with `stage`, those for this stage."""
    rounds = _rounds().filter(review__version=version)
    return list(rounds.filter(review__stage=stage) if stage else rounds)


@cache
def _rounds() -> QuerySet[Round]:
    """What `rounds_of` asks, without whose rounds: put together once, since that takes longer than the answer."""
    objections = SignOff.objects.filter(
        round=OuterRef("pk"), decision=SignOff.Decision.REQUEST_CHANGES, withdrawn_at=None
    )
    return (
        Round.objects.select_related(
            *("review__version__model", "review__stage", "review__requested_by__owner"),
            *("compared_with__model", "opened_by"),
        )
        .annotate(
            objected=Exists(objections),
            excepting=Exists(GateException.objects.filter(round=OuterRef("pk"))),
            approving=Exists(Approval.objects.filter(round=OuterRef("pk"))),
            emergency=Exists(BreakGlass.objects.filter(review=OuterRef("review"), state__in=UNDER_WAY)),
        )
        .order_by("-opened_at", "-number")
    )


def deciding(rounds: Sequence[Round]) -> Round | None:
    """The round that decides now: that of the open review, else the newest in which somebody decided, else the newest at all.

    A later round that was rejected, or closed over a standing request for changes, overrules an earlier approval; one that was
    withdrawn without an objection says nothing.
    """
    still_open = [one for one in rounds if one.review.closed_at is None]
    decided = [one for one in rounds if one.state in {*APPROVED, Round.State.REJECTED} or one.objected]  # type: ignore[attr-defined]  # annotated by `rounds_of`
    return next(iter(still_open or decided or rounds), None)


def deciding_round(version: ModelVersion, stage: Stage) -> Round | None:
    """The round that decides now for this stage; see `deciding`."""
    return deciding(rounds_of(version, stage))


def overruled(approval: Approval) -> bool:
    """Whether a later case for the same version and stage ended in a rejection or an objection, so that nothing moves by `approval`."""
    deciding = deciding_round(approval.version, approval.stage)
    return deciding is not None and not (deciding.is_open or deciding.is_approved)


def current_subject(round_: Round, rules: Rules | None = None) -> Subject:
    """What a signature given now would sign: the facets as they are, compared with the version the round was opened against."""
    review = round_.review
    rules = rules or rules_for(review.version.model.tier, review.stage)
    return subject_of(review.version, review.stage, rules, round_.compared_with)


def page_of(version: ModelVersion) -> str:
    """The address of the version's review page."""
    return reverse("reviews:version", args=[version.model.name, version.number])


def _version_requirements(version: ModelVersion, rules: Rules, link: str) -> Iterable[Requirement]:
    if why := NOT_CONSIDERED.get(ModelVersion.State(version.state)):
        yield Requirement(
            "version-state",
            "The version can be considered",
            RequirementStatus.UNSATISFIED,
            measured=version.get_state_display(),
            required="admitted and not withdrawn",
            explanation=why,
            cleared_by="The author, by registering a new version",
            link=link,
        )
    if not rules.slots:
        yield Requirement(
            "policy",
            "A policy says what is needed",
            RequirementStatus.ERROR,
            measured="none",
            required="a published policy for this tier and stage",
            explanation="Without a policy nothing may pass.",
            cleared_by="Whoever may publish policies",
            link=reverse("reviews:policies"),
        )


def _signature_requirements(
    rules: Rules, standing: RoundStanding | None, seating: Seating, link: str, in_advance: Mapping[str, list[str]]
) -> Iterable[Requirement]:
    if standing is None:
        for rule in rules.slots:
            yield _waiting(rule, 0, seating, link, "No review was requested yet.")
        return
    for slot in standing.slots:
        if len(ahead := in_advance.get(slot.slot.key, [])) >= slot.slot.people:
            yield Requirement(
                f"slot-{slot.slot.key}",
                f"{slot.slot.title} sign-off",
                RequirementStatus.SATISFIED,
                measured=_of(len(ahead), slot.slot.people),
                required=_signatures(slot.slot),
                explanation=f"Signed in advance by {', '.join(ahead)}, under the retraining envelope.",
                link=f"{link}#signoff",
            )
        elif slot.lacking:
            yield _waiting(slot.slot, slot.signed, seating, link, _why_lacking(slot))
        else:
            names = ", ".join(one.sign_off.who for one in slot.signatures if one.approves)
            yield Requirement(
                f"slot-{slot.slot.key}",
                f"{slot.slot.title} sign-off",
                RequirementStatus.SATISFIED,
                measured=_of(slot.signed, slot.slot.people),
                required=_signatures(slot.slot),
                explanation=f"Signed by {names}.",
                link=f"{link}#signoff",
            )
    for request in standing.changes_requests:
        yield _changes_requested(request, link)


def _waiting(slot: Slot | SlotRule, signed: int, seating: Seating, link: str, why: str) -> Requirement:
    people = seating.eligible(slot)
    seat = seating.seat(slot)
    nobody = deadlock(slot, seating)
    if nobody:
        cleared_by = f"An administrator, by adding somebody independent to {seat.group}"
        why = f"{why} {nobody}"
    else:
        cleared_by = ", ".join(str(person) for person in people[:5]) + (" and others" if len(people) > 5 else "")
    if people and seat.alternates_called:
        why = f"{why} Too few members of {seat.group} are independent, so the policy's alternates, {seat.alternates}, may sign."
    return Requirement(
        f"slot-{slot.key}",
        f"{slot.title} sign-off",
        RequirementStatus.WAITING,
        measured=_of(signed, slot.people),
        required=_signatures(slot),
        explanation=why.strip(),
        cleared_by=cleared_by,
        link=f"{link}#signoff",
    )


def deadlock(slot: Slot | SlotRule, seating: Seating) -> str:
    """Why the slot cannot be filled by anybody there is, or nothing. The rule is never relaxed for it."""
    seat, people = seating.seat(slot), seating.eligible(slot)
    if len(people) >= slot.people:
        return ""
    who = f"no member of {seat.group}"
    if seat.alternates:
        who += f", nor of the alternates that the policy names, {seat.alternates},"
    if not people:
        return f"Nobody eligible: {who} is independent of this version."
    named = ", ".join(str(person) for person in people)
    return f"Too few are eligible: {slot.people} have to sign, and {who} is independent of this version but {named}."


def deadlocks(found: Evaluation) -> tuple[tuple[str, str], ...]:
    """Every slot that nobody can fill as things are, by title, with the sentence why; said before and when a review is asked for."""
    slots: list[Slot | SlotRule] = (
        [one.slot for one in found.standing.slots if one.lacking] if found.standing else [*found.rules.slots]
    )
    alone = [(slot.title, why) for slot in slots if (why := deadlock(slot, found.seating))]
    if alone:
        return tuple(alone)
    taken = frozenset(one.person_id for one in found.seating.sign_offs)
    eligible = {slot.key: frozenset(one.pk for one in found.seating.eligible(slot)) - taken for slot in slots}
    lacking = unfillable({slot.key: _people_lacking(found, slot) for slot in slots}, eligible)
    return tuple(
        (slot.title, "Everybody eligible is needed for another sign-off too, and one person fills one slot.")
        for slot in slots
        if slot.key in lacking
    )


def _people_lacking(found: Evaluation, slot: Slot | SlotRule) -> int:
    standing = found.standing.slots if found.standing else ()
    return next((one.lacking for one in standing if one.slot.key == slot.key), slot.people)


def _why_lacking(slot: SlotStanding) -> str:
    stale = [
        one for one in slot.signatures if one.standing is Standing.STALE and one.said and one.said.decision in APPROVING
    ]
    forged = [one for one in slot.signatures if one.standing is Standing.FORGED]
    conflicted = [one for one in slot.signatures if one.standing is Standing.CONFLICTED]
    if forged:
        return f"A signature in this slot is not valid and does not count: {forged[-1].why}"
    if conflicted:
        return f"{conflicted[-1].sign_off.who} signed, and is not independent any more: {conflicted[-1].why}"
    if stale:
        facets = ", ".join(stale[-1].changed)
        return f"{stale[-1].sign_off.who} signed before the {facets} changed; the signature no longer counts and has to be given anew."
    return "Not signed yet."


def _changes_requested(request: Signature, link: str) -> Requirement:
    person = request.sign_off.who
    return Requirement(
        f"changes-{request.sign_off.uuid}",
        f"Changes requested by {person}",
        RequirementStatus.UNSATISFIED,
        measured="open",
        required="cleared or dismissed",
        explanation=request.sign_off.reason,
        cleared_by=f"{person}, by withdrawing it or signing anew, or another slot holder, by dismissing it with a reason",
        link=f"{link}#signoff",
    )


def _round_requirements(
    rules: Rules,
    round_: Round | None,
    standing: RoundStanding | None,
    approval: Approval | None,
    now: datetime,
    link: str,
) -> Iterable[Requirement]:
    if round_ is None or standing is None:
        return
    if not round_.is_open and not round_.is_approved:
        yield Requirement(
            "round",
            "A round that can still be approved",
            RequirementStatus.UNSATISFIED,
            measured=round_.get_state_display().lower(),
            required="open or approved",
            explanation="A closed round never opens again; another try is a new round.",
            cleared_by="Whoever may request reviews",
            link=link,
        )
    digest, names = _opened_under(round_)
    if digest != rules.digest:
        yield Requirement(
            "policy-changed",
            "The review was opened under the policy in force",
            RequirementStatus.UNSATISFIED,
            measured=names,
            required=", ".join(f"{ref.name} {ref.number}" for ref in rules.refs),
            explanation="A policy was published since; the signatures were given under another one.",
            cleared_by="The requester, by opening a new round",
            link=link,
        )
    if approval is not None:
        yield from _approval_requirements(approval, now, link)


def _opened_under(round_: Round) -> tuple[str, str]:
    """The digest of the rules that the round was opened under, and their names, as its subject froze them."""
    try:
        subject = frozen(round_)
        names = ", ".join(f"{ref['name']} {ref['number']}" for ref in subject.value["policies"])
        return subject.facets["policy"], names
    except (Conflict, KeyError, TypeError):
        return "", "a subject that cannot be read"


def _approval_requirements(approval: Approval, now: datetime, link: str) -> Iterable[Requirement]:
    if approval.revocation_id is not None:
        yield Requirement(
            "revoked",
            "The approval stands",
            RequirementStatus.UNSATISFIED,
            measured="revoked",
            required="standing",
            explanation=f"Revoked: {approval.revocation.reason}" if approval.revocation else "",
            cleared_by="The author, by registering a new version",
            link=link,
        )
    lapse = getattr(approval, "lapse", None)
    if lapse is not None:
        yield Requirement(
            "lapsed",
            "The approval has not lapsed",
            RequirementStatus.UNSATISFIED,
            measured=f"ended on {lapse.at:%d %B %Y}",
            required="standing",
            explanation=lapse.reason,
            cleared_by="Whoever may request reviews, by opening a new one",
            link=link,
        )
    elif approval.valid_until <= now:
        yield Requirement(
            "expired",
            "The approval has not run out",
            RequirementStatus.UNSATISFIED,
            measured=f"ran out on {approval.valid_until:%d %B %Y}",
            required="valid",
            explanation="An approval has an end, so that somebody looks again.",
            cleared_by="Whoever may request reviews, by opening a new one",
            link=link,
        )


def _of(signed: int, people: int) -> str:
    return f"{signed} of {people}"


def _signatures(slot: Slot | SlotRule) -> str:
    group = slot.group if isinstance(slot.group, str) else slot.group.name
    return f"{slot.people} signature{'s' if slot.people > 1 else ''} from {group}"
