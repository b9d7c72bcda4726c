"""One's own notifications, what was read of them, and how one wants to be written to."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from access.models import User
from access.requests import principal_of
from foundation.refusals import Invalid, Unauthenticated
from notices import actions, queries
from notices.forms import PreferenceForm
from notices.models import Notification

PER_PAGE = 30


@require_GET
def notifications(request: HttpRequest) -> HttpResponse:
    """What one was told, unread first, of one kind or all."""
    by = principal_of(request)
    kind = request.GET.get("kind", "")
    rows = queries.seen_by(by)
    if kind in Notification.Kind.values:
        rows = rows.filter(kind=kind)
    else:
        kind = ""
    context = {
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        "kind": kind,
        "kinds": Notification.Kind.choices,
        "preference": queries.preference_of(by.user) if by.user else None,
    }
    return render(request, "notices/list.html", context)


@require_GET
def open_page(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Go to the page that a notification is about; whoever went there has read it."""
    by = principal_of(request)
    told = actions.mark_read(queries.find_notification(uuid, by), by=by)
    return HttpResponseRedirect(told.link or reverse("notices:list"))


@require_POST
def read(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Mark one as read."""
    by = principal_of(request)
    actions.mark_read(queries.find_notification(uuid, by), by=by)
    return _back(request)


@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    """Mark all, or all of one kind, as read."""
    read = actions.mark_all_read(request.POST.get("kind", ""), by=principal_of(request))
    messages.success(request, f"{read} notification{'' if read == 1 else 's'} marked as read.")
    return _back(request)


@require_POST
def preference(request: HttpRequest) -> HttpResponse:
    """Keep how one wants to be written to."""
    form = PreferenceForm(request.POST)
    if not form.is_valid():
        raise Invalid("Choose a way and an hour from the lists; your mail was left as it was.")
    person = _person(request)
    actions.set_preference(person, **form.cleaned_data, by=principal_of(request))
    messages.success(request, "Your choice about mail is kept.")
    return redirect(reverse("access:me") + "#mail")


@require_POST
def test(request: HttpRequest) -> HttpResponse:
    """Ask for a test mail."""
    actions.send_test(_person(request), by=principal_of(request))
    messages.success(
        request, "A test mail leaves within a few seconds. What became of it is written in the notification about it."
    )
    return redirect("notices:list")


def _back(request: HttpRequest) -> HttpResponse:
    kind = request.POST.get("kind", "")
    known = kind in Notification.Kind.values
    return redirect(reverse("notices:list") + (f"?kind={kind}" if known else ""))


def _person(request: HttpRequest) -> User:
    user = principal_of(request).user
    if user is None:
        raise Unauthenticated("Sign in to choose your mail.")
    return user
