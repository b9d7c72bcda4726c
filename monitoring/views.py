"""The portal's pages about deployments in use: drift, performance on outcomes, alerts and limits."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from access.permissions import Permission
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Invalid, TooLarge
from foundation.spreadsheets import csv_response
from monitoring import actions, exports, queries
from monitoring.drawings import draw
from monitoring.forms import NoteForm, OutcomesForm, ThresholdsForm
from monitoring.outcomes import parse
from monitoring.permissions import alert_for, deployment_for, deployment_to_feed, may_care
from serving.models import Deployment

PERIODS: Final = ((24, "24 windows"), (48, "48 windows"), (queries.MOST_WINDOWS, "All"))
MOST_BYTES: Final = 20 * 1024**2
NAMED: Final = 5


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Every deployment that one may watch, those that need somebody first."""
    by = principal_of(request)
    context = {"lines": queries.overview(by), "may_see": by.allows(Permission.SEE_MONITORING)}
    return render(request, "monitoring/list.html", context)


@require_GET
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One deployment."""
    by = principal_of(request)
    return _page(request, deployment_for(by, name), by)


@require_POST
def evaluate(request: HttpRequest, name: str) -> HttpResponse:
    """Have a worker count and measure now."""
    by = principal_of(request)
    actions.ask_for_evaluation(deployment_for(by, name), by=by)
    messages.success(request, "A worker is counting what has come in. Reload the page in a few seconds.")
    return redirect("monitoring:detail", name=name)


@require_POST
def thresholds(request: HttpRequest, name: str) -> HttpResponse:
    """Change the limits."""
    by = principal_of(request)
    deployment = deployment_for(by, name)
    form = ThresholdsForm(request.POST)
    if form.is_valid():
        try:
            actions.set_thresholds(deployment, form.limits(), by=by)
        except Invalid as refusal:
            for field, problem in refusal.errors.items():
                form.add_error(field, problem)
    if form.errors:
        return _page(request, deployment, by, thresholds_form=form, status=400)
    messages.success(request, "The limits are changed, and every window has been judged by them.")
    return redirect("monitoring:detail", name=name)


@require_POST
def outcomes(request: HttpRequest, name: str) -> HttpResponse:
    """Feed a file of outcomes."""
    by = principal_of(request)
    deployment = deployment_to_feed(by, name)
    form = OutcomesForm(request.POST, request.FILES)
    if form.is_valid():
        file = form.cleaned_data["file"]
        if file.size > MOST_BYTES:
            raise TooLarge("A file of outcomes has at most 20 MB. Send it in parts.", code="too-large")
        try:
            fed = actions.feed_outcomes(deployment, parse(file.read()), by=by)
        except Invalid as refusal:
            form.add_error("file", refusal.detail)
    if form.errors:
        return _page(request, deployment, by, outcomes_form=form, status=400)
    (messages.warning if fed.unknown or fed.contradicting else messages.success)(request, said_of(fed))
    return redirect("monitoring:detail", name=name)


@require_POST
def acknowledge(request: HttpRequest, name: str, pk: int) -> HttpResponse:
    """Say that somebody has taken notice of an alert."""
    by = principal_of(request)
    alert = alert_for(by, name, pk)
    actions.acknowledge_alert(alert, note=request.POST.get("note", "")[:2_000], by=by)
    messages.success(request, "It is on record that you have taken notice.")
    return redirect("monitoring:detail", name=name)


@require_POST
def retrain(request: HttpRequest, name: str, pk: int) -> HttpResponse:
    """Ask for a retraining because of an alert."""
    by = principal_of(request)
    training = actions.ask_for_retraining(alert_for(by, name, pk), by=by)
    messages.success(request, "The retraining is queued. The version that comes of it will need its own review.")
    return redirect("training:detail", uuid=training.job.uuid)


@require_GET
def export(request: HttpRequest, name: str, what: str) -> HttpResponse:
    """Drift, performance or alerts of one deployment as CSV."""
    picture = queries.picture(deployment_for(principal_of(request), name), windows=queries.MOST_WINDOWS)
    columns, rows = exports.EXPORTS[what](picture)
    return csv_response(f"{name}-{what}.csv", columns, rows)


def said_of(fed: actions.Fed) -> str:
    """What became of outcomes, in sentences; at most five ids of each kind are named."""
    said = [f"{fed.taken:,} outcomes taken."]
    if fed.repeated:
        said.append(f"{fed.repeated:,} were known already.")
    if fed.contradicting:
        said.append(
            f"{len(fed.contradicting):,} contradict an outcome on record and were not taken: {_named(fed.contradicting)}."
        )
    if fed.unknown:
        said.append(f"{len(fed.unknown):,} name predictions that this deployment never made: {_named(fed.unknown)}.")
    return " ".join(said)


def _named(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - NAMED:,} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


def _page(
    request: HttpRequest,
    deployment: Deployment,
    by: Principal,
    *,
    thresholds_form: ThresholdsForm | None = None,
    outcomes_form: OutcomesForm | None = None,
    status: int = 200,
) -> HttpResponse:
    asked = request.GET.get("windows", "")
    windows = int(asked) if asked.isdigit() and len(asked) < 6 else queries.WINDOWS_SHOWN
    picture = queries.picture(deployment, windows=windows)
    worst = picture.features[0].feature if picture.features else ""
    feature = request.GET.get("feature", worst)
    feature = feature if feature in picture.bins else worst
    context = {
        "picture": picture,
        "deployment": deployment,
        "drawings": draw(picture, feature),
        "feature": feature,
        "periods": [(count, words, count == windows) for count, words in PERIODS],
        "may_care": may_care(by, deployment),
        "may_feed": by.allows(Permission.FEED_OUTCOMES),
        "may_train": by.allows(Permission.RUN_TRAINING),
        "may_revoke": picture.version is not None and by.allows(Permission.REVOKE_VERSION, deployment.model),
        "thresholds_form": thresholds_form or ThresholdsForm(instance=picture.thresholds),
        "outcomes_form": outcomes_form or OutcomesForm(),
        "note_form": NoteForm(),
    }
    return render(request, "monitoring/detail.html", context, status=status)
