"""The page of a model, the review page of a version, and what is written on it: requests, comments, reading marks."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of, reader_of
from foundation.numbers import moment
from foundation.refusals import Conflict, Refusal
from registry import queries as registry
from registry.models import ModelVersion
from reviews.actions import mark_read, open_round, request_review, withdraw_review
from reviews.ahead import may_ask, notes_for, notes_of_model
from reviews.evaluation import deadlocks, examine, page_of
from reviews.forms import RequestForm, show_refusal
from reviews.models import Review
from reviews.pages import VersionPage, history_of, stage_rows, version_page

PER_PAGE = 25


@require_GET
def model(request: HttpRequest, name: str) -> HttpResponse:
    """What is live per stage, what comes next, versions, promotions and aliases of one model."""
    by = principal_of(request)
    found = registry.find_model(name, by)
    versions = found.versions.select_related("created_by").prefetch_related("aliases").order_by("-number")
    context = {
        "model": found,
        "stages": stage_rows(found),
        "page": Paginator(versions, PER_PAGE).get_page(request.GET.get("page")),
        "promotions": found.promotions.select_related("version", "stage", "previous", "by")[:12],
        "aliases": found.aliases.filter(stage=None).select_related("version"),
        "may_promote": by.allows(Permission.PROMOTE_VERSION, found),
        "notes": notes_of_model(found, timezone.now()),
        "may_alias": by.allows(Permission.SET_ALIAS, found),
        "may_grant": by.allows(Permission.MANAGE_PEOPLE) or by.allows(Permission.MANAGE_ACCESS, found),
    }
    return render(request, "reviews/model.html", context)


@require_GET
def version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The evidence of one version beside the one in production, and the sign-off panel."""
    by = reader_of(request)
    page = version_page(
        registry.find_version(name, number, by),
        by,
        stage=request.GET.get("stage", ""),
        base=request.GET.get("base", ""),
        visiting=request.method == "GET",
    )
    return render(request, "reviews/version.html", page_context(page, by))


def page_context(page: VersionPage, by: Principal) -> dict[str, Any]:
    """What the page's templates know. Breaking the glass is for what blocks: where nothing does, there is a promotion."""
    found = page.found
    return {
        "page": page,
        "certificate": _certificate(found.version),
        "notes": notes_for(found, timezone.now()),
        "may_break_glass": bool(found.unmet) and found.holder != found.version and may_ask(found.version, by),
    }


@require_GET
def history(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """What the ledger says about the version; the review page loads the list when it comes into sight."""
    found = registry.find_version(name, number, reader_of(request))
    template = "reviews/history.html#list" if getattr(request, "htmx", False) else "reviews/history.html"
    since = moment(request.GET.get("since", ""))
    return render(request, template, {"version": found, "history": history_of(found), "since": since})


def _certificate(version: ModelVersion) -> str:
    try:
        return reverse("reports:certificate", args=[version.model.name, version.number])
    except NoReverseMatch:
        return ""


@require_http_methods(["GET", "POST"])
def request_page(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Ask for a review of this version, seeing first what the policy will ask and what fails already."""
    by = principal_of(request)
    found = registry.find_version(name, number, by)
    permit(by, Permission.REQUEST_REVIEW, found.model)
    form = RequestForm(request.POST or None, initial={"stage": request.GET.get("stage", "production")})
    if request.method == "POST" and form.is_valid():
        try:
            review = request_review(
                found, form.cleaned_data["stage"], why=form.cleaned_data["why"], due_at=form.due_at(), by=by
            )
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            _say_who_is_asked(request, review)
            return redirect(page_of(found))
    stages = form.fields["stage"].queryset  # type: ignore[attr-defined]  # a ModelChoiceField
    previews = [(one, deadlocks(one)) for one in (examine(found, stage) for stage in stages)]
    return render(
        request,
        "reviews/request.html",
        {"form": form, "version": found, "previews": previews},
        status=400 if form.errors else 200,
    )


def _say_who_is_asked(request: HttpRequest, review: Review) -> None:
    found = examine(review.version, review.stage)
    stuck = deadlocks(found)
    for title, why in stuck:
        messages.warning(
            request,
            f"{title}: {why} The rule is not relaxed; an administrator can add somebody independent to the group.",
        )
    slots = found.standing.slots if found.standing else ()
    asked = [person for one in slots for person in found.seating.eligible(one.slot)]
    names = ", ".join(dict.fromkeys(map(str, asked)))
    messages.success(request, f"The review is open. Asked: {names or 'nobody yet'}.")


@require_POST
def new_round(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Open another round of the open review."""
    by = principal_of(request)
    review = _open_review(registry.find_version(name, number, by), request.POST.get("stage", ""))
    round_ = open_round(review, by=by)
    messages.success(request, f"Round {round_.number} is open; the signatures of the earlier round do not carry over.")
    return redirect(page_of(review.version))


@require_POST
def withdraw(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Take the review back."""
    by = principal_of(request)
    review = _open_review(registry.find_version(name, number, by), request.POST.get("stage", ""))
    withdraw_review(review, by=by)
    messages.success(request, "The review is withdrawn. Its record stays.")
    return redirect(page_of(review.version))


@require_POST
def read(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Mark a section of evidence as read, or not; answers an htmx request with the section alone."""
    by = principal_of(request)
    found = registry.find_version(name, number, by)
    section = request.POST.get("evidence", "")
    review = _open_review(found, request.GET.get("stage", ""))
    mark_read(review, section, read=request.POST.get("reviewed") == "1", by=by)
    if getattr(request, "htmx", False):
        page = version_page(found, by, stage=request.GET.get("stage", ""), base=request.GET.get("base", ""))
        return render(request, f"reviews/sections/{section}.html", {"page": page})
    return redirect(f"{page_of(found)}#{section}")


def _open_review(version: ModelVersion, stage: str) -> Review:
    reviews = (
        Review.objects.open()
        .filter(version=version)
        .select_related("version__model", "stage")
        .order_by("-requested_at")
    )
    review = (reviews.filter(stage__name=stage) if stage else reviews).first()
    if review is None:
        raise Conflict(f"No review of {version} is open. Request one first.", code="no-review", link=page_of(version))
    return review
