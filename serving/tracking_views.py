"""The pages about experiments: those that somebody has a part in, and one with who else has it, where its owner shares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from access.forms import HolderForm
from access.principal import Principal
from access.requests import principal_of
from foundation.refusals import Conflict, Forbidden, Invalid, Unauthenticated
from serving.mlflow_ui import PREFIX
from serving.tracking_access import allows, find_listed, listed, may_share
from serving.tracking_actions import give_experiment, open_experiment, share_experiment, unshare_experiment
from serving.tracking_forms import ExperimentFilter, OthersForm, OwnerForm, ShareForm
from serving.tracking_models import Experiment, Level, Others

PER_PAGE: Final = 25


@require_GET
def experiments(request: HttpRequest) -> HttpResponse:
    """Those that the person reads, or, for whoever manages people, all of them."""
    by = _by(request)
    form = ExperimentFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = listed(by).select_related("owner").prefetch_related("grants")
    if wanted.get("q"):
        found = found.filter(name__icontains=wanted["q"])
    if wanted.get("mine"):
        found = found.filter(owner=by.user)
    context = {
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
        "form": form,
        "filtered": any(wanted.values()),
        "mlflow": settings.MLFLOW_URL,
        "mlflow_pages": f"{settings.MLFLOW_URL}{PREFIX}/",
    }
    return render(request, "serving/experiments.html", context)


@require_http_methods(["GET", "POST"])
def experiment(request: HttpRequest, number: int) -> HttpResponse:
    """One experiment; POST changes who has it: `change` is share, unshare, others or owner."""
    by = _by(request)
    found = find_listed(number, by)
    change = request.POST.get("change", "")
    forms: dict[str, Form] = {
        "share": ShareForm(request.POST if change == "share" else None, auto_id="share_%s"),
        "others": OthersForm(
            request.POST if change == "others" else None, initial={"others": found.others}, auto_id="others_%s"
        ),
        "owner": OwnerForm(request.POST if change == "owner" else None, auto_id="owner_%s"),
    }
    if request.method == "POST":
        form = HolderForm(request.POST) if change == "unshare" else forms.get(change)
        if form is None:
            raise Invalid("Choose what to change.")
        said = _changed(found, change, form, by)
        if said:
            messages.success(request, said)
            return redirect("serving:experiment", found.pk)
    sharing = may_share(by, found)
    context: dict[str, Any] = {
        "experiment": found,
        "grants": list(found.grants.select_related("user", "group")),
        "may_share": sharing,
        "may_read": allows(by, Level.READ, found.pk),
        "forms": forms,
        "mlflow_page": f"{settings.MLFLOW_URL}{PREFIX}/#/experiments/{found.pk}",
    }
    failed = any(form.errors for form in forms.values())
    return render(request, "serving/experiment.html", context, status=400 if failed else 200)


def _changed(found: Experiment, change: str, form: Form, by: Principal) -> str:
    """What to tell the person who changed something; nothing where the form says what is wrong."""
    if not form.is_valid():
        return ""
    try:
        return CHANGES[change](found, form, by)
    except (Conflict, Invalid) as refusal:
        if change == "unshare":  # a button, without a form that could say it
            raise
        form.add_error(None, refusal.detail)
        return ""


def _share(found: Experiment, form: Any, by: Principal) -> str:
    level = Level(form.cleaned_data["level"])
    share_experiment(found, level, to=form.holder(), by=by)
    return f"{form.holder()} may now {level.label}."


def _unshare(found: Experiment, form: Any, by: Principal) -> str:
    unshare_experiment(found, to=form.holder(), by=by)
    return f"{found} is no longer shared with {form.holder()}."


def _open(found: Experiment, form: Any, by: Principal) -> str:
    open_experiment(found, Others(form.cleaned_data["others"]), by=by)
    return f"Everybody else may now: {Others(form.cleaned_data['others']).label.lower()}."


def _give(found: Experiment, form: Any, by: Principal) -> str:
    give_experiment(found, to=form.person(), by=by)
    return f"{form.person()} owns {found} now."


CHANGES: Final[Mapping[str, Callable[[Experiment, Any, Principal], str]]] = {
    "share": _share,
    "unshare": _unshare,
    "others": _open,
    "owner": _give,
}


def _by(request: HttpRequest) -> Principal:
    by = principal_of(request)
    if by.is_anonymous:
        raise Unauthenticated("Log in to see experiments.")
    if by.user is None:
        raise Forbidden("Experiments belong to accounts.")
    return by
