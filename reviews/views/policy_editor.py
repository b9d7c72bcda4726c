"""Writing a policy: one draft as a form or as text, with every expression checked while it is typed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, permit
from access.principal import Principal
from foundation.documents import Flaw, read
from foundation.readable import readable_json
from foundation.refusals import NotFound, Refusal
from registry.models import Stage
from reviews.actions import draft_policy
from reviews.actions.drafts import MAX_NOTE, strangers_in
from reviews.facts import EXISTS, OWN_FIELDS, FactField
from reviews.models import Policy, PolicyVersion
from reviews.policies import examine
from reviews.policy_forms import BEGINNING, check_expression, content_of, form_view, operated
from reviews.views.policies import signed_in

FORM, TEXT = "form", "text"
Status = PolicyVersion.Status


@require_http_methods(["GET", "POST"])
def new_policy(request: HttpRequest) -> HttpResponse:
    """The editor for a policy that does not exist yet."""
    by = signed_in(request)
    permit(by, Permission.WRITE_POLICIES)
    return _edit(request, by, name=request.POST.get("name", "").strip(), content=BEGINNING, note="", version=None)


@require_http_methods(["GET", "POST"])
def edit_policy(request: HttpRequest, name: str) -> HttpResponse:
    """The editor for the next version: its draft, or the newest text to start from."""
    by = signed_in(request)
    permit(by, Permission.WRITE_POLICIES)
    policy = Policy.objects.filter(name=name).first()
    newest = policy.versions.order_by("-number").first() if policy else None
    if newest is None:
        raise NotFound(f"There is no policy {name}.")
    if newest.status == Status.PROPOSED:
        messages.info(request, f"{newest} waits for its signatures. Take it back to a draft to change it.")
        return redirect("reviews:policy", name, newest.number)
    is_draft = newest.status == Status.DRAFT
    return _edit(
        request,
        by,
        name=name,
        content=newest.content,
        note=newest.note if is_draft else "",
        version=newest,
    )


def _edit(
    request: HttpRequest,
    by: Principal,
    *,
    name: str,
    content: Any,
    note: str,
    version: PolicyVersion | None,
) -> HttpResponse:
    view = TEXT if request.GET.get("view") == TEXT else FORM
    text, status = _as_text(content), 200
    flaws: list[Flaw] = []
    operation = ""
    if request.method == "POST":
        operation = request.POST.get("op", "check")
        note = request.POST.get("note", "")
        view, content, text, flaws = _typed(request, operation)
        if not flaws and operation in {"save", "check"}:
            flaws = _all_flaws(content)
        if not flaws and operation == "save":
            try:
                saved = draft_policy(name, content, note=note, by=by)
            except Refusal as refusal:
                flaws = _flaws_of(refusal)
            else:
                messages.success(
                    request, f"{saved} is saved as a draft. It changes nothing until it is proposed and signed."
                )
                return redirect("reviews:policy", saved.policy.name, saved.number)
        status = 400 if flaws and operation in {"save", "check"} else 200
    context = {
        "name": name,
        "note": note,
        "max_note": MAX_NOTE,
        "version": version,
        "view": view,
        "text": text,
        "form": _drawn(content, flaws, pristine=request.method == "GET") if view == FORM else None,
        "flaws": flaws,
        "checked": operation == "check" and not flaws,
        "fields": (*OWN_FIELDS, EXISTS),
        "counts": {part: len(content.get(part) or []) for part in ("gates", "slots", "tiles")}
        if isinstance(content, dict)
        else {},
    }
    return render(request, "reviews/policy_edit.html", context, status=status)


def _typed(request: HttpRequest, operation: str) -> tuple[str, dict[str, Any], str, list[Flaw]]:
    """What was typed, as view, content, text and flaws; the view stays a text where a form could not show it."""
    if request.POST.get("view") != TEXT:
        content = operated(content_of(request.POST), operation)
        return (TEXT if operation == TEXT else FORM), content, _as_text(content), []
    text = request.POST.get("text", "").replace("\r\n", "\n")
    try:
        content = read(text)
    except Refusal as refusal:
        return TEXT, {}, text, _flaws_of(refusal)
    document, flaws = examine(content)
    if operation == FORM and document is not None:
        return FORM, content, text, []
    return TEXT, content, text, flaws if operation == FORM or document is None else []


def _all_flaws(content: dict[str, Any]) -> list[Flaw]:
    document, flaws = examine(content)
    return [*flaws, *(strangers_in(document) if document else [])]


def _flaws_of(refusal: Refusal) -> list[Flaw]:
    rows = refusal.extra.get("flaws")
    if rows:
        return [Flaw(**row) for row in rows]
    errors = getattr(refusal, "errors", None) or {"policy": refusal.detail}
    return [Flaw(where, sentence) for where, sentence in errors.items()]


def _drawn(content: dict[str, Any], flaws: list[Flaw], *, pristine: bool) -> Any:
    return form_view(
        content,
        flaws,
        stages=[(stage.name, stage.title) for stage in Stage.objects.all()],
        groups=list(Group.objects.order_by("name").values_list("name", flat=True)),
        check=not pristine,
    )


def _as_text(content: Any) -> str:
    return readable_json(content)


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """What one expression gives, or where it is wrong; for the editor, while it is typed. `name` names the control that holds it."""
    permit(signed_in(request), Permission.WRITE_POLICIES)
    name = request.POST.get("check", "")
    boolean = request.POST.get("boolean", "1") == "1"
    expression = request.POST.get(name, "")
    checked = check_expression(expression.replace("\r\n", "\n").strip(), boolean=boolean, optional=not boolean)
    return render(request, "reviews/_expression.html", {"checked": checked})


@require_GET
def fields(request: HttpRequest) -> HttpResponse:
    """The facts that a rule may use, searched by name and meaning; as a page, or as the table for the editor."""
    signed_in(request)
    query = request.GET.get("q", "").strip()[:80]
    words = query.casefold().split()
    everything = (*OWN_FIELDS, EXISTS)
    found = [one for one in everything if all(word in _searched(one) for word in words)]
    context = {"fields": found, "query": query, "total": len(everything)}
    template = "reviews/_fields.html" if request.GET.get("part") else "reviews/policy_fields.html"
    return render(request, template, context)


def _searched(one: FactField) -> str:
    return f"{one.name} {one.type} {one.meaning}".casefold()
