"""Who stands in which relation to a version, and who holds a slot: the facts that `independence` decides on, read from the tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet

from access.models import User
from registry.models import ModelVersion
from reviews.independence import Candidate, Deed, Eligibility, Relation, Seat, eligibility, eligible_accounts
from reviews.models import Review, Round, SignOff, Slot
from reviews.policies import SlotRule


def deeds_of(version: ModelVersion, review: Review | None = None) -> list[Deed]:
    """Everything that makes somebody answerable for `version`, the requester of `review` and of its rounds included.

    The same bytes are the same work, whoever registered them again: nobody's own becomes a stranger's by a copy.
    """
    found: list[tuple[Relation, User | None]] = []
    if review is not None:
        found.append((Relation.REQUESTED, review.requested_by))
        found += [(Relation.REQUESTED, round_.opened_by) for round_ in review.rounds.select_related("opened_by__owner")]
    found += _hands_in(version)
    found += [(Relation.MADE_SAME_BYTES, user) for twin in _twins_of(version) for _, user in _hands_in(twin)]
    return list(
        dict.fromkeys(Deed(relation, user.pk, str(user), user.owner_id) for relation, user in found if user is not None)
    )


def _hands_in(version: ModelVersion) -> list[tuple[Relation, User | None]]:
    found = [(Relation.REGISTERED, version.created_by), (Relation.TRAINED, version.trained_by)]
    if version.dataset_version is not None:
        found.append((Relation.PREPARED_DATA, version.dataset_version.prepared_by))
    if version.recipe is not None:
        found.append((Relation.WROTE_RECIPE, version.recipe.created_by))
    return found


def _twins_of(version: ModelVersion) -> QuerySet[ModelVersion]:
    return (
        ModelVersion.objects.filter(digest=version.digest)
        .exclude(pk=version.pk)
        .select_related("created_by", "trained_by", "dataset_version__prepared_by", "recipe__created_by")
    )


def made_by(user: User) -> QuerySet[ModelVersion]:
    """The versions that `user`, or a service account of theirs, had a hand in: `deeds_of` from the other side, as a condition in SQL."""
    condition = Q()
    for hand in ("created_by", "trained_by", "dataset_version__prepared_by", "recipe__created_by"):
        condition |= Q(**{hand: user}) | Q(**{f"{hand}__owner": user})
    return ModelVersion.objects.filter(condition)


def candidate(user: User) -> Candidate:
    """`user` as far as eligibility goes, read anew."""
    fresh = User.objects.get(pk=user.pk)
    groups = frozenset(fresh.groups.values_list("name", flat=True))
    return Candidate(fresh.pk, fresh.is_active, fresh.is_person, groups)


def members(names: Iterable[str]) -> list[Candidate]:
    """The active people in the named groups."""
    wanted = [name for name in names if name]
    users = User.objects.people().active().filter(groups__name__in=wanted).distinct().prefetch_related("groups")
    return [Candidate(user.pk, True, True, frozenset(group.name for group in user.groups.all())) for user in users]


def seat_of(slot: Slot | SlotRule, deeds: Sequence[Deed]) -> Seat:
    """The slot as a seat; its alternates are called when its own group has too few independent people."""
    group = slot.group.name if isinstance(slot.group, Group) else slot.group
    alternates = slot.alternates.name if isinstance(slot.alternates, Group) else (slot.alternates or "")
    own = Seat(slot.title, group)
    called = bool(alternates) and len(eligible_accounts(members([group]), own, deeds)) < slot.people
    return Seat(slot.title, group, alternates, called)


def eligible_people(slot: Slot | SlotRule, deeds: Sequence[Deed]) -> list[User]:
    """The people who could fill the slot, by name."""
    seat = seat_of(slot, deeds)
    accounts = eligible_accounts(members([seat.group, seat.alternates]), seat, deeds)
    return list(User.objects.filter(pk__in=accounts).order_by("display_name", "username"))


def may_sign(user: User, slot: Slot, review: Review, round_: Round) -> Eligibility:
    """Whether `user` may sign in `slot` of `round_` now, with the sentence that says why."""
    deeds = deeds_of(review.version, review)
    other = (
        SignOff.objects.filter(round=round_, person=user, withdrawn_at=None)
        .exclude(slot=slot)
        .select_related("slot")
        .first()
    )
    return eligibility(candidate(user), seat_of(slot, deeds), deeds, fills=other.slot.title if other else "")
