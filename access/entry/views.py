"""The pages of access policies: the list, the editor, one version with who would lose access, and putting it in force."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.entry.actions import (
    MAX_NOTE,
    draft_access_policy,
    draft_retirement,
    find_version,
    publish_access_policy,
    set_with,
    strangers_in,
)
from access.entry.documents import examine
from access.entry.language import FIELDS, examined
from access.entry.models import AccessPolicy, AccessPolicyVersion
from access.entry.rehearsal import Rehearsal, rehearse
from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of
from audit.actions import append_alone
from audit.events import Action
from foundation.documents import Flaw, read
from foundation.readable import readable_json
from foundation.refusals import NotFound, Refusal
from foundation.spreadsheets import Cell, csv_response

Status = AccessPolicyVersion.Status
COLUMNS = ("account", "kind", "action", "loses", "on terms only", "gains", "first of them")
BEGINNING: dict[str, Any] = {
    "title": "",
    "summary": "",
    "target": {"actions": ["read", "pull", "score"], "models": [], "teams": [], "tiers": [1], "stages": []},
    "rules": [
        {
            "key": "office",
            "effect": "allow",
            "when": 'network.within("10.0.0.0/8")',
            "because": "Models of tier 1 are for the office network.",
            "satisfy": "Connect to the office network.",
        }
    ],
    "format": 1,
}


def _reader(request: HttpRequest) -> Principal:
    """Who may read access policies: whoever writes or publishes them, or sees who there is."""
    by = principal_of(request)
    if not any(by.allows(one) for one in (Permission.WRITE_ACCESS_POLICIES, Permission.PUBLISH_ACCESS_POLICIES)):
        permit(by, Permission.SEE_PEOPLE)
    return by


@require_GET
def policies(request: HttpRequest) -> HttpResponse:
    """All access policies, nearest to the model first, with the version in force and the draft that waits."""
    by = _reader(request)
    query = request.GET.get("q", "").strip()[:80]
    current = {version.policy_id: version for version in AccessPolicyVersion.objects.in_force()}
    drafts = {one.policy_id: one for one in AccessPolicyVersion.objects.filter(status=Status.DRAFT)}
    rows = []
    for one in AccessPolicy.objects.all():
        version, draft = current.get(one.pk), drafts.get(one.pk)
        shown = version or draft or one.versions.first()
        if shown is None or query.casefold() not in f"{one.name} {shown.title}".casefold():
            continue
        rows.append(
            {"policy": one, "in_force": version, "draft": draft, "shown": shown, "document": examine(shown.content)[0]}
        )
    context = {"rows": rows, "query": query, "may_write": by.allows(Permission.WRITE_ACCESS_POLICIES)}
    return render(request, "access/policies.html", context)


@require_GET
def policy(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """One version: whom it is for, its rules, its text; a draft with who would lose access, and the button that puts it in force."""
    by = _reader(request)
    version = find_version(name, number)
    document, flaws = examine(version.content)
    current = AccessPolicyVersion.objects.in_force().filter(policy=version.policy).first()
    is_author = by.user is not None and version.authors.filter(pk=by.user.pk).exists()
    is_draft = version.status == Status.DRAFT
    context = {
        "version": version,
        "document": document,
        "flaws": flaws,
        "text": readable_json(version.content),
        "versions": version.policy.versions.select_related("published_by"),
        "authors": version.authors.all(),
        "current": current,
        "is_draft": is_draft,
        "rehearsal": rehearse(version, set_with(version)) if is_draft and document and not flaws else None,
        "may_write": by.allows(Permission.WRITE_ACCESS_POLICIES),
        "may_publish": is_draft and by.allows(Permission.PUBLISH_ACCESS_POLICIES) and not is_author,
        "is_author": is_author,
    }
    return render(request, "access/policy.html", context)


@require_GET
def rehearsal_csv(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Who would lose access, as a table for a spreadsheet."""
    by = _reader(request)
    version = find_version(name, number)
    if version.status != Status.DRAFT:
        raise NotFound(f"{version} is published; only a draft is rehearsed.")
    found = rehearse(version, set_with(version))
    after = {"rehearsal": found.digest}
    append_alone(Action.ACCESS_POLICY_EXPORT, by=by, obj=version.ledger_ref(), after=after)
    return csv_response(f"access-policy-{name}-{number}.csv", COLUMNS, _table(found))


