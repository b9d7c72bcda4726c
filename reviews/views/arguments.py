"""What the pages of this room read from a request in the same way."""

from __future__ import annotations

from django.http import HttpRequest

from registry import queries as registry
from registry.models import Stage


def stage_of(request: HttpRequest) -> Stage:
    """The stage that the form or the address names, production where neither does; raises `NotFound` for an unknown one."""
    return registry.find_stage(request.POST.get("stage") or request.GET.get("stage") or "production")
