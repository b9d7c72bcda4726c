"""Puts what was decided in a review into the words that other systems are told (`notices.webhooks`), inside the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.conf import settings

from audit.payload import Json
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from registry.models import Alias, ModelVersion, Stage
from reviews.evaluation import page_of
from reviews.models import Lapse, Review, Revocation, Round, SignOff

CLOSED: Final = {
    Round.State.APPROVED: Event.REVIEW_APPROVED,
    Round.State.APPROVED_WITH_CONDITIONS: Event.REVIEW_APPROVED,
    Round.State.REJECTED: Event.REVIEW_REJECTED,
    Round.State.CHANGES_REQUESTED: Event.REVIEW_CHANGES_REQUESTED,
    Round.State.WITHDRAWN: Event.REVIEW_WITHDRAWN,
}
"""A round that another one supersedes is the portal's own affair: the case goes on."""


def requested(review: Review, number: int) -> None:
    """A case was opened, with its first round."""
    data = _case(review, number)
    emit(Event.REVIEW_REQUESTED, review.version.model, {**data, "due": review.due_at.isoformat()})


def closed(round_: Round) -> None:
    """A round ended, one way or another."""
    event = CLOSED.get(Round.State(round_.state))
    if event is not None:
        emit(event, round_.review.version.model, _case(round_.review, round_.number))


def signed_off(given: SignOff, slot: str) -> None:
    """Somebody decided. Who it was is personal data, and stays here."""
    round_ = given.round
    data = _case(round_.review, round_.number)
    emit(Event.SIGN_OFF_GIVEN, round_.review.version.model, {**data, "slot": slot, "decision": str(given.decision)})


def promoted(version: ModelVersion, stage: Stage, previous: ModelVersion | None, *, basis: str, rollback: bool) -> None:
    """A stage's alias moved."""
    event = Event.VERSION_ROLLED_BACK if rollback else Event.VERSION_PROMOTED
    data: dict[str, Json] = {
        **_version(version, stage),
        "alias": stage.alias,
        "digest": version.digest,
        "previous": str(previous.number) if previous else None,
        "basis": basis,
        "url": _url(version),
    }
    emit(event, version.model, data)


def revoked(revocation: Revocation, dropped: Sequence[Alias]) -> None:
    """Every approval of a version was taken back."""
    version = revocation.version
    data: dict[str, Json] = {
        "name": version.model.name,
        "version": str(version.number),
        "digest": version.digest,
        "reason": revocation.reason,
        "aliases_dropped": [alias.name for alias in dropped],
        "url": _url(version),
    }
    emit(Event.APPROVAL_REVOKED, version.model, data)


def lapsed(lapse: Lapse, dropped: Sequence[Alias]) -> None:
    """An approval ended that nobody had to end."""
    version, stage = lapse.approval.version, lapse.approval.stage
    data: dict[str, Json] = {
        **_version(version, stage),
        "kind": str(lapse.kind),
        "reason": lapse.reason,
        "aliases_dropped": [alias.name for alias in dropped],
        "url": _url(version),
    }
    emit(Event.APPROVAL_LAPSED, version.model, data)


def _case(review: Review, number: int) -> dict[str, Json]:
    version = review.version
    return {**_version(version, review.stage), "review": str(review.uuid), "round": number, "url": _url(version)}


def _version(version: ModelVersion, stage: Stage) -> dict[str, Json]:
    return {"name": version.model.name, "version": str(version.number), "stage": stage.name}


def _url(version: ModelVersion) -> str:
    return settings.PORTAL_URL + page_of(version)