def _table(found: Rehearsal) -> list[list[Cell]]:
    return [
        [
            one.account.username,
            one.account.kind,
            one.doing.value,
            one.lost.count,
            one.on_terms.count,
            one.gained.count,
            " ".join(one.lost.first or one.on_terms.first or one.gained.first),
        ]
        for one in found.changes
    ]


@require_http_methods(["GET", "POST"])
def new_policy(request: HttpRequest) -> HttpResponse:
    """The editor for a policy that does not exist yet."""
    by = principal_of(request)
    permit(by, Permission.WRITE_ACCESS_POLICIES)
    return _edit(request, by, name=request.POST.get("name", "").strip(), content=BEGINNING, version=None)


@require_http_methods(["GET", "POST"])
def edit_policy(request: HttpRequest, name: str) -> HttpResponse:
    """The editor for the next version: its draft, or the newest text to start from."""
    by = principal_of(request)
    permit(by, Permission.WRITE_ACCESS_POLICIES)
    newest = AccessPolicyVersion.objects.filter(policy__name=name).select_related("policy").order_by("-number").first()
    if newest is None:
        raise NotFound(f"There is no access policy {name}.")
    return _edit(request, by, name=name, content=newest.content, version=newest)


def _edit(
    request: HttpRequest, by: Principal, *, name: str, content: dict[str, Any], version: AccessPolicyVersion | None
) -> HttpResponse:
    text, flaws, checked = readable_json(content), list[Flaw](), False
    note = version.note if version is not None and version.status == Status.DRAFT else ""
    if request.method == "POST":
        text, note = request.POST.get("text", "").replace("\r\n", "\n"), request.POST.get("note", "")
        try:
            content = read(text)
            flaws = _flaws_in(content)
            if not flaws and request.POST.get("op") == "save":
                saved = draft_access_policy(name, content, note=note, by=by)
                messages.success(
                    request, f"{saved} is saved as a draft. It changes nothing until somebody else publishes it."
                )
                return redirect("access_policies:policy", saved.policy.name, saved.number)
            checked = not flaws
        except Refusal as refusal:
            flaws = [Flaw(**row) for row in refusal.extra.get("flaws", ())] or [Flaw("policy", refusal.detail)]
    context = {
        "name": name,
        "note": note,
        "max_note": MAX_NOTE,
        "version": version,
        "text": text,
        "flaws": flaws,
        "checked": checked,
        "fields": FIELDS,
    }
    return render(request, "access/policy_edit.html", context, status=400 if flaws else 200)


def _flaws_in(content: dict[str, Any]) -> list[Flaw]:
    document, flaws = examine(content)
    return [*flaws, *(strangers_in(document) if document else ())]


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """What one rule gives, or where it is wrong; for the editor, while it is typed."""
    permit(principal_of(request), Permission.WRITE_ACCESS_POLICIES)
    expression = request.POST.get("rule", "").replace("\r\n", "\n").strip()
    return render(request, "reviews/_expression.html", {"checked": examined(expression)})


@require_POST
def publish(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Put a draft in force, or end its policy, on the strength of the rehearsal that was shown."""
    by = principal_of(request)
    permit(by, Permission.PUBLISH_ACCESS_POLICIES)
    seen = request.POST.get("rehearsal", "")
    version = publish_access_policy(find_version(name, number), expected_rehearsal=seen, by=by)
    said = f"{version.policy.name} has ended" if version.retires else f"{version} is in force"
    messages.success(request, f"{said}, from the next request on.")
    return redirect("access_policies:policy", name, number)


@require_POST
def retire(request: HttpRequest, name: str) -> HttpResponse:
    """Propose that a policy ends; somebody else confirms it by publishing."""
    by = principal_of(request)
    permit(by, Permission.WRITE_ACCESS_POLICIES)
    found = AccessPolicy.objects.filter(name=name).first()
    if found is None:
        raise NotFound(f"There is no access policy {name}.")
    draft = draft_retirement(found, note=request.POST.get("note", "").strip(), by=by)
    messages.success(request, f"That {name} ends is proposed. It stays in force until somebody else publishes this.")
    return redirect("access_policies:policy", name, draft.number)
