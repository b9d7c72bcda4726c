"""What every page knows: who is looking, what waits for them, and the theme they chose."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from notices.queries import unread_count
from reviews.queries import waiting_for

THEMES = frozenset({"light", "dark"})


def portal(request: HttpRequest) -> dict[str, Any]:
    """Context for base.html: `principal`, `inbox_count`, `unread_count` and `theme` (empty: as the system says)."""
    principal = getattr(request, "principal", None)
    theme = request.COOKIES.get("theme", "")
    return {
        "principal": principal,
        "inbox_count": waiting_for(principal).count() if principal and not principal.is_anonymous else 0,
        "unread_count": unread_count(principal),
        "theme": theme if theme in THEMES else "",
    }
