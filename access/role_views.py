"""The portal's pages about roles: all of them side by side, one with who holds it, and those of one's own to write."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from access import roles
from access.duties import clashes_of_role, signing_groups
from access.forms import EditRole, NewRole, RoleFilter, accepted
from access.models import Role, RoleAssignment
from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of


@require_GET
def matrix(request: HttpRequest) -> HttpResponse:
    """Every role and what it permits, found by the name of either."""
    by = principal_of(request)
    permit(by, Permission.SEE_PEOPLE)
    form = RoleFilter(request.GET)
    text = (form.cleaned_data.get("q") or "").lower() if form.is_valid() else ""
    columns = list(
        Role.objects.prefetch_related("assignments__user", "assignments__group", "assignments__team").order_by("name")
    )
    named = [role for role in columns if text in role.name.lower()]
    found = [one for one in Permission if text in one.value or text in one.label.lower()]
    columns, shown = named or columns, found or list(Permission)
    rows = [
        (one, [(role.name, one.value in role.permissions, one.value in role.gives) for role in columns])
        for one in shown
    ]
    context = {
        "columns": columns,
        "rows": rows if named or found else [],
        "form": form,
        "filtered": bool(text),
        "may_manage": by.allows(Permission.MANAGE_PEOPLE),
        "signing": sorted(signing_groups()),
    }
    return render(request, "access/roles.html", context)


@require_GET
def role(request: HttpRequest, pk: int) -> HttpResponse:
    """One role: what it permits, who holds it, and for whom it is one side of two duties."""
    by = principal_of(request)
    found = _found(pk, by)
    assignments = RoleAssignment.objects.filter(role=found).select_related("user", "group", "team").order_by("pk")
    context = {
        "role": found,
        "permits": [one for one in Permission if one.value in found.permissions],
        "gives": [one for one in Permission if one.value in found.gives],
        "assignments": assignments,
        "clashes": clashes_of_role(found),
        "may_manage": by.allows(Permission.MANAGE_PEOPLE),
        "may_audit": by.allows(Permission.SEE_AUDIT),
    }
    return render(request, "access/role.html", context)


@require_http_methods(["GET", "POST"])
def new_role(request: HttpRequest) -> HttpResponse:
    """Write a role of one's own; `?from=` begins with what another one permits."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    form = NewRole(request.POST or None, initial=_copied(request.GET.get("from", "")))
    if request.method == "POST" and form.is_valid():
        fields = form.cleaned_data
        created = accepted(
            form,
            lambda: roles.create_role(
                fields["name"],
                description=fields["description"],
                permissions=_chosen(fields["permissions"]),
                gives=_chosen(fields["gives"]),
                by=by,
            ),
        )
        if created:
            messages.success(request, f"The role {created.name} exists. Nobody holds it yet.")
            return redirect("access:role", pk=created.pk)
    return render(request, "access/new_role.html", {"form": form}, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def edit_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Change what a role of one's own permits; it counts at once for everybody who holds it."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    found = _found(pk, by)
    began = {"description": found.description, "permissions": found.permissions, "gives": found.gives}
    form = EditRole(request.POST or None, initial=began)
    if request.method == "POST" and form.is_valid():
        fields = form.cleaned_data
        changed = accepted(
            form,
            lambda: roles.update_role(
                found,
                description=fields["description"],
                permissions=_chosen(fields["permissions"]),
                gives=_chosen(fields["gives"]),
                by=by,
            ),
        )
        if changed:
            messages.success(request, f"The role {found.name} permits what is said here from now on.")
            return redirect("access:role", pk=pk)
    context = {"form": form, "role": found, "holders": found.assignments.count()}
    return render(request, "access/edit_role.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def delete_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether a role is to be deleted, and do it."""
    by = principal_of(request)
    permit(by, Permission.MANAGE_PEOPLE)
    found = _found(pk, by)
    if request.method == "GET":
        return render(request, "access/delete_role.html", {"role": found, "holders": found.assignments.count()})
    roles.delete_role(found, by=by)
    messages.success(request, f"The role {found.name} is gone.")
    return redirect("access:roles")


def _found(pk: int, by: Principal) -> Role:
    permit(by, Permission.SEE_PEOPLE)
    return get_object_or_404(Role, pk=pk)


def _copied(pk: str) -> dict[str, object]:
    found = Role.objects.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 10 else None
    return {"permissions": found.permissions, "gives": found.gives} if found else {}


def _chosen(values: list[str]) -> list[Permission]:
    return [Permission(value) for value in values]
