"""The MLflow client's door, without a server: what a pulling service finds behind it that nobody signed (a real one: tests/serving)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from access.models import User
from access.permissions import Permission, grant
from access.principal import Principal
from foundation.refusals import Forbidden, NotFound
from registry.models import ModelVersion, RegisteredModel
from reviews.models import Approval
from serving.caller import set_caller
from serving.store import DjangoStore
from serving.wire import _check_runs, _registered
from serving.wire_rules import Needs
from tests.conftest import as_
from tests.reviews.conftest import candidate, make_candidate
from tests.serving.conftest import release

__all__ = ["candidate", "make_candidate"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def store() -> DjangoStore:
    return DjangoStore("django://default")


def refused(attempt: Callable[[], Any]) -> MlflowException:
    with pytest.raises(MlflowException) as error:
        attempt()
    return error.value


def test_a_pulling_service_reads_what_runs_measured_and_not_the_models_they_logged(
    model: RegisteredModel, scorer: User, alice: User
) -> None:
    _check_runs(as_(scorer), Needs.READ_RUNS)
    _check_runs(as_(alice), Needs.READ_FILES)

    with pytest.raises(Forbidden, match="may not read the files of runs"):
        _check_runs(as_(scorer), Needs.READ_FILES)


@pytest.mark.parametrize("number", ["\u00b2", "", "-1", "1e3", "9" * 40, "0x1", "9" * 5_000])
def test_a_number_that_is_none_leads_to_no_version(number: str, candidate: ModelVersion, scorer: User) -> None:
    with pytest.raises(NotFound):
        _registered(f"countersign/credit/{number}/MLmodel", as_(scorer))


@pytest.mark.parametrize("number", ["\u00b2", "", "-1", "1e3", "9" * 40, "9" * 5_000])
def test_a_version_that_is_no_number_is_refused_and_never_a_crash(
    number: str, candidate: ModelVersion, alice: User, store: DjangoStore
) -> None:
    set_caller(as_(alice))

    assert refused(lambda: store.get_model_version("credit", number)).get_http_status_code() in {400, 404}


def test_a_stage_s_alias_gives_nobody_what_is_not_approved_any_more(
    candidate: ModelVersion, alice: User, bob: User, carol: User, rita: User, store: DjangoStore
) -> None:
    released = release(candidate, by=alice, validator=bob, risk=carol, promoter=rita)
    set_caller(as_(alice))
    assert store.get_model_version_by_alias("credit", "champion").version == "1"

    Approval.objects.filter(version=released).update(valid_until=released.created_at, pulls_until=released.created_at)

    assert "no approval in force" in str(refused(lambda: store.get_model_version_by_alias("credit", "champion")))


def test_whether_a_model_exists_is_not_said_to_those_who_neither_see_nor_create(
    model: RegisteredModel, store: DjangoStore, erin: User, scorer: User
) -> None:
    outsider = User.objects.create(username="outsider", kind="service", owner=erin)
    set_caller(as_(outsider))

    taken = refused(lambda: store.create_registered_model("credit"))
    free = refused(lambda: store.create_registered_model("nobody-has-it"))

    assert taken.error_code == free.error_code == "PERMISSION_DENIED"
    assert str(taken) == str(free)


def test_a_grant_on_one_model_copies_nothing_out_of_another(
    model: RegisteredModel, candidate: ModelVersion, scorer: User, store: DjangoStore, alice: User
) -> None:
    """`models:/credit/1` as a source asks for the same as a download: the bytes of an unsigned version are not to be had by a copy."""
    from registry.actions import create_model

    other = create_model("other", by=as_(alice))
    grant(other, Permission.REGISTER_VERSION, to=scorer, by=Principal.system("operator"))
    set_caller(as_(scorer))

    attempt = refused(lambda: store.create_model_version("other", "models:/credit/1"))

    assert attempt.error_code == "RESOURCE_CONFLICT"
    assert not other.versions.exists()
