"""The pages about deployments: the list, one with its kill switch and how to call it, and the forms that change them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from access.permissions import Permission, permit
from access.principal import Principal
from audit.events import Action
from audit.queries import Filter, LoggedEntry, entries
from foundation.readable import readable_json
from foundation.refusals import Conflict, Invalid, Unauthenticated
from registry.models import Evidence, ModelVersion
from registry.queries import evidence_of
from serving.actions import create_deployment, pause_deployment, resume_deployment
from serving.forms import DeploymentForm, ReasonForm
from serving.models import Deployment
from serving.queries import assigned, deployments_visible_to, find_deployment

RECENT_PULLS: Final = 10
EXAMPLES: Final = {"boolean": True, "integer": 1, "long": 1, "float": 1.0, "double": 1.0}


@require_GET
def deployments(request: HttpRequest) -> HttpResponse:
    """Which version answers where, and how each worker is."""
    by = _by(request)
    context = {
        "deployments": list(deployments_visible_to(by)),
        "may_manage": by.allows(Permission.MANAGE_DEPLOYMENTS),
    }
    return render(request, "serving/deployments.html", context)


@require_GET
def deployment(request: HttpRequest, name: str) -> HttpResponse:
    """One deployment; htmx asks again for the part that changes (`?part=live`)."""
    by = _by(request)
    found = find_deployment(name, by)
    resolved, why_nothing = assigned(found)
    context: dict[str, Any] = {
        "deployment": found,
        "assigned": resolved,
        "why_nothing": why_nothing,
        "may_manage": by.allows(Permission.MANAGE_DEPLOYMENTS),
    }
    if request.GET.get("part") == "live" and getattr(request, "htmx", False):
        return render(request, "serving/deployment.html#live", context)
    may_see_pulls = any(
        by.allows(permission, found.model if permission.on_models else None)
        for permission in (Permission.SEE_AUDIT, Permission.MANAGE_DEPLOYMENTS, Permission.EDIT_MODEL)
    )
    context |= {
        "example": _example(resolved.version if resolved else None),
        "may_see_pulls": may_see_pulls,
        "pulls": _recent_pulls(found) if may_see_pulls else [],
    }
    return render(request, "serving/deployment.html", context)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Set up a scoring endpoint."""
    by = _by(request)
    permit(by, Permission.MANAGE_DEPLOYMENTS)
    form = DeploymentForm(request.POST or None, by=by)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_deployment(**form.cleaned_data, by=by)
        except (Invalid, Conflict) as refusal:
            for field, sentence in (getattr(refusal, "errors", {}) or {"name": refusal.detail}).items():
                form.add_error(field if field in form.fields else None, sentence)
        else:
            messages.success(
                request, f"{made} is set up. Start its worker: manage.py scoring_worker --deployment {made.name}"
            )
            return redirect("serving:deployment", made.name)
    return render(request, "serving/new.html", {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def pause(request: HttpRequest, name: str) -> HttpResponse:
    """The kill switch, or its release: asks for a reason, which confirms it."""
    by = _by(request)
    found = find_deployment(name, by)
    permit(by, Permission.MANAGE_DEPLOYMENTS)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if request.POST.get("change") == "resume":
            resume_deployment(found, reason=form.cleaned_data["reason"], by=by)
            messages.success(request, f"{found} answers again.")
        else:
            pause_deployment(found, reason=form.cleaned_data["reason"], by=by)
            messages.success(request, f"{found} is paused; its worker stops answering within two seconds.")
        return redirect("serving:deployment", found.name)
    return render(
        request, "serving/pause.html", {"form": form, "deployment": found}, status=400 if form.errors else 200
    )


def _by(request: HttpRequest) -> Principal:
    principal: Principal = request.principal  # type: ignore[attr-defined]  # set by PrincipalMiddleware
    if principal.is_anonymous:
        raise Unauthenticated("Log in to see deployments.")
    return principal


def _recent_pulls(deployment: Deployment) -> list[LoggedEntry]:
    return entries(Filter(action=Action.VERSION_PULL, obj=deployment.model.name))[:RECENT_PULLS]


def _example(version: ModelVersion | None) -> str:
    """A request body that fits the version's signature, with placeholder values; none where there is no signature."""
    signature = evidence_of(version).get(Evidence.Kind.SIGNATURE) if version else None
    inputs = signature.content.get("inputs", []) if signature else []
    row = {spec["name"]: EXAMPLES.get(spec["type"], "text") for spec in inputs if "name" in spec}
    return readable_json({"rows": [row]}) if row else ""
