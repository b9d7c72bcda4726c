"""The pages of findings: the list with its download, one finding with what may be done now, and raising one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, visible_to
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Forbidden, Invalid, NotFound, Refusal, Unauthenticated
from foundation.spreadsheets import Cell, csv_stream
from registry import queries as registry
from registry.models import RegisteredModel
from reviews.actions import (
    answer_finding,
    close_finding,
    comment_on_finding,
    extend_finding,
    raise_finding,
    return_finding,
    withdraw_finding,
)
from reviews.condition_forms import end_of
from reviews.evaluation import page_of
from reviews.finding_forms import ExtendForm, FilterForm, FindingForm, TextForm
from reviews.findings import ENDED, address_of, how_extendable, may_verify, verifiers, visible_findings
from reviews.forms import show_refusal
from reviews.models import Finding, Thread
from reviews.views.confirming import confirmation, person_signing

PER_PAGE: Final = 50
OWED: Final = (Finding.State.OPEN, Finding.State.ANSWERED)
COLUMNS: Final = (
    *("id", "model", "version", "kind", "title", "severity", "state", "overdue"),
    *("owner", "due", "verified by", "raised by", "raised", "ended"),
)
ACTS: Final[Mapping[str, tuple[Callable[..., Any], str]]] = {
    "comment": (comment_on_finding, "Your comment is recorded."),
    "answer": (answer_finding, "Answered. Whoever verifies it is told."),
    "return": (return_finding, "Sent back to its owner."),
    "close": (close_finding, "Verified and closed."),
    "withdraw": (withdraw_finding, "Withdrawn; the record stays."),
}


@require_GET
def findings(request: HttpRequest) -> HttpResponse:
    """What is owed: first what is due first."""
    by = _signed_in(request)
    form, rows = _filtered(request, by)
    late = ExpressionWrapper(Q(state__in=OWED, due_at__lte=timezone.now()), output_field=BooleanField())
    context = {
        "form": form,
        "page": Paginator(rows.annotate(late=late), PER_PAGE).get_page(request.GET.get("page")),
        "filtered": any(form.cleaned_data.values()),
        "query": request.GET.urlencode(),
    }
    return render(request, "reviews/findings.html", context)


@require_GET
def export(request: HttpRequest) -> HttpResponseBase:
    """The same list as a table."""
    by = _signed_in(request)
    _, rows = _filtered(request, by)
    return csv_stream("findings.csv", COLUMNS, _cells(rows.iterator(chunk_size=500)))


@require_GET
def finding(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One finding: what happened to it, and what you may do now."""
    by = _signed_in(request)
    return _show(request, _finding(uuid, by), by)


@require_POST
def act(request: HttpRequest, uuid: UUID, step: str) -> HttpResponse:
    """One step of a finding's life."""
    by = _signed_in(request)
    found = _finding(uuid, by)
    if step not in ACTS:
        raise NotFound("There is no such step.")
    action, done = ACTS[step]
    form = TextForm(request.POST)
    if not form.is_valid():
        return _show(request, found, by, wrong=(step, form), status=400)
    text = form.cleaned_data["body"]
    try:
        action(found, reason=text, by=by) if step == "withdraw" else action(found, text, by=by)
    except Invalid as refusal:
        show_refusal(form, refusal)
        return _show(request, found, by, wrong=(step, form), status=refusal.status)
    messages.success(request, done)
    return redirect(address_of(found))


@require_http_methods(["GET", "POST"])
def extend(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A later due date, signed by who verifies the finding."""
    by = _signed_in(request)
    found = _finding(uuid, by)
    person = person_signing(by)
    answer = may_verify(person, found)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="not-verifier", link=address_of(found))
    rules = how_extendable(found)
    form = ExtendForm(request.POST or None, person=person, accepted=rules.reauthentication)
    status = 200
    if request.method == "POST":
        outcome = confirmation(
            request,
            form,
            by,
            lambda proof: extend_finding(
                found,
                end_of(form.cleaned_data["due"]),
                reason=form.cleaned_data["reason"],
                reauthentication=proof,
                by=by,
            ),
        )
        if outcome.response is not None:
            return outcome.response
        if outcome.result is not None:
            messages.success(request, f"Signed: due by {outcome.result.due_at:%d %B %Y} now.")
            return redirect(address_of(found))
        status = outcome.status
    context = {"form": form, "finding": found, "version": found.version, "at_most_days": rules.at_most_days}
    return render(request, "reviews/finding_extend.html", context, status=status)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Raise a finding about a version; `?thread=` starts from what a thread says."""
    by = _signed_in(request)
    version = registry.find_version(name, number, by)
    thread = _thread(request, version.pk)
    form = FindingForm(request.POST or None, version=version, initial=_from_thread(thread))
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            found = raise_finding(
                version,
                title=values["title"],
                detail=values["detail"],
                severity=values["severity"],
                owner=values["owner"],
                due_at=end_of(values["due"]),
                verifying_group=values["verifying_group"],
                thread=thread,
                by=by,
            )
        except Refusal as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, f"Raised. {found.owner} is told.")
            return redirect(address_of(found))
    context = {"form": form, "version": version, "thread": thread}
    return render(request, "reviews/finding_new.html", context, status=400 if form.errors else 200)


