"""From a draft to a policy in force: proposing it, rehearsing it, signing it, sending it back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, permit
from access.principal import Principal
from foundation.refusals import Conflict, NotFound
from foundation.spreadsheets import Cell, csv_response
from jobs.models import Job
from reviews.actions import propose_policy, sign_policy, take_back_policy
from reviews.actions.drafts import needs_of
from reviews.actions.rehearsals import begin_rehearsal, rehearsal_of, rehearsal_under_way
from reviews.forms import PolicySignForm
from reviews.models import PolicyRehearsal, PolicySignature, PolicyVersion
from reviews.policies import PolicyDocument, examine
from reviews.policy_changes import difference
from reviews.publication import MEANINGS, Needs
from reviews.rehearsal import FAILS, GateChange, PromotionCase, Rehearsed, ReviewCase, Shown, read_result, visible_part
from reviews.rulebook import document_of
from reviews.views.confirming import confirmation, person_signing
from reviews.views.policies import find_policy_version, signed_in
from reviews.views.receipts import tell_receipt

PARTS = (("changes", "What changes"), ("reviews", "Open reviews"), ("promotions", "Past promotions"))


@require_POST
def propose(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Freeze a draft and put it before its signers."""
    by = signed_in(request)
    version = propose_policy(find_policy_version(name, number), by=by)
    messages.success(request, f"{version} waits for its signatures; whoever may sign it was told.")
    return redirect("reviews:policy", name, number)


