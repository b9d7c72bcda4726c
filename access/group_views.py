"""The portal's pages about groups: teams that models belong to, holders of roles, and those whose members sign."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.contrib.auth.models import Group
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access import groups
from access.changing import change_membership, change_role_of
from access.duties import signing_groups
from access.forms import GroupFilter, GroupName, MemberChange, accepted
from access.models import Role, RoleAssignment, User
from access.permissions import Permission, permit, visible_to
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Invalid

PER_PAGE: Final = 25


@require_GET
def group_list(request: HttpRequest) -> HttpResponse:
    """Every group with how many members and roles it has, by name."""
    by = principal_of(request)
    permit(by, Permission.SEE_PEOPLE)
    form = GroupFilter(request.GET)
    text = form.cleaned_data.get("q") or "" if form.is_valid() else ""
    found = Group.objects.filter(name__icontains=text).annotate(
        members=Count("user", distinct=True), roles=Count("role_assignments", distinct=True)
    )
    context = {
        "page": Paginator(found.order_by("name"), PER_PAGE).get_page(request.GET.get("page")),
        "form": form,
        "filtered": bool(text),
        "signing": signing_groups(),
        "may_manage": by.allows(Permission.MANAGE_PEOPLE),
    }
    return render(request, "access/groups.html", context)


@require_http_methods(["GET", "POST"])
def new_group(request: HttpRequest) -> HttpResponse:
    """Create a group."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    form = GroupName(request.POST or None)
    if request.method == "POST" and form.is_valid():
        created = accepted(form, lambda: groups.create_group(form.cleaned_data["name"], by=by))
        if created:
            messages.success(request, f"The group {created.name} exists. Add its members.")
            return redirect("access:group", pk=created.pk)
    return render(request, "access/new_group.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """One group: members, what it gives them, and the models that belong to it."""
    by = principal_of(request)
    return _page(request, _found(pk, by), by, GroupName(), status=200)


@require_POST
def rename_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a group another name."""
    by = principal_of(request)
    found = _found(pk, by)
    form = GroupName(request.POST)
    if form.is_valid():
        renamed = accepted(form, lambda: groups.rename_group(found, form.cleaned_data["name"], by=by))
        if renamed:
            messages.success(request, f"The group is called {renamed.name} now.")
            return redirect("access:group", pk=pk)
    return _page(request, found, by, form, status=400)


@require_POST
def change_member(request: HttpRequest, pk: int) -> HttpResponse:
    """Add a person to the group, or remove them."""
    by = principal_of(request)
    found = _found(pk, by)
    form = MemberChange(request.POST)
    if not form.is_valid():
        raise Invalid("Choose a person from the list.")
    change_membership(request, found, form.cleaned_data["person"], form.cleaned_data["change"], by)
    return redirect("access:group", pk=pk)


@require_POST
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give the group a role, or take it back: over everything, or on the models of a team."""
    by = principal_of(request)
    found = _found(pk, by)
    changed = change_role_of(request, found, by)
    if changed.assigned:
        messages.success(request, f"Everybody in {found.name} now holds the role {changed.role.name}.")
    else:
        messages.success(request, f"{found.name} no longer gives the role {changed.role.name}.")
    return redirect("access:group", pk=pk)


@require_http_methods(["GET", "POST"])
def delete_group(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether a group is to be deleted, and do it."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    found = _found(pk, by)
    if request.method == "GET":
        return render(request, "access/delete_group.html", {"group": found})
    groups.delete_group(found, by=by)
    messages.success(request, f"The group {found.name} is gone.")
    return redirect("access:groups")


def _page(request: HttpRequest, found: Group, by: Principal, form: GroupName, *, status: int) -> HttpResponse:
    members = found.user_set.order_by("display_name", "username")
    own = by.user is not None and members.filter(pk=by.user.pk).exists()
    of_roles = RoleAssignment.objects.select_related("role", "user", "group", "team").order_by("role__name", "pk")
    context = {
        "group": found,
        "members": Paginator(members, PER_PAGE).get_page(request.GET.get("page")),
        "assignments": of_roles.filter(group=found),
        "on_its_models": of_roles.filter(team=found),
        "models": visible_to(found.registered_models.all(), by, Permission.SEE_MODEL).order_by("name"),
        "signs": found.name in signing_groups(),
        "form": form,
        "own": own,
        "may_manage": by.allows(Permission.MANAGE_PEOPLE),
        "may_audit": by.allows(Permission.SEE_AUDIT),
        "people": User.objects.people().active().exclude(groups=found).order_by("display_name", "username"),
        "roles": Role.objects.order_by("name"),
        "teams": Group.objects.order_by("name"),
    }
    return render(request, "access/group.html", context, status=status)


def _found(pk: int, by: Principal) -> Group:
    permit(by, Permission.SEE_PEOPLE)
    return get_object_or_404(Group, pk=pk)
