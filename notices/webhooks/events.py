"""Names every event that a system can be told of, and what an example of it looks like. Knows neither the database nor MLflow.

The first six are those of MLflow's own model registry, with its payloads; the others say how far a version is on its way to being
signed, live, and withdrawn. The grammar is MLflow's: `entity.action`, the action in the past tense.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Self

from audit.payload import Json


class Event(StrEnum):
    """Something that happened; the sentence says it to people. A member is never renamed: receivers match on it."""

    sentence: str

    def __new__(cls, word: str, sentence: str = "") -> Self:
        """A member whose value is the word; the sentence goes with it."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.sentence = sentence
        return member

    # MLflow's
    MODEL_CREATED = "registered_model.created", "A model was registered"
    VERSION_CREATED = "model_version.created", "A version was registered; it is not scanned yet"
    TAG_SET = "model_version_tag.set", "A tag of a version was set"
    TAG_DELETED = "model_version_tag.deleted", "A tag of a version was deleted"
    ALIAS_CREATED = "model_version_alias.created", "An alias was pointed at a version, a stage's alias included"
    ALIAS_DELETED = "model_version_alias.deleted", "An alias was taken away"

    # ours
    VERSION_ADMITTED = "version.admitted", "The scan admitted a version's files"
    VERSION_REJECTED = "version.rejected", "The scan refused a version's files"
    REVIEW_REQUESTED = "review.requested", "A review was requested"
    REVIEW_APPROVED = "review.approved", "The last missing sign-off was given: the version may be promoted"
    REVIEW_REJECTED = "review.rejected", "A reviewer rejected the version"
    REVIEW_CHANGES_REQUESTED = "review.changes_requested", "A round of a review ended with changes asked for"
    REVIEW_WITHDRAWN = "review.withdrawn", "A review was withdrawn"
    SIGN_OFF_GIVEN = "sign_off.given", "Somebody signed off, or refused to"
    VERSION_PROMOTED = "version.promoted", "A stage's alias was moved to a version: deploy it"
    VERSION_ROLLED_BACK = "version.rolled_back", "A stage was given back to the version before: deploy that one"
    APPROVAL_REVOKED = "approval.revoked", "Every approval of a version was revoked: stop serving it"
    APPROVAL_LAPSED = "approval.lapsed", "An approval ended by itself"

    @property
    def entity(self) -> str:
        """What it happened to."""
        return self.value.partition(".")[0]

    @property
    def action(self) -> str:
        """What happened."""
        return self.value.partition(".")[2]

    @property
    def is_mlflow(self) -> bool:
        """Whether MLflow's own clients know it."""
        return self in MLFLOW


MLFLOW: Final = frozenset(
    {
        Event.MODEL_CREATED,
        Event.VERSION_CREATED,
        Event.TAG_SET,
        Event.TAG_DELETED,
        Event.ALIAS_CREATED,
        Event.ALIAS_DELETED,
    }
)
"""The events of MLflow's model registry; those of its prompts and budgets do not happen here."""

_CASE: Final[Mapping[str, Json]] = {
    "name": "example_model",
    "version": "1",
    "stage": "production",
    "review": "00000000-0000-4000-8000-000000000000",
    "round": 1,
    "url": "https://countersign.example/models/example_model/v/1/",
}
_MOVE: Final[Mapping[str, Json]] = {
    "name": "example_model",
    "version": "2",
    "stage": "production",
    "alias": "champion",
    "digest": "0" * 64,
    "previous": "1",
    "basis": "review",
}

EXAMPLES: Final[Mapping[Event, Mapping[str, Json]]] = {
    Event.MODEL_CREATED: {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    },
    Event.VERSION_CREATED: {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"example_key": "example_value"},
        "description": "An example model version",
    },
    Event.TAG_SET: {"name": "example_model", "version": "1", "key": "example_key", "value": "example_value"},
    Event.TAG_DELETED: {"name": "example_model", "version": "1", "key": "example_key"},
    Event.ALIAS_CREATED: {"name": "example_model", "alias": "example_alias", "version": "1"},
    Event.ALIAS_DELETED: {"name": "example_model", "alias": "example_alias"},
    Event.VERSION_ADMITTED: {
        "name": "example_model",
        "version": "1",
        "digest": "0" * 64,
        "verdict": "admitted",
        "reasons": [],
    },
    Event.VERSION_REJECTED: {
        "name": "example_model",
        "version": "1",
        "digest": "0" * 64,
        "verdict": "refused",
        "reasons": ["pickle-global"],
    },
    Event.REVIEW_REQUESTED: {**_CASE, "due": "2026-12-01T09:00:00+00:00"},
    Event.REVIEW_APPROVED: _CASE,
    Event.REVIEW_REJECTED: _CASE,
    Event.REVIEW_CHANGES_REQUESTED: _CASE,
    Event.REVIEW_WITHDRAWN: _CASE,
    Event.SIGN_OFF_GIVEN: {**_CASE, "slot": "validator", "decision": "approve"},
    Event.VERSION_PROMOTED: _MOVE,
    Event.VERSION_ROLLED_BACK: {**_MOVE, "version": "1", "previous": "2"},
    Event.APPROVAL_REVOKED: {
        "name": "example_model",
        "version": "1",
        "digest": "0" * 64,
        "reason": "An example of a reason",
        "aliases_dropped": ["champion"],
    },
    Event.APPROVAL_LAPSED: {
        "name": "example_model",
        "version": "1",
        "stage": "production",
        "reason": "An example of a reason",
        "aliases_dropped": ["champion"],
    },
}
"""What a test sends; the first six are word for word what MLflow's own server sends as a test."""
