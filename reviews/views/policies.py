"""The pages of admission policies: the list, one version as people read it, and what differs between two versions."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from access.permissions import Permission, visible_to
from access.principal import Principal
from access.requests import principal_of
from foundation.numbers import whole_number
from foundation.readable import readable_json
from foundation.refusals import NotFound, Refusal, Unauthenticated
from registry.models import RegisteredModel, Stage
from reviews.actions.drafts import needs_of, possible_signers
from reviews.actions.publishing import signatures_of_proposal
from reviews.actions.rehearsals import rehearsal_of, rehearsal_under_way
from reviews.models import Approval, Policy, PolicySignature, PolicyVersion, Review
from reviews.policies import PolicyDocument, examine
from reviews.policy_changes import difference
from reviews.publication import Needs
from reviews.rulebook import in_force
from reviews.shipped import is_shipped

Status = PolicyVersion.Status
STATES = (("", "All"), ("in-force", "In force"), ("proposed", "Waiting for signatures"), ("draft", "Draft"))


@dataclass(frozen=True)
class Row:
    """One policy of the list."""

    policy: Policy
    in_force: PolicyVersion | None
    document: PolicyDocument | None
    waiting: PolicyVersion | None
    unsigned: PolicyVersion | None

    @property
    def newest(self) -> PolicyVersion | None:
        """The version that the row leads to."""
        return self.in_force or self.waiting or self.unsigned


@require_GET
def policies(request: HttpRequest) -> HttpResponse:
    """All policies with the version in force and the one that waits, filtered by stage, tier and state."""
    by = signed_in(request)
    stage, tier, state = (request.GET.get(name, "") for name in ("stage", "tier", "state"))
    everything = _rows()
    rows = [row for row in everything if _matches(row, stage, tier, state)]
    context = {
        "rows": rows,
        "filtered": len(rows) < len(everything),
        "stage": stage,
        "tier": tier,
        "state": state,
        "stages": Stage.objects.all(),
        "tiers": RegisteredModel.Tier.choices,
        "states": STATES,
        "may_write": by.allows(Permission.WRITE_POLICIES),
    }
    return render(request, "reviews/policies.html", context)


def _rows() -> list[Row]:
    valid = {version.policy_id: (version, text) for version, text in in_force()}
    rows = []
    for one in Policy.objects.prefetch_related("versions__created_by", "versions__published_by"):
        versions = list(one.versions.all())
        waiting = next((version for version in versions if version.status in {Status.DRAFT, Status.PROPOSED}), None)
        claims = next((version for version in versions if version.status == Status.PUBLISHED), None)
        version, text = valid.get(one.pk, (None, None))
        document = text or (examine(waiting.content)[0] if waiting else None)
        rows.append(Row(one, version, document, waiting, claims if version is None else None))
    return rows


def _matches(row: Row, stage: str, tier: str, state: str) -> bool:
    scope = row.document.applies_to if row.document else None
    return (
        (not stage or (scope is not None and scope.stage == stage))
        and (not tier or (scope is not None and tier in map(str, scope.tiers)))
        and (
            not state
            or (state == "in-force" and row.in_force is not None)
            or (row.waiting is not None and row.waiting.status == state)
        )
    )


@require_GET
def policy(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """One version, readable: who signs, gates with their sources, times; its signatures, where it is used, its history."""
    by = signed_in(request)
    version = find_policy_version(name, number)
    if against := whole_number(request.GET.get("against", "")):
        return redirect(f"{_diff_address(name)}?from={against}&to={number}")
    document, flaws = examine(version.content)
    versions = list(version.policy.versions.select_related("created_by", "published_by"))
    waiting = next((one for one in versions if one.status in {Status.DRAFT, Status.PROPOSED}), None)
    needs = _needs(version, document)
    context = {
        "version": version,
        "document": document,
        "flaws": flaws,
        "text": readable_json(version.content),
        "versions": versions,
        "previous": next((one for one in versions if one.number < version.number), None),
        "authors": list(version.authors.all()),
        "signatures": version.signatures.select_related("person"),
        "ships": version.created_by_id is None and is_shipped(name, number, version.content),
        "unsigned": _is_unsigned(version),
        "waiting": waiting,
        "needs": needs,
        "given": _given(version),
        "signers": possible_signers(version, document) if document and version.status == Status.PROPOSED else [],
        "rehearsal": rehearsal_of(version),
        "rehearsing": rehearsal_under_way(version),
        "reviews": _reviews_under(version, by),
        "approvals": _approvals_under(version, by),
        "may_write": by.allows(Permission.WRITE_POLICIES),
        "may_sign": _may_sign(version, needs, by),
        "is_author": by.user is not None and version.authors.filter(pk=by.user.pk).exists(),
    }
    return render(request, "reviews/policy.html", context)


@require_GET
def policy_diff(request: HttpRequest, name: str) -> HttpResponse:
    """What differs between two versions, by gate, slot and tile; `?from=` and `?to=`, by default the version in force and the newest."""
    signed_in(request)
    versions = list(PolicyVersion.objects.filter(policy__name=name).select_related("policy").order_by("-number"))
    if not versions:
        raise NotFound(f"There is no policy {name}.")
    after = _chosen(versions, request.GET.get("to", "")) or versions[0]
    earlier = [one for one in versions if one.number < after.number]
    published = next((one for one in earlier if one.status == Status.PUBLISHED), None)
    before = _chosen(versions, request.GET.get("from", "")) or published or (earlier[0] if earlier else after)
    documents = [examine(one.content)[0] for one in (before, after)]
    context = {
        "policy": after.policy,
        "versions": versions,
        "before": before,
        "after": after,
        "difference": difference(documents[0], documents[1]) if documents[0] and documents[1] else None,
    }
    return render(request, "reviews/policy_diff.html", context)


@require_GET
def policy_export(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The text of one version as a JSON file, as it is hashed."""
    signed_in(request)
    version = find_policy_version(name, number)
    text = json.dumps(version.content, indent=2, ensure_ascii=False) + "\n"
    answer = HttpResponse(text, content_type="application/json; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name}-{number}.json"'
    return answer


def signed_in(request: HttpRequest) -> Principal:
    """Whoever asks; raises `Unauthenticated` for nobody."""
    by = principal_of(request)
    if by.is_anonymous:
        raise Unauthenticated("Sign in to read the policies.")
    return by


def find_policy_version(name: str, number: int) -> PolicyVersion:
    """One version of a policy."""
    found = (
        PolicyVersion.objects.filter(policy__name=name, number=number)
        .select_related("policy", "created_by", "published_by")
        .first()
    )
    if found is None:
        raise NotFound(f"There is no version {number} of a policy {name}.")
    return found


def _diff_address(name: str) -> str:
    return f"/policies/{name}/diff/"


def _chosen(versions: list[PolicyVersion], number: str) -> PolicyVersion | None:
    wanted = whole_number(number)
    return next((one for one in versions if one.number == wanted), None)


def _needs(version: PolicyVersion, document: PolicyDocument | None) -> Needs | None:
    """Whose signatures it waits for, or would."""
    if document is None or version.status not in {Status.DRAFT, Status.PROPOSED}:
        return None
    try:
        return needs_of(version, document)
    except Refusal:
        return None


def _given(version: PolicyVersion) -> int:
    if version.status != Status.PROPOSED:
        return 0
    return sum(one.decision == PolicySignature.Decision.APPROVE for one in signatures_of_proposal(version))


def _may_sign(version: PolicyVersion, needs: Needs | None, by: Principal) -> bool:
    """Whether the button is drawn; the action decides again."""
    return bool(
        version.status == Status.PROPOSED
        and needs
        and by.user is not None
        and by.allows(Permission.PUBLISH_POLICIES)
        and by.user.groups.filter(name=needs.group).exists()
        and not version.authors.filter(pk=by.user.pk).exists()
        and not any(one.person_id == by.user.pk for one in signatures_of_proposal(version))
    )


def _is_unsigned(version: PolicyVersion) -> bool:
    """Whether the row says published and no signatures stand behind it."""
    if version.status != Status.PUBLISHED:
        return False
    return all(one.pk != version.pk for one, _ in in_force(version.policy))


def _reviews_under(version: PolicyVersion, by: Principal) -> list[Review]:
    rows = (
        Review.objects.open()
        .filter(rounds__policies=version, rounds__state="open")
        .select_related("version__model", "stage")
    )
    return list(visible_to(rows, by, Permission.SEE_MODEL, through="version__model").distinct()[:50])


def _approvals_under(version: PolicyVersion, by: Principal) -> list[Approval]:
    rows = (
        Approval.objects.filter(round__policies=version, revocation=None, lapse=None)
        .select_related("version__model", "stage")
        .order_by("-approved_at")
    )
    return list(visible_to(rows, by, Permission.SEE_MODEL, through="version__model")[:50])
