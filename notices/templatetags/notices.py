"""How one wants to be written to, for the page of one's own account, which a room below this one draws."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import RequestContext

from access.models import User
from notices.forms import PreferenceForm
from notices.models import Notification
from notices.queries import preference_of

register = template.Library()


@register.inclusion_tag("notices/_preference.html", takes_context=True)
def mail_preference(context: RequestContext, person: User) -> dict[str, Any]:
    """The form, filled with what holds now, and what became of the last test mail."""
    kept = preference_of(person)
    tests = Notification.objects.of(person).filter(kind=Notification.Kind.TEST)
    return {
        "request": context.get("request"),
        "csrf_token": context.get("csrf_token"),
        "form": PreferenceForm(initial={"mode": kept.mode, "digest_hour": kept.digest_hour}),
        "person": person,
        "test": tests.order_by("-at").first(),
    }
