"""Remarks and reading marks. Neither decides anything."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Invalid
from reviews.actions.cases import person_of
from reviews.models import Comment, EvidenceReading, Review
from reviews.reading import SECTIONS, digest_of_section

MAX_BODY: Final = 20_000


@governed(Action.COMMENT_ADD)
def comment(review: Review, body: str, section: str = "", *, by: Principal) -> Comment:
    """Add a remark to the discussion; it becomes part of the record and cannot be deleted."""
    review = Review.objects.select_related("version__model").get(pk=review.pk)
    permit(by, Permission.SEE_MODEL, review.version.model)
    if not body.strip():
        raise Invalid("Write something before you send it.", errors={"body": "Write something before you send it."})
    if len(body) > MAX_BODY:
        raise Invalid("The comment is too long.", errors={"body": f"At most {MAX_BODY:,} characters."})
    _check_section(section, allow_none=True)
    said = Comment.objects.create(review=review, section=section, body=body.strip(), author=person_of(by))
    append(Action.COMMENT_ADD, by=by, obj=said.ledger_ref(), after={"section": section, "review": str(review.uuid)})
    return said


@governed(Action.REVIEW_READ)
def mark_read(review: Review, section: str, *, read: bool = True, by: Principal) -> None:
    """Note that `by` has read a section of the evidence as it is now, or has not; it says so on the page until the section changes."""
    review = Review.objects.select_related("version__model", "stage").get(pk=review.pk)
    permit(by, Permission.SEE_MODEL, review.version.model)
    person = person_of(by)
    if not person.is_person:
        raise Conflict("Reading is for people.", code="not-a-person")
    _check_section(section)
    if not read:
        EvidenceReading.objects.filter(review=review, person=person, section=section).delete()
        append(Action.REVIEW_READ, by=by, obj=review.ledger_ref(), after={"section": section, "read": False})
        return
    digest = digest_of_section(review.version, section)
    EvidenceReading.objects.update_or_create(
        review=review, person=person, section=section, defaults={"digest": digest, "at": timezone.now()}
    )
    append(
        Action.REVIEW_READ, by=by, obj=review.ledger_ref(), after={"section": section, "digest": digest, "read": True}
    )


def _check_section(section: str, *, allow_none: bool = False) -> None:
    if section in SECTIONS or (allow_none and not section):
        return
    raise Invalid(f"The page has no section {section}.", errors={"section": f"Choose one of {', '.join(SECTIONS)}."})
