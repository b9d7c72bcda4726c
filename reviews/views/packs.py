"""The library of policy packs, from which policies are adopted as drafts."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from access.permissions import Permission
from reviews.models import PolicyVersion
from reviews.packs import adopt, find_pack, packs
from reviews.views.policies import signed_in


@require_GET
def library(request: HttpRequest) -> HttpResponse:
    """All packs, with what each is for and how far it is adopted."""
    by = signed_in(request)
    rows = [(pack, [(name, text, _adopted(name)) for name, text in pack.documents.items()]) for pack in packs()]
    return render(
        request, "reviews/policy_packs.html", {"packs": rows, "may_write": by.allows(Permission.WRITE_POLICIES)}
    )


@require_GET
def pack(request: HttpRequest, key: str) -> HttpResponse:
    """One pack: its description, and every clause of its policies with the source that it cites."""
    by = signed_in(request)
    found = find_pack(key)
    context = {
        "pack": found,
        "rows": [(name, text, _adopted(name)) for name, text in found.documents.items()],
        "may_write": by.allows(Permission.WRITE_POLICIES),
    }
    return render(request, "reviews/policy_pack.html", context)


@require_POST
def adopt_policy(request: HttpRequest, key: str, name: str) -> HttpResponse:
    """Save one policy of a pack as a draft, and open it."""
    saved = adopt(find_pack(key), name, by=signed_in(request))
    messages.success(request, f"{saved} is saved as a draft. It changes nothing until it is proposed and signed.")
    return redirect("reviews:policy", name, saved.number)


def _adopted(name: str) -> PolicyVersion | None:
    """The newest version of a policy of this name."""
    return PolicyVersion.objects.filter(policy__name=name).select_related("policy").order_by("-number").first()
