"""Who stands in which relation to a version, and who holds a slot: the facts that `independence` decides on, read from the tables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from uuid import UUID

from django.contrib.auth.models import Group
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from access.models import User
from datasets.models import DatasetVersion, Recipe
from jobs.models import Job
from registry.models import Evidence, ModelVersion
from reviews.independence import (
    Candidate,
    Deed,
    Eligibility,
    Fills,
    Relation,
    Seat,
    eligibility,
    eligibility_for,
    eligible_accounts,
)
from reviews.models import Delegation, Review, Round, SignOff, Slot
from reviews.policies import SlotRule

BY_WORKERS = "job:"
"""How `Evidence.produced_via` begins where one of our workers measured, on request of whoever had the training run."""

Hand = tuple[Relation, User | None]


def deeds_of(
    version: ModelVersion,
    review: Review | None = None,
    *,
    until: datetime | None = None,
    rounds: Iterable[Round] | None = None,
) -> list[Deed]:
    """Everything that makes somebody answerable for `version`, the requesters of its reviews for the stage of `review` included.

    The same bytes are the same work, whoever registered them again: nobody's own becomes a stranger's by a copy. That goes for the
    data and the recipe too. `until`: only what had been done by then; what a release was signed on does not change afterwards.
    `rounds`: those of the version for this stage, where they were read already.
    """
    then = until or timezone.now()
    found = _requests(review, then, rounds) if review is not None else []
    found += _hands_in(version, then)
    return list(
        dict.fromkeys(Deed(relation, user.pk, str(user), user.owner_id) for relation, user in found if user is not None)
    )


def _requests(review: Review, until: datetime, known: Iterable[Round] | None) -> list[Hand]:
    """Who asked for `review` and opened its rounds, and the same of earlier reviews of the version for the same stage."""
    if known is None:
        known = Round.objects.filter(review__version=review.version_id, review__stage=review.stage_id).select_related(
            "review__requested_by", "opened_by"
        )
    rounds = sorted((one for one in known if one.opened_at <= until), key=lambda one: one.pk)
    own: list[Hand] = [(Relation.REQUESTED, review.requested_by)]
    earlier: list[Hand] = []
    for round_ in rounds:
        this = round_.review_id == review.pk
        relation = Relation.REQUESTED if this else Relation.REQUESTED_BEFORE
        (own if this else earlier).extend([(relation, round_.review.requested_by), (relation, round_.opened_by)])
    return own + earlier


def _hands_in(version: ModelVersion, until: datetime) -> list[Hand]:
    """Who made the version, and who made others of the same bytes."""
    same = list(
        ModelVersion.objects.filter(digest=version.digest)
        .filter(Q(pk=version.pk) | Q(created_at__lte=until))
        .select_related("created_by", "trained_by", "dataset_version__prepared_by", "recipe__created_by")
        .order_by("pk")
    )
    hands: dict[int, list[Hand]] = {one.pk: _own_hands(one) for one in same}
    _add_retries(same, hands)
    _add_evidence(same, hands, until)
    _add_copied_sources(same, hands)
    own = hands.pop(version.pk, [])
    return own + [(Relation.MADE_SAME_BYTES, user) for others in hands.values() for _, user in others]


def _own_hands(version: ModelVersion) -> list[Hand]:
    found: list[Hand] = [(Relation.REGISTERED, version.created_by), (Relation.TRAINED, version.trained_by)]
    if version.dataset_version is not None:
        found.append((Relation.PREPARED_DATA, version.dataset_version.prepared_by))
    if version.recipe is not None:
        found.append((Relation.WROTE_RECIPE, version.recipe.created_by))
    return found


def _add_retries(same: Sequence[ModelVersion], hands: dict[int, list[Hand]]) -> None:
    by_job = {one.job_uuid: one.pk for one in same if one.job_uuid is not None}
    if not by_job:
        return
    for job in Job.objects.filter(uuid__in=by_job, retried_by__isnull=False).distinct().prefetch_related("retried_by"):
        hands[by_job[job.uuid]] += [(Relation.RETRIED, user) for user in job.retried_by.all()]


def _add_evidence(same: Sequence[ModelVersion], hands: dict[int, list[Hand]], until: datetime) -> None:
    rows = (
        Evidence.objects.filter(version__in=[one.pk for one in same], created_at__lte=until)
        .exclude(produced_via__startswith=BY_WORKERS)
        .select_related("producer")
        .only("version", "producer")
        .order_by("pk")
    )
    for pk, producer in dict.fromkeys((row.version_id, row.producer) for row in rows):
        hands[pk].append((Relation.EVALUATED, producer))


def _add_copied_sources(same: Sequence[ModelVersion], hands: dict[int, list[Hand]]) -> None:
    """The same bytes of data kept under another name, and the same recipe: whoever brought them in first prepared them too."""
    data = {one.dataset_version.digest: one.pk for one in same if one.dataset_version is not None}
    recipes = {one.recipe.digest: one.pk for one in same if one.recipe is not None}
    if data:
        for copy in DatasetVersion.objects.filter(digest__in=data).select_related("prepared_by"):
            hands[data[copy.digest]].append((Relation.PREPARED_DATA, copy.prepared_by))
    if recipes:
        for twin in Recipe.objects.filter(digest__in=recipes).select_related("created_by"):
            hands[recipes[twin.digest]].append((Relation.WROTE_RECIPE, twin.created_by))


def made_by(user: User) -> QuerySet[ModelVersion]:
    """The versions that `user`, or a service account of theirs, had a hand in: `deeds_of` from the other side, as a condition in SQL."""
    accounts = User.objects.filter(Q(pk=user.pk) | Q(owner=user)).values("pk")
    condition = Q(created_by__in=accounts) | Q(trained_by__in=accounts)
    condition |= Q(dataset_version__digest__in=DatasetVersion.objects.filter(prepared_by__in=accounts).values("digest"))
    condition |= Q(recipe__digest__in=Recipe.objects.filter(created_by__in=accounts).values("digest"))
    condition |= Q(job_uuid__in=Job.objects.filter(retried_by__in=accounts).values("uuid"))
    by_hand = Evidence.objects.filter(producer__in=accounts).exclude(produced_via__startswith=BY_WORKERS)
    return ModelVersion.objects.filter(condition | Q(pk__in=by_hand.values("version")))


def candidate(user: User) -> Candidate:
    """`user` as far as eligibility goes, read anew."""
    return _candidate(User.objects.prefetch_related("groups").get(pk=user.pk))


def _candidate(user: User) -> Candidate:
    groups = frozenset(group.name for group in user.groups.all())
    return Candidate(user.pk, user.is_active, user.is_person, groups, str(user))


def members(names: Iterable[str]) -> list[Candidate]:
    """The active people in the named groups."""
    users = User.objects.people().active().filter(groups__name__in=[name for name in names if name])
    return [_candidate(user) for user in users.distinct().prefetch_related("groups")]


def standing_delegations(at: datetime) -> QuerySet[Delegation]:
    """The delegations that hold at the moment `at`, with both people."""
    return Delegation.objects.filter(
        Q(ended_at=None) | Q(ended_at__gt=at), starts_at__lte=at, ends_at__gt=at
    ).select_related("delegator", "delegate", "group")


@dataclass(frozen=True)
class Choice:
    """One way in which somebody could sign in a slot: for themselves, or for whom a delegation names."""

    eligibility: Eligibility
    delegation: Delegation | None = None


@dataclass
class Seating:
    """Who may sign where in one review: what eligibility rests on, each table read once. Good for one question, not to be kept.

    `sign_offs` are those of the deciding round that were not withdrawn; none without a round.
    """

    deeds: Sequence[Deed]
    sign_offs: Sequence[SignOff] = ()
    groups: frozenset[str] = frozenset()
    _users: dict[int, User] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        version: ModelVersion,
        slots: Iterable[Slot | SlotRule],
        *,
        review: Review | None = None,
        sign_offs: Iterable[SignOff] = (),
    ) -> Seating:
        """The seating of `version` for `slots`; with `review`, its requesters may not sign."""
        names = frozenset(name for slot in slots for name in group_names(slot) if name)
        standing = [one for one in sign_offs if one.withdrawn_at is None]
        return cls(deeds_of(version, review), standing, names)

    @classmethod
    def of_round(cls, round_: Round, *, slots: Iterable[Slot] | None = None) -> Seating:
        """The seating of a round as its rows are now."""
        chosen = round_.slots.select_related("group", "alternates") if slots is None else slots
        given = round_.sign_offs.filter(withdrawn_at=None).select_related(
            "slot", "person", "delegation__delegator", "delegation__group"
        )
        return cls.of(round_.review.version, chosen, review=round_.review, sign_offs=given)

    @cached_property
    def members(self) -> list[Candidate]:
        """The active people in the groups of all slots, by name."""
        rows = (
            User.objects.people()
            .active()
            .filter(groups__name__in=self.groups)
            .annotate(through_group=F("groups__name"))
            .order_by("display_name", "username")
        )
        held: dict[int, set[str]] = {}
        for user in rows if self.groups else ():
            self._users.setdefault(user.pk, user)
            held.setdefault(user.pk, set()).add(user.through_group)  # type: ignore[attr-defined]  # annotated above
        return [Candidate(pk, True, True, frozenset(names), str(self._users[pk])) for pk, names in held.items()]

    @cached_property
    def delegations(self) -> list[Delegation]:
        """The delegations in force for the groups of the slots."""
        return list(standing_delegations(timezone.now()).filter(group__name__in=self.groups)) if self.groups else []

    def seat(self, slot: Slot | SlotRule) -> Seat:
        """The slot as a seat; its alternates are called when its own group has too few independent people."""
        group, alternates = group_names(slot)
        own = Seat(slot.title, group, delegable=slot.delegable)
        called = bool(alternates) and len(eligible_accounts(self.members, own, self.deeds)) < slot.people
        return Seat(slot.title, group, alternates, called, slot.delegable)

    def eligible(self, slot: Slot | SlotRule) -> list[User]:
        """The people who could fill the slot for themselves, by name."""
        accounts = eligible_accounts(self.members, self.seat(slot), self.deeds)
        return [self._users[one.account] for one in self.members if one.account in accounts]

    def known(self, user: User) -> Candidate:
        """`user` as far as these slots go; who is in none of their groups, or not active, is found in none and may sign nowhere."""
        found = next((one for one in self.members if one.account == user.pk), None)
        return found or Candidate(user.pk, user.is_active, user.is_person, frozenset(), str(user))

    def may_sign(self, user: User, slot: Slot) -> Eligibility:
        """Whether `user` may sign in `slot` for themselves now, with the sentence that says why."""
        return eligibility(self.known(user), self.seat(slot), self.deeds, fills=self._fills_elsewhere(user, slot))

    def may_sign_for(self, delegation: Delegation, slot: Slot) -> Eligibility:
        """Whether the delegate may sign in `slot` for the delegator now; that the delegation is in force is asked elsewhere."""
        return eligibility_for(
            self.known(delegation.delegate),
            self.known(delegation.delegator),
            self.seat(slot),
            self.deeds,
            group=delegation.group.name,
            fills=self._fills(delegation.delegate, slot, besides=delegation.delegator),
            represented=self._fills(delegation.delegator, slot, besides=delegation.delegate),
        )

    def choices(self, user: User, slot: Slot) -> list[Choice]:
        """Every way in which `user` could sign in `slot`: for themselves first, then for each delegator of the slot's groups."""
        names = group_names(slot)
        mine = [one for one in self.delegations if one.delegate_id == user.pk and one.group.name in names]
        return [Choice(self.may_sign(user, slot)), *(Choice(self.may_sign_for(one, slot), one) for one in mine)]

    def _fills_elsewhere(self, user: User, slot: Slot) -> Fills | None:
        """What else of the round `user` fills. In the slot itself their new decision replaces what was given by them or for them."""
        for given in self.sign_offs:
            if given.slot_id == slot.pk:
                if given.person_id == user.pk and given.delegation is not None:
                    return Fills(f"{given.slot.title} for {given.delegation.delegator}")
                continue
            if given.person_id == user.pk:
                return Fills(given.slot.title)
            if given.delegation is not None and given.delegation.delegator_id == user.pk:
                return Fills(given.slot.title, by=str(given.person))
        return None

    def _fills(self, user: User, slot: Slot, *, besides: User) -> Fills | None:
        """What of the round `user` fills, by themselves or through somebody, apart from what these two gave together in `slot`."""
        for given in self.sign_offs:
            delegator = given.delegation.delegator_id if given.delegation is not None else None
            if given.slot_id == slot.pk and {given.person_id, delegator} == {user.pk, besides.pk}:
                continue
            if user.pk in (given.person_id, delegator):
                return Fills(given.slot.title, by="" if given.person_id == user.pk else str(given.person))
        return None


