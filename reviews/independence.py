"""Decides who may sign what: each relation to the version is a rule with its own sentence. Pure.

Roles and superuser rights play no part: the right to sign is membership of the slot's group, and independence. Whoever signs for
somebody else needs what both of them need: the one who is stood in for holds the slot, and both are independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Relation(StrEnum):
    """What somebody did that makes them answerable for the version, and so unable to judge it."""

    REQUESTED = "requested"
    REQUESTED_BEFORE = "requested_before"
    REGISTERED = "registered"
    TRAINED = "trained"
    RETRIED = "retried"
    PREPARED_DATA = "prepared_data"
    WROTE_RECIPE = "wrote_recipe"
    EVALUATED = "evaluated"
    MADE_SAME_BYTES = "made_same_bytes"


_DID: Final = {
    Relation.REQUESTED: "asked for this review",
    Relation.REQUESTED_BEFORE: "asked for an earlier review of this version",
    Relation.REGISTERED: "registered this version",
    Relation.TRAINED: "ran the training of this version",
    Relation.RETRIED: "had the training of this version run again",
    Relation.PREPARED_DATA: "prepared the data that this version learned from",
    Relation.WROTE_RECIPE: "wrote the transformation recipe of this version",
    Relation.EVALUATED: "attached evidence to this version by hand",
    Relation.MADE_SAME_BYTES: "had a hand in another version with the same bytes",
}


@dataclass(frozen=True)
class Deed:
    """That an account stands in a relation to the version. `owner` is who answers for the account when it is a service."""

    relation: Relation
    account: int
    account_name: str
    owner: int | None = None


@dataclass(frozen=True)
class Candidate:
    """An account that might sign. `name` is for sentences that tell others of it."""

    account: int
    active: bool
    is_person: bool
    groups: frozenset[str] = field(default_factory=frozenset)
    name: str = ""


@dataclass(frozen=True)
class Seat:
    """A slot as far as eligibility goes; its alternates may sign only when they are called."""

    title: str
    group: str
    alternates: str = ""
    alternates_called: bool = False
    delegable: bool = True


@dataclass(frozen=True)
class Fills:
    """What a person fills of the round already: a slot by its title, and who signed it in their name, if somebody did."""

    slot: str
    by: str = ""


@dataclass(frozen=True)
class Eligibility:
    """Whether somebody may sign, with a sentence that says why or why not, addressed to them."""

    allowed: bool
    reason: str


def conflict_of(account: int, deeds: Iterable[Deed]) -> str:
    """The sentence of the first relation that keeps `account` from judging the version, or nothing."""
    did = what_they_did(account, deeds)
    return f"You {did}, so you may not sign it." if did else ""


def what_they_did(account: int, deeds: Iterable[Deed]) -> str:
    """The first relation of `account`, or of a service account of theirs, as words that follow "You", or nothing."""
    for deed in deeds:
        if deed.account == account:
            return _DID[deed.relation]
        if deed.owner == account:
            return f"own the service account {deed.account_name}, which {_DID[deed.relation]}"
    return ""


def eligibility(candidate: Candidate, seat: Seat, deeds: Sequence[Deed], *, fills: Fills | None = None) -> Eligibility:
    """Whether `candidate` may sign in `seat`. `fills`: what they fill of this round already, other than this seat."""
    if not candidate.active:
        return Eligibility(False, "Your account is not active, so you may not sign.")
    if not candidate.is_person:
        return Eligibility(False, "Service accounts do not sign; a person has to.")
    if not holds(candidate, seat):
        return Eligibility(False, f"Only {_holders(seat)} may sign as {seat.title}, and you are not among them.")
    if conflict := conflict_of(candidate.account, deeds):
        return Eligibility(False, conflict)
    if fills and fills.by:
        return Eligibility(
            False,
            f"{fills.by} signed this round for you as {fills.slot}; one person fills one slot. Take that back first.",
        )
    if fills:
        return Eligibility(False, f"You already signed this round as {fills.slot}; one person fills one slot.")
    return Eligibility(True, "You did not request, register, train, prepare or measure this version, so you may sign.")


def eligibility_for(
    delegate: Candidate,
    delegator: Candidate,
    seat: Seat,
    deeds: Sequence[Deed],
    *,
    group: str,
    fills: Fills | None = None,
    represented: Fills | None = None,
) -> Eligibility:
    """Whether `delegate` may sign in `seat` for `delegator`, who gave them their right in `group`; addressed to the delegate.

    `fills`: what the delegate fills of this round, this seat included; `represented`: the same of the delegator.
    """
    if not delegate.active or not delegate.is_person:
        return eligibility(delegate, seat, deeds)
    if not seat.delegable:
        return Eligibility(False, f"The policy does not allow anybody to sign as {seat.title} for somebody else.")
    if not (delegator.active and delegator.is_person):
        return Eligibility(False, f"The account of {delegator.name} is not active, so nobody signs for them.")
    if not holds(delegator, seat) or group not in _groups(seat):
        return Eligibility(
            False, f"{delegator.name} may not sign as {seat.title} by membership of {group}, so you cannot for them."
        )
    if did := what_they_did(delegator.account, deeds):
        return Eligibility(False, f"{delegator.name} {of_others(did)}, so nobody may sign it for them.")
    if conflict := conflict_of(delegate.account, deeds):
        return Eligibility(False, conflict)
    if fills:
        return Eligibility(False, f"You already signed this round as {fills.slot}; one person fills one slot.")
    if represented:
        return Eligibility(
            False, f"{delegator.name} fills the slot {represented.slot} of this round already; they count once."
        )
    return Eligibility(
        True, f"{delegator.name} asked you to sign for them, and neither of you had a hand in this version."
    )


def eligible_accounts(candidates: Iterable[Candidate], seat: Seat, deeds: Sequence[Deed]) -> frozenset[int]:
    """The accounts that could sign in `seat`."""
    return frozenset(one.account for one in candidates if eligibility(one, seat, deeds).allowed)


def unfillable(needs: Mapping[str, int], eligible: Mapping[str, frozenset[int]]) -> dict[str, int]:
    """How many people each slot lacks when everybody fills one slot at most and as many are filled as can be; the others left out.

    `needs`: slot to number of people; `eligible`: slot to the accounts that could sign in it. A maximum matching, by augmenting paths.
    """
    places = [(slot, number) for slot, people in needs.items() for number in range(people)]
    sits: dict[int, tuple[str, int]] = {}

    def seated(place: tuple[str, int], tried: set[int]) -> bool:
        for account in sorted(eligible.get(place[0], ())):
            if account in tried:
                continue
            tried.add(account)
            if account not in sits or seated(sits[account], tried):
                sits[account] = place
                return True
        return False

    lacking: dict[str, int] = {}
    for place in places:
        if not seated(place, set()):
            lacking[place[0]] = lacking.get(place[0], 0) + 1
    return lacking


def holds(candidate: Candidate, seat: Seat) -> bool:
    """Whether the candidate is a member of the seat's group, or of its alternates where they are called."""
    return bool(_groups(seat) & candidate.groups)


def _groups(seat: Seat) -> frozenset[str]:
    return frozenset({seat.group, seat.alternates} if seat.alternates_called and seat.alternates else {seat.group})


def of_others(did: str) -> str:
    """The words of `what_they_did` as they follow the name of somebody else."""
    return did.replace("own the service account", "owns the service account", 1)


def _holders(seat: Seat) -> str:
    alternates = (
        f" or, since too few of them are independent, {seat.alternates}"
        if seat.alternates_called and seat.alternates
        else ""
    )
    return f"members of {seat.group}{alternates}"
