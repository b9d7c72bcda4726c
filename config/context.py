"""What every page knows: who is looking, what waits for them, and the theme they chose."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpRequest

from access import passkeys
from access.catalogue import Permission
from access.principal import Principal
from access.requests import reader_of
from audit import integrity
from notices.queries import unread_count
from reviews.queries import waiting_count

THEMES = frozenset({"light", "dark"})


def portal(request: HttpRequest) -> dict[str, Any]:
    """Context for base.html: `principal`, `reader`, `inbox_count`, `unread_count`, `theme` (empty: as the system says),
    `passkey_origin`, the one address at which passkeys work, and `ledger_alarm`, for those who may know.

    The numbers are functions, so that a fragment, which shows none of them, does not ask for them.
    """
    principal = getattr(request, "principal", None)
    theme = request.COOKIES.get("theme", "")
    return {
        "principal": principal,
        "reader": reader_of(request) if principal is not None else None,
        "inbox_count": _inbox_count(request),
        "unread_count": cache(lambda: unread_count(reader_of(request) if principal is not None else None)),
        "theme": theme if theme in THEMES else "",
        "passkey_origin": passkeys.origin(),
        "ledger_alarm": cache(lambda: _ledger_alarm(reader_of(request) if principal is not None else None)),
    }


def _inbox_count(request: HttpRequest) -> Callable[[], int]:
    @cache
    def count() -> int:
        known: int | None = getattr(request, "inbox_count", None)  # set by the inbox itself
        if known is not None:
            return known
        principal = getattr(request, "principal", None)
        return waiting_count(reader_of(request)) if principal is not None and not principal.is_anonymous else 0

    return count


def _ledger_alarm(principal: Principal | None) -> integrity.Found | None:
    """What is wrong with the ledger, where something is and this person may read it."""
    if principal is None or principal.is_anonymous or not principal.allows(Permission.SEE_AUDIT):
        return None
    found = integrity.remembered()
    return found if found.is_broken else None
