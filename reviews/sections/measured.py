"""What is known of one version, read once for the whole page: newest evidence by kind, and the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry import queries as registry
from registry.models import Evidence, ModelCardRevision, ModelVersion
from reviews.counting import Counted


@dataclass(frozen=True)
class Measured:
    """One version with the evidence that counts. `name` is how the page calls it: `v15`.

    `discounted`: by kind, evidence that is newer (or alone) and that no policy counts, with the sentence that says why.
    """

    version: ModelVersion
    evidence: Mapping[str, Evidence]
    card: ModelCardRevision | None
    discounted: Mapping[str, tuple[Evidence, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, version: ModelVersion) -> Measured:
        """Read it."""
        return cls.known(registry.records_of([version])[version.pk])

    @classmethod
    def known(cls, record: registry.Record, evidence: Counted | None = None) -> Measured:
        """From what was read already; without `evidence` everybody's counts."""
        found = evidence or Counted(record.evidence)
        return cls(record.version, found.evidence, record.card, found.discounted)

    @property
    def name(self) -> str:
        """`v15`."""
        return f"v{self.version.number}"

    def content(self, kind: str) -> Mapping[str, Any]:
        """The content of one kind of evidence; empty where there is none."""
        found = self.evidence.get(kind)
        return found.content if found else {}
