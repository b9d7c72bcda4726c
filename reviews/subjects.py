"""Decides what exactly is signed: the facets of one version for one stage, frozen as canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from countersign.proof.canonical import canonical, sha256_hex
from foundation.refusals import Conflict
from registry import queries as registry
from registry.models import ModelVersion, Stage
from reviews.models import Round
from reviews.policies import FACETS, Rules


@dataclass(frozen=True)
class Subject:
    """What a person signs: `text` is RFC 8785 JSON, `digest` its SHA-256, `facets` the digest of each part."""

    text: str
    facets: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The SHA-256 of the text."""
        return sha256_hex(self.text.encode())

    @property
    def value(self) -> dict[str, Any]:
        """The text as JSON types."""
        found: dict[str, Any] = json.loads(self.text)
        return found


@dataclass(frozen=True)
class FacetChange:
    """One facet that is not what it was."""

    facet: str
    was: str
    now: str


def facets_of(version: ModelVersion, rules: Rules, record: registry.Record | None = None) -> dict[str, str]:
    """The digest of each facet as it is now, the policy's included; `record` where the version's was read already."""
    return {**registry.facets(version, record), "policy": rules.digest}


def subject_of(
    version: ModelVersion,
    stage: Stage,
    rules: Rules,
    compared_with: ModelVersion | None,
    record: registry.Record | None = None,
) -> Subject:
    """The subject of a decision as things are now."""
    facets = facets_of(version, rules, record)
    value = {
        "model": version.model.name,
        "version": version.number,
        "digest": version.digest,
        "stage": stage.name,
        "facets": facets,
        "policies": [ref.as_dict() for ref in rules.refs],
        "compared_with": {"version": compared_with.number, "digest": compared_with.digest} if compared_with else None,
    }
    return Subject(canonical(value).decode(), facets)


def frozen(round_: Round) -> Subject:
    """The subject that a round froze, as stored; raises `Conflict` where what is stored is no subject, which only a forged row can be."""
    try:
        facets = json.loads(round_.subject)["facets"]
        if not isinstance(facets, dict) or set(facets) != set(FACETS):
            raise TypeError("not the facets of a subject")
    except (ValueError, KeyError, TypeError) as error:
        raise Conflict(
            f"The subject stored with {round_} is not one that this registry froze.", code="subject-unreadable"
        ) from error
    return Subject(round_.subject, facets)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[FacetChange, ...]:
    """The facets that differ, by name."""
    names = sorted(before.keys() | after.keys())
    return tuple(
        FacetChange(name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name) != after.get(name)
    )
