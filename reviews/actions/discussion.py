"""Reading marks: what a person has read, as it was. They decide nothing."""

from __future__ import annotations

from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict, Invalid
from reviews.actions.cases import person_of
from reviews.models import EvidenceReading, Review
from reviews.reading import SECTIONS, digest_of_section


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


def _check_section(section: str) -> None:
    if section in SECTIONS:
        return
    raise Invalid(f"The page has no section {section}.", errors={"section": f"Choose one of {', '.join(SECTIONS)}."})
