"""The dataset pages: list, profile, upload, recipes."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from access.permissions import Permission, permit
from access.requests import principal_of
from datasets import queries
from datasets.actions import PROFILE_JOB, add_recipe, add_version, register_dataset
from datasets.drawings import draw
from datasets.forms import DatasetForm, RecipeForm, VersionForm
from datasets.models import DatasetVersion
from datasets.recipes import RECIPE_FORMAT, RecipeMistakes
from datasets.recipes import parse as parse_recipe
from foundation.readable import readable_json
from foundation.refusals import Invalid, NotFound, Refusal
from jobs.models import Job

PAGE_SIZE = 25


@require_GET
def dataset_list(request: HttpRequest) -> HttpResponse:
    """All datasets."""
    page = Paginator(queries.datasets_for(principal_of(request)), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(
        request,
        "datasets/list.html",
        {"page": page, "may_edit": principal_of(request).allows(Permission.EDIT_DATASETS)},
    )


@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Register a dataset."""
    permit(principal_of(request), Permission.EDIT_DATASETS)
    form = DatasetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        try:
            dataset = register_dataset(values.pop("name"), **values, by=principal_of(request))
        except Refusal as refusal:
            return _again(request, "datasets/new.html", form, refusal, {})
        messages.success(request, f"{dataset.name} is registered. Upload its first version next.")
        return redirect("datasets:upload", dataset.name)
    return render(request, "datasets/new.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """One dataset: the profile of a version, versions, recipes, who uses it."""
    dataset = queries.find_dataset(name, principal_of(request))
    version = queries.find_version(dataset, _number(request.GET.get("version")))
    profile = getattr(version, "profile", None) if version else None
    context = {
        "dataset": dataset,
        "version": version,
        "profile": profile.content if profile else None,
        "drawn": draw(profile.content) if profile else None,
        "job": _profile_job(version) if version and not profile else None,
        "versions": dataset.versions.select_related("prepared_by"),
        "previous": dataset.versions.filter(number__lt=version.number).first() if version else None,
        "recipes": dataset.recipes.select_related("created_by"),
        "users": queries.used_by(dataset, principal_of(request)),
        "may_edit": principal_of(request).allows(Permission.EDIT_DATASETS),
    }
    return render(request, "datasets/detail.html", context)


@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest, name: str) -> HttpResponse:
    """Add a version."""
    permit(principal_of(request), Permission.EDIT_DATASETS)
    dataset = queries.find_dataset(name, principal_of(request))
    form = VersionForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            version = add_version(
                dataset, file, filename=file.name, note=form.cleaned_data["note"], by=principal_of(request)
            )
        except Refusal as refusal:
            return _again(request, "datasets/upload.html", form, refusal, {"dataset": dataset})
        messages.success(request, f"Version {version.number} is kept: {version.rows:,} rows. A worker is profiling it.")
        return redirect("datasets:detail", dataset.name)
    return render(
        request, "datasets/upload.html", {"form": form, "dataset": dataset}, status=400 if form.errors else 200
    )


@require_GET
def recipe(request: HttpRequest, name: str, recipe_name: str, number: int) -> HttpResponse:
    """One recipe in words and as JSON."""
    dataset = queries.find_dataset(name, principal_of(request))
    found = queries.find_recipe(dataset, recipe_name, number)
    parsed = parse_recipe(found.content, dataset.declared_schema())
    context = {
        "dataset": dataset,
        "recipe": found,
        "parsed": parsed,
        "text": readable_json(found.content),
    }
    return render(request, "datasets/recipe.html", context)


@require_http_methods(["GET", "POST"])
def recipe_new(request: HttpRequest, name: str) -> HttpResponse:
    """Write a recipe; the newest one is the starting point."""
    permit(principal_of(request), Permission.EDIT_DATASETS)
    dataset = queries.find_dataset(name, principal_of(request))
    newest = dataset.recipes.order_by("-created_at").first()
    start = newest.content if newest else {"recipe": RECIPE_FORMAT, "target": dataset.target, "steps": []}
    initial = {
        "name": newest.name if newest else "standard",
        "content": readable_json(start),
    }
    form = RecipeForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            kept = add_recipe(
                dataset, form.cleaned_data["name"], form.cleaned_data["content"], by=principal_of(request)
            )
        except Refusal as refusal:
            return _again(request, "datasets/recipe_new.html", form, refusal, {"dataset": dataset})
        messages.success(request, f"Recipe {kept} is kept.")
        return redirect("datasets:recipe", dataset.name, kept.name, kept.number)
    return render(
        request, "datasets/recipe_new.html", {"form": form, "dataset": dataset}, status=400 if form.errors else 200
    )


def _again(
    request: HttpRequest, template: str, form: Form, refusal: Refusal, context: dict[str, object]
) -> HttpResponse:
    """The form once more, with the refusal beside its fields where it names them and above them where not."""
    named = refusal.errors if isinstance(refusal, Invalid) else {}
    for field, sentences in _by_field(form, refusal, named).items():
        for sentence in sentences:
            form.add_error(field, sentence)
    return render(request, template, {"form": form, **context}, status=refusal.status)


def _by_field(form: Form, refusal: Refusal, named: dict[str, str]) -> dict[str | None, list[str]]:
    cause = refusal.__cause__
    if isinstance(cause, RecipeMistakes):
        return {"content": list(cause.mistakes)}
    return {field if field in form.fields else None: [text] for field, text in named.items()} or {
        None: [refusal.detail]
    }


def _profile_job(version: DatasetVersion) -> Job | None:
    return Job.objects.filter(kind=PROFILE_JOB, payload__version=version.pk).first()


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotFound("There is no such version.")
    return int(text)
