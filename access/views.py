"""The portal's pages about people, their roles and groups, and about oneself."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import Group
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access import actions, queries, stepup
from access.changing import change_membership, change_role_of
from access.duties import clashes_of
from access.forms import GroupChange, NewPerson, PeopleFilter, accepted
from access.models import Passkey, Role, User
from access.permissions import Permission, people_with, permissions_of, permit
from access.requests import principal_of
from access.sessions import end_sessions
from foundation.refusals import Invalid, Unauthenticated

PER_PAGE: Final = 25
RECENT: Final = 10


@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """Who there is, with filter and search."""
    by = principal_of(request)
    form = PeopleFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = queries.people(
        by,
        text=wanted.get("q") or "",
        group=wanted.get("group"),
        role=wanted.get("role"),
        state=wanted.get("state") or "",
    )
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "form": form,
        "filtered": any(wanted.values()),
        "may_manage": by.allows(Permission.MANAGE_PEOPLE),
        "may_manage_tokens": by.allows(Permission.MANAGE_TOKENS),
    }
    return render(request, "access/people.html", context)


@require_http_methods(["GET", "POST"])
def new_person(request: HttpRequest) -> HttpResponse:
    """Create a person."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    form = NewPerson(request.POST or None)
    if request.method == "POST" and form.is_valid():
        fields = form.cleaned_data
        created = accepted(form, lambda: actions.create_person(fields.pop("username"), **fields, by=by))
        if created:
            messages.success(
                request, f"{created} can log in. Give them a role or a group so that they can do something."
            )
            return redirect("access:person", uuid=created.uuid)
    return render(request, "access/new_person.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
def person(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One person: roles, groups, what they may do."""
    by = principal_of(request)
    shown = queries.person(uuid, by)
    context = {
        "shown": shown,
        "permissions": _allowed(shown),
        "clashes": clashes_of(shown),
        "may_audit": by.allows(Permission.SEE_AUDIT),
        "own": by.user is not None and by.user.pk == shown.pk,
        "may_manage": by.allows(Permission.MANAGE_PEOPLE),
        "roles": Role.objects.order_by("name"),
        "teams": Group.objects.order_by("name"),
        "groups": Group.objects.exclude(user=shown).order_by("name"),
        "accounts": User.objects.services().filter(owner=shown).order_by("username"),
    }
    return render(request, "access/person.html", context)


def _allowed(user: User) -> list[tuple[Permission, str]]:
    """Permissions with the role that gives each, in the order of their declaration."""
    held = permissions_of(user)
    return [(permission, held[permission]) for permission in Permission if permission in held]


@require_POST
def change_role(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Assign a role to a person, or withdraw it."""
    by = principal_of(request)
    shown = queries.person(uuid, by)
    changed = change_role_of(request, shown, by)
    where = f" on the models of {changed.team.name}" if changed.team else ""
    holds = "now holds" if changed.assigned else "no longer holds"
    messages.success(request, f"{shown} {holds} the role {changed.role.name}{where}.")
    return redirect("access:person", uuid=uuid)


@require_POST
def change_group(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Add a person to a group, or remove them."""
    by = principal_of(request)
    shown = queries.person(uuid, by)
    form = GroupChange(request.POST)
    if not form.is_valid():
        raise Invalid("Choose a group from the list.")
    change_membership(request, form.cleaned_data["group"], shown, form.cleaned_data["change"], by)
    return redirect("access:person", uuid=uuid)


@require_http_methods(["GET", "POST"])
def change_active(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask whether a person is to be deactivated or reactivated, and do it."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    shown = queries.person(uuid, by)
    if request.method == "GET":
        return render(request, "access/change_active.html", {"shown": shown})
    if request.POST.get("change") == "deactivate":
        actions.deactivate(shown, by=by)
        messages.success(request, f"{shown} is deactivated; their sessions and tokens have ended.")
    else:
        actions.reactivate(shown, by=by)
        messages.success(request, f"{shown} is active again.")
    return redirect("access:person", uuid=uuid)


@require_http_methods(["GET", "POST"])
def person_sessions(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask whether every session of a person is to end, and end them."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    shown = queries.person(uuid, by)
    if request.method == "GET":
        return render(request, "access/end_sessions.html", {"shown": shown, "own": False})
    end_sessions(shown, by=by)
    messages.success(request, f"{shown} is logged out everywhere.")
    return redirect("access:person", uuid=uuid)


@require_http_methods(["GET", "POST"])
def sessions(request: HttpRequest) -> HttpResponse:
    """Ask whether all one's sessions but this one are to end, and end them."""
    by = principal_of(request)
    if by.user is None:
        raise Unauthenticated("Sign in to end your sessions.")
    if request.method == "GET":
        return render(request, "access/end_sessions.html", {"shown": by.user, "own": True})
    update_session_auth_hash(request, end_sessions(by.user, by=by))
    messages.success(request, "You are logged out everywhere but here.")
    return redirect("access:me")


@require_GET
def me(request: HttpRequest) -> HttpResponse:
    """Who I am here, what I may do and why, and what is on record of me."""
    by = principal_of(request)
    if by.user is None:
        raise Unauthenticated("Sign in to see your account.")
    context = {
        "shown": by.user,
        "assignments": by.user.role_assignments.select_related("role").order_by("role__name"),
        "groups": by.user.groups.order_by("name"),
        "permissions": _allowed(by.user),
        "administrators": people_with(Permission.MANAGE_PEOPLE),
        "accounts": User.objects.services().filter(owner=by.user).order_by("username"),
        "entries": queries.deeds_of(by.user, limit=RECENT),
        "methods": [method.label.lower() for method in stepup.methods_of(by.user)],
        "passkeys": Passkey.objects.usable().filter(user=by.user),
    }
    return render(request, "access/me.html", context)


@require_POST
def keys(request: HttpRequest) -> HttpResponse:
    """Keep whether single keys do something; the dialog about shortcuts sends it with htmx and shows what was kept."""
    by = principal_of(request)
    if by.user is None:
        raise Unauthenticated("Sign in to choose your shortcuts.")
    kept = actions.set_single_keys(by.user, request.POST.get("off") != "1", by=by)
    if request.htmx:  # type: ignore[attr-defined]  # set by django-htmx
        return render(request, "access/_keys.html", {"person": kept, "dialog": True, "swapped": True})
    said = "work" if kept.single_keys else "are off"
    messages.success(request, f"Kept: single-key shortcuts {said} wherever you sign in.")
    return redirect(reverse("access:me") + "#keys")
