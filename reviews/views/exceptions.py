"""Excepting a failed gate, and taking an exception back: each a page of its own, as a plain POST."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from access.requests import principal_of
from foundation.refusals import Conflict, NotFound, Refusal
from registry import queries as registry
from reviews.actions import grant_exception, request_again, withdraw_exception
from reviews.evaluation import Evaluation, current_subject, examine, page_of
from reviews.forms import ReasonForm, show_refusal
from reviews.models import GateException, Round
from reviews.standing_in_forms import ExceptionForm
from reviews.views.arguments import stage_of
from reviews.views.confirming import confirmation, person_signing
from reviews.views.receipts import tell_receipt


@require_http_methods(["GET", "POST"])
def grant(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Except `?gate=`: what is measured and required, why it is acceptable, what keeps the risk in check, until when."""
    by = principal_of(request)
    person = person_signing(by)
    found = examine(registry.find_version(name, number, by), stage_of(request))
    round_ = _round(found)
    key = request.POST.get("gate") or request.GET.get("gate", "")
    outcome = next((one for one in found.gates if one.gate.key == key), None)
    if outcome is None:
        raise NotFound(f"The policy has no gate {key or 'without a name'}.")
    subject = current_subject(round_).digest
    form = ExceptionForm(
        request.POST or None,
        person=person,
        accepted=found.rules.reauthentication,
        initial={"expected_subject": subject},
    )
    status = 200
    if request.method == "POST":
        answer = confirmation(
            request,
            form,
            by,
            lambda proof: grant_exception(
                round_,
                key,
                reason=form.cleaned_data["reason"],
                compensating_control=form.cleaned_data["compensating_control"],
                ends_at=form.ends_at(),
                reauthentication=proof,
                expected_subject=form.cleaned_data["expected_subject"],
                by=by,
            ),
        )
        if answer.response is not None:
            return answer.response
        if answer.result is not None:
            messages.success(request, f"“{outcome.gate.title}” is excepted.")
            tell_receipt(request, answer.result.receipt, by)
            return redirect(f"{page_of(found.version)}?stage={found.stage.name}#gates")
        status = answer.status
    context = {
        "form": form,
        "found": found,
        "version": found.version,
        "outcome": outcome,
        "round": round_,
        "subject_digest": subject,
    }
    return render(request, "reviews/exception.html", context, status=status)


@require_http_methods(["GET", "POST"])
def withdraw(request: HttpRequest, name: str, number: int, uuid: UUID) -> HttpResponse:
    """Take one's own exception back."""
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    given = (
        GateException.objects.filter(uuid=uuid, round__review__version=version)
        .select_related("round__review", "slot", "person")
        .first()
    )
    if given is None:
        raise NotFound("There is no such exception.")
    form = ReasonForm(request.POST or None)
    status = 400 if form.errors else 200
    if request.method == "POST" and form.is_valid():
        try:
            withdraw_exception(given, reason=form.cleaned_data["reason"], by=by)
        except Refusal as refusal:
            show_refusal(form, refusal)
            status = refusal.status
        else:
            messages.success(request, "The exception is taken back; the gate blocks again.")
            return redirect(f"{page_of(version)}#gates")
    return render(
        request, "reviews/exception_withdraw.html", {"form": form, "version": version, "given": given}, status=status
    )


@require_POST
def again(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Ask everybody whose signature went stale to sign anew."""
    by = principal_of(request)
    found = examine(registry.find_version(name, number, by), stage_of(request))
    people = request_again(_round(found), by=by)
    messages.success(request, f"Asked to sign anew: {', '.join(map(str, people))}.")
    return redirect(f"{page_of(found.version)}?stage={found.stage.name}#signoff")


def _round(found: Evaluation) -> Round:
    if found.round is None:
        raise Conflict(
            f"No review of {found.version} for {found.stage} was requested.",
            code="no-review",
            link=page_of(found.version),
        )
    return found.round
