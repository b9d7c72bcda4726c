"""Tables and drawings of the evidence as files, for whoever may see the model. Taking one away is on record."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from access.requests import principal_of, reader_of
from audit.actions import append_alone
from audit.events import Action
from foundation.refusals import NotFound
from foundation.spreadsheets import csv_response, csv_stream
from registry import queries as registry
from registry.models import Evidence, ModelVersion
from reviews.downloads import TABLES, charts_of_evidence, charts_of_section, leaves, sheet_of
from reviews.pages import VersionPage, version_page
from reviews.reading import section_digests


@require_GET
def section_table(request: HttpRequest, name: str, number: int, section: str) -> HttpResponse:
    """The table of one section as CSV, of the stage and beside the version that the page shows."""
    page = _page(request, name, number)
    if section not in TABLES:
        raise NotFound(f"There is no section {section[:40]} of the evidence.")
    table = TABLES[section](page)
    response = csv_response(_filename(page.found.version, section, "csv"), table.columns, table.rows)
    _record_section(request, page, section, "csv")
    return response


@require_GET
def section_chart(request: HttpRequest, name: str, number: int, section: str) -> HttpResponse:
    """The drawings of one section as one SVG."""
    page = _page(request, name, number)
    charts = charts_of_section(page, section)
    if not charts:
        raise NotFound(f"The section {section[:40]} of {page.found.version} draws nothing.")
    version, title = page.found.version, section.replace("-", " ").capitalize()
    drawn = sheet_of(version, page.old, title, charts, _digest(page, section))
    _record_section(request, page, section, "svg")
    return _svg(drawn, _filename(version, section, "svg"))


@require_GET
def evidence_table(request: HttpRequest, name: str, number: int, pk: int) -> HttpResponseBase:
    """Every value of one piece of evidence as CSV, with its path."""
    version, shown = _evidence(request, name, number, pk)
    _record_evidence(request, shown, "csv")
    return csv_stream(
        _filename(version, f"{shown.kind}-{shown.digest[:12]}", "csv"), ("path", "value"), leaves(shown.content)
    )


@require_GET
def evidence_chart(request: HttpRequest, name: str, number: int, pk: int) -> HttpResponse:
    """What one piece of evidence draws, as one SVG."""
    version, shown = _evidence(request, name, number, pk)
    charts = charts_of_evidence(version, shown)
    if not charts:
        raise NotFound(f"{shown} draws nothing; its values are a table.")
    drawn = sheet_of(version, None, shown.get_kind_display(), charts, shown.digest)
    _record_evidence(request, shown, "svg")
    return _svg(drawn, _filename(version, f"{shown.kind}-{shown.digest[:12]}", "svg"))


def _page(request: HttpRequest, name: str, number: int) -> VersionPage:
    by = reader_of(request)
    stage, base = (request.GET.get(key, "") for key in ("stage", "base"))
    return version_page(registry.find_version(name, number, by), by, stage=stage, base=base)


def _evidence(request: HttpRequest, name: str, number: int, pk: int) -> tuple[ModelVersion, Evidence]:
    version = registry.find_version(name, number, principal_of(request))
    return version, registry.find_evidence(version, pk)


def _digest(page: VersionPage, section: str) -> str:
    return section_digests(page.new.evidence, page.new.card)[section]


def _record_section(request: HttpRequest, page: VersionPage, section: str, form: str) -> None:
    append_alone(
        Action.EVIDENCE_EXPORT,
        by=principal_of(request),
        obj=page.found.version.ledger_ref(),
        after={"section": section, "as": form, "digest": _digest(page, section)},
    )


def _record_evidence(request: HttpRequest, shown: Evidence, form: str) -> None:
    append_alone(
        Action.EVIDENCE_EXPORT,
        by=principal_of(request),
        obj=shown.ledger_ref(),
        after={"as": form, "digest": shown.digest},
    )


def _filename(version: ModelVersion, what: str, ending: str) -> str:
    model = re.sub(r"[^A-Za-z0-9.-]+", "-", version.model.name)
    return f"{model}-v{version.number}-{what}.{ending}"


def _svg(text: str, filename: str) -> HttpResponse:
    """To be kept, not shown: our policy would take the colours out of a page of its own."""
    response = HttpResponse(text, content_type="image/svg+xml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response
