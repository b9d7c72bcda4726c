"""Light or dark, kept in a cookie so that the server draws the first byte right."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from config.context import THEMES


@login_not_required
@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Remember the theme for a year and go back to where the person was; anything unknown means: as the system says."""
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = "/"
    response = redirect(back)
    theme = request.POST.get("theme", "")
    if theme in THEMES:
        response.set_cookie(
            "theme", theme, max_age=365 * 86_400, samesite="Lax", secure=request.is_secure(), httponly=False
        )
    else:
        response.delete_cookie("theme")
    return response
