"""Writing policies: a draft may be edited, a published text never changes. Nobody edits the rules of their own round."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.models import Stage
from reviews.actions.cases import person_of
from reviews.models import Policy, PolicyVersion, Review
from reviews.policies import Flaw, PolicyDocument, parse, refusal
from reviews.rulebook import document_of

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@governed(Action.POLICY_DRAFT)
def draft_policy(name: str, content: Mapping[str, Any], *, note: str = "", by: Principal) -> PolicyVersion:
    """Save a draft of the next version of the policy `name`, or change the draft that there is. Type-checks every expression."""
    permit(by, Permission.WRITE_POLICIES)
    person = person_of(by)
    if not _NAME.fullmatch(name):
        sentence = "Use small letters, digits and hyphens, at most 63, for the name."
        raise Invalid(sentence, errors={"name": sentence})
    if len(note) > 300:
        raise Invalid("The note is too long.", errors={"note": "At most 300 characters."})
    document = checked(content)
    policy, created = Policy.objects.get_or_create(name=name, defaults={"title": document.title})
    policy = Policy.objects.select_for_update().get(pk=policy.pk)
    draft = policy.versions.filter(status=PolicyVersion.Status.DRAFT).first()
    before = {"digest": draft.digest} if draft else None
    if draft is None:
        newest = policy.versions.order_by("-number").first()
        draft = PolicyVersion(policy=policy, number=newest.number + 1 if newest else 1)
    draft.content, draft.digest, draft.note = document.as_dict(), document.digest, note.strip()
    draft.created_by, draft.created_at = person, timezone.now()
    draft.save()
    append(
        Action.POLICY_DRAFT,
        by=by,
        obj=draft.ledger_ref(),
        before=before,
        after={"digest": draft.digest, "new": created},
    )
    return draft


@governed(Action.POLICY_PUBLISH)
def publish_policy(version: PolicyVersion, *, by: Principal) -> PolicyVersion:
    """Put a draft in force and retire the version before it. Open reviews under it need a new round; what is live stays live."""
    permit(by, Permission.PUBLISH_POLICIES)
    person = person_of(by)
    policy = Policy.objects.select_for_update().get(pk=version.policy_id)
    version = PolicyVersion.objects.select_for_update().get(pk=version.pk)
    version.policy = policy
    if version.status != PolicyVersion.Status.DRAFT:
        raise Conflict(
            f"{version} is {version.get_status_display().lower()} already; write a new draft.", code="not-a-draft"
        )
    document = checked(version.content)
    if document.digest != version.digest:
        raise Conflict(
            "The draft's text does not match its digest. Save it again, then publish.", code="policy-damaged"
        )
    _refuse_own_author(version, person.pk)
    in_force = policy.versions.filter(status=PolicyVersion.Status.PUBLISHED)
    for text in (document, *map(document_of, in_force)):
        _refuse_own_rounds(text, person.pk)
    in_force.update(status=PolicyVersion.Status.RETIRED)
    version.status, version.published_by, version.published_at = PolicyVersion.Status.PUBLISHED, person, timezone.now()
    version.save(update_fields=["status", "published_by", "published_at"])
    Policy.objects.filter(pk=policy.pk).update(title=document.title)
    version.receipt = append(
        Action.POLICY_PUBLISH,
        by=by,
        obj=version.ledger_ref(),
        before={"status": "draft"},
        after={"status": "published", "digest": version.digest},
    )
    return version


def checked(content: Mapping[str, Any]) -> PolicyDocument:
    """The document, type-checked, with groups and stage that exist; raises `Invalid` naming everything that is wrong."""
    document = parse(content)
    flaws = []
    if not Stage.objects.filter(name=document.applies_to.stage).exists():
        stages = ", ".join(Stage.objects.values_list("name", flat=True))
        flaws.append(
            Flaw("applies_to.stage", f"There is no stage {document.applies_to.stage}; the stages are {stages}.")
        )
    groups = set(Group.objects.values_list("name", flat=True))
    for number, slot in enumerate(document.slots):
        for field in ("group", "alternates"):
            name = getattr(slot, field)
            if name and name not in groups:
                flaws.append(
                    Flaw(
                        f"slots[{number}].{field}",
                        f"There is no group {name}; the groups are {', '.join(sorted(groups))}.",
                    )
                )
    if flaws:
        raise refusal(flaws)
    return document


def _refuse_own_author(version: PolicyVersion, person: int) -> None:
    """A second person publishes: a policy decides what others may release, so nobody puts their own text in force alone."""
    if version.created_by_id == person:
        raise Forbidden(
            "You wrote this draft; somebody else who may publish policies has to put it in force.", code="own-draft"
        )


def _refuse_own_rounds(document: PolicyDocument, person: int) -> None:
    """No self-weakening: nobody changes the rules of a round that they asked for, nor takes them off it (hence the text in force too)."""
    own = Review.objects.open().filter(
        requested_by=person, stage__name=document.applies_to.stage, version__model__tier__in=document.applies_to.tiers
    )
    if own.exists():
        raise Forbidden(
            f"This policy governs a review that you requested ({own[0]}). Nobody changes the rules of their own round.",
            code="own-round",
        )