def group_names(slot: Slot | SlotRule) -> tuple[str, str]:
    """The names of the slot's own group and of its alternates (empty: none)."""
    group = slot.group.name if isinstance(slot.group, Group) else slot.group
    alternates = slot.alternates.name if isinstance(slot.alternates, Group) else (slot.alternates or "")
    return group, alternates


def eligible_people(slot: Slot | SlotRule, deeds: Sequence[Deed]) -> list[User]:
    """The people who could fill the slot, by name."""
    return _alone(slot, deeds).eligible(slot)


def seat_of(slot: Slot | SlotRule, deeds: Sequence[Deed]) -> Seat:
    """The slot as a seat; see `Seating.seat`."""
    return _alone(slot, deeds).seat(slot)


def _alone(slot: Slot | SlotRule, deeds: Sequence[Deed]) -> Seating:
    return Seating(deeds, groups=frozenset(name for name in group_names(slot) if name))


def may_sign(user: User, slot: Slot, round_: Round) -> Eligibility:
    """Whether `user` may sign in `slot` of `round_` for themselves now, with the sentence that says why."""
    return Seating.of_round(round_).may_sign(user, slot)


def delegation_between(delegator: str, delegate: User, groups: Iterable[str], at: datetime) -> Delegation | None:
    """The delegation in force at `at` by which `delegate` may sign in one of `groups` for the person of this username or id."""
    same = Q(delegator__username=delegator)
    with contextlib.suppress(ValueError):  # a username is no id
        same |= Q(delegator__uuid=UUID(delegator))
    found = standing_delegations(at).filter(same, delegate=delegate, group__name__in=[*groups])
    return found.order_by("ends_at").last()
