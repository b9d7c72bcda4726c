"""`{% threads review "fairness" %}`: the discussion of one section, wherever the page wants it; `{% discussion review %}`: all of it.

A page has hundreds of remarks and is opened all day, so a thread is drawn once for everything that its drawing depends on, and kept.
Nothing of one request may stand in it: who reads is in `Shown` as what they may do, and tokens are in the page around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from django import template
from django.template.context import Context
from django.template.loader import get_template

from reviews.discussion import NOTHING_SAID, Discussion, Said, discussion_of
from reviews.evaluation import Evaluation
from reviews.models import Review, Thread
from reviews.panel import Panel

register = template.Library()

NEWEST: Final = 2
"""So many of the newest remarks of a long thread are not folded."""
WORTH_FOLDING: Final = 3
"""Fewer remarks are not worth a click."""


class Shown(NamedTuple):
    """A thread as one reader sees it; `own`: the comments that they wrote; `conditional`: they may turn it into a condition."""

    uuid: UUID
    anchor: str
    section: str
    path: str
    must_resolve: bool
    opened_by: str
    resolved_by: str
    resolved_at: datetime | None
    said: tuple[Said, ...]
    own: frozenset[int]
    model: str
    number: int
    stage: str
    resolvable: bool
    conditional: bool

    @property
    def first(self) -> tuple[Said, ...]:
        """What is always read: everything, or the question where what follows is folded."""
        return self.said[:1] if self.folded else self.said

    @property
    def folded(self) -> tuple[Said, ...]:
        """What lies between the question and the newest remarks of a long thread."""
        between = self.said[1:-NEWEST]
        return between if len(between) >= WORTH_FOLDING else ()

    @property
    def last(self) -> tuple[Said, ...]:
        """The newest remarks below what is folded."""
        return self.said[-NEWEST:] if self.folded else ()


@lru_cache(maxsize=1_024)
def drawn(shown: Shown) -> str:
    """The thread as HTML, which a template takes as safe."""
    return get_template("reviews/_thread.html").render({"thread": shown})


@register.inclusion_tag("reviews/_threads.html", takes_context=True)
def threads(context: Context, review: Review | None, section: str = "") -> dict[str, Any]:
    """The threads of one section (empty: about the version at large), with what the reader may do. Reads nothing twice a page."""
    if review is None:
        return {}
    found = discussion_of(review).of(section)
    reader = getattr(getattr(context.get("request"), "user", None), "pk", None)
    holds, conditional = _holds(context), _conditional(context)

    def draw(some: Iterable[Thread]) -> list[str]:
        return [
            drawn(_shown(one, found.said[one.pk], review, reader, holds=holds, conditional=conditional)) for one in some
        ]

    return {"open": draw(found.open), "resolved": draw(found.resolved), "section": section}


@register.simple_tag
def discussion(review: Review | None) -> Discussion:
    """Everything that was said in a review."""
    return discussion_of(review) if review is not None else NOTHING_SAID


def _shown(
    thread: Thread, said: Sequence[Said], review: Review, reader: int | None, *, holds: bool, conditional: bool
) -> Shown:
    return Shown(
        uuid=thread.uuid,
        anchor=thread.anchor,
        section=thread.section,
        path=thread.path,
        must_resolve=thread.must_resolve,
        opened_by=str(thread.opened_by),
        resolved_by=str(thread.resolved_by or ""),
        resolved_at=thread.resolved_at,
        said=tuple(said),
        own=frozenset(one.pk for one in said if one.author_id == reader),
        model=review.version.model.name,
        number=review.version.number,
        stage=review.stage.name,
        resolvable=holds or (reader is not None and thread.opened_by_id == reader),
        conditional=conditional,
    )


def _conditional(context: Context) -> bool:
    """Whether the reader could sign now, and the policy of the page lets an approval carry conditions."""
    page = context.get("page")
    found, panel = getattr(page, "found", None), getattr(page, "panel", None)
    return (
        isinstance(found, Evaluation)
        and isinstance(panel, Panel)
        and panel.sign_slot is not None
        and found.rules.conditions.allowed
    )


def _holds(context: Context) -> bool:
    """Whether the panel found that the reader holds a slot: for showing buttons; the actions ask anew."""
    panel = getattr(context.get("page"), "panel", None)
    return isinstance(panel, Panel) and panel.holds