@require_POST
def take_back(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """An author makes a proposed text a draft again."""
    by = signed_in(request)
    version = take_back_policy(find_policy_version(name, number), by=by)
    messages.success(request, f"{version} is a draft again.")
    return redirect("reviews:policy", name, number)


@require_http_methods(["GET", "POST"])
def rehearsal(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """What a text would change, case by case; a POST rehearses it anew, at once or as a job."""
    by = signed_in(request)
    version = find_policy_version(name, number)
    if request.method == "POST":
        begun = begin_rehearsal(version, by=by)
        messages.success(
            request,
            "Many cases: a worker rehearses them; this page says how far it is."
            if isinstance(begun, Job)
            else "Rehearsed on everything that is open and on what was promoted before.",
        )
        return redirect("reviews:policy-rehearsal", name, number)
    kept = _kept(version, request.GET.get("id", ""))
    shown = visible_part(read_result(kept.result), by) if kept else None
    part, model, text = (request.GET.get(one, "") for one in ("show", "model", "q"))
    context = {
        "version": version,
        "document": examine(version.content)[0],
        "kept": kept,
        "stale": kept is not None and kept.policy_digest != version.digest,
        "shown": shown,
        "job": rehearsal_under_way(version),
        "show": part or "changes",
        "parts": PARTS,
        "model": model,
        "query": text,
        "reviews": _reviews(shown, part, model) if shown else [],
        "promotions": _promotions(shown, part, model) if shown else [],
        "models": _models(shown.found) if shown else [],
        "may_rehearse": _may_rehearse(version, by),
    }
    return render(request, "reviews/policy_rehearsal.html", context)


@require_GET
def rehearsal_csv(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """The same as a table for a spreadsheet: one row a case and gate or sign-off that comes out otherwise."""
    by = signed_in(request)
    version = find_policy_version(name, number)
    kept = _kept(version, request.GET.get("id", ""))
    if kept is None:
        raise NotFound(f"{version} has not been rehearsed.")
    shown = visible_part(read_result(kept.result), by)
    return csv_response(f"rehearsal-{name}-{number}.csv", COLUMNS, _table(shown.found))


@require_http_methods(["GET", "POST"])
def sign(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Approve a proposed policy or send it back; shows what it changes in the rules, and what it would have changed."""
    by = signed_in(request)
    permit(by, Permission.PUBLISH_POLICIES)
    version = find_policy_version(name, number)
    if version.status != PolicyVersion.Status.PROPOSED:
        raise Conflict(
            f"{version} is {version.get_status_display().lower()}; only a proposed text is signed.",
            code="not-proposed",
            link=reverse("reviews:policy", args=[name, number]),
        )
    document = document_of(version)
    needs = needs_of(version, document)
    kept = rehearsal_of(version)
    person = person_signing(by)
    form = PolicySignForm(
        request.POST or None,
        person=person,
        accepted=_accepted(document, needs),
        initial={"expected_rehearsal": kept.digest if kept else ""},
    )
    answer = None
    if request.method == "POST":
        answer = confirmation(
            request,
            form,
            by,
            lambda proof: sign_policy(
                version,
                decision=form.cleaned_data["decision"],
                reason=form.cleaned_data["reason"],
                reauthentication=proof,
                expected_rehearsal=form.cleaned_data["expected_rehearsal"],
                by=by,
            ),
        )
        if answer.response is not None:
            return answer.response
        if answer.ok:
            _say(request, version, answer.result, by)
            return redirect("reviews:policy", name, number)
    shown = visible_part(read_result(kept.result), by) if kept else None
    context = {
        "version": version,
        "document": document,
        "needs": needs,
        "form": form,
        "meanings": [(decision.value, decision.label, sentence) for decision, sentence in MEANINGS.items()],
        "kept": kept,
        "shown": shown,
        "reviews": _reviews(shown, "", "") if shown else [],
        "job": rehearsal_under_way(version),
        "difference": difference(document_of(needs.under), document) if needs.under else None,
        "rehearsal_changed": bool(answer and answer.refusal and answer.refusal.code == "rehearsal-changed"),
    }
    return render(request, "reviews/policy_sign.html", context, status=answer.status if answer else 200)


def _accepted(document: PolicyDocument, needs: Needs) -> tuple[str, ...]:
    return document_of(needs.under).reauthentication if needs.under else document.reauthentication


def _say(request: HttpRequest, version: PolicyVersion, given: PolicySignature | None, by: Principal) -> None:
    version.refresh_from_db()
    if version.status == PolicyVersion.Status.PUBLISHED:
        messages.success(request, f"Signed. {version} is in force; open rounds under the earlier text are opened anew.")
    elif version.status == PolicyVersion.Status.DRAFT:
        messages.success(request, f"Sent back. {version} is a draft again, and its authors were told.")
    else:
        messages.success(request, f"Signed. {version} waits for further signatures.")
    if given:
        tell_receipt(request, given.policy_version.receipt or given.receipt, by)


def _kept(version: PolicyVersion, uuid: str) -> PolicyRehearsal | None:
    """The rehearsal that was asked for by its id, else the newest of any text of this version."""
    rows = version.rehearsals.select_related("by")
    chosen = next((one for one in rows if str(one.uuid) == uuid), None)
    return chosen or rehearsal_of(version) or rows.first()


def _may_rehearse(version: PolicyVersion, by: Principal) -> bool:
    under_way = version.status in {PolicyVersion.Status.DRAFT, PolicyVersion.Status.PROPOSED}
    return under_way and (by.allows(Permission.WRITE_POLICIES) or by.allows(Permission.PUBLISH_POLICIES))


def _models(found: Rehearsed) -> list[str]:
    return sorted({case.model for case in found.reviews} | {case.model for case in found.promotions})


def _reviews(shown: Shown, part: str, model: str) -> list[ReviewCase]:
    rows = [case for case in shown.found.reviews if not model or case.model == model]
    return rows if part == "reviews" else [] if part == "promotions" else [case for case in rows if case.changes]


def _promotions(shown: Shown, part: str, model: str) -> list[PromotionCase]:
    rows = [case for case in shown.found.promotions if not model or case.model == model]
    return (
        rows if part == "promotions" else [] if part == "reviews" else [case for case in rows if case.outcome == FAILS]
    )


COLUMNS = (
    "case",
    "model",
    "version",
    "stage",
    "tier",
    "at",
    "before",
    "after",
    "what",
    "was",
    "would be",
    "measured",
    "required",
    "why",
)


def _table(found: Rehearsed) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for case in found.reviews:
        head = ("open review", case.model, case.version, case.stage, case.tier, found.at, case.before, case.after)
        rows += _details(head, case.gates, case.sign_offs)
    for past in found.promotions:
        head = ("promotion", past.model, past.version, past.stage, past.tier, past.at, "promoted", past.outcome)
        rows += _details(head, past.gates, past.sign_offs)
    return rows


def _details(
    head: tuple[Cell, ...], gates: tuple[GateChange, ...], sign_offs: tuple[str, ...]
) -> list[tuple[Cell, ...]]:
    rows = [
        (*head, gate.title, gate.before, gate.after or "gone", gate.measured, gate.required, gate.explanation)
        for gate in gates
    ]
    rows += [(*head, "sign-offs", "", "", "", "", sentence) for sentence in sign_offs]
    return rows or [(*head, "", "", "", "", "", "")]
