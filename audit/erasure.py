"""Decides how a person is forgotten: the openings that are theirs or name them are destroyed, the entries stay as they are.

An entry holds salted digests of personal data only, so the tree, every receipt and every bundle verify as before. What stays
is the account's identifier, a random one. A person's openings are those of what they did (name, address, user agent), and
any opening of anybody's entry whose text names them: a user name that was typed at a failed sign-in, a note that mentions them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction

from audit.actions import append
from audit.entries import Entry, Malformed
from audit.events import Action, HasActor, Obj
from audit.leader import lead
from audit.models import IndexRow, Pending, Private, Quarantined
from audit.payload import Disclosure, Json, canonical, decode_disclosures

_ROWS: Final = 1_000
_NAMES: Final = frozenset({"name", "username"})


class NobodyKnown(LookupError):
    """No account has this name, and nobody with this identifier has acted."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person as the ledger knows them: the identifier in entries, and the words that name them in openings."""

    id: str
    names: frozenset[str]

    def is_named_in(self, value: str) -> bool:
        """Whether a text is or contains one of the names, as whole words and in any case."""
        folded = value.casefold()
        return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded) for name in self.names)


@dataclass(slots=True)
class Found:
    """What there is to erase, counted; what waits to be logged or lies in quarantine; and the entries concerned."""

    own: int = 0
    naming: int = 0
    waiting: int = 0
    refused: int = 0
    entries: list[int] = field(default_factory=list)

    @property
    def openings(self) -> int:
        """How many openings there are to destroy."""
        return self.own + self.naming


def find_subject(person: str) -> Subject:
    """The person with this user name or identifier; raises `NobodyKnown`.

    An account that was deleted is found by its identifier, and its names by what its own openings say.
    """
    account = _account(person)
    identifier = str(account.uuid) if account else person
    names = {account.username, account.get_full_name(), account.email, str(account)} if account else set()
    own = IndexRow.objects.filter(actor_kind="person", actor_id=identifier)
    if account is None and not own.exists():
        raise NobodyKnown(f"No account is called {person}, and nobody with this identifier has acted.")
    for seqs in _batches(list(own.values_list("seq", flat=True))):
        for stored in Private.objects.filter(seq__in=seqs).values_list("disclosures", flat=True):
            names |= {one.value for one in _decoded(bytes(stored)) if one.name in _NAMES}
    return Subject(identifier, frozenset(name.strip().casefold() for name in names if len(name.strip()) > 1))


def _account(person: str) -> Any:
    accounts = get_user_model().objects
    try:
        return accounts.filter(uuid=UUID(person)).first()
    except ValueError:
        return accounts.filter(username__iexact=person).first()


def _batches(seqs: list[int]) -> Iterator[list[int]]:
    return (seqs[start : start + _ROWS] for start in range(0, len(seqs), _ROWS))


def _decoded(stored: bytes) -> list[Disclosure]:
    try:
        return decode_disclosures(stored)
    except ValueError:
        return []  # damaged, which deep verification says; it is not this person's as far as anybody can tell


def look(subject: Subject) -> Found:
    """Count what would be erased."""
    found, own = Found(), _acted(subject)
    for seq, stored in Private.objects.order_by("seq").values_list("seq", "disclosures").iterator(_ROWS):
        theirs = _theirs(subject, _decoded(bytes(stored)), own=seq in own)
        if theirs:
            found.entries.append(seq)
            found.own += len(theirs) if seq in own else 0
            found.naming += 0 if seq in own else len(theirs)
    found.waiting = _concerned(subject, Pending.objects.order_by("id").values_list("payload", "private"))
    found.refused = _concerned(subject, Quarantined.objects.order_by("id").values_list("payload", "private"))
    return found


def _acted(subject: Subject) -> set[int]:
    rows = IndexRow.objects.filter(actor_kind="person", actor_id=subject.id)
    return set(rows.values_list("seq", flat=True).iterator(_ROWS))


def _theirs(subject: Subject, openings: list[Disclosure], *, own: bool) -> list[Disclosure]:
    return [one for one in openings if own or subject.is_named_in(one.value)]


def _concerned(subject: Subject, rows: Any) -> int:
    """How many rows that are not in the ledger hold openings of the person."""
    return sum(_is_theirs(subject, bytes(payload), bytes(private)) for payload, private in rows.iterator(_ROWS))


def _is_theirs(subject: Subject, payload: bytes, private: bytes) -> bool:
    try:
        entry = Entry.parse(payload)
        own = entry.actor_kind == "person" and entry.actor_id == subject.id
    except Malformed:
        own = False
    return bool(_theirs(subject, _decoded(private), own=own))


def erase_subject(subject: Subject, *, by: HasActor) -> Found:
    """Destroy the openings that are the person's or name them, and record how many; nothing is recorded where there are none."""
    found, own = look(subject), _acted(subject)
    with transaction.atomic():
        # One erasure at a time, and rows read again after the wait: a row with openings of two persons is deleted and written anew,
        # so that a lock on the row itself would let the second erasure miss it.
        lead()
        for seqs in _batches(found.entries):
            for row in Private.objects.filter(seq__in=seqs):
                _erase_from(row, subject, own=row.seq in own)
        if found.openings:
            append(
                Action.SUBJECT_ERASE,
                by=by,
                obj=Obj(kind="person", id=subject.id),
                after={"entries": len(found.entries), "openings": found.openings},
            )
    return found


def _erase_from(row: Private, subject: Subject, *, own: bool) -> None:
    openings = _decoded(bytes(row.disclosures))
    theirs = _theirs(subject, openings, own=own)
    kept: list[Json] = [[one.salt, one.name, one.value] for one in openings if one not in theirs]
    Private.objects.filter(seq=row.seq).delete()
    if kept:
        Private.objects.create(seq=row.seq, disclosures=canonical(kept))
