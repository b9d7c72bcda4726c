"""Writing access policies and putting them in force: by two people, the second of whom has seen who would lose access.

Nothing here is governed by an access policy itself, so whoever holds the permissions can always replace a bad one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.contrib.auth.models import Group
from django.db.models import Max
from django.utils import timezone

from access.catalogue import Permission
from access.entry.asking import policies_in_force, stages
from access.entry.deciding import PolicyInForce, set_digest
from access.entry.documents import EntryDocument, examine, parse
from access.entry.models import AccessPolicy, AccessPolicyPublication, AccessPolicyVersion
from access.entry.rehearsal import rehearse
from access.permissions import permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from audit.payload import Json
from foundation.documents import Flaw, refusal
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound

MAX_NOTE: Final = 300
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
Status = AccessPolicyVersion.Status


@governed(Action.ACCESS_POLICY_DRAFT)
def draft_access_policy(name: str, content: Mapping[str, Any], *, note: str = "", by: Principal) -> AccessPolicyVersion:
    """Save the draft of the next version, a first one where there is no such policy. It changes nothing until it is published."""
    permit(by, Permission.WRITE_ACCESS_POLICIES)
    document = _sound(name, content)
    return _save_draft(name, document, note=note, retires=False, by=by)


@governed(Action.ACCESS_POLICY_DRAFT)
def draft_retirement(policy: AccessPolicy, *, note: str, by: Principal) -> AccessPolicyVersion:
    """Propose that the policy ends: a draft with the text in force, which ends the policy when somebody else publishes it."""
    permit(by, Permission.WRITE_ACCESS_POLICIES)
    current = AccessPolicyVersion.objects.in_force().filter(policy=policy).first()
    if current is None:
        raise Conflict(f"{policy.name} is not in force, so there is nothing to end.", code="not-in-force")
    return _save_draft(policy.name, parse(current.content), note=note, retires=True, by=by)


def publish_access_policy(
    version: AccessPolicyVersion, *, expected_rehearsal: str, by: Principal
) -> AccessPolicyVersion:
    """Put a draft in force, or end its policy: from the next request on, everywhere. Nobody publishes what they wrote.

    `expected_rehearsal` is the digest of the rehearsal that the publisher saw; `Conflict` where it would come out otherwise now.
    """
    version = find_version(version.policy.name, version.number)
    publish = _retire if version.retires else _publish
    return publish(version, expected_rehearsal=expected_rehearsal, by=by)


@governed(Action.ACCESS_POLICY_PUBLISH)
def _publish(version: AccessPolicyVersion, *, expected_rehearsal: str, by: Principal) -> AccessPolicyVersion:
    return _put_in_force(version, Action.ACCESS_POLICY_PUBLISH, expected_rehearsal, by)


@governed(Action.ACCESS_POLICY_RETIRE)
def _retire(version: AccessPolicyVersion, *, expected_rehearsal: str, by: Principal) -> AccessPolicyVersion:
    return _put_in_force(version, Action.ACCESS_POLICY_RETIRE, expected_rehearsal, by)


def find_version(name: str, number: int) -> AccessPolicyVersion:
    """One version of a policy; `NotFound` where there is none."""
    found = (
        AccessPolicyVersion.objects.filter(policy__name=name, number=number)
        .select_related("policy", "published_by")
        .first()
    )
    if found is None:
        raise NotFound(f"There is no version {number} of an access policy {name}.")
    return found


def set_with(version: AccessPolicyVersion) -> list[PolicyInForce]:
    """The texts that would be in force if `version` were published now."""
    others = [one for one in policies_in_force() if one.name != version.policy.name]
    if version.retires:
        return others
    return [*others, PolicyInForce(version.policy.name, version.number, parse(version.content))]


def strangers_in(document: EntryDocument) -> Iterable[Flaw]:
    """Teams and stages that the document names and that do not exist: a misspelt one would be for nothing."""
    known = {"teams": set(Group.objects.values_list("name", flat=True)), "stages": set(stages())}
    for what, names in known.items():
        for name in getattr(document.target, what):
            if name not in names:
                yield Flaw(f"target.{what}", f"There is no {'group' if what == 'teams' else 'stage'} {name}.")


def _sound(name: str, content: Mapping[str, Any]) -> EntryDocument:
    document, flaws = examine(content)
    if not _NAME.fullmatch(name):
        flaws = [Flaw("name", "Use small letters, digits and hyphens, starting with a letter."), *flaws]
    if document is not None:
        flaws = [*flaws, *strangers_in(document)]
    if document is None or flaws:
        raise refusal(flaws)
    return document


def _save_draft(name: str, document: EntryDocument, *, note: str, retires: bool, by: Principal) -> AccessPolicyVersion:
    if len(note) > MAX_NOTE:
        raise Invalid("The note is too long.", errors={"note": f"At most {MAX_NOTE} characters."})
    policy, _ = AccessPolicy.objects.select_for_update().get_or_create(name=name)
    draft = policy.versions.filter(status=Status.DRAFT).first()
    before = _said(draft) if draft else {}
    if draft is None:
        newest: int = policy.versions.aggregate(newest=Max("number"))["newest"] or 0
        draft = AccessPolicyVersion(policy=policy, number=newest + 1)
    draft.content, draft.digest, draft.note, draft.retires = document.as_dict(), document.digest, note.strip(), retires
    draft.save()
    if by.user is not None:
        draft.authors.add(by.user)
    append(Action.ACCESS_POLICY_DRAFT, by=by, obj=draft.ledger_ref(), before=before, after=_said(draft))
    return draft


def _said(draft: AccessPolicyVersion) -> dict[str, Json]:
    return {"digest": draft.digest, "retires": draft.retires, "note": draft.note}


def _put_in_force(
    version: AccessPolicyVersion, action: Action, expected_rehearsal: str, by: Principal
) -> AccessPolicyVersion:
    # Every policy, so that two publications at once see each other's set.
    list(AccessPolicy.objects.select_for_update().order_by("pk"))
    version = AccessPolicyVersion.objects.locked(version.pk)
    permit(by, Permission.PUBLISH_ACCESS_POLICIES)
    if version.status != Status.DRAFT:
        raise Conflict(f"{version} is published already; only a draft is published.", code="not-a-draft")
    if by.user is None or version.authors.filter(pk=by.user.pk).exists():
        raise Forbidden(
            f"You wrote {version}. Somebody else who may publish access policies has to put it in force.",
            code="own-draft",
        )
    after = _set_after(version)
    if rehearse(version, after).digest != expected_rehearsal:
        raise Conflict(
            "Who would lose access is not what you were shown: the draft, the other policies or the people have changed since. "
            "Look at the rehearsal again.",
            code="rehearsal-stale",
        )
    version.status, version.published_at, version.published_by = Status.PUBLISHED, timezone.now(), by.user
    version.save(update_fields=["status", "published_at", "published_by"])
    published = AccessPolicyPublication.objects.create(
        version=version, set_digest=set_digest(after), rehearsal=expected_rehearsal, by=by.user
    )
    append(
        action,
        by=by,
        obj=version.ledger_ref(),
        after={"digest": version.digest, "set": published.set_digest, "rehearsal": expected_rehearsal},
    )
    return version


def _set_after(version: AccessPolicyVersion) -> list[PolicyInForce]:
    document = parse(version.content)
    if not version.retires and (strange := list(strangers_in(document))):
        raise refusal(strange)
    return set_with(version)
