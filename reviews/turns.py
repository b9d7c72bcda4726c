"""Decides whose turn it is: the slots of open reviews that one person could fill now, for themselves or for whom they stand in.

A list, not a decision: signing asks `people` and `standing` again. Signatures that no longer cover what is there do not count
here either, so that whoever has to sign anew finds the review in their inbox.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.auth.models import Group
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from countersign.proof.dsse import BadEnvelope
from registry import queries as registry
from registry.models import Evidence, ModelCardRevision
from reviews.models import APPROVING, Delegation, PolicyVersion, Round, SignOff, Slot
from reviews.people import made_by, standing_delegations
from reviews.policies import Rules
from reviews.rulebook import rules_for
from reviews.statements import read_sign_off
from reviews.subjects import facets_of

Row = Mapping[str, Any]
_COLUMNS = (
    "pk",
    "title",
    "people",
    "group",
    "round",
    "round__review",
    "filled",
    "signed",
    "moved",
    "in_group",
    "stands_in",
)


@dataclass(frozen=True)
class Turn:
    """That somebody could fill one slot of one open review now. `on_behalf_of`: whom they would sign for; empty: themselves."""

    review: int
    round: int
    slot: int
    title: str
    on_behalf_of: str = ""


def turns_of(by: Principal) -> list[Turn]:
    """Every slot that waits for `by`, of reviews of models that they may see: their own turns, then those for others."""
    user = by.user
    if user is None or not user.is_person or not user.is_active:
        return []
    delegations = standing_delegations(timezone.now()).filter(delegate=user)
    turns, stands_in = _turns(by, user)
    for delegation in delegations if stands_in else ():
        own = {turn.review for turn in turns}
        found, _ = _turns(by, user, through=delegation)
        turns += [turn for turn in found if turn.review not in own]
    return turns


def _turns(by: Principal, reader: User, *, through: Delegation | None = None) -> tuple[list[Turn], bool]:
    """What `reader` could sign: for themselves, or `through` a delegation for whom it names, who both have to be independent.

    With it: whether the reader ever stood in for anybody, as far as these rows tell.
    """
    people = {reader.pk, through.delegator_id} if through else {reader.pk}
    slots = _slots(reader.pk, through.delegator_id, through.group_id) if through else _slots(reader.pk)
    seen = visible_to(slots.all(), by, Permission.SEE_MODEL, through="round__review__version__model")
    rows = _counted_anew(list(seen.values(*_COLUMNS)), people)
    lacking = [row for row in rows if row["filled"] < row["people"] and not row["signed"]]
    called = _called([row for row in lacking if not row["in_group"]])
    behalf = str(through.delegator) if through else ""
    turns = [
        Turn(row["round__review"], row["round"], row["pk"], row["title"], behalf)
        for row in lacking
        if row["in_group"] or row["pk"] in called
    ]
    return turns, any(row["stands_in"] for row in rows) or not rows


@lru_cache(maxsize=512)
def _slots(reader: int, delegator: int | None = None, group: int | None = None) -> QuerySet[Slot]:
    """The slots of open rounds that the reader's groups (or that group of the delegator) hold or are the alternates of, unless one
    of the people had a hand in the version; how filled, and whether one of them signed the round.

    The question, not its answer: asked on every page, it takes longer to put together than to answer, so it is kept for each reader.
    Nothing in it may depend on anything but these keys; take `.all()` of it.
    """
    people = [reader] if delegator is None else [reader, delegator]
    groups = Group.objects.filter(user=reader) if group is None else Group.objects.filter(pk=group)
    given = SignOff.objects.filter(withdrawn_at=None)
    in_round = given.filter(round=OuterRef("round"))
    approving = given.filter(slot=OuterRef("pk"), decision__in=APPROVING).order_by().values("slot")
    slots = (
        Slot.objects.filter(
            Q(group__in=groups) | Q(alternates__in=groups), round__state=Round.State.OPEN, round__review__closed_at=None
        )
        .annotate(
            filled=Coalesce(Subquery(approving.annotate(number=Count("pk")).values("number")), 0),
            signed=Exists(in_round.filter(Q(person__in=people) | Q(delegation__delegator__in=people))),
            moved=Exists(in_round.filter(changed_since())),
            stands_in=Exists(Delegation.objects.filter(delegate=reader)),
            in_group=Exists(groups.filter(pk=OuterRef("group"))),
        )
        .order_by("round", "order", "pk")
    )
    if delegator is not None:
        slots = slots.filter(delegable=True)
    for person in people:
        slots = slots.exclude(_related_to(User(pk=person)))
    return slots


def changed_since() -> Q:
    """Whether anything that a signature may answer for came after it: then it has to be looked at, though it may still stand."""
    version = OuterRef("round__review__version")
    evidence = Evidence.objects.filter(version=version, created_at__gte=OuterRef("signed_at"))
    cards = ModelCardRevision.objects.filter(version=version, created_at__gte=OuterRef("signed_at"))
    policies = PolicyVersion.objects.filter(published_at__gte=OuterRef("signed_at"))
    touched = Q(round__review__version__updated_at__gte=F("signed_at"))
    return Q(Exists(evidence)) | Q(Exists(cards)) | Q(Exists(policies)) | touched


def _related_to(user: User) -> Q:
    """Rounds of versions that the user, or a service account of theirs, had a hand in (`people.deeds_of`, as a condition in SQL)."""
    accounts = User.objects.filter(Q(pk=user.pk) | Q(owner=user)).values("pk")
    asked = Round.objects.filter(
        Q(opened_by__in=accounts) | Q(review__requested_by__in=accounts),
        review__version=OuterRef("round__review__version"),
        review__stage=OuterRef("round__review__stage"),
    )
    return Q(round__review__version__digest__in=made_by(user).values("digest")) | Q(Exists(asked))


def _counted_anew(rows: Collection[Row], people: Collection[int]) -> list[Row]:
    """The same rows; where something changed after a signature, those that went stale are not counted."""
    moved = {row["round"] for row in rows if row["moved"]}
    if not moved:
        return list(rows)
    stale = stale_signatures(moved)
    given = (
        SignOff.objects.filter(round__in=moved, withdrawn_at=None).exclude(pk__in=stale).select_related("delegation")
    )
    standing = list(given)
    signed = {one.round_id for one in standing if set(people) & {one.person_id, _delegator(one)}}
    filled = Counter(one.slot_id for one in standing if one.decision in APPROVING)
    return [
        {**row, "filled": filled[row["pk"]], "signed": row["round"] in signed} if row["round"] in moved else row
        for row in rows
    ]


def stale_signatures(rounds: Collection[int]) -> set[int]:
    """The signatures of these rounds that were given for facets which are not what they were; all versions read at once."""
    signatures = list(
        SignOff.objects.filter(round__in=rounds, withdrawn_at=None).select_related(
            *("slot", "round__review__stage", "round__review__version__model"),
            *("round__review__version__dataset_version", "round__review__version__recipe"),
        )
    )
    records = registry.records_of(one.round.review.version for one in signatures)
    rules: dict[tuple[int, int], Rules] = {}
    stale = set()
    for one in signatures:
        review = one.round.review
        key = (review.version.model.tier, review.stage_id)
        if key not in rules:
            rules[key] = rules_for(review.version.model.tier, review.stage)
        if not _covers(one, facets_of(review.version, rules[key], records[review.version_id])):
            stale.add(one.pk)
    return stale


def _covers(sign_off: SignOff, facets: Mapping[str, str]) -> bool:
    try:
        said = read_sign_off(sign_off.statement).facets
    except BadEnvelope:
        return False
    return all(said.get(facet) == facets.get(facet) for facet in sign_off.slot.facets)


def _delegator(sign_off: SignOff) -> int | None:
    return sign_off.delegation.delegator_id if sign_off.delegation else None


def _called(rows: Collection[Row]) -> set[int]:
    """The slots whose alternates are called, since too few of their own group are independent; a statement for each member."""
    independent: Counter[int] = Counter()
    slots = Slot.objects.filter(pk__in=[row["pk"] for row in rows])
    for member in _members(row["group"] for row in rows):
        independent.update(slots.filter(group__user=member).exclude(_related_to(member)).values_list("pk", flat=True))
    return {row["pk"] for row in rows if independent[row["pk"]] < row["people"]}


def _members(groups: Iterable[int]) -> list[User]:
    wanted = set(groups)
    return list(User.objects.people().active().filter(groups__in=wanted).distinct()) if wanted else []
