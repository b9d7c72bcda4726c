"""Reads what was known of many versions at earlier moments, in a fixed number of statements.

Evidence rows and revisions of cards are dated and never change, so what was known at a moment is what existed then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F

from registry.models import Evidence, ModelCardRevision, ModelVersion
from registry.queries import Record


@dataclass(frozen=True)
class History:
    """One version with all evidence about exactly its bytes and all revisions of its card, oldest first."""

    version: ModelVersion
    evidence: tuple[Evidence, ...]
    cards: tuple[ModelCardRevision, ...]

    def at(self, moment: datetime) -> Record:
        """The version's record as it would have been read at `moment`."""
        by_producer: dict[tuple[str, int, str], Evidence] = {}
        for row in self.evidence:
            if row.created_at <= moment:
                by_producer[row.kind, row.producer_id, row.job_kind] = row
        results: dict[str, list[Evidence]] = defaultdict(list)
        for row in sorted(by_producer.values(), key=lambda row: (row.created_at, row.pk), reverse=True):
            results[row.kind].append(row)
        card = next((row for row in reversed(self.cards) if row.created_at <= moment), None)
        return Record(self.version, {kind: rows[0] for kind, rows in results.items()}, card, results)


def histories_of(versions: Iterable[ModelVersion]) -> dict[int, History]:
    """By primary key, in two statements; the versions' models are loaded already."""
    wanted = {version.pk: version for version in versions}
    evidence: dict[int, list[Evidence]] = defaultdict(list)
    rows = Evidence.objects.filter(version__in=wanted, subject_digest=F("version__digest")).select_related("producer")
    for row in rows.order_by("created_at", "pk"):
        evidence[row.version_id].append(row)
    cards: dict[int, list[ModelCardRevision]] = defaultdict(list)
    for card in ModelCardRevision.objects.filter(version__in=wanted).order_by("number"):
        cards[card.version_id].append(card)
    return {pk: History(version, tuple(evidence[pk]), tuple(cards[pk])) for pk, version in wanted.items()}
