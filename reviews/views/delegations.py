"""The page on which a person lets somebody sign for them, sees who may sign for whom, and ends it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from access.models import User
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Invalid, NotFound, Refusal, Unauthenticated
from reviews.actions import end_delegation, give_delegation
from reviews.forms import show_refusal
from reviews.models import Delegation
from reviews.standing_in_forms import DelegationForm

MOST = 100
FIELDS = {"starts_at": "first_day", "ends_at": "last_day"}


@require_http_methods(["GET", "POST"])
def delegations(request: HttpRequest) -> HttpResponse:
    """Everything that names the reader, and the form to give another one."""
    by = principal_of(request)
    person = _person(by)
    form = DelegationForm(request.POST or None, person=person)
    if request.method == "POST" and form.is_valid():
        try:
            given = give_delegation(
                form.cleaned_data["delegate"],
                group=form.cleaned_data["group"].name,
                starts_at=form.starts_at(),
                ends_at=form.ends_at(),
                reason=form.cleaned_data["reason"],
                by=by,
            )
        except Refusal as refusal:
            named = refusal.errors if isinstance(refusal, Invalid) else {}
            errors = {FIELDS.get(name, name): sentence for name, sentence in named.items()}
            show_refusal(form, Invalid(refusal.detail, errors=errors) if errors else refusal)
        else:
            messages.success(
                request, f"{given.delegate} may sign for you until {given.ends_at:%d %b %Y}. Both of you were told."
            )
            return redirect("reviews:delegations")
    now = timezone.now()
    rows = Delegation.objects.filter(Q(delegator=person) | Q(delegate=person)).select_related(
        "delegator", "delegate", "group"
    )
    standing = rows.filter(ended_at=None, ends_at__gt=now)
    context = {
        "form": form,
        "may_give": person.groups.exists(),
        "given": standing.filter(delegator=person),
        "held": standing.filter(delegate=person),
        "over": rows.exclude(pk__in=standing)[:MOST],
        "now": now,
    }
    return render(request, "reviews/delegations.html", context, status=400 if form.errors else 200)


@require_POST
def end(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take it back, or hand it back."""
    by = principal_of(request)
    person = _person(by)
    found = Delegation.objects.filter(Q(delegator=person) | Q(delegate=person), uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such delegation that names you.")
    ended = end_delegation(found, by=by)
    messages.success(
        request, f"The delegation between {ended.delegator} and {ended.delegate} has ended. Both were told."
    )
    return redirect("reviews:delegations")


def _person(by: Principal) -> User:
    if by.user is None:
        raise Unauthenticated("Sign in to see who may sign for you.")
    return by.user
