"""A version that was really reviewed, signed by two people and promoted, and the services that pull it and ask it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from access import actions as access_actions
from access.models import Role, User
from access.permissions import Permission
from access.principal import Principal
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.promotion import promote
from reviews.revocation import revoke
from serving.actions import create_deployment
from serving.models import Deployment
from tests.conftest import as_
from tests.reviews.conftest import approve, ask, candidate, make_candidate, proof_of

__all__ = ["candidate", "make_candidate"]


@pytest.fixture(autouse=True)
def no_experiment_is_left_active() -> Iterator[None]:
    """`mlflow.set_experiment` stays in force for the process; the next test speaks to another server."""
    yield
    if fluent := sys.modules.get("mlflow.tracking.fluent"):
        vars(fluent)["_active_experiment_id"] = None
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)


def release(version: ModelVersion, *, by: User, validator: User, risk: User, promoter: User) -> ModelVersion:
    """Ask for a review of `version` for production, sign it and promote it."""
    stage = Stage.objects.get(name="production")
    approve(ask(version, stage, by), validator, risk)
    promote(version, stage, by=as_(promoter))
    version.refresh_from_db()
    return version


@pytest.fixture
def released(candidate: ModelVersion, alice: User, bob: User, carol: User, rita: User) -> ModelVersion:
    """Version 1 of `credit`, live in production."""
    return release(candidate, by=alice, validator=bob, risk=carol, promoter=rita)


def withdraw_approval(version: ModelVersion, carol: User) -> None:
    """Carol revokes the version, as risk officers may."""
    revoke(version, reason="It fails people over 65.", reauthentication=proof_of(carol), by=as_(carol))


@pytest.fixture
def deployment(model: RegisteredModel, production: Stage, erin: User) -> Deployment:
    """`credit-live`, served by any worker that may pull `credit`."""
    return create_deployment(
        "credit-live", model=model, stage=production, address="http://localhost:8100", by=as_(erin)
    )


def service(name: str, role: str, owner: User) -> str:
    """A new service account with one role; returns its token."""
    setup = Principal.system("operator")
    account = access_actions.create_service_account(name, owner=owner, description=role, by=setup)
    access_actions.assign_role(Role.objects.get(name=role), to=account, by=setup)
    return access_actions.issue_token(account, name="tests", scopes=_scopes(role), models=[], days=30, by=setup).secret


def _scopes(role: str) -> list[Permission]:
    return [Permission(value) for value in Role.objects.get(name=role).permissions]


@pytest.fixture
def caller_token(erin: User) -> str:
    """A service that may ask for predictions and nothing else."""
    return service("caller", "Service: score", erin)


@pytest.fixture
def registrar_token(erin: User) -> str:
    """A service that registers versions."""
    return service("registrar", "Service: register", erin)
