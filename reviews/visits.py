"""Decides what is new to a person who opens a review again: what was said, signed, attached or changed since their visit before.

A visit lasts while its page is opened again within half an hour, so that a reload, or coming back from signing, hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import OperationalError
from django.db.models import FilteredRelation, Q

from access.models import User
from reviews.discussion import Said
from reviews.evaluation import Evaluation
from reviews.models import Review, Visit

log = structlog.get_logger(__name__)

LASTS: Final = timedelta(minutes=30)
NOTED_EVERY: Final = timedelta(minutes=1)
_OF_A_VISIT: Final = ("id", "at", "before", "gates", "gates_before")


@dataclass(frozen=True)
class News:
    """One kind of thing that is new: words for it, and where on the page it is."""

    text: str
    section: str


@dataclass(frozen=True)
class Since:
    """What is new since `at`; None: the first visit, to which nothing is new because everything is."""

    at: datetime | None = None
    news: Sequence[News] = ()
    comments: frozenset[int] = frozenset()
    sign_offs: frozenset[int] = frozenset()
    evidence: frozenset[str] = frozenset()
    gates: frozenset[str] = field(default_factory=frozenset)
    card: bool = False

    @property
    def number(self) -> int:
        """How many things are new."""
        return len(self.comments) + len(self.sign_offs) + len(self.evidence) + len(self.gates) + self.card


@dataclass(frozen=True)
class Kept:
    """What is kept of one person at one review: their visit, and for each section that they marked as read the digest it had."""

    visit: Visit | None = None
    read: Mapping[str, str] = field(default_factory=dict)


def kept_of(review: Review | None, person: User | None) -> Kept:
    """Both with one statement, since every page of a review asks for both."""
    if review is None or person is None:
        return Kept()
    rows = (
        Review.objects.filter(pk=review.pk)
        .annotate(
            own=FilteredRelation("visits", condition=Q(visits__person=person)),
            marked=FilteredRelation("readings", condition=Q(readings__person=person)),
        )
        .values_list(*(f"own__{name}" for name in _OF_A_VISIT), "marked__section", "marked__digest")
    )
    found = list(rows)
    *fields, _, _ = found[0]
    visit = Visit(review=review, person=person, **dict(zip(_OF_A_VISIT, fields, strict=True))) if fields[0] else None
    return Kept(visit, {section: digest for *_, section, digest in found if section})


def note_visit(visit: Visit | None, review: Review, person: User, gates: Mapping[str, str], now: datetime) -> Visit:
    """Remember that `person` opened the page now, with the gates as they stand; returns the visit with the one before it."""
    if visit is None:
        visit = Visit(review=review, person=person, at=now, gates=dict(gates))
        _keep(lambda: Visit.objects.bulk_create([visit], ignore_conflicts=True))
        return visit
    passed = now - visit.at
    if passed > LASTS:
        visit.before, visit.gates_before = visit.at, visit.gates
    if passed > NOTED_EVERY or visit.gates != gates:
        visit.at, visit.gates = now, dict(gates)
        changed = {"at": visit.at, "before": visit.before, "gates": visit.gates, "gates_before": visit.gates_before}
        _keep(lambda: Visit.objects.filter(pk=visit.pk).update(**changed))
    return visit


def _keep(write) -> None:  # type: ignore[no-untyped-def]  # one of two writes above
    try:
        write()
    except OperationalError as error:  # a busy database: whoever reads must not wait for the note that they did
        log.warning("visit_not_noted", error=str(error))


def news_of(visit: Visit | None, found: Evaluation, comments: Iterable[Said], person: User | None) -> Since:
    """What is new to `person` since the visit before; their own deeds are not."""
    if visit is None or visit.before is None or person is None:
        return Since()
    at = visit.before
    said = frozenset(one.pk for one in comments if one.at > at and one.author_id != person.pk)
    signatures = found.standing.signatures if found.standing else ()
    signed = frozenset(
        one.sign_off.pk
        for one in signatures
        if one.sign_off.person_id != person.pk
        and (one.sign_off.signed_at > at or (one.sign_off.withdrawn_at is not None and one.sign_off.withdrawn_at > at))
    )
    evidence = frozenset(
        kind for kind, row in found.record.evidence.items() if row.created_at > at and row.producer_id != person.pk
    )
    card = found.record.card
    revised = card is not None and card.created_at > at and card.author_id != person.pk
    gates = frozenset(key for key, status in gates_of(found).items() if visit.gates_before.get(key, status) != status)
    news = [
        _news(len(said), "comment", "discussion"),
        _news(len(signed), "signature", "signoff"),
        _news(len(evidence), "piece of evidence", "performance", many="pieces of evidence"),
        _news(int(revised), "revision of the card", "card"),
        _news(len(gates), "changed gate", "gates"),
    ]
    return Since(at, [one for one in news if one], said, signed, evidence, gates, revised)


def gates_of(found: Evaluation) -> dict[str, str]:
    """How each gate stands: key to status."""
    return {one.gate.key: one.status.value for one in found.gates}


def _news(number: int, one: str, section: str, *, many: str = "") -> News | None:
    return News(f"{number} {one if number == 1 else many or f'{one}s'}", section) if number else None
