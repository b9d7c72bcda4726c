"""The pages of admission policies: list, text, differences between versions, drafting and publishing."""

from __future__ import annotations

import difflib
import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of
from foundation.numbers import whole_number
from foundation.refusals import Invalid, NotFound, Refusal, Unauthenticated
from reviews.actions import draft_policy, publish_policy
from reviews.actions.drafts import checked as check_policy
from reviews.facts import EXISTS, OWN_FIELDS
from reviews.forms import PolicyForm, show_refusal
from reviews.models import Policy, PolicyVersion
from reviews.policies import PolicyDocument, examine, read
from reviews.rulebook import document_of
from reviews.views.receipts import receipt_sentence


@require_GET
def policies(request: HttpRequest) -> HttpResponse:
    """All policies with the version in force and the draft that waits."""
    by = _signed_in(request)
    rows = []
    for one in Policy.objects.prefetch_related("versions__published_by", "versions__created_by"):
        versions = list(one.versions.all())
        in_force = next((version for version in versions if version.status == PolicyVersion.Status.PUBLISHED), None)
        waiting = next((version for version in versions if version.status == PolicyVersion.Status.DRAFT), None)
        rows.append((one, in_force, document_of(in_force) if in_force else None, waiting))
    return render(request, "reviews/policies.html", {"rows": rows, "may_write": by.allows(Permission.WRITE_POLICIES)})


@require_GET
def policy(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The text of one version, as tables; `?against=` shows the difference to another version."""
    by = _signed_in(request)
    version = _version(name, number)
    document, _ = examine(version.content)
    against = whole_number(request.GET.get("against", ""))
    other = _version(name, against) if against is not None else None
    context = {
        "version": version,
        "document": document,
        "text": _text(version),
        "versions": version.policy.versions.all(),
        "other": other,
        "difference": _difference(other, version) if other else [],
        "may_write": by.allows(Permission.WRITE_POLICIES),
        "may_publish": by.allows(Permission.PUBLISH_POLICIES) and version.created_by_id != getattr(by.user, "pk", None),
    }
    return render(request, "reviews/policy.html", context)


@require_http_methods(["GET", "POST"])
def draft(request: HttpRequest) -> HttpResponse:
    """Write or change a draft; every expression is type-checked, with the position of what is wrong."""
    by = _signed_in(request)
    permit(by, Permission.WRITE_POLICIES)
    form = PolicyForm(request.POST or None, initial=PolicyForm.of(_newest(request.GET.get("from", ""))))
    checked: PolicyDocument | None = None
    flaws: list[dict[str, object]] = []
    if request.method == "POST" and form.is_valid():
        try:
            content = read(form.cleaned_data["text"])
            if "check" in request.POST:
                checked = check_policy(content)
            else:
                saved = draft_policy(form.cleaned_data["name"], content, note=form.cleaned_data["note"], by=by)
                messages.success(request, f"{saved} is saved as a draft. Somebody else publishes it.")
                return redirect("reviews:policy", saved.policy.name, saved.number)
        except Refusal as refusal:
            flaws = refusal.extra.get("flaws", [])
            show_refusal(form, Invalid(refusal.detail) if flaws else refusal)
    context = {"form": form, "flaws": flaws, "checked": checked, "fields": (*OWN_FIELDS, EXISTS)}
    return render(request, "reviews/policy_draft.html", context, status=400 if form.errors else 200)


@require_POST
def publish(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Put a draft in force."""
    by = _signed_in(request)
    version = publish_policy(_version(name, number), by=by)
    messages.success(
        request,
        f"{version} is in force. Open reviews under the earlier version need a new round. "
        f"{receipt_sentence(version.receipt)}",
    )
    return redirect("reviews:policy", name, version.number)


def _signed_in(request: HttpRequest) -> Principal:
    by = principal_of(request)
    if by.is_anonymous:
        raise Unauthenticated("Sign in to read the policies.")
    return by


def _version(name: str, number: int) -> PolicyVersion:
    found = (
        PolicyVersion.objects.filter(policy__name=name, number=number)
        .select_related("policy", "created_by", "published_by")
        .first()
    )
    if found is None:
        raise NotFound(f"There is no version {number} of a policy {name}.")
    return found


def _newest(name: str) -> PolicyVersion | None:
    return PolicyVersion.objects.filter(policy__name=name).select_related("policy").order_by("-number").first()


def _text(version: PolicyVersion) -> str:
    return json.dumps(version.content, indent=2, ensure_ascii=False)


def _difference(before: PolicyVersion, after: PolicyVersion) -> list[tuple[str, str]]:
    """Lines with `added`, `removed` or empty; unchanged stretches are left out but for two lines around."""
    lines = difflib.unified_diff(_text(before).splitlines(), _text(after).splitlines(), lineterm="", n=2)
    kinds = {"+": "added", "-": "removed"}
    return [(kinds.get(line[:1], ""), line) for line in lines if not line.startswith(("---", "+++"))]
