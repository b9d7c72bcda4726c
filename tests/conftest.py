"""The cast and the few things that every room's tests stand on.

alice trains and submits, bob and carol review, dave audits, erin administers access, rita promotes,
`scorer` is a service, and root is a superuser and nobody special.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.test import APIClient

from access import actions as access_actions
from access.models import Role, User
from access.permissions import PEOPLE_ONLY, Permission
from access.principal import Principal
from audit import integrity
from foundation.keys import create_key, create_model_signing_key
from registry import actions as registry_actions
from registry.models import ModelVersion, RegisteredModel, Stage
from tests import databases, once

PASSWORD = "correct horse battery"


def pytest_configure(config: pytest.Config) -> None:
    """Keys and folders that `manage.py setup` makes for a real installation."""
    for folder in (django_settings.SECRETS_DIR, django_settings.STATIC_ROOT):
        folder.mkdir(parents=True, exist_ok=True)
    create_key(django_settings.REGISTRY_KEY_FILE)
    create_model_signing_key(django_settings.MODEL_SIGNING_KEY_FILE)
    create_key(django_settings.AUDIT_LOG_KEY_FILE)
    if connection.vendor == "sqlite":  # a file, as in production: threads and live servers get connections of their own
        connection.settings_dict["TEST"]["NAME"] = str(django_settings.VAR_DIR / "tests.sqlite3")
        # A test database has no power cut to survive.
        connection.settings_dict["OPTIONS"]["init_command"] = (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON;"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that only make sense on PostgreSQL are left out where another database is configured (`make postgres` runs them)."""
    if connection.vendor == "postgresql":
        return
    left_out = [item for item in items if item.get_closest_marker("postgres")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """The test database, with a way to empty it after tests that commit."""
    with django_db_blocker.unblock():
        databases.remember_baseline()
    databases.install()


@pytest.fixture(autouse=True)
def _quick_passwords_and_plain_static(settings: Settings, tmp_path: Path) -> None:
    """Hashing slowly and naming files by hash prove nothing in a unit test; artifacts go to a folder of the test's own.

    What the banner remembers of another test's ledger is forgotten.
    """
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        "default": settings.STORAGES["default"],
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    integrity.forget()
    settings.AUDIT_WAIT_SECONDS = 0.0  # no sequencer runs here, so nobody needs to wait for its receipt
    settings.ARTIFACT_DIR = tmp_path / "artifacts"
    settings.DATASET_DIR = tmp_path / "datasets"
    settings.PREDICTION_LOG_DIR = tmp_path / "predictions"


@pytest.fixture(autouse=True)
def _every_action_is_on_record_once(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the test is about."""
    done = once.watch(monkeypatch)
    yield
    once.check_deeds(request.node.nodeid, done)


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs stay rows: a test performs them itself (`perform_jobs`), as a worker would, but in its own transaction."""
    monkeypatch.setattr("jobs.actions.publish", lambda uuid: None)


def _person(username: str, *, display_name: str, role: str = "", group: str = "") -> User:
    operator = Principal.system("operator")
    user = access_actions.create_person(
        username, display_name=display_name, email=f"{username}@example.org", password=PASSWORD, by=operator
    )
    if role:
        access_actions.assign_role(Role.objects.get(name=role), to=user, by=operator)
    if group:
        access_actions.add_to_group(Group.objects.get(name=group), user, by=operator)
    return user


@pytest.fixture
def alice(db: None) -> User:
    """Trains and submits."""
    return _person("alice", display_name="Alice Moreau", role="Data scientist")


@pytest.fixture
def bob(db: None) -> User:
    """Reviews as model validator."""
    return _person("bob", display_name="Bob Lindqvist", role="Reviewer", group="Model validation")


@pytest.fixture
def carol(db: None) -> User:
    """Reviews as risk officer."""
    return _person("carol", display_name="Carol Adeyemi", role="Reviewer", group="Risk officers")


@pytest.fixture
def dave(db: None) -> User:
    """Audits."""
    return _person("dave", display_name="Dave Novak", role="Auditor")


@pytest.fixture
def erin(db: None) -> User:
    """Administers access."""
    return _person("erin", display_name="Erin Osei", role="Administrator")


@pytest.fixture
def rita(db: None) -> User:
    """Promotes what has been signed."""
    return _person("rita", display_name="Rita Fernandes", role="Release manager")


@pytest.fixture
def root(db: None) -> User:
    """A superuser, and nobody special."""
    return User.objects.create_superuser("root", "root@example.org", PASSWORD, display_name="Root")


@pytest.fixture
def scorer(erin: User) -> User:
    """A service account that may pull."""
    operator = Principal.system("operator")
    account = access_actions.create_service_account(
        "scorer", owner=erin, description="Pulls approved versions", by=operator
    )
    access_actions.assign_role(Role.objects.get(name="Service: pull"), to=account, by=operator)
    return account


@pytest.fixture
def scorer_token(scorer: User) -> str:
    """The scorer's credential, as it would stand in an Authorization header."""
    return access_actions.issue_token(
        scorer,
        name="tests",
        scopes=[one for one in Permission if one not in PEOPLE_ONLY],
        models=[],
        days=30,
        by=Principal.system("operator"),
    ).secret


def as_(user: User) -> Principal:
    """`user` acting for herself."""
    return Principal.of(user, via="test")


def as_worker(user: User) -> Principal:
    """The training worker at the job that `user` asked for: what it measures counts as `worker:training`."""
    return replace(as_(user), via="job:tests", job="training.train")


@pytest.fixture
def client_for() -> Callable[[User], Client]:
    """A signed-in browser without JavaScript for anyone of the cast."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


@pytest.fixture
def api_for() -> Callable[[User | str], APIClient]:
    """An API client with a person's session, or with a service token's secret."""

    def connect(who: User | str) -> APIClient:
        client = APIClient()
        if isinstance(who, str):
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {who}")
        else:
            client.force_login(who, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return connect


@pytest.fixture
def production(db: None) -> Stage:
    """The stage whose alias is `champion`."""
    return Stage.objects.get(name="production")


@pytest.fixture
def model(alice: User) -> RegisteredModel:
    """A tier 1 model that alice owns."""
    return registry_actions.create_model(
        "credit",
        tier=1,
        description="Credit default",
        intended_use="Limits for existing customers",
        owner=alice,
        by=as_(alice),
    )


class MakeVersion(Protocol):
    """What the fixture `make_version` gives."""

    def __call__(self, model: RegisteredModel, *, by: User | None = None) -> ModelVersion:
        """Register and admit a real, tiny version."""


@pytest.fixture
def make_version(alice: User) -> MakeVersion:
    """Registers a genuine skops scikit-learn version through the actions and admits it."""
    from registry.store import ArtifactStore
    from tests.factories import stored_tiny_model

    def make(model: RegisteredModel, *, by: User | None = None) -> ModelVersion:
        principal = as_(by or alice)
        files = stored_tiny_model(ArtifactStore())
        version = registry_actions.register_version(model, files, by=principal, admit=False)
        return registry_actions.admit_version(version, by=principal)

    return make


@pytest.fixture
def perform_jobs() -> Callable[[], int]:
    """Carries out queued jobs as a worker would, until none is left; returns how many there were."""
    from config.celery import app
    from jobs.models import Job
    from jobs.work import perform

    app.loader.import_default_modules()  # the handlers in every room's tasks.py, as a worker loads them

    def work() -> int:
        performed = 0
        while job := Job.objects.filter(state=Job.State.QUEUED).order_by("created_at").first():
            perform(job.uuid, worker="tests")
            performed += 1
        return performed

    return work
