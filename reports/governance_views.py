"""Two reports on governance itself: what needs attention now, and how reviewing goes; as pages and as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from access.permissions import Permission, permit
from access.requests import principal_of
from foundation.charts import Drawing, series
from foundation.spreadsheets import csv_response
from reports.attention import Attention, attention
from reports.forms import PeriodForm
from reports.gathering import facts_of
from reports.quality import FEW, Month, Quality, quality
from reports.tables import ATTENTION, QUALITY


@require_GET
def needs_attention(request: HttpRequest) -> HttpResponse:
    """Open findings, exceptions in force, approvals that run out, break-glass uses, live versions under grace."""
    form, found = _attention(request, most=500)
    context = {"form": form, "found": found, "query": request.GET.urlencode()}
    return render(request, "reports/attention.html", context)


@require_GET
def export_attention(request: HttpRequest, what: str) -> HttpResponse:
    """One of the five lists as CSV."""
    _, found = _attention(request, most=100_000)
    columns, rows = ATTENTION[what](found)
    return csv_response(f"{what}.csv", columns, rows)


@require_GET
def review_quality(request: HttpRequest) -> HttpResponse:
    """How long reviews take, what was opened before signing, how often first votes agree, who carries how much."""
    form, found = _quality(request)
    context = {
        "form": form,
        "found": found,
        "few": FEW,
        "chart": _chart(found.months),
        "months": [[one.label, _hours(one.median_hours), str(one.n)] for one in found.months],
        "query": request.GET.urlencode(),
    }
    return render(request, "reports/review_quality.html", context)


@require_GET
def export_quality(request: HttpRequest, what: str) -> HttpResponse:
    """One of its tables as CSV."""
    _, found = _quality(request)
    columns, rows = QUALITY[what](found)
    return csv_response(f"review-quality-{what}.csv", columns, rows)


def _attention(request: HttpRequest, *, most: int) -> tuple[PeriodForm, Attention]:
    by = principal_of(request)
    permit(by, Permission.SEE_MODEL)
    form = PeriodForm(request.GET or None)
    return form, attention(form.period(), by, most=most)


def _quality(request: HttpRequest) -> tuple[PeriodForm, Quality]:
    by = principal_of(request)
    permit(by, Permission.SEE_MODEL)
    form = PeriodForm(request.GET or None)
    return form, quality(facts_of(form.period(), by))


def _hours(value: float | None) -> str:
    return "none decided" if value is None else f"{value:,.1f} h"


def _chart(months: Sequence[Month]) -> Drawing:
    return series(
        "Median time to decision by month",
        [one.label for one in months],
        [one.median_hours for one in months],
        measure="median hours to decision",
        bars=True,
    )
