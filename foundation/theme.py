"""The light or dark theme a person chose, kept in a cookie so that the server draws the right page at once.

Without a choice the page follows the system. Works as a plain form, so it needs no JavaScript.
"""

from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

COOKIE: Final = "theme"
THEMES: Final = ("light", "dark")
KEPT_SECONDS: Final = 365 * 24 * 3600


def chosen(request: HttpRequest) -> str:
    """`light`, `dark`, or an empty string when the person follows the system."""
    theme = request.COOKIES.get(COOKIE, "")
    return theme if theme in THEMES else ""


def theme(request: HttpRequest) -> dict[str, str]:
    """Context processor: `theme` for the root element and `next_theme` for the toggle's button."""
    now = chosen(request)
    return {"theme": now, "next_theme": "light" if now == "dark" else "dark"}


def _back(request: HttpRequest) -> str:
    target = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if safe else "/"


@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Keep the posted `theme` for a year and go back; anything but a known theme means: follow the system."""
    response = HttpResponseRedirect(_back(request))
    asked = request.POST.get("theme", "")
    if asked in THEMES:
        response.set_cookie(COOKIE, asked, max_age=KEPT_SECONDS, samesite="Lax", secure=request.is_secure())
    else:
        response.delete_cookie(COOKIE, samesite="Lax")
    return response
