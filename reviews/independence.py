"""Decides who may sign what: each relation to the version is a rule with its own sentence. Pure.

Roles and superuser rights play no part: the right to sign is membership of the slot's group, and independence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Relation(StrEnum):
    """What somebody did that makes them answerable for the version, and so unable to judge it."""

    REQUESTED = "requested"
    REGISTERED = "registered"
    TRAINED = "trained"
    PREPARED_DATA = "prepared_data"
    WROTE_RECIPE = "wrote_recipe"
    MADE_SAME_BYTES = "made_same_bytes"


_SENTENCES = {
    Relation.REQUESTED: "asked for this review",
    Relation.REGISTERED: "registered this version",
    Relation.TRAINED: "ran the training of this version",
    Relation.PREPARED_DATA: "prepared the data that this version learned from",
    Relation.WROTE_RECIPE: "wrote the transformation recipe of this version",
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
    """An account that might sign."""

    account: int
    active: bool
    is_person: bool
    groups: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Seat:
    """A slot as far as eligibility goes. `others` are the slots of the same round that the candidate fills already (titles)."""

    title: str
    group: str
    alternates: str = ""
    alternates_called: bool = False


@dataclass(frozen=True)
class Eligibility:
    """Whether somebody may sign, with a sentence that says why or why not, addressed to them."""

    allowed: bool
    reason: str


def conflict_of(account: int, deeds: Iterable[Deed]) -> str:
    """The sentence of the first relation that keeps `account` from judging the version, or nothing."""
    for deed in deeds:
        if deed.account == account:
            return f"You {_SENTENCES[deed.relation]}, so you may not sign it."
        if deed.owner == account:
            return f"You own the service account {deed.account_name}, which {_SENTENCES[deed.relation]}, so you may not sign it."
    return ""


def eligibility(candidate: Candidate, seat: Seat, deeds: Sequence[Deed], *, fills: str = "") -> Eligibility:
    """Whether `candidate` may sign in `seat`. `fills`: the title of another slot of this round that they fill already."""
    if not candidate.active:
        return Eligibility(False, "Your account is not active, so you may not sign.")
    if not candidate.is_person:
        return Eligibility(False, "Service accounts do not sign; a person has to.")
    if not _holds(candidate, seat):
        return Eligibility(False, f"Only {_holders(seat)} may sign as {seat.title}, and you are not among them.")
    if conflict := conflict_of(candidate.account, deeds):
        return Eligibility(False, conflict)
    if fills:
        return Eligibility(False, f"You already signed this round as {fills}; one person fills one slot.")
    return Eligibility(True, "You did not request, register, train or prepare this version, so you may sign.")


def eligible_accounts(candidates: Iterable[Candidate], seat: Seat, deeds: Sequence[Deed]) -> frozenset[int]:
    """The accounts that could sign in `seat`."""
    return frozenset(one.account for one in candidates if eligibility(one, seat, deeds).allowed)


def _holds(candidate: Candidate, seat: Seat) -> bool:
    if seat.group in candidate.groups:
        return True
    return seat.alternates_called and bool(seat.alternates) and seat.alternates in candidate.groups


def _holders(seat: Seat) -> str:
    alternates = (
        f" or, since too few of them are independent, {seat.alternates}"
        if seat.alternates_called and seat.alternates
        else ""
    )
    return f"members of {seat.group}{alternates}"
