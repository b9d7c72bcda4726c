"""Telling people: inside the transaction of what happened, so that nobody is told of what was undone, and nobody misses what was done."""

from __future__ import annotations

from collections.abc import Iterable

from access.models import User
from notices.models import Notification


def tell(
    people: Iterable[User], *, event: str, kind: Notification.Kind, title: str, body: str = "", link: str = ""
) -> None:
    """Tell each active person once about `event` (a stable id of at most 120 characters); mail leaves after the commit.

    Not an action of its own: it is part of the one that it tells of, which permits, checks and appends.
    """
    Notification.objects.bulk_create(
        [
            Notification(person=person, event=event, kind=kind, title=title[:200], body=body, link=link)
            for person in {person.pk: person for person in people}.values()
            if person.is_active and person.is_person
        ],
        ignore_conflicts=True,
    )
