"""The training pages: list, a job with live progress, and the form that asks for one."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from access.permissions import Permission, permit, visible_to
from access.requests import principal_of
from foundation.refusals import Invalid, Refusal, Unauthenticated
from registry import queries as registry
from registry.models import RegisteredModel
from training.actions import cancel_training, compare_again, retry_training, start_training
from training.algorithms import OFFERS, Algorithm
from training.forms import TrainingForm
from training.models import TrainingJob
from training.queries import find_training, progress_of

PAGE_SIZE = 25


@require_GET
def training_list(request: HttpRequest) -> HttpResponse:
    """The jobs of models that the person may see, newest first."""
    if principal_of(request).is_anonymous:
        raise Unauthenticated("Log in to see training jobs.")
    jobs = TrainingJob.objects.seen_by(principal_of(request)).with_everything_shown()
    page = Paginator(jobs, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(
        request,
        "training/list.html",
        {"page": page, "may_train": principal_of(request).allows(Permission.RUN_TRAINING)},
    )


@require_GET
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One job; htmx asks for the part that changes (`?part=progress`) until the job is over."""
    training = find_training(uuid, principal_of(request))
    context = {
        "training": training,
        "job": training.job,
        "progress": progress_of(training.job),
        "offer": OFFERS[Algorithm(training.algorithm)],
        "may_steer": principal_of(request).allows(Permission.RUN_TRAINING)
        and principal_of(request).allows(Permission.REGISTER_VERSION, training.model),
    }
    if request.GET.get("part") == "progress" and getattr(request, "htmx", False):
        response = render(request, "training/detail.html#live", context)
        if training.job.is_finished:
            response["HX-Refresh"] = "true"
        return response
    return render(request, "training/detail.html", context)


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Ask for a training. `?part=settings` is what htmx swaps in for another algorithm; `op=settings` shows the same without scripts."""
    permit(principal_of(request), Permission.RUN_TRAINING)
    models = visible_to(RegisteredModel.objects.current(), principal_of(request), Permission.REGISTER_VERSION)
    initial = {"algorithm": Algorithm.LOGISTIC_REGRESSION.value, **request.GET.dict()}
    if request.method == "POST" and request.POST.get("op") == "settings":
        return _form_page(request, TrainingForm(models=models, initial=request.POST.dict()), models)
    form = TrainingForm(request.POST if request.method == "POST" else None, models=models, initial=initial)
    if request.GET.get("part") == "settings" and getattr(request, "htmx", False):
        return render(request, "training/new.html#settings", {"form": form, "offer": OFFERS[form.offer_of]})
    status = 200
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        try:
            training = start_training(values.pop("model"), **values, by=principal_of(request))
        except Refusal as refusal:
            _show_in(form, refusal)
            status = refusal.status
        else:
            messages.success(request, "The training is queued. This page follows it; you can close it meanwhile.")
            return redirect(training)
    return _form_page(request, form, models, status=400 if form.errors and status == 200 else status)


@require_POST
def cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Stop a job."""
    training = cancel_training(find_training(uuid, principal_of(request)), by=principal_of(request))
    messages.success(request, "Cancelling: nothing will be registered.")
    return redirect(training)


@require_POST
def retry(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Run a failed or cancelled job again."""
    training = retry_training(find_training(uuid, principal_of(request)), by=principal_of(request))
    messages.success(request, "Queued once more.")
    return redirect(training)


@require_POST
def compare(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Compare a version with the one in production once more."""
    by = principal_of(request)
    version = registry.find_version(name, number, by)
    compare_again(version, by=by)
    messages.success(
        request, "A worker compares it with the version in production; the result appears here as new evidence."
    )
    return redirect("reviews:version", version.model.name, version.number)


def _form_page(
    request: HttpRequest, form: TrainingForm, models: QuerySet[RegisteredModel], *, status: int = 200
) -> HttpResponse:
    context = {"form": form, "offers": OFFERS, "offer": OFFERS[form.offer_of], "has_models": models.exists()}
    return render(request, "training/new.html", context, status=status)


def _show_in(form: TrainingForm, refusal: Refusal) -> None:
    """The refusal beside the fields that it names, above the form where it names none."""
    errors = refusal.errors if isinstance(refusal, Invalid) else {}
    places = {"split": "train", "mitigation": "reweighing"}
    for field, sentence in errors.items():
        place = places.get(field, field)
        form.add_error(place if place in form.fields else None, sentence)
    if not errors:
        form.add_error(None, refusal.detail)
