"""The portal's pages about service accounts and their tokens."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from access import actions, queries
from access.changing import change_role_of
from access.forms import NewAccount, NewToken, accepted, show_refusal
from access.models import Role, User
from access.permissions import PEOPLE_ONLY, Permission, permissions_of, permit
from access.principal import Principal
from access.requests import principal_of
from access.tokens import IssuedToken
from foundation.refusals import Conflict, Invalid


@require_GET
def accounts(request: HttpRequest) -> HttpResponse:
    """The service accounts that one may see."""
    by = principal_of(request)
    context = {"accounts": queries.accounts(by), "may_manage": by.allows(Permission.MANAGE_TOKENS)}
    return render(request, "access/accounts.html", context)


@require_http_methods(["GET", "POST"])
def new_account(request: HttpRequest) -> HttpResponse:
    """Create a service account."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_TOKENS)
    form = NewAccount(request.POST or None, initial={"owner": by.user})
    if request.method == "POST" and form.is_valid():
        try:
            created = actions.create_service_account(form.cleaned_data.pop("name"), **form.cleaned_data, by=by)
        except Invalid as refusal:
            show_refusal(form, {"name": refusal.detail}, refusal.detail)
        else:
            messages.success(request, f"The service account {created} exists. Give it a role, then issue a token.")
            return redirect("access:account", uuid=created.uuid)
    return render(request, "access/new_account.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
def account(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One service account: owner, roles, tokens."""
    by = principal_of(request)
    return _page(request, queries.account(uuid, by), by)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def new_token(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Issue a token; the answer to the POST is the only place where its secret is ever shown."""
    by = principal_of(request)
    shown = queries.account(uuid, by)
    permit(by, Permission.MANAGE_TOKENS)
    form = NewToken(request.POST or None, initial={"scopes": [one.value for one in permissions_of(shown)]})
    if request.method == "POST" and form.is_valid():
        issued = accepted(
            form,
            lambda: actions.issue_token(
                shown,
                name=form.cleaned_data["name"],
                scopes=[Permission(scope) for scope in form.cleaned_data["scopes"]],
                models=form.cleaned_data["models"],
                days=form.cleaned_data["days"],
                by=by,
            ),
        )
        if issued:
            return _page(request, shown, by, issued=issued)
    return render(request, "access/new_token.html", {"shown": shown, "form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def revoke(request: HttpRequest, uuid: UUID, prefix: str) -> HttpResponse:
    """Ask whether a token is to be revoked, and do it."""
    by = principal_of(request)
    token = queries.token(prefix, by)
    if request.method == "GET":
        return render(request, "access/revoke_token.html", {"token": token, "shown": token.user})
    actions.revoke_token(token, by=by)
    messages.success(request, f"The token {token.name} is revoked; it lets nobody in any more.")
    return redirect("access:account", uuid=uuid)


@require_http_methods(["POST"])
def change_role(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Assign a role to a service account, or withdraw it."""
    by = principal_of(request)
    shown = queries.account(uuid, by)
    change_role_of(request, shown, by)
    messages.success(request, f"The roles of {shown} have changed.")
    return redirect("access:account", uuid=uuid)


@require_http_methods(["POST"])
def change_active(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Deactivate a service account with all its tokens, or reactivate it."""
    by = principal_of(request)
    shown = queries.account(uuid, by)
    if request.POST.get("change") == "reactivate":
        actions.reactivate(shown, by=by)
    elif request.POST.get("confirmed"):
        actions.deactivate(shown, by=by)
    else:
        raise Conflict(
            "Tick the box to confirm that every token of this account is to stop working.", code="not-confirmed"
        )
    messages.success(
        request, f"{shown} is {'active again' if request.POST.get('change') == 'reactivate' else 'deactivated'}."
    )
    return redirect("access:account", uuid=uuid)


def _page(request: HttpRequest, shown: User, by: Principal, *, issued: IssuedToken | None = None) -> HttpResponse:
    now = timezone.now()
    suitable = [role for role in Role.objects.order_by("name") if not PEOPLE_ONLY & set(role.permissions)]
    context = {
        "shown": shown,
        "tokens": [(token, token.state(now)) for token in queries.tokens_of(shown)],
        "issued": issued,
        "roles": suitable,
        "teams": Group.objects.order_by("name"),
        "may_manage": by.allows(Permission.MANAGE_TOKENS),
        "may_manage_people": by.allows(Permission.MANAGE_PEOPLE),
        "permissions": permissions_of(shown).items(),
    }
    return render(request, "access/account.html", context)
