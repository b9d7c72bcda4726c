"""The discussion of a review as its page shows it: every thread with what was said in it, read once for the whole page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, NamedTuple

from django.db.models import OuterRef, Subquery

from reviews.models import Comment, CommentRevision, Review, Thread

FEEDBACK: Final = dict(Comment.Feedback.choices)


class Said(NamedTuple):
    """A comment as it reads now. Hundreds stand on a page, so it is no model; `edited`: its first text is not its newest."""

    pk: int
    author_id: int
    author: str
    at: datetime
    text: str
    feedback: str
    edited: bool

    @property
    def feedback_display(self) -> str:
        """What its author thinks, in words."""
        return str(FEEDBACK.get(self.feedback, ""))


@dataclass(frozen=True)
class Discussion:
    """All threads of a review, the oldest first, and what was said in each: comments by the key of their thread."""

    threads: Sequence[Thread]
    said: dict[int, list[Said]]

    @property
    def open(self) -> list[Thread]:
        """Those that are not resolved."""
        return [one for one in self.threads if one.resolved_at is None]

    @property
    def resolved(self) -> list[Thread]:
        """Those that are."""
        return [one for one in self.threads if one.resolved_at is not None]

    @property
    def holding(self) -> list[Thread]:
        """Those that hold the approval back."""
        return [one for one in self.open if one.must_resolve]

    @property
    def comments(self) -> list[Said]:
        """Everything that was said in its threads."""
        return [one for thread in self.threads for one in self.said[thread.pk]]

    @property
    def open_counted(self) -> list[tuple[Thread, int]]:
        """Those that are not resolved, with how much was said in each."""
        return [(one, len(self.said[one.pk])) for one in self.open]

    def of(self, section: str) -> Discussion:
        """The threads of one section; empty: those about the version at large."""
        return Discussion([one for one in self.threads if one.section == section], self.said)

    @property
    def anchored(self) -> Discussion:
        """The threads that stand in a section."""
        return Discussion([one for one in self.threads if one.section], self.said)


NOTHING_SAID: Final = Discussion([], {})


def discussion_of(review: Review) -> Discussion:
    """The discussion of `review` in two statements, none when it was read before from the same object."""
    kept = known_discussion(review)
    if kept is not None:
        return kept
    said: dict[int, list[Said]] = {}
    for thread, pk, author_id, name, username, at, body, newest, feedback in _comments().filter(thread__review=review):
        one = Said(
            pk, author_id, name or username, at, body if newest is None else newest, feedback, newest is not None
        )
        said.setdefault(thread, []).append(one)
    threads = Thread.objects.filter(review=review).select_related("opened_by", "resolved_by") if said else ()
    found = Discussion([one for one in threads if one.pk in said], said)
    review.__dict__["kept_discussion"] = found
    return found


@cache
def _comments():  # type: ignore[no-untyped-def]  # a ValuesQuerySet's type names every column
    """Comments as `discussion_of` reads them, whosever: the question is put together once."""
    newest = CommentRevision.objects.filter(comment=OuterRef("pk")).order_by("-number").values("body")[:1]
    return (
        Comment.objects.annotate(newest=Subquery(newest))
        .order_by("at", "pk")
        .values_list(
            *("thread", "pk", "author", "author__display_name", "author__username"),
            *("at", "body", "newest", "feedback"),
        )
    )


def known_discussion(review: Review) -> Discussion | None:
    """The discussion of this very object, if `discussion_of` read it before."""
    kept = review.__dict__.get("kept_discussion")
    return kept if isinstance(kept, Discussion) else None
