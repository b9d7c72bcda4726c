"""Which sections of evidence a person can mark as read, and the digest of what each shows: a new digest asks to read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from countersign.proof.canonical import digest_of
from registry import queries as registry
from registry.models import Evidence, ModelCardRevision, ModelVersion

KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "gates": tuple(Evidence.Kind.values),
    "performance": ("metrics", "curves", "calibration"),
    "fairness": ("fairness", "slices"),
    "data": ("data",),
    "changes": ("comparison", "importance", "signature", "data", "environment"),
    "card": (),
    "supply-chain": ("scan", "environment", "signature"),
}
SECTIONS: Final = tuple(KINDS)


def digest_of_section(version: ModelVersion, section: str) -> str:
    """The digest of everything that the section shows of the version."""
    record = registry.records_of([version])[version.pk]
    return section_digests(record.evidence, record.card)[section]


def section_digests(evidence: Mapping[str, Evidence], card: ModelCardRevision | None) -> dict[str, str]:
    """The digest of every section, from evidence and card that were read already."""
    found = {
        section: digest_of([evidence[kind].digest for kind in kinds if kind in evidence])
        for section, kinds in KINDS.items()
    }
    return found | {"card": card.digest if card else digest_of([])}
