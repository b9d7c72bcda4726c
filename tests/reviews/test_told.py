"""The history of a version in words."""

from __future__ import annotations

import pytest

from access.models import User
from audit.actions import append_alone
from audit.events import Action, Obj, Outcome
from foundation.refusals import Forbidden
from registry.models import ModelVersion
from reviews.models import Review
from reviews.pages import history_of
from reviews.told import Fields, Told
from tests.conftest import as_
from tests.reviews.conftest import sign

pytestmark = pytest.mark.django_db


def sentences(version: ModelVersion) -> list[str]:
    return [f"{one.who} {one.did}" for one in history_of(version)]


def test_states_and_decisions_have_their_labels(approved: Review) -> None:
    said = sentences(approved.version)

    assert any("moved it from “In review” to “Approved”" in one for one in said)
    assert "bob approved as validator, for production" in said
    assert any("closed the round: approved" in one for one in said)


def test_what_was_refused_says_why_without_its_code(review: Review, alice: User) -> None:
    with pytest.raises(Forbidden):
        sign(review, "validator", alice)

    refused = [one for one in history_of(review.version) if one.refused]

    assert [(one.mark, one.refused) for one in refused] == [("warn", "Refused. They were not eligible to sign.")]


def test_keys_and_ids_are_left_out(approved: Review) -> None:
    lines = [" ".join([one.did, one.refused, *one.details]) for one in history_of(approved.version)]

    assert lines
    uuids = (str(approved.uuid), f"{approved.uuid}/1")
    for key in ("in_review", "not-eligible", "decision", approved.version.digest, *uuids):
        assert not [line for line in lines if key in line], key


def test_a_code_without_a_sentence_is_left_out(review: Review, bob: User) -> None:
    line = line_of(review.version, bob, Outcome.DENIED, why="no-such-code")

    assert line.refused == "Refused."


def test_a_fault_is_no_refusal(review: Review, bob: User) -> None:
    line = line_of(review.version, bob, Outcome.ERROR, why="OSError")

    assert (line.mark, line.refused) == ("bad", "It failed.")


def test_reasons_figures_and_dates_follow(review: Review, bob: User) -> None:
    after = {"reason": "A known drift.", "measured": "0.81", "required": "0.85", "ends_at": "2026-11-23T09:00:00+00:00"}

    line = line_of(review.version, bob, after=after)

    assert line.details == ("“A known drift.”", "Measured 0.81, required 0.85.", "Until 23 Nov 2026, 09:00 UTC.")


def line_of(
    version: ModelVersion, by: User, outcome: Outcome = Outcome.OK, why: str = "", after: Fields | None = None
) -> Told:
    """The newest line, after one more entry about an exception."""
    obj = Obj(kind="exception", id="1", name=version.model.name, version=str(version.number))
    append_alone(Action.EXCEPTION_GRANT, by=as_(by), obj=obj, outcome=outcome, why=why, after=after)
    return history_of(version)[0]
