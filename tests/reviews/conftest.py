"""What reviews are made of in tests: a version with evidence, people with groups, and signatures given as the page gives them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Protocol

import pytest
from django.contrib.auth.models import Group
from django.db import connection

from access import actions as access_actions
from access.models import Reauthentication, User
from access.principal import Principal
from registry import actions as registry_actions
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.actions import request_review, sign_off
from reviews.evaluation import current_subject
from reviews.models import Review, Round, SignOff
from tests.conftest import MakeVersion, as_, as_worker
from tests.reviews.evidence import CARD, Content, evidence


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The triggers are tested on both databases: `-m postgres` takes their tests along."""
    if connection.vendor == "postgresql":
        for item in items:
            if item.path.name == "test_triggers.py" and item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.postgres)


class MakeCandidate(Protocol):
    """What the fixture `make_candidate` gives."""

    def __call__(
        self, *, by: User | None = None, model: RegisteredModel | None = None, **changes: float
    ) -> ModelVersion:
        """Register a version that passes every gate but the signatures; `changes` are those of `evidence`."""


@pytest.fixture
def make_candidate(model: RegisteredModel, alice: User, make_version: MakeVersion) -> MakeCandidate:
    default = model

    def make(*, by: User | None = None, model: RegisteredModel | None = None, **changes: float) -> ModelVersion:
        author = by or alice
        version = make_version(model or default, by=author)
        for kind, content in evidence(**changes).items():
            if kind == "signature":
                continue  # what the files declare is read by admission
            attach(version, kind, content, by=author)
        registry_actions.revise_card(version, CARD, by=as_(author))
        return version

    return make


def attach(version: ModelVersion, kind: str, content: Content, *, by: User) -> None:
    """As the training worker does."""
    registry_actions.add_evidence(version, kind, content, by=as_worker(by))


class MakeApproved(Protocol):
    """What the fixture `make_approved` gives."""

    def __call__(self, **changes: float) -> ModelVersion:
        """Another version of the model, signed for production by bob and carol; `changes` are those of `evidence`."""


@pytest.fixture
def make_approved(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User
) -> MakeApproved:
    def make(**changes: float) -> ModelVersion:
        version = make_candidate(by=None, model=None, **changes)
        approve(ask(version, production, alice), bob, carol)
        return version

    return make


@pytest.fixture
def candidate(make_candidate: MakeCandidate) -> ModelVersion:
    return make_candidate()


@pytest.fixture
def review(candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User) -> Review:
    return ask(candidate, production, alice)


@pytest.fixture
def approved(review: Review, bob: User, carol: User) -> Review:
    approve(review, bob, carol)
    return review


def ask(version: ModelVersion, stage: Stage, by: User) -> Review:
    return request_review(version, stage, why="Better on young people.", by=as_(by))


def join(user: User, group: str) -> None:
    """Make `user` a member of a group, as an administrator does."""
    access_actions.add_to_group(Group.objects.get(name=group), user, by=Principal.system("operator"))


def proof_of(user: User, method: str = "password") -> Reauthentication:
    """A fresh proof, as `reauthenticate` records it (its own tests are in tests/access)."""
    return Reauthentication.objects.create(user=user, method=method)


def sign(
    review: Review | Round,
    slot: str,
    user: User,
    *,
    decision: str = "approve",
    reason: str = "I read it all.",
    expected: str = "",
    key: str = "",
    proof: Reauthentication | None = None,
    on_behalf_of: str = "",
    expected_round: int | None = None,
) -> SignOff:
    """Sign as the page does: what the person sees is the subject as it is now."""
    round_ = review if isinstance(review, Round) else review.current_round
    return sign_off(
        round_,
        slot,
        decision=decision,
        reason=reason,
        reauthentication=proof or proof_of(user),
        expected_subject=expected or current_subject(round_).digest,
        idempotency_key=key or uuid.uuid4().hex,
        on_behalf_of=on_behalf_of,
        expected_round=expected_round,
        by=as_(user),
    )


def approve(review: Review, validator: User, risk: User) -> None:
    sign(review, "validator", validator)
    sign(review, "risk", risk)
