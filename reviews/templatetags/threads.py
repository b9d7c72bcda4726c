"""`{% threads review "fairness" %}`: the discussion of one section, wherever the page wants it; `{% discussion review %}`: all of it."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context

from reviews.discussion import Discussion, discussion_of
from reviews.evaluation import Evaluation
from reviews.models import Review
from reviews.panel import Panel

register = template.Library()


@register.inclusion_tag("reviews/_threads.html", takes_context=True)
def threads(context: Context, review: Review | None, section: str = "") -> dict[str, Any]:
    """The threads of one section (empty: about the version at large), with what the reader may do. Reads nothing twice a page."""
    found = discussion_of(review).of(section) if review is not None else Discussion([])
    request = context.get("request")
    return {
        "discussion": found,
        "review": review,
        "version": review.version if review is not None else None,
        "section": section,
        "reader": getattr(request, "user", None),
        "holds": _holds(context),
        "conditional": _conditional(context),
        "request": request,
        "csrf_token": context.get("csrf_token"),
    }


@register.simple_tag
def discussion(review: Review | None) -> Discussion:
    """Everything that was said in a review."""
    return discussion_of(review) if review is not None else Discussion([])


def _conditional(context: Context) -> bool:
    """Whether the policy of the page lets an approval carry conditions."""
    found = getattr(context.get("page"), "found", None)
    return isinstance(found, Evaluation) and found.rules.conditions.allowed


def _holds(context: Context) -> bool:
    """Whether the panel found that the reader holds a slot: for showing buttons; the actions ask anew."""
    panel = getattr(context.get("page"), "panel", None)
    if not isinstance(panel, Panel):
        return False
    return any(slot.mine or (slot.eligibility is not None and slot.eligibility.allowed) for slot in panel.slots)
