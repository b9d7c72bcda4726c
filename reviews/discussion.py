"""The discussion of a review as its page shows it: every thread with what was said in it, read once for the whole page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Prefetch

from reviews.models import Comment, CommentRevision, Review, Thread


@dataclass(frozen=True)
class Discussion:
    """All threads of a review, the oldest first; `thread.said` has their comments with their revisions."""

    threads: Sequence[Thread]

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
    def comments(self) -> int:
        """How much was said."""
        return sum(len(thread.said) for thread in self.threads)  # type: ignore[attr-defined]  # prefetched by `discussion_of`

    def of(self, section: str) -> Discussion:
        """The threads of one section; empty: those about the version at large."""
        return Discussion([one for one in self.threads if one.section == section])

    @property
    def anchored(self) -> Discussion:
        """The threads that stand in a section."""
        return Discussion([one for one in self.threads if one.section])


def discussion_of(review: Review) -> Discussion:
    """The discussion of `review` in three statements, and in none when it was read before from the same object."""
    kept = review.__dict__.get("kept_discussion")
    if isinstance(kept, Discussion):
        return kept
    revisions = CommentRevision.objects.order_by("number")
    said = Comment.objects.select_related("author").prefetch_related(Prefetch("revisions", revisions))
    rows = (
        Thread.objects.filter(review=review)
        .select_related("opened_by", "resolved_by")
        .prefetch_related(Prefetch("comments", said.order_by("at", "pk"), to_attr="said"))
    )
    found = Discussion(list(rows))
    review.__dict__["kept_discussion"] = found
    return found
