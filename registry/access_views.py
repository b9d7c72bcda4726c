"""The page that says who may do what with one model besides what roles give, and on which its owner or an administrator changes it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from access.forms import show_refusal
from access.permissions import Permission, grant, grants_on, permit, withdraw
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Conflict, Invalid
from registry import queries
from registry.forms import GrantForm
from registry.models import RegisteredModel


@require_http_methods(["GET", "POST"])
def model_access(request: HttpRequest, name: str) -> HttpResponse:
    """Grants on one model; POST gives one more."""
    by = principal_of(request)
    model = _managed(name, by)
    form = GrantForm(request.POST or None, by=by)
    if request.method == "POST" and form.is_valid():
        permission, holder = form.permission(), form.holder()
        try:
            grant(model, permission, to=holder, by=by)
        except Conflict as refusal:
            show_refusal(form, {"holder": refusal.detail}, refusal.detail)
        else:
            messages.success(request, f"{holder} may now {permission.label}, on {model.name}.")
            return redirect("registry:access", model.name)
    context = {"model": model, "grants": grants_on(model), "form": form}
    return render(request, "registry/access.html", context, status=400 if form.errors else 200)


@require_POST
def withdraw_access(request: HttpRequest, name: str) -> HttpResponse:
    """Take one grant back."""
    by = principal_of(request)
    model = _managed(name, by)
    form = GrantForm(request.POST, by=by)
    if not form.is_valid():
        raise Invalid("Choose a grant from the list.")
    permission, holder = form.permission(), form.holder()
    withdraw(model, permission, to=holder, by=by)
    messages.success(request, f"{holder} may no longer {permission.label}, on {model.name}, by a grant.")
    return redirect("registry:access", model.name)


def _managed(name: str, by: Principal) -> RegisteredModel:
    """The model, for who may see it and hand out access to it."""
    model = queries.find_model(name, by)
    if not by.allows(Permission.MANAGE_PEOPLE):
        permit(by, Permission.MANAGE_ACCESS, model)
    return model
