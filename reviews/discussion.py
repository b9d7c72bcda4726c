"""The discussion of a review as its page shows it: every thread with what was said in it, read once for the whole page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Prefetch, prefetch_related_objects

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
        return len([said for thread in self.threads for said in thread.said])  # type: ignore[attr-defined]  # prefetched by `discussion_of`

    def of(self, section: str) -> Discussion:
        """The threads of one section; empty: those about the version at large."""
        return Discussion([one for one in self.threads if one.section == section])

    @property
    def anchored(self) -> Discussion:
        """The threads that stand in a section."""
        return Discussion([one for one in self.threads if one.section])


def discussion_of(review: Review) -> Discussion:
    """The discussion of `review` in one statement, two where something was edited, none when it was read before from the same object."""
    kept = known_discussion(review)
    if kept is not None:
        return kept
    said = list(
        Comment.objects.filter(thread__review=review)
        .select_related("author", "thread__opened_by", "thread__resolved_by")
        .annotate(edited=Exists(CommentRevision.objects.filter(comment=OuterRef("pk"))))
        .order_by("thread__opened_at", "thread", "at", "pk")
    )
    edited = [one for one in said if one.edited]
    if edited:
        prefetch_related_objects(edited, Prefetch("revisions", CommentRevision.objects.order_by("number")))
    unedited = CommentRevision.objects.none()
    unedited._result_cache = []  # an empty queryset, too, compiles its SQL each time that it is asked
    threads: dict[int, Thread] = {}
    for one in said:
        if not one.edited:
            one.__dict__.setdefault("_prefetched_objects_cache", {})["revisions"] = unedited
        thread = threads.setdefault(one.thread_id, one.thread)  # type: ignore[arg-type]  # filtered by its thread
        thread.__dict__.setdefault("said", []).append(one)
    found = Discussion(list(threads.values()))
    review.__dict__["kept_discussion"] = found
    return found


def known_discussion(review: Review) -> Discussion | None:
    """The discussion of this very object, if `discussion_of` read it before."""
    kept = review.__dict__.get("kept_discussion")
    return kept if isinstance(kept, Discussion) else None
