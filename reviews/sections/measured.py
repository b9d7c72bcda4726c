"""What is known of one version, read once for the whole page: newest evidence by kind, and the card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from registry import queries as registry
from registry.models import Evidence, ModelCardRevision, ModelVersion


@dataclass(frozen=True)
class Measured:
    """One version with its evidence. `name` is how the page calls it: `v15`."""

    version: ModelVersion
    evidence: Mapping[str, Evidence]
    card: ModelCardRevision | None

    @classmethod
    def of(cls, version: ModelVersion) -> Measured:
        """Read it."""
        return cls(version, registry.evidence_of(version), registry.latest_card(version))

    @property
    def name(self) -> str:
        """`v15`."""
        return f"v{self.version.number}"

    def content(self, kind: str) -> Mapping[str, Any]:
        """The content of one kind of evidence; empty where there is none."""
        found = self.evidence.get(kind)
        return found.content if found else {}
