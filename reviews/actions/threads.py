"""Discussions anchored to the evidence: opened, replied to, edited by new revisions, resolved and opened again.

What is said is advice and decides nothing. A thread that must be resolved holds the approval back, so only slot holders open one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.utils import timezone

from access.models import User
from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Forbidden, Invalid
from notices.actions import tell
from notices.mentions import mentioned
from notices.models import Notification
from registry.models import Evidence
from reviews.actions.cases import person_of
from reviews.actions.signatures import conclude_open, why_not_holder
from reviews.evaluation import page_of
from reviews.locking import locked_review
from reviews.models import Comment, CommentRevision, Review, Round, Thread
from reviews.reading import SECTIONS

MAX_BODY: Final = 20_000
MAX_PATH: Final = 200


@governed(Action.THREAD_OPEN)
def open_thread(
    review: Review,
    body: str,
    *,
    section: str = "",
    evidence: Evidence | None = None,
    path: str = "",
    must_resolve: bool = False,
    feedback: str = "",
    by: Principal,
) -> Thread:
    """Start a discussion at a place: a section of the page (empty: the version at large), an evidence, a JSON Pointer inside it.

    `must_resolve`: the approval waits until it is resolved; for slot holders, while a round is open. `feedback` is advice.
    """
    review = locked_review(review)
    permit(by, Permission.SEE_MODEL, review.version.model)
    person = person_of(by)
    _check_body(body)
    _check_place(review, section, evidence, path)
    _check_feedback(feedback)
    if must_resolve:
        _check_holding(person, review)
    thread = Thread.objects.create(
        review=review,
        section=section,
        evidence=evidence,
        path=path,
        must_resolve=must_resolve,
        opened_by=person,
    )
    append(
        Action.THREAD_OPEN,
        by=by,
        obj=thread.ledger_ref(),
        after={"section": section, "path": path, "must_resolve": must_resolve, "review": str(review.uuid)},
    )
    _say(thread, body, feedback, person, by)
    return thread


@governed(Action.COMMENT_ADD)
def reply(thread: Thread, body: str, feedback: str = "", *, by: Principal) -> Comment:
    """Add a remark to a thread, also to one that was resolved; it becomes part of the record and cannot be deleted."""
    thread = _locked(thread)
    permit(by, Permission.SEE_MODEL, thread.review.version.model)
    person = person_of(by)
    _check_body(body)
    _check_feedback(feedback)
    return _say(thread, body, feedback, person, by)


@governed(Action.COMMENT_EDIT)
def edit_comment(comment: Comment, body: str, *, by: Principal) -> CommentRevision:
    """Say it anew: its author adds a revision, and the earlier texts stay to be read."""
    locked_review(comment.review)
    comment = Comment.objects.select_related("review__version__model", "thread", "author").get(pk=comment.pk)
    permit(by, Permission.SEE_MODEL, comment.review.version.model)
    if person_of(by).pk != comment.author_id:
        raise Forbidden(f"Only {comment.author}, who wrote it, edits this comment.", code="not-author")
    _check_body(body)
    if body.strip() == comment.text:
        raise Invalid("Nothing was changed.", errors={"body": "Change the text, or leave it as it is."})
    number = comment.revisions.count() + 1
    revision = CommentRevision.objects.create(comment=comment, number=number, body=body.strip())
    append(Action.COMMENT_EDIT, by=by, obj=comment.ledger_ref(), after={"revision": number})
    _tell_mentioned(comment, body)
    return revision


@governed(Action.THREAD_RESOLVE)
def resolve_thread(thread: Thread, *, by: Principal) -> Thread:
    """Say that it is settled: who opened it, or a slot holder. When it was the last thing missing, the round is approved."""
    thread = _locked(thread)
    permit(by, Permission.SEE_MODEL, thread.review.version.model)
    person = person_of(by)
    if thread.resolved_at is not None:
        raise Conflict("This thread is resolved already.", code="already-resolved")
    _permit_settling(person, thread)
    thread.resolved_by, thread.resolved_at = person, timezone.now()
    thread.save(update_fields=["resolved_by", "resolved_at"])
    append(Action.THREAD_RESOLVE, by=by, obj=thread.ledger_ref(), before={"resolved": False}, after={"resolved": True})
    _tell_settled(thread, "resolved", person)
    conclude_open(thread.review, _current(thread.review), by)
    return thread


@governed(Action.THREAD_REOPEN)
def reopen_thread(thread: Thread, *, by: Principal) -> Thread:
    """Say that it is not settled after all; one that must be resolved only while a round is open."""
    thread = _locked(thread)
    permit(by, Permission.SEE_MODEL, thread.review.version.model)
    person = person_of(by)
    if thread.resolved_at is None:
        raise Conflict("This thread is open.", code="already-open")
    _permit_settling(person, thread)
    if thread.must_resolve:
        _check_open(thread.review)
    thread.resolved_by, thread.resolved_at = None, None
    thread.save(update_fields=["resolved_by", "resolved_at"])
    append(Action.THREAD_REOPEN, by=by, obj=thread.ledger_ref(), before={"resolved": True}, after={"resolved": False})
    _tell_settled(thread, "opened again", person)
    return thread


def _locked(thread: Thread) -> Thread:
    review = locked_review(Review.objects.get(pk=thread.review_id))
    fresh = Thread.objects.select_related("opened_by").locked(thread.pk)
    fresh.review = review
    return fresh


def _current(review: Review) -> Round:
    """The newest round, with the review that is locked."""
    current = review.current_round
    current.review = review
    return current


def _say(thread: Thread, body: str, feedback: str, person: User, by: Principal) -> Comment:
    said = Comment.objects.create(
        review=thread.review, thread=thread, section=thread.section, feedback=feedback, body=body.strip(), author=person
    )
    append(
        Action.COMMENT_ADD,
        by=by,
        obj=said.ledger_ref(),
        after={"section": thread.section, "thread": str(thread.uuid), "review": str(thread.review.uuid)},
    )
    _tell_mentioned(said, body)
    _tell(_participants(thread), said, Notification.Kind.COMMENT, f"{person} wrote about {thread.review.version}")
    return said


def _participants(thread: Thread) -> list[User]:
    """Who asked for the review, and everybody who wrote in the thread."""
    wrote = User.objects.filter(pk__in=Comment.objects.filter(thread=thread).values("author"))
    return [thread.review.requested_by, *wrote]


def _tell_mentioned(said: Comment, body: str) -> None:
    """Each person who is named and may see the model is told once about a comment, however often it is edited."""
    names = mentioned(body)
    if not names:
        return
    people = [person for person in User.objects.people().active() if person.username.lower() in names]
    _tell(people, said, Notification.Kind.MENTION, f"{said.author} mentioned you on {said.review.version}")


def _tell(people: Iterable[User], said: Comment, kind: Notification.Kind, title: str) -> None:
    anchor = said.thread.anchor if said.thread else "discussion"
    tell(
        [person for person in people if person.pk != said.author_id],
        event=f"comment:{said.pk}",
        kind=kind,
        title=title,
        body=said.text,
        link=f"{page_of(said.review.version)}#{anchor}",
        about=said.review.version.model,
    )


def _tell_settled(thread: Thread, what: str, person: User) -> None:
    settled = thread.resolved_at or timezone.now()
    tell(
        [one for one in _participants(thread) if one.pk != person.pk],
        event=f"thread:{thread.uuid}:{what}:{settled.timestamp():.0f}",
        kind=Notification.Kind.COMMENT,
        title=f"{person} {what} a thread on {thread.review.version}",
        link=f"{page_of(thread.review.version)}#{thread.anchor}",
        about=thread.review.version.model,
    )


def _permit_settling(person: User, thread: Thread) -> None:
    if person.pk == thread.opened_by_id:
        return
    if why := why_not_holder(person, _current(thread.review)):
        raise Forbidden(
            f"A thread is settled by {thread.opened_by}, who opened it, or by a slot holder. {why}", code="not-settler"
        )


def _check_holding(person: User, review: Review) -> None:
    _check_open(review)
    if why := why_not_holder(person, _current(review)):
        raise Forbidden(
            f"Only a slot holder can hold the approval back. {why} Write it as a remark.", code="not-holder"
        )


def _check_open(review: Review) -> None:
    if review.closed_at is not None or not review.current_round.is_open:
        raise Conflict("No round of this review is open, so nothing can be held back in it.", code="round-closed")


def _check_body(body: str) -> None:
    if not body.strip():
        raise Invalid("Write something before you send it.", errors={"body": "Write something before you send it."})
    if len(body) > MAX_BODY:
        raise Invalid("The comment is too long.", errors={"body": f"At most {MAX_BODY:,} characters."})


def _check_feedback(feedback: str) -> None:
    if feedback and feedback not in Comment.Feedback.values:
        raise Invalid(
            "There is no such feedback.", errors={"feedback": f"One of {', '.join(Comment.Feedback.values)}."}
        )


def _check_place(review: Review, section: str, evidence: Evidence | None, path: str) -> None:
    if section and section not in SECTIONS:
        raise Invalid(
            f"The page has no section {section}.", errors={"section": f"Choose one of {', '.join(SECTIONS)}."}
        )
    if evidence is not None and evidence.version_id != review.version_id:
        raise Invalid("That evidence is of another version.", errors={"evidence": "Choose evidence of this version."})
    if path and (not path.startswith("/") or len(path) > MAX_PATH):
        raise Invalid("The place is not a JSON Pointer.", errors={"path": f"/… of at most {MAX_PATH} characters."})
