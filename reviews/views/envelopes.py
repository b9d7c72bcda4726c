"""The retraining envelope of a model: what it allows, who signed, what went live by it; to propose, sign and withdraw."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from access.permissions import Permission, permit, visible_to
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Conflict, Forbidden, NotFound, Refusal
from registry import queries as registry
from registry.models import RegisteredModel, Stage
from reviews import within
from reviews.bounds import parse
from reviews.envelope_forms import ProposeForm, SignEnvelopeForm
from reviews.envelopes import (
    may_sign,
    may_withdraw,
    propose_envelope,
    sign_envelope,
    suggested,
    withdraw_envelope,
)
from reviews.forms import ReasonForm, show_refusal
from reviews.models import RetrainingEnvelope
from reviews.policies import Rules, SlotRule
from reviews.rulebook import rules_for
from reviews.views.arguments import stage_of
from reviews.views.confirming import confirmation, person_signing
from reviews.views.receipts import tell_receipt

DEFAULT_DAYS = 180
State = RetrainingEnvelope.State


@require_GET
def envelope_page(request: HttpRequest, name: str) -> HttpResponse:
    """The envelope that is proposed or in force, the ones before it, and every version that went live by one."""
    by = principal_of(request)
    model, stage = registry.find_model(name, by), stage_of(request)
    rules = rules_for(model.tier, stage)
    rows = model.retraining_envelopes.filter(stage=stage).select_related("base", "stage", "proposed_by", "model__owner")
    current = rows.filter(state__in=[State.PROPOSED, State.SIGNED]).first()
    context = {
        "model": model,
        "stage": stage,
        "rules": rules,
        "base": registry.stage_holder(model, stage),
        "may_propose": by.allows(Permission.REQUEST_REVIEW, model) and rules.envelopes,
        "ended": rows.exclude(pk=current.pk) if current else rows,
        **(_shown(current, rules, by) if current else {"current": None}),
    }
    return render(request, "reviews/envelope.html", context)


def _shown(envelope: RetrainingEnvelope, rules: Rules, by: Principal) -> dict[str, Any]:
    signatures = list(envelope.signatures.select_related("person"))
    slots = [
        {
            "slot": slot,
            "signatures": [one for one in signatures if one.slot_key == slot.key],
            "answer": may_sign(by, envelope, slot),
        }
        for slot in rules.slots
    ]
    mine = [row for row in slots if row["answer"].allowed and len(row["signatures"]) < row["slot"].people]  # type: ignore[attr-defined, arg-type]  # a row of mixed values for the template
    return {
        "current": envelope,
        "bounds": parse(envelope.bounds),
        "slots": slots,
        "my_slot": mine[0]["slot"] if mine and envelope.state == State.PROPOSED else None,
        "may_withdraw": may_withdraw(by, envelope).allowed,
        "uses": envelope.approvals.select_related("version__model", "promotion").order_by("-approved_at"),
        "complete": within.is_complete(envelope, rules, timezone.now()),
    }


@require_http_methods(["GET", "POST"])
def propose_page(request: HttpRequest, name: str) -> HttpResponse:
    """Propose bounds, starting from how the live version was made."""
    by = principal_of(request)
    model, stage = registry.find_model(name, by), stage_of(request)
    permit(by, Permission.REQUEST_REVIEW, model)
    base = registry.stage_holder(model, stage)
    if base is None:
        raise Conflict(
            f"No version of {model.name} is live in {stage}; an envelope starts from a live version that was reviewed.",
            code="no-base",
            link=reverse("reviews:model", args=[model.name]),
        )
    until = (timezone.now() + timedelta(days=DEFAULT_DAYS)).date()
    form = ProposeForm(request.POST or None, start=suggested(base, stage), initial={"until": until})
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                propose_envelope(
                    model,
                    stage,
                    base=base,
                    bounds=form.bounds(),
                    why=form.cleaned_data["why"],
                    valid_until=datetime.combine(form.cleaned_data["until"], time(23, 59), tzinfo=UTC),
                    by=by,
                )
            except Refusal as refusal:
                show_refusal(form, refusal)
                status = refusal.status
            else:
                messages.success(request, "Proposed. It counts once every slot of the policy has signed.")
                return redirect(_page(model, stage))
    context = {"form": form, "model": model, "stage": stage, "base": base}
    return render(request, "reviews/envelope_propose.html", context, status=status)


@require_http_methods(["GET", "POST"])
def sign_page(request: HttpRequest, uuid: str) -> HttpResponse:
    """Sign the bounds in the slot that one holds."""
    by = principal_of(request)
    envelope = _find(uuid, by)
    rules = rules_for(envelope.model.tier, envelope.stage)
    slot = _slot(envelope, rules, by)
    form = SignEnvelopeForm(request.POST or None, person=person_signing(by), accepted=rules.reauthentication)
    status = 200
    if request.method == "POST":
        given = confirmation(
            request,
            form,
            by,
            lambda proof: sign_envelope(
                envelope, slot.key, reason=form.cleaned_data["reason"], reauthentication=proof, by=by
            ),
        )
        if given.response is not None:
            return given.response
        if given.result is not None:
            messages.success(request, f"Signed as {slot.title}.")
            tell_receipt(request, given.result.receipt, by)
            return redirect(_page(envelope.model, envelope.stage))
        status = given.status
    context = {
        "form": form,
        "model": envelope.model,
        "stage": envelope.stage,
        "current": envelope,
        "bounds": parse(envelope.bounds),
        "slot": slot,
        "meaning": within.MEANING,
    }
    return render(request, "reviews/envelope_sign.html", context, status=status)


@require_http_methods(["GET", "POST"])
def withdraw_page(request: HttpRequest, uuid: str) -> HttpResponse:
    """End an envelope early, with a reason."""
    by = principal_of(request)
    envelope = _find(uuid, by)
    answer = may_withdraw(by, envelope)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="may-not-withdraw", link=_page(envelope.model, envelope.stage))
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        withdraw_envelope(envelope, reason=form.cleaned_data["reason"], by=by)
        messages.success(request, "The envelope is withdrawn. Nothing more goes live by it.")
        return redirect(_page(envelope.model, envelope.stage))
    context = {"form": form, "model": envelope.model, "stage": envelope.stage, "current": envelope}
    return render(request, "reviews/envelope_withdraw.html", context, status=400 if form.errors else 200)


def _slot(envelope: RetrainingEnvelope, rules: Rules, by: Principal) -> SlotRule:
    link = _page(envelope.model, envelope.stage)
    if envelope.state != State.PROPOSED:
        said = envelope.get_state_display().lower()
        raise Conflict(f"This envelope is not open for signatures: {said}.", code="envelope-closed", link=link)
    answers = [(slot, may_sign(by, envelope, slot)) for slot in rules.slots]
    mine = next((slot for slot, answer in answers if answer.allowed), None)
    if mine is None:
        reason = answers[0][1].reason if answers else "The policy has no slots."
        raise Forbidden(reason, code="not-eligible", link=link)
    return mine


def _find(uuid: str, by: Principal) -> RetrainingEnvelope:
    seen = visible_to(RetrainingEnvelope.objects.all(), by, Permission.SEE_MODEL, through="model")
    found = seen.filter(uuid=uuid).select_related("model__owner", "stage", "base__model", "proposed_by").first()
    if found is None:
        raise NotFound("There is no such envelope.")
    return found


def _page(model: RegisteredModel, stage: Stage) -> str:
    return reverse("reviews:envelope", args=[model.name]) + f"?stage={stage.name}"
