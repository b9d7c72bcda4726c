"""Decides which policies apply to a decision: every one in force whose scope matches. Scopes only add; the most restrictive wins.

In force is what ships with the product and what was signed (`reviews.publication`). A row whose status somebody set to published
with SQL is not in force, and neither is an older version that was put back over a newer one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from django.db.models import Exists, OuterRef

from countersign.proof.canonical import digest_of
from foundation.refusals import Conflict
from registry.models import Stage
from reviews.models import Policy, PolicySignature, PolicyVersion, Round
from reviews.policies import PolicyDocument, PolicyRef, Rules
from reviews.publication import why_not_in_force

log = structlog.get_logger(__name__)


def rules_for(tier: int, stage: Stage) -> Rules:
    """The rules in force for models of `tier` at `stage`; empty when no policy says anything, and then nothing may pass."""
    return applying(in_force(), tier, stage.name)


def applying(texts: Iterable[tuple[PolicyVersion, PolicyDocument]], tier: int, stage: str) -> Rules:
    """Those of `texts` that are for models of `tier` at `stage`, taken together."""
    return _together((version, text) for version, text in texts if covers(text, tier, stage))


def covers(text: PolicyDocument, tier: int, stage: str) -> bool:
    """Whether a policy is for models of `tier` at `stage`."""
    return text.applies_to.stage == stage and tier in text.applies_to.tiers


def in_force(policy: Policy | None = None) -> list[tuple[PolicyVersion, PolicyDocument]]:
    """Every text in force, by the policy's name; with `policy`, only its own. Raises `Conflict` for a text that was damaged."""
    later = PolicyVersion.objects.filter(
        policy=OuterRef("policy"), number__gt=OuterRef("number"), published_at__isnull=False
    )
    published = (
        PolicyVersion.objects.filter(status=PolicyVersion.Status.PUBLISHED)
        .select_related("policy")
        .annotate(overtaken=Exists(later))
        .order_by("policy__name")
    )
    versions = list(published.filter(policy=policy) if policy else published)
    return [(version, document_of(version)) for version in _sound(versions)]


def _sound(versions: Sequence[PolicyVersion]) -> Iterator[PolicyVersion]:
    signatures = defaultdict(list)
    written = [version.pk for version in versions if version.created_by_id is not None]
    if written:  # what ships carries no signatures, so an untouched installation asks for none
        for signature in PolicySignature.objects.filter(policy_version__in=written).select_related("reauthentication"):
            signatures[signature.policy_version_id].append(signature)
    for version in versions:
        why = why_not_in_force(version, signatures[version.pk])
        if getattr(version, "overtaken", False):
            why = why or "A later version of it was published."
        if why:
            log.error("policy_not_in_force", policy=version.policy.name, version=version.number, why=why)
        else:
            yield version


def rules_of(round_: Round) -> Rules:
    """The rules that a round was opened under, whatever was published since."""
    versions = round_.policies.select_related("policy").order_by("policy__name")
    return _together((version, document_of(version)) for version in versions)


def accepted_under(refs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """How a person confirms what cites `refs` (as `PolicyRef.as_dict` writes them); nothing is accepted where a text is gone or changed."""
    found = []
    for ref in refs:
        version = PolicyVersion.objects.filter(
            policy__name=ref["name"], number=ref["number"], digest=ref["digest"]
        ).first()
        if version is None:
            return ()
        found.append(version)
    return _together((version, document_of(version)) for version in found).reauthentication


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
    pairs = list(versions)
    moments = [version.published_at for version, _ in pairs]
    known = [moment for moment in moments if moment is not None]
    return Rules(
        tuple((PolicyRef(version.policy.name, version.number, version.digest), text) for version, text in pairs),
        max(known) if known and len(known) == len(moments) else None,
    )
