"""Writing policies: a draft may be edited, a proposed one waits for its signatures, and a published text never changes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.documents import Flaw, refusal
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.actions import tell
from notices.models import Notification
from registry.models import Stage
from reviews.actions.cases import person_of
from reviews.actions.rehearsals import begin_rehearsal
from reviews.models import Policy, PolicyVersion, Review
from reviews.people import members
from reviews.policies import PolicyDocument, parse
from reviews.publication import Needs
from reviews.rulebook import in_force

MAX_NOTE: Final = 300
MAX_NAME: Final = 63
_NAME: Final = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{MAX_NAME - 1}}}")
Status = PolicyVersion.Status


@governed(Action.POLICY_DRAFT)
def draft_policy(name: str, content: Mapping[str, Any], *, note: str = "", by: Principal) -> PolicyVersion:
    """Save a draft of the next version of the policy `name`, or change the draft that there is. Type-checks every expression."""
    permit(by, Permission.WRITE_POLICIES)
    person = person_of(by)
    if not _NAME.fullmatch(name):
        sentence = "Use small letters, digits and hyphens, at most 63, for the name."
        raise Invalid(sentence, errors={"name": sentence})
    if len(note) > MAX_NOTE:
        raise Invalid("The note is too long.", errors={"note": f"At most {MAX_NOTE} characters."})
    document = checked(content)
    _check_lengths(name, document)
    policy, created = Policy.objects.get_or_create(name=name, defaults={"title": document.title})
    policy = Policy.objects.select_for_update().get(pk=policy.pk)
    draft = policy.versions.filter(status__in=[Status.DRAFT, Status.PROPOSED]).first()
    if draft is not None and draft.status == Status.PROPOSED:
        raise Conflict(
            f"{draft} waits for its signatures and cannot be changed. Its author can take it back to a draft first.",
            code="policy-proposed",
            link=page_of(draft),
        )
    before = {"digest": draft.digest} if draft else None
    if draft is None:
        newest = policy.versions.order_by("-number").first()
        draft = PolicyVersion(policy=policy, number=newest.number + 1 if newest else 1)
    draft.content, draft.digest, draft.note = document.as_dict(), document.digest, note.strip()
    draft.created_by, draft.created_at = person, timezone.now()
    draft.save()
    draft.authors.add(person)
    append(
        Action.POLICY_DRAFT,
        by=by,
        obj=draft.ledger_ref(),
        before=before,
        after={"digest": draft.digest, "new": created},
    )
    return draft


@governed(Action.POLICY_PROPOSE)
def propose_policy(version: PolicyVersion, *, by: Principal) -> PolicyVersion:
    """Freeze a draft and put it before its signers, with a rehearsal of what it would change. Whoever proposes it is an author of it."""
    permit(by, Permission.WRITE_POLICIES)
    person = person_of(by)
    version = locked_policy_version(version)
    if version.status != Status.DRAFT:
        raise Conflict(
            f"{version} is {version.get_status_display().lower()} already; write a new draft.", code="not-a-draft"
        )
    document = sound_document(version)
    version.authors.add(person)
    authors = list(version.authors.all())
    texts = [document, *(text for _, text in in_force(version.policy))]
    for author in authors:
        refuse_own_rounds(texts, author, by=person)
    version.status, version.proposed_at = Status.PROPOSED, timezone.now()
    version.save(update_fields=["status", "proposed_at"])
    append(
        Action.POLICY_PROPOSE,
        by=by,
        obj=version.ledger_ref(),
        before={"status": "draft"},
        after={"status": "proposed", "digest": version.digest},
    )
    begin_rehearsal(version, by=by)
    tell(
        possible_signers(version, document),
        event=f"policy:{version.pk}:proposed:{version.proposed_at.isoformat()}",
        kind=Notification.Kind.TURN,
        title=f"{version} waits for your signature",
        body=f"{person} proposes it. {version.note}".strip(),
        link=page_of(version),
    )
    return version


@governed(Action.POLICY_RETURN)
def take_back_policy(version: PolicyVersion, *, by: Principal) -> PolicyVersion:
    """An author takes a proposed text back to a draft; signatures that it had stay on record and count for nothing any more."""
    permit(by, Permission.WRITE_POLICIES)
    person = person_of(by)
    version = locked_policy_version(version)
    if version.status != Status.PROPOSED:
        raise Conflict(
            f"{version} is {version.get_status_display().lower()}; only a proposed text can be taken back.",
            code="not-proposed",
        )
    if not version.authors.filter(pk=person.pk).exists():
        names = ", ".join(map(str, version.authors.all()))
        raise Forbidden(
            f"Only its authors ({names}) take a proposed text back. Its signers can send it back.", code="not-author"
        )
    return_to_draft(version, "taken back", by=by)
    return version


def return_to_draft(version: PolicyVersion, why: str, *, by: Principal) -> None:
    """Proposed to draft, inside the transaction of the action that decided it."""
    version.status = Status.DRAFT
    version.save(update_fields=["status"])
    append(
        Action.POLICY_RETURN,
        by=by,
        obj=version.ledger_ref(),
        before={"status": "proposed"},
        after={"status": "draft", "why": why},
    )


def locked_policy_version(version: PolicyVersion) -> PolicyVersion:
    """The version, read anew, with its policy and itself locked until the transaction ends: two publications queue here."""
    policy = Policy.objects.select_for_update().get(pk=version.policy_id)
    fresh = PolicyVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    fresh.policy = policy
    return fresh


def sound_document(version: PolicyVersion) -> PolicyDocument:
    """The text, type-checked again; raises `Conflict` when it is not what its digest says."""
    document = checked(version.content)
    if document.digest != version.digest:
        raise Conflict(
            "The text does not match its digest. Save the draft again, then propose it.", code="policy-damaged"
        )
    return document


def checked(content: Mapping[str, Any]) -> PolicyDocument:
    """The document, type-checked, with groups and stage that exist; raises `Invalid` naming everything that is wrong."""
    document = parse(content)
    flaws = strangers_in(document)
    if flaws:
        raise refusal(flaws)
    return document


def _check_lengths(name: str, document: PolicyDocument) -> None:
    """Where two policies use one key, it is joined with the name of the second: that has to fit, too."""
    keys = {"gates": [gate.key for gate in document.gates], "slots": [slot.key for slot in document.slots]}
    flaws = [
        Flaw(
            f"{part}[{number}].key",
            f"Together with the policy's name, {name}, this is longer than {MAX_NAME - 1} characters.",
        )
        for part, given in keys.items()
        for number, key in enumerate(given)
        if len(key) + len(name) > MAX_NAME - 1
    ]
    if flaws:
        raise refusal(flaws)


def strangers_in(document: PolicyDocument) -> list[Flaw]:
    """The stage and groups that a document names and that this installation does not have."""
    flaws = []
    if not Stage.objects.filter(name=document.applies_to.stage).exists():
        stages = ", ".join(Stage.objects.values_list("name", flat=True))
        flaws.append(
            Flaw("applies_to.stage", f"There is no stage {document.applies_to.stage}; the stages are {stages}.")
        )
    groups = set(Group.objects.values_list("name", flat=True))
    named = [
        (f"slots[{number}].{field}", getattr(slot, field))
        for number, slot in enumerate(document.slots)
        for field in ("group", "alternates")
    ]
    named += [
        ("changed_by.group", document.changed_by.group),
        ("break_glass.seconded_by", document.break_glass.seconded_by),
    ]
    if document.overdue is not None:
        named.append(("overdue.to", document.overdue.to))
    flaws += [
        Flaw(where, f"There is no group {name}; the groups are {', '.join(sorted(groups))}.")
        for where, name in named
        if name and name not in groups
    ]
    return flaws


def needs_of(version: PolicyVersion, document: PolicyDocument) -> Needs:
    """Whose signatures put `version` in force."""
    return Needs.of(document, next(iter(in_force(version.policy)), None))


def possible_signers(version: PolicyVersion, document: PolicyDocument) -> list[User]:
    """The active people of the group that is asked, without the authors; whether they may publish is asked when they sign."""
    accounts = [one.account for one in members([needs_of(version, document).group])]
    return list(User.objects.filter(pk__in=accounts).exclude(pk__in=version.authors.all()).order_by("username"))


def refuse_own_rounds(texts: list[PolicyDocument], person: User, *, by: User) -> None:
    """No self-weakening: nobody changes the rules of a round that they asked for, nor takes them off it (hence the text in force too)."""
    for text in texts:
        own = Review.objects.open().filter(
            requested_by=person, stage__name=text.applies_to.stage, version__model__tier__in=text.applies_to.tiers
        )
        if own.exists():
            whose = "you requested" if person.pk == by.pk else f"{person}, an author of this draft, requested"
            raise Forbidden(
                f"This policy governs a review that {whose} ({own[0]}). Nobody changes the rules of their own round.",
                code="own-round",
            )


def page_of(version: PolicyVersion) -> str:
    """The address of a policy version's page."""
    return reverse("reviews:policy", args=[version.policy.name, version.number])
