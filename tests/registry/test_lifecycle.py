"""The table of moves: every state crossed with every move, and the document that is drawn from it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from django.db import transaction

from audit.events import Action
from foundation.refusals import Conflict, Forbidden
from registry.drawing import document
from registry.lifecycle import MOVES, State, can_move, move
from registry.models import ModelVersion
from tests.conftest import as_

NAMES = sorted({line.name for line in MOVES})


def test_the_document_is_what_the_table_says():
    drawn = (Path(__file__).resolve().parents[2] / "docs" / "lifecycle.md").read_text()

    assert drawn == document(), "Run `manage.py lifecycle`."


def test_no_two_lines_of_the_same_move_share_a_source():
    for name in NAMES:
        sources = [source for line in MOVES if line.name == name for source in line.sources]

        assert len(sources) == len(set(sources))


def test_nothing_leads_out_of_retired_or_back_into_quarantine():
    assert not any(State.RETIRED in line.sources or line.target == State.QUARANTINED for line in MOVES)


def test_every_move_without_a_permission_needs_a_decision():
    assert all(line.permission or line.needs_decision for line in MOVES)


def test_only_promotions_and_what_a_live_version_keeps_lead_to_live():
    assert {line.name for line in MOVES if line.target == State.LIVE and line.sources != {State.LIVE}} == {
        "go_ahead",
        "promote",
    }


def test_only_an_approval_or_a_demotion_leads_to_approved():
    arriving = {line.name for line in MOVES if line.target == State.APPROVED and line.sources != {State.APPROVED}}

    assert arriving == {"approve", "demote"}


@pytest.mark.django_db
@pytest.mark.parametrize(("state", "name"), list(itertools.product(State, NAMES)))
def test_a_move_is_possible_exactly_where_the_table_says(state, name, model, alice, rita):
    version = bare_version(model, alice, state)
    by = as_(rita if name == "promote" else alice)
    line = next((line for line in MOVES if line.name == name and state in line.sources), None)

    if line is None:
        assert not can_move(version, name)
        with pytest.raises(Conflict, match="this step"):
            move(version, name, by=by, decision="a" * 64)
    else:
        assert can_move(version, name)
        assert move(version, name, by=by, decision="a" * 64).state == line.target
        assert ModelVersion.objects.get(pk=version.pk).state == line.target


def bare_version(model, by, state):
    """A version in some state, without bytes: the table is what is tested here."""
    return ModelVersion.objects.create(model=model, number=1, digest="0" * 64, created_by=by, state=state)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "line", [line for line in MOVES if line.permission], ids=lambda line: f"{line.name}-{line.target}"
)
def test_a_move_with_a_permission_is_refused_without_it(line, model, alice, dave):
    version = bare_version(model, alice, next(iter(line.sources)))

    with pytest.raises(Forbidden):
        move(version, line.name, by=as_(dave), decision="x")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "line", [line for line in MOVES if line.needs_decision], ids=lambda line: f"{line.name}-{line.target}"
)
def test_a_move_that_follows_from_a_decision_names_it(line, model, alice, rita):
    version = bare_version(model, alice, next(iter(line.sources)))

    with pytest.raises(Conflict, match="recorded decision"):
        move(version, line.name, by=as_(rita if line.name == "promote" else alice))


@pytest.mark.django_db
def test_a_move_reads_the_state_anew_under_lock(model, alice):
    version = bare_version(model, alice, State.REGISTERED)
    ModelVersion.objects.filter(pk=version.pk).update(state=State.RETIRED)

    with pytest.raises(Conflict):
        move(version, "request_review", by=as_(alice))


@pytest.mark.django_db(transaction=True)
def test_a_move_outside_a_transaction_is_a_mistake(model, alice):
    version = bare_version(model, alice, State.REGISTERED)

    with pytest.raises(RuntimeError):
        move(version, "request_review", by=as_(alice))


@pytest.mark.django_db
def test_an_unknown_move_is_a_mistake(model, alice):
    with pytest.raises(LookupError):
        move(bare_version(model, alice, State.REGISTERED), "bless", by=as_(alice))


@pytest.mark.django_db
def test_a_move_is_recorded_with_its_decision(model, alice):
    from audit.models import Pending

    version = bare_version(model, alice, State.IN_REVIEW)
    before = Pending.objects.count()

    with transaction.atomic():
        move(version, "approve", by=as_(alice), decision="d" * 64)

    entry = bytes(Pending.objects.latest("pk").payload).decode()
    assert Pending.objects.count() == before + 1
    assert Action.VERSION_MOVE in entry
    assert "d" * 64 in entry
