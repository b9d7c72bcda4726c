"""Signing, taking back, dismissing, promoting, rolling back and revoking: each a form that also works alone, as a plain POST."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect, reswap

from access.permissions import Permission
from access.principal import Principal
from access.requests import principal_of
from foundation.numbers import whole_number
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound, RequirementStatus
from foundation.states import look
from registry import queries as registry
from reviews.actions import dismiss_changes_request, sign_off, withdraw_sign_off
from reviews.condition_forms import ConditionRows, condition_from
from reviews.evaluation import Evaluation, current_subject, examine, page_of
from reviews.forms import ReasonForm, RevokeForm, SignForm
from reviews.models import Round, SignOff
from reviews.pages import history_of, version_page
from reviews.panel import SlotRow, panel_of
from reviews.promotion import promote
from reviews.queries import waiting_for
from reviews.revocation import may_revoke, revoke
from reviews.subjects import FacetChange
from reviews.views.arguments import stage_of
from reviews.views.confirming import Confirmed, confirmation, person_signing
from reviews.views.receipts import receipt_note, tell_receipt
from reviews.views.versions import page_context


@require_http_methods(["GET", "POST"])
def sign(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The signature, as a page; the dialog on the review page posts here. A 409 shows what has changed and asks again."""
    by = principal_of(request)
    person = person_signing(by)
    found = examine(registry.find_version(name, number, by), stage_of(request))
    slot, round_ = _place(found, by)
    subject = current_subject(round_).digest
    form = SignForm(
        request.POST or None,
        person=person,
        accepted=found.rules.reauthentication,
        initial=SignForm.fresh(slot.key, subject, request.GET.get("decision", ""), round_number=round_.number),
        rows=_rows(request, found, round_),
        choices=slot.choices,
    )
    changed: list[FacetChange] = []
    status = 200
    if request.method == "POST":
        answer = _signed(request, form, round_, by)
        if answer.response is not None:
            return answer.response
        if answer.result is not None:
            return _after(request, found, answer.result, by)
        status = answer.status
        if isinstance(answer.refusal, Invalid) and form.rows is not None:
            form.rows.show(answer.refusal)
        if answer.refusal is not None:
            changed = [FacetChange(**change) for change in answer.refusal.extra.get("changed", [])]
    if status == 409:
        posted = request.POST.copy()
        posted.update(
            {
                "expected_subject": subject,
                "expected_round": str(round_.number),
                "idempotency_key": SignForm.fresh(slot.key, subject)["idempotency_key"],
            }
        )
        form.data = posted
    context = {
        "form": form,
        "found": found,
        "slot": slot,
        "round": round_,
        "subject_digest": subject,
        "changed": changed,
        "failing": [one for one in found.unmet if one.status is not RequirementStatus.WAITING],
    }
    fragment = getattr(request, "htmx", False)
    return render(request, "reviews/_sign_dialog.html" if fragment else "reviews/sign.html", context, status=status)


def _rows(request: HttpRequest, found: Evaluation, round_: Round) -> ConditionRows | None:
    """Room for conditions where the policy allows them; `?thread=` writes what a thread says into the first one."""
    if not found.rules.conditions.allowed:
        return None
    first = condition_from(request.GET.get("thread", ""), round_.review)
    return ConditionRows(round_, request.POST or None, first=first)


def _signed(request: HttpRequest, form: SignForm, round_: Round, by: Principal) -> Confirmed[SignOff]:
    earlier = SignOff.objects.filter(idempotency_key=request.POST.get("idempotency_key", "")).first()
    return confirmation(
        request,
        form,
        by,
        lambda proof: sign_off(
            round_,
            form.cleaned_data["slot"],
            decision=form.cleaned_data["decision"],
            reason=form.cleaned_data["reason"],
            reauthentication=proof,
            expected_subject=form.cleaned_data["expected_subject"],
            idempotency_key=form.cleaned_data["idempotency_key"],
            conditions=form.conditions,
            on_behalf_of=form.cleaned_data["on_behalf_of"],
            expected_round=form.cleaned_data["expected_round"],
            by=by,
        ),
        earlier=earlier.reauthentication if earlier else None,
    )


def _after(request: HttpRequest, found: Evaluation, given: SignOff, by: Principal) -> HttpResponse:
    """Back to the panel; on the review page itself, what the signature changed of it. A condition may change anything: all is read anew."""
    said = f"Signed: {look(given.decision).label.lower()}."
    back = f"{page_of(found.version)}?stage={found.stage.name}#signoff"
    if getattr(request, "htmx", False) and given.decision != SignOff.Decision.APPROVE_WITH_CONDITIONS:
        receipt = receipt_note(given.receipt, by) if given.receipt else ""
        return _swapped(request, found, said, by, receipt)
    messages.success(request, f"{said}{_next(by)}")
    tell_receipt(request, given.receipt, by)
    return HttpResponseClientRedirect(back) if getattr(request, "htmx", False) else redirect(back)


