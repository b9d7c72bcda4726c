"""The registry's pages: models, files, evidence, lineage, free aliases. The model card is in `card_views`.

The page of one model and of one version is in `reviews`.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from access.forms import show_refusal
from access.permissions import Permission, permit
from access.principal import Principal
from access.requests import principal_of
from audit.actions import append_alone
from audit.events import Action
from foundation.readable import readable_json
from foundation.refusals import Conflict, Invalid, NotFound
from registry import actions, lineage, queries
from registry.forms import AliasForm, ModelFilter, NewModel
from registry.models import Evidence, ModelVersion, RegisteredModel
from registry.overview import models_for
from registry.store import ArtifactStore

PER_PAGE: Final = 25
MAX_SHOWN_CHARACTERS: Final = 60_000


@require_GET
def model_list(request: HttpRequest) -> HttpResponse:
    """What is live in production and what comes next, model by model."""
    by = principal_of(request)
    form = ModelFilter(request.GET)
    wanted = form.cleaned_data if form.is_valid() else {}
    found = models_for(
        by,
        text=wanted.get("q") or "",
        tier=wanted.get("tier") or None,
        standing=wanted.get("standing") or "",
        mine=wanted.get("owner") == "me",
    )
    context = {
        "page": Paginator(found, PER_PAGE).get_page(request.GET.get("page")),
        "form": form,
        "filtered": any(wanted.values()),
        "may_create": by.allows(Permission.CREATE_MODEL),
    }
    return render(request, "registry/models.html", context)


@require_http_methods(["GET", "POST"])
def new_model(request: HttpRequest) -> HttpResponse:
    """Register a model."""
    by = principal_of(request)
    permit(by, Permission.CREATE_MODEL)
    form = NewModel(request.POST or None)
    if request.method == "POST" and form.is_valid():
        fields = dict(form.cleaned_data)
        try:
            model = actions.create_model(fields.pop("name"), **fields, by=by)
        except (Invalid, Conflict) as refusal:
            show_refusal(form, getattr(refusal, "errors", {}) or {"name": refusal.detail}, refusal.detail)
        else:
            messages.success(request, f"{model.name} is registered. Register its first version next.")
            return redirect("reviews:model", model.name)
    return render(request, "registry/new.html", {"form": form}, status=400 if form.errors else 200)


@require_GET
def files(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """A version's manifest, with digests and what the admission scan said."""
    version = queries.find_version(name, number, principal_of(request))
    scan = queries.evidence_of(version).get(Evidence.Kind.SCAN)
    context = _about(version) | {
        "files": version.files,
        "scan": scan,
        "reasons": scan.content.get("reasons", []) if scan else [],
        "open": _handed_out(scan),
    }
    return render(request, "registry/files.html", context)


@require_GET
def file(request: HttpRequest, name: str, number: int, path: str) -> HttpResponseBase:
    """One file's bytes, to whoever may see the model; recorded. What the scan did not admit is not handed out."""
    by = principal_of(request)
    version = queries.find_version(name, number, by)
    wanted = version.file(path)
    if wanted is None:
        raise NotFound(f"{version} has no file of that name.", code="file-unknown")
    if not _handed_out(queries.evidence_of(version).get(Evidence.Kind.SCAN)):
        raise Conflict(
            f"The admission scan has not admitted {version}; its files are not handed out.", code="not-admitted"
        )
    stream = ArtifactStore().open(wanted.sha256)
    append_alone(
        Action.VERSION_DOWNLOAD, by=by, obj=version.ledger_ref(), after={"path": wanted.path, "sha256": wanted.sha256}
    )
    response = FileResponse(
        stream, as_attachment=True, filename=wanted.path.rpartition("/")[2], content_type="application/octet-stream"
    )
    response["Content-Length"] = str(wanted.size)
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _handed_out(scan: Evidence | None) -> bool:
    return bool(scan and scan.content.get("verdict") == "admitted")


@require_GET
def evidence(request: HttpRequest, name: str, number: int, pk: int) -> HttpResponse:
    """One piece of evidence with its producer and digest; `?download` gives it as JSON, which is on record."""
    by = principal_of(request)
    version = queries.find_version(name, number, by)
    shown = queries.find_evidence(version, pk)
    text = readable_json(shown.content)
    if "download" in request.GET:
        append_alone(
            Action.EVIDENCE_EXPORT, by=by, obj=shown.ledger_ref(), after={"as": "json", "digest": shown.digest}
        )
        response = HttpResponse(text, content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="{shown.kind}-{shown.digest[:12]}.json"'
        return response
    context = _about(version) | {
        "shown": shown,
        "about_these_bytes": shown.subject_digest == version.digest,
        "rows": _flat(shown.content)[:200],
        "text": text[:MAX_SHOWN_CHARACTERS],
        "cut": len(text) > MAX_SHOWN_CHARACTERS,
        "others": version.evidence.filter(kind=shown.kind).exclude(pk=shown.pk).order_by("-created_at", "-pk")[:20],
    }
    return render(request, "registry/evidence.html", context)


def _flat(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """The single values of nested objects as (path, value); lists are left to the text below the table."""
    rows: list[tuple[str, Any]] = []
    for key, value in content.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += _flat(value, f"{path}.")
        elif not isinstance(value, list):
            rows.append((path, value))
    return rows


@require_GET
def lineage_page(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """Where a version came from and where it went."""
    by = principal_of(request)
    version = queries.find_version(name, number, by)
    steps = lineage.steps(version, sees_data=by.allows(Permission.SEE_DATASETS))
    context = _about(version) | {"steps": steps, "gaps": lineage.gaps(version)}
    return render(request, "registry/lineage.html", context)


@require_http_methods(["GET", "POST"])
def alias(request: HttpRequest, name: str) -> HttpResponse:
    """The aliases of a model: move a free one, delete one; a stage's alias is shown with the way to move it."""
    by = principal_of(request)
    model = queries.find_model(name, by)
    form = AliasForm(request.POST or None, model=model)
    if request.method == "POST" and "delete" in request.POST:
        actions.delete_alias(model, request.POST["delete"], by=by)
        messages.success(request, f"The alias {request.POST['delete']} is deleted.")
        return redirect("registry:alias", model.name)
    if request.method == "POST" and form.is_valid():
        try:
            row = actions.set_alias(model, form.cleaned_data["name"], form.cleaned_data["version"], by=by)
        except Invalid as refusal:
            show_refusal(form, {"name": refusal.detail}, refusal.detail)
        else:
            messages.success(request, f"{row.name} now points at version {row.version.number}.")
            return redirect("registry:alias", model.name)
    return render(
        request, "registry/alias.html", _aliases(model, by) | {"form": form}, status=400 if form.errors else 200
    )


def _aliases(model: RegisteredModel, by: Principal) -> dict[str, Any]:
    return {
        "model": model,
        "aliases": model.aliases.select_related("version", "stage", "updated_by").order_by("name"),
        "may_set": by.allows(Permission.SET_ALIAS, model),
        "has_versions": model.versions.usable().exists(),
    }


def _about(version: ModelVersion) -> dict[str, Any]:
    """What every page about one version shows in its head."""
    return {"version": version, "model": version.model, "card_completeness": queries.card_completeness(version)}
