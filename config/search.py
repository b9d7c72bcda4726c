"""The palette's answers: models, versions and places, only what the person may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from access.permissions import Permission, visible_to
from access.principal import Principal
from datasets.models import Dataset
from registry.models import ModelVersion, RegisteredModel

LIMIT: Final = 8
PLACES: Final = (
    ("Go to inbox", "inbox", "reviews:inbox"),
    ("Go to models", "box", "registry:models"),
    ("Go to datasets", "database", "datasets:list"),
    ("Go to training", "activity", "training:list"),
    ("Go to deployments", "broadcast", "serving:deployments"),
    ("Go to monitoring", "activity", "monitoring:list"),
    ("Go to policies", "policy", "reviews:policies"),
    ("Go to the audit log", "report", "audit:log"),
    ("Go to people", "user", "access:people"),
    ("Go to reports", "report", "reports:index"),
    ("Verify a release", "certificate", "reports:verify"),
    ("API documentation", "report", "api-docs"),
)
DEEDS: Final = (
    (Permission.CREATE_MODEL, "Register a model", "box", "registry:new"),
    (Permission.EDIT_DATASETS, "Register a dataset", "database", "datasets:new"),
    (Permission.RUN_TRAINING, "Start a training", "cpu", "training:new"),
    (Permission.MANAGE_PEOPLE, "Add a person", "user", "access:new-person"),
)


@dataclass(frozen=True)
class Hit:
    """One row of the palette."""

    title: str
    icon: str
    url: str
    note: str = ""


def search(request: HttpRequest) -> HttpResponse:
    """A page or fragment with what matches `?q=`; without a query, the places one can go to."""
    query = request.GET.get("q", "").strip()[:100]
    principal: Principal = request.principal  # type: ignore[attr-defined]  # set by access.middleware
    hits = [*_things(query, principal), *_places(query, principal)] if not principal.is_anonymous else []
    template = "search/_hits.html" if request.htmx else "search/search.html"  # type: ignore[attr-defined]  # set by django-htmx
    return render(request, template, {"query": query, "hits": hits})


def _places(query: str, principal: Principal) -> list[Hit]:
    deeds = [deed for needs, *deed in DEEDS if principal.allows(needs)]
    return [
        Hit(title, icon, reverse(name)) for title, icon, name in (*PLACES, *deeds) if query.lower() in title.lower()
    ]


def _things(query: str, principal: Principal) -> list[Hit]:
    if not query:
        return []
    models = visible_to(RegisteredModel.objects.current(), principal, Permission.SEE_MODEL).filter(
        name__icontains=query
    )[:LIMIT]
    versions = visible_to(
        ModelVersion.objects.select_related("model"), principal, Permission.SEE_MODEL, through="model"
    )
    by_digest = (
        versions.filter(digest__startswith=query.removeprefix("sha256:").lower())[:LIMIT] if len(query) >= 6 else []
    )
    hits = [Hit(model.name, "box", reverse("reviews:model", args=[model.name]), "Model") for model in models]
    hits += [
        Hit(
            str(version),
            "fingerprint",
            reverse("reviews:version", args=[version.model.name, version.number]),
            version.get_state_display(),
        )
        for version in by_digest
    ]
    if principal.allows(Permission.SEE_DATASETS):
        datasets = Dataset.objects.filter(name__icontains=query)[:LIMIT]
        hits += [
            Hit(dataset.name, "database", reverse("datasets:detail", args=[dataset.name]), "Dataset")
            for dataset in datasets
        ]
    return hits
