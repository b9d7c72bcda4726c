"""Decides what somebody reads who tried too many passwords: that they have to wait, and until when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone

from access.clients import address
from foundation.refusals import Conflict


def locked_out(
    request: HttpRequest, response: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """429 with the time from which trying again makes sense; the same whether or not the account exists."""
    until = _until(request, str((credentials or {}).get("username", "")))
    seconds = max(1, round((until - timezone.now()).total_seconds()))
    refusal = Conflict(
        f"Too many attempts with a wrong password. Try again after {until:%H:%M} UTC, "
        f"in {-(-seconds // 60)} minutes, or ask an administrator.",
        code="locked-out",
        title="Wait before you try again",
        status=429,
    )
    answer: HttpResponse
    if request.path.startswith("/api/"):
        answer = JsonResponse(
            refusal.as_problem(instance=request.path), status=429, content_type="application/problem+json"
        )
    else:
        answer = render(request, "access/locked_out.html", {"refusal": refusal, "until": until}, status=429)
    answer["Retry-After"] = str(seconds)
    return answer


def _until(request: HttpRequest, username: str) -> datetime:
    """When the newest counted failure stops counting."""
    wait: timedelta = get_cool_off(request)
    attempts = AccessAttempt.objects.filter(username=username, ip_address=address(request.META) or None)
    newest = attempts.order_by("-attempt_time").values_list("attempt_time", flat=True).first()
    return (newest or timezone.now()) + wait