def _swapped(request: HttpRequest, found: Evaluation, said: str, by: Principal, receipt: str) -> HttpResponse:
    version = registry.find_version(found.version.model.name, found.version.number, by)
    page = version_page(version, by, stage=found.stage.name, base=_compared_with(request))
    waiting = waiting_for(by).select_related("version__model", "stage").order_by("due_at", "pk")
    context = page_context(page, by) | {
        "done": said,
        "receipt": receipt,
        "history": history_of(version),
        "next_review": waiting.first(),
    }
    answer = render(request, "reviews/_signed.html", context)
    return reswap(answer, "outerHTML" if page.panel.sign_slot else "delete")


def _compared_with(request: HttpRequest) -> str:
    """The version that the page compares with, as its address says."""
    return QueryDict(urlsplit(request.headers.get("HX-Current-URL", "")).query).get("base", "")


def _place(found: Evaluation, by: Principal) -> tuple[SlotRow, Round]:
    """The slot in which `by` may sign; raises with the reason why there is none."""
    panel = panel_of(found, by)
    if found.round is None or not found.round.is_open:
        raise Conflict(
            f"No round of {found.version} is open for {found.stage}; nothing can be signed.",
            code="round-closed",
            link=page_of(found.version),
        )
    if panel.sign_slot is None:
        raise Forbidden(panel.why_not_sign, code="not-eligible", link=page_of(found.version))
    return panel.sign_slot, found.round


@require_http_methods(["GET", "POST"])
def withdraw_signature(request: HttpRequest, name: str, number: int, uuid: str) -> HttpResponse:
    """Take one's own decision back."""
    return _with_reason(
        request,
        name,
        number,
        uuid,
        withdraw_sign_off,
        title="Take your decision back",
        button="Take back",
        done="Your decision is taken back.",
    )


@require_http_methods(["GET", "POST"])
def dismiss(request: HttpRequest, name: str, number: int, uuid: str) -> HttpResponse:
    """Set somebody's request for changes aside."""
    return _with_reason(
        request,
        name,
        number,
        uuid,
        dismiss_changes_request,
        title="Dismiss the request for changes",
        button="Dismiss",
        done="The request is dismissed.",
    )


def _with_reason(  # type: ignore[no-untyped-def]  # `act` is one of two actions of the same form
    request: HttpRequest, name: str, number: int, uuid: str, act, *, title: str, button: str, done: str
) -> HttpResponse:
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    given = (
        SignOff.objects.filter(uuid=uuid, round__review__version=version)
        .select_related("round__review", "slot", "person")
        .first()
    )
    if given is None:
        raise NotFound("There is no such decision.")
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        act(given, reason=form.cleaned_data["reason"], by=by)
        messages.success(request, done)
        return redirect(f"{page_of(version)}#signoff")
    context = {"form": form, "version": version, "given": given, "title": title, "button": button}
    return render(request, "reviews/reason.html", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def promote_page(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Everything that a promotion asks for, met or not; the button moves the alias from the holder that is shown.

    Where another version took the stage meanwhile, nothing moves (409): the page shows what the gates say against that one, and asks again.
    """
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    stage = stage_of(request)
    moved: Conflict | None = None
    if request.method == "POST":
        seen = whole_number(request.POST.get("expected_previous", ""))
        try:
            promotion = promote(version, stage, by=by, expected_previous=seen)
        except Conflict as refusal:
            if refusal.code != "stage-moved":
                raise
            moved = refusal
        else:
            messages.success(request, f"{version} is live in {stage.title.lower()}.")
            tell_receipt(request, getattr(promotion, "receipt", None), by)
            return redirect(page_of(version))
    found = examine(version, stage)
    context = {
        "found": found,
        "panel": panel_of(found, by),
        "allowed": by.allows(Permission.PROMOTE_VERSION, version.model),
        "moved": moved,
    }
    return render(request, "reviews/promote.html", context, status=409 if moved else 200)


@require_http_methods(["GET", "POST"])
def revoke_page(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Withdraw every approval of a version, with a signed reason."""
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    answer = may_revoke(by, version)
    if not answer.allowed:
        raise Forbidden(answer.reason, code="may-not-revoke", link=page_of(version))
    form = RevokeForm(request.POST or None, person=person_signing(by))
    status = 200
    if request.method == "POST":
        given = confirmation(
            request,
            form,
            by,
            lambda proof: revoke(version, reason=form.cleaned_data["reason"], reauthentication=proof, by=by),
        )
        if given.response is not None:
            return given.response
        if given.result is not None:
            messages.success(request, f"{version} is revoked; it is served nowhere any more.")
            tell_receipt(request, given.result.receipt, by)
            return redirect(page_of(version))
        status = given.status
    aliases = version.aliases.filter(stage__isnull=False).select_related("stage")
    return render(request, "reviews/revoke.html", {"form": form, "version": version, "aliases": aliases}, status=status)


def _next(by: Principal) -> str:
    number = waiting_for(by).count()
    return f" {number} more {'waits' if number == 1 else 'wait'} for you." if number else ""
