"""Decides which policies apply to a decision: every published one whose scope matches. Scopes only add; the most restrictive wins."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from foundation.canonical import digest_of
from foundation.refusals import Conflict
from registry.models import Stage
from reviews.models import PolicyVersion, Round
from reviews.policies import PolicyDocument, PolicyRef, Rules


def rules_for(tier: int, stage: Stage) -> Rules:
    """The published rules for models of `tier` at `stage`; empty when no policy says anything, and then nothing may pass."""
    published = (
        PolicyVersion.objects.filter(status=PolicyVersion.Status.PUBLISHED)
        .select_related("policy")
        .order_by("policy__name")
    )
    read = [(version, document_of(version)) for version in published]
    return _together(
        (version, text)
        for version, text in read
        if text.applies_to.stage == stage.name and tier in text.applies_to.tiers
    )


def rules_of(round_: Round) -> Rules:
    """The rules that a round was opened under, whatever was published since."""
    versions = round_.policies.select_related("policy").order_by("policy__name")
    return _together((version, document_of(version)) for version in versions)


def document_of(version: PolicyVersion) -> PolicyDocument:
    """The stored text of a policy version; raises `Conflict` when it does not hash to the digest that was published."""
    if digest_of(version.content) != version.digest:
        raise Conflict(
            f"The stored text of {version} does not match its digest: somebody changed it outside the product. "
            "Nothing can be decided under it; tell whoever runs the database.",
            code="policy-damaged",
        )
    return msgspec.convert(version.content, PolicyDocument)


def _together(versions: Iterable[tuple[PolicyVersion, PolicyDocument]]) -> Rules:
    return Rules(
        tuple((PolicyRef(version.policy.name, version.number, version.digest), text) for version, text in versions)
    )
