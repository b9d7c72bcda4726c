"""`{% section_files page "fairness" %}` and `{% evidence_files version evidence %}`: links to what is shown, as files, at its foot."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from registry.models import Evidence, ModelVersion
from reviews.downloads import charts_of_evidence, charts_of_section
from reviews.pages import VersionPage

register = template.Library()


@register.inclusion_tag("reviews/_files.html")
def section_files(page: VersionPage, section: str) -> dict[str, Any]:
    """The table of a section and, where it draws something, its drawings: of the stage and beside the version on the page."""
    version = page.found.version
    address = [version.model.name, version.number, section]
    base = str(page.old.version.number) if page.old else "none"
    asked = f"?stage={page.found.stage.name}&base={base}"
    return {
        "what": section.replace("-", " "),
        "table": reverse("reviews:section-table", args=address) + asked,
        "chart": reverse("reviews:section-chart", args=address) + asked if charts_of_section(page, section) else "",
    }


@register.inclusion_tag("reviews/_files.html")
def evidence_files(version: ModelVersion, evidence: Evidence) -> dict[str, Any]:
    """The values of one piece of evidence and, where it draws something, its drawings."""
    address = [version.model.name, version.number, evidence.pk]
    return {
        "what": evidence.get_kind_display().lower(),
        "table": reverse("reviews:evidence-table", args=address),
        "chart": reverse("reviews:evidence-chart", args=address) if charts_of_evidence(version, evidence) else "",
        "json": True,
    }
