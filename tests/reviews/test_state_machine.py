"""Random walks through everything that people, policies and time can do: nothing ever goes live without its signatures.

A short run is part of the suite; `python -m tests.reviews.machine` walks for as long as it is told to.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from access import actions as access_actions
from access.models import Role, User
from access.permissions import Permission, grant
from access.principal import Principal
from registry import actions as registry_actions
from registry.models import Stage
from reviews.models import PolicyVersion
from tests.conftest import MakeVersion, as_
from tests.reviews.evidence import CARD, metrics
from tests.reviews.machine.publishing import publish
from tests.reviews.machine.walk import VARIANTS, Tally, World, document, walk_in

WALKS = int(os.environ.get("COUNTERSIGN_WALKS", "60"))
STEPS = int(os.environ.get("COUNTERSIGN_STEPS", "30"))
PHASES = (Phase.generate, Phase.shrink) if os.environ.get("COUNTERSIGN_SHRINK") else (Phase.generate,)
SEATS = {
    "bob": ("Model validation",),
    "bea": ("Model validation",),
    "carol": ("Risk officers",),
    "chris": ("Risk officers",),
    "max": ("Model validation", "Risk officers"),
    "alice": ("Model validation",),
    "pam": (),
    "paul": ("Risk officers",),
    "rita": (),
}
ROLES = {"rita": "Release manager", "pam": "Policy author", "paul": "Reviewer"}


@pytest.fixture
def world(make_version: MakeVersion, production: Stage, alice: User) -> World:
    operator = Principal.system("operator")
    people = {"alice": alice}
    for name, groups in SEATS.items():
        person = people.get(name) or access_actions.create_person(
            name, display_name=name.title(), email=f"{name}@example.org", password="correct horse", by=operator
        )
        people[name] = person
        if name != "alice":
            access_actions.assign_role(Role.objects.get(name=ROLES.get(name, "Reviewer")), to=person, by=operator)
        for group in groups:
            access_actions.add_to_group(Group.objects.get(name=group), person, by=operator)
    model = registry_actions.create_model(
        "walk", tier=2, description="A model", intended_use="To be walked over", owner=alice, by=as_(alice)
    )
    for name, permission in (
        ("max", Permission.REGISTER_VERSION),
        ("max", Permission.REQUEST_REVIEW),
        ("bob", Permission.REQUEST_REVIEW),
    ):
        grant(model, permission, to=people[name], by=as_(alice))
    authors = {1: "alice", 2: "max", 3: "alice"}
    versions = {number: make_version(model, by=people[name]) for number, name in authors.items()}
    for number, version in versions.items():
        registry_actions.add_evidence(version, "metrics", metrics(0.85), by=as_(people[authors[number]]))
    PolicyVersion.objects.filter(status="published").update(status="retired")
    publish("walk", document(VARIANTS[0]), author=people["pam"], signer=people["paul"])
    return World(people, model, versions, authors, frozenset(authors.values()), production, metrics, CARD)


@pytest.mark.timeout(0)
def test_nothing_goes_live_without_its_signatures_whatever_happens_in_which_order(world: World) -> None:
    tally = Tally()
    run_state_machine_as_test(
        walk_in(world, tally),
        settings=settings(
            max_examples=WALKS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=PHASES,
            derandomize=WALKS <= 60,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if report := os.environ.get("COUNTERSIGN_WALKS_REPORT"):
        Path(report).write_text(json.dumps(vars(tally)), encoding="utf-8")
    # a run that never got anything live, or never met a refusal, would prove nothing
    assert tally.done.get("promote", 0) > tally.walks / 20
    assert tally.refused.get("promote", 0) > tally.walks / 20
    assert {"sign", "request", "publish", "measure", "tick", "delegate"} <= tally.done.keys()