def _signed_in(request: HttpRequest) -> Principal:
    by = principal_of(request)
    if by.is_anonymous:
        raise Unauthenticated("Sign in first.")
    return by


def _finding(uuid: UUID, by: Principal) -> Finding:
    found = visible_findings(by).filter(uuid=uuid).first()
    if found is None:
        raise NotFound("There is no such finding that you may see.")
    return found


def _filtered(request: HttpRequest, by: Principal) -> tuple[FilterForm, QuerySet[Finding]]:
    models = visible_to(RegisteredModel.objects.order_by("name"), by, Permission.SEE_MODEL)
    form = FilterForm(request.GET, models=models)
    form.is_valid()
    return form, narrowed(visible_findings(by), form.cleaned_data, by)


def narrowed(rows: QuerySet[Finding], wanted: Mapping[str, Any], by: Principal) -> QuerySet[Finding]:
    """`rows` narrowed to what was asked for: `whose`, `state`, `severity`, `kind`, `model`; empty ones narrow nothing."""
    whose = {
        "mine": Q(owner=by.user),
        "raised": Q(raised_by=by.user),
        "verify": Q(verifying_group__user=by.user) & ~Q(owner=by.user),
    }.get(wanted.get("whose") or "")
    rows = rows.filter(whose) if whose is not None else rows
    state = wanted.get("state")
    if state in {"owed", "overdue"}:
        rows = rows.filter(state__in=OWED)
        rows = rows.filter(due_at__lte=timezone.now()) if state == "overdue" else rows
    elif state:
        rows = rows.filter(state=state)
    if wanted.get("severity"):
        rows = rows.filter(severity=wanted["severity"])
    if wanted.get("kind"):
        rows = rows.filter(sign_off__isnull=wanted["kind"] == "plain")
    if wanted.get("model"):
        rows = rows.filter(version__model=wanted["model"])
    return rows.order_by("due_at", "pk")


def _cells(rows: Iterable[Finding]) -> Iterable[list[Cell]]:
    now = timezone.now()
    for one in rows:
        yield [
            str(one.uuid),
            one.version.model.name,
            one.version.number,
            "condition" if one.is_condition else "finding",
            one.title,
            one.severity,
            one.state,
            "yes" if one.is_overdue(now) else "no",
            one.owner.username,
            one.due_at,
            one.verifying_group.name,
            one.raised_by.username if one.raised_by else "",
            one.raised_at,
            one.closed_at,
        ]


def _show(
    request: HttpRequest,
    found: Finding,
    by: Principal,
    *,
    wrong: tuple[str, TextForm] | None = None,
    status: int = 200,
) -> HttpResponse:
    forms = {step: TextForm(prefix=None, auto_id=f"{step}_%s") for step in ACTS}
    if wrong is not None:
        wrong[1].auto_id = f"{wrong[0]}_%s"
        forms[wrong[0]] = wrong[1]
    person = by.user
    verdict = may_verify(person, found) if person is not None and person.is_person else None
    owed = found.state not in ENDED
    verifies = owed and verdict is not None and verdict.allowed
    context = {
        "finding": found,
        "version": found.version,
        "events": found.events.select_related("by"),
        "now": timezone.now(),
        "overdue": found.is_overdue(timezone.now()),
        "forms": forms,
        "wrong": wrong[0] if wrong else "",
        "owes": owed and found.state == Finding.State.OPEN and person is not None and person.pk == found.owner_id,
        "verifies": verifies and found.state == Finding.State.ANSWERED,
        "extends": verifies,
        "withdraws": owed and not found.is_condition and person is not None and person.pk == found.raised_by_id,
        "why_not_verify": verdict.reason if owed and verdict is not None and not verdict.allowed else "",
        "verifiers": verifiers(found) if owed else [],
        "review_url": page_of(found.version),
    }
    return render(request, "reviews/finding.html", context, status=status)


def _thread(request: HttpRequest, version: int) -> Thread | None:
    asked = request.POST.get("thread") or request.GET.get("thread") or ""
    if not asked:
        return None
    try:
        found = Thread.objects.filter(uuid=UUID(asked), review__version=version).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound("There is no such thread about this version.")
    return found


def _from_thread(thread: Thread | None) -> dict[str, str]:
    if thread is None:
        return {}
    first = thread.comments.prefetch_related("revisions").first()
    return {"detail": first.text if first else ""}
