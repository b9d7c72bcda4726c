"""Rolling back, and putting a version live ahead of its review: each a signed decision on a page of its own."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from access.permissions import Permission, permit, visible_to
from access.principal import Principal
from access.requests import principal_of
from access.stepup import Confirmation
from foundation.refusals import Conflict, Forbidden, NotFound
from registry import queries as registry
from registry.models import ModelVersion, Stage
from reviews.break_glass import ask, decline, may_answer, second
from reviews.emergency_forms import AnswerForm, AskForm, RollbackForm
from reviews.evaluation import page_of
from reviews.models import BreakGlass
from reviews.promotion import accepted_for_rollback, approval_to_return_to, champion_before, roll_back
from reviews.rulebook import rules_for
from reviews.views.arguments import stage_of
from reviews.views.confirming import confirmation, person_signing
from reviews.views.receipts import tell_receipt


@require_http_methods(["GET", "POST"])
def rollback_page(request: HttpRequest, name: str) -> HttpResponse:
    """Back to the version before, while its approval stands; signed."""
    by = principal_of(request)
    model = registry.find_model(name, by)
    permit(by, Permission.PROMOTE_VERSION, model)
    stage = stage_of(request)
    alias = model.aliases.filter(stage=stage).select_related("version", "promotion").first()
    previous = champion_before(alias) if alias else None
    back = approval_to_return_to(previous, stage, timezone.now()) if previous else None
    accepted = accepted_for_rollback(back) if back else rules_for(model.tier, stage).reauthentication
    form = RollbackForm(request.POST or None, person=person_signing(by), accepted=accepted)
    status = 200
    if request.method == "POST":
        given = confirmation(
            request,
            form,
            by,
            lambda proof: roll_back(model, stage, reason=form.cleaned_data["reason"], reauthentication=proof, by=by),
        )
        if given.response is not None:
            return given.response
        if given.result is not None:
            messages.success(request, f"{given.result.version} is live in {stage.title.lower()} again.")
            tell_receipt(request, getattr(given.result, "receipt", None), by)
            return redirect("reviews:model", model.name)
        status = given.status
    context = {
        "form": form,
        "model": model,
        "stage": stage,
        "alias": alias,
        "previous": previous,
    }
    return render(request, "reviews/rollback.html", context, status=status)


@require_http_methods(["GET", "POST"])
def ask_page(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Ask, with a signature, for a version to go live ahead of its review."""
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    permit(by, Permission.BREAK_GLASS, version.model)
    stage = stage_of(request)
    rules = rules_for(version.model.tier, stage)
    if not rules.emergency.allowed:
        raise Conflict(
            f"The policy for {stage} does not allow a version to go live ahead of its review.",
            code="no-break-glass",
            link=page_of(version),
        )
    form = AskForm(
        request.POST or None,
        person=person_signing(by),
        accepted=rules.reauthentication,
        most_hours=rules.emergency.hours,
        initial={"hours": rules.emergency.hours},
    )
    status = 200
    if request.method == "POST":
        given = confirmation(request, form, by, lambda proof: _ask(form, version, stage, proof, by))
        if given.response is not None:
            return given.response
        if given.result is not None:
            messages.success(request, "Asked for, and on record. Nothing moves before a second person has signed.")
            tell_receipt(request, given.result.receipt, by)
            return redirect("reviews:break-glass", given.result.uuid)
        status = given.status
    context = {
        "form": form,
        "version": version,
        "model": version.model,
        "stage": stage,
        "rules": rules,
        "holder": registry.stage_holder(version.model, stage),
    }
    return render(request, "reviews/break_glass_ask.html", context, status=status)


def _ask(form: AskForm, version: ModelVersion, stage: Stage, proof: Confirmation, by: Principal) -> BreakGlass:
    values = form.cleaned_data
    return ask(
        version,
        stage,
        reason=values["reason"],
        text=values["text"],
        hours=values["hours"],
        reauthentication=proof,
        by=by,
    )


@require_http_methods(["GET", "POST"])
def break_glass_page(request: HttpRequest, uuid: str) -> HttpResponse:
    """One break-glass: what was asked, by whom, who seconded, until when; and, for a second person, the answer to give."""
    by = principal_of(request)
    case = _find(uuid, by)
    version = case.version
    rules = rules_for(version.model.tier, case.stage)
    answer = may_answer(by, case)
    waits = case.state == BreakGlass.State.ASKED and case.ends_at > timezone.now()
    form, status = None, 200
    if waits and answer.allowed:
        form = AnswerForm(request.POST or None, person=person_signing(by), accepted=rules.reauthentication)
    if request.method == "POST":
        if form is None:
            raise Forbidden(
                answer.reason if waits else "Nothing is to be answered here any more.", code="may-not-second"
            )
        given = confirmation(request, form, by, lambda proof: _answer(form, case, proof, by))
        if given.response is not None:
            return given.response
        if given.result is not None:
            in_force = given.result.state == BreakGlass.State.IN_FORCE
            done = f"{version} is live until {given.result.ends_at:%d %b %Y, %H:%M} UTC." if in_force else "Declined."
            messages.success(request, done)
            tell_receipt(request, given.result.receipt, by)
            return redirect("reviews:break-glass", case.uuid)
        status = given.status
    context = {
        "case": case,
        "version": version,
        "model": version.model,
        "form": form,
        "answer": answer,
        "waits": waits,
        "returns": bool(case.previous and approval_to_return_to(case.previous, case.stage, timezone.now())),
    }
    return render(request, "reviews/break_glass.html", context, status=status)


def _answer(form: AnswerForm, case: BreakGlass, proof: Confirmation, by: Principal) -> BreakGlass:
    if form.cleaned_data["answer"] == "second":
        return second(case, reauthentication=proof, by=by)
    return decline(case, reason=form.cleaned_data["reason"], reauthentication=proof, by=by)


def _find(uuid: str, by: Principal) -> BreakGlass:
    seen = visible_to(BreakGlass.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    case = (
        seen.filter(uuid=uuid)
        .select_related("version__model", "stage", "previous__model", "asked_by", "seconded_by", "review")
        .first()
    )
    if case is None:
        raise NotFound("There is no such break-glass.")
    return case
