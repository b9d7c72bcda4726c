"""MLflow's search grammar over our database, beside MLflow's own SQL store with the same models: the same answers to the same questions."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils

from access.models import User
from registry.models import Alias, ModelTag, ModelVersion, RegisteredModel, Stage, VersionTag
from serving.caller import set_caller
from serving.store import DjangoStore
from tests.conftest import as_

START = datetime(2026, 1, 1, tzinfo=UTC)
MODELS: dict[str, dict[str, str]] = {
    "Credit": {"team": "risk", "note": "100% [tested]*"},
    "credit": {"team": "Risk"},
    "fraud_a": {"team": "risk", "long": "x" * 150 + "a"},
    "fraudXa": {"long": "x" * 150 + "b"},
    "churn": {},
}
VERSIONS: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "Credit": [("run1", "s3://a/model", {"env": "prod"}), ("run2", "s3://A/model", {"env": "Prod", "seed": "7"})],
    "credit": [("run1", "dbfs:/z", {})],
    "fraud_a": [("run3", "dbfs:/x", {"env": "prod", "seed": "8"}), ("run4", "dbfs:/y", {"env": "dev"})],
}
QUESTIONS_ON_MODELS = [
    None,
    "",
    "name = 'credit'",
    "name != 'credit'",
    "name LIKE 'fraud_a'",
    "name LIKE 'fraud%'",
    "name LIKE 'CREDIT'",
    "name ILIKE 'CREDIT'",
    "name ILIKE '%R%'",
    "attribute.name LIKE 'c%'",
    "name IN ('credit', 'churn')",
    "name NOT IN ('credit', 'churn')",
    "tags.team = 'risk'",
    "tags.team != 'risk'",
    "tags.team ILIKE 'RISK'",
    "tags.note LIKE '%[tested]*'",
    "tags.note LIKE '100%'",
    "tag.`team` = 'risk' AND name LIKE '%a'",
    "tags.team LIKE 'r%' AND tags.team LIKE '%k'",
    f"tags.long = '{'x' * 150}a'",
    f"tags.long != '{'x' * 150}a'",
    "tags.nobody = 'x'",
    "tags.`mlflow.prompt.is_prompt` != 'true'",
    "tags.`mlflow.prompt.is_prompt` = 'false' AND name LIKE 'f%'",
    "tags.`mlflow.prompt.is_prompt` = 'true'",
]
QUESTIONS_ON_VERSIONS = [
    None,
    "name = 'Credit'",
    "name != 'Credit'",
    "name ILIKE 'credit'",
    "name IN ('Credit', 'fraud_a')",
    "run_id = 'run1'",
    "run_id IN ('run1', 'run4')",
    "run_id NOT IN ('run1', 'run4')",
    "run_id LIKE 'run_'",
    "source_path = 's3://a/model'",
    "source_path LIKE 's3://a%'",
    "source_path ILIKE 's3://a%'",
    "version_number = 2",
    "version_number != 2",
    "version_number > 1 AND name = 'fraud_a'",
    "version_number <= 1",
    "version_number >= 2",
    "version_number < 0",
    "tags.env = 'prod'",
    "tags.env != 'prod'",
    "tags.env ILIKE 'PROD' AND tags.seed = '7'",
    "tags.env = 'prod' AND tags.seed LIKE '_'",
    "tags.env = 'prod' AND run_id = 'run3'",
]
NOT_UNDERSTOOD = [
    "name = credit",
    "name > 'a'",
    "owner = 'alice'",
    "name = 'a' OR name = 'b'",
    "tags.team IN ('a')",
    "tags.team > 'a'",
    "description = 'x'",
    "name = 'a';name = 'b'",
    "metrics.auc > 3",
]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """MLflow's own SQL store with `MODELS` and `VERSIONS`."""
    clock = itertools.count(1_000)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # MLflow's and its libraries' own
        from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

        patch.setattr("mlflow.store.model_registry.sqlalchemy_store.get_current_time_millis", lambda: next(clock))
        store: Any = SqlAlchemyStore(f"sqlite:///{tmp_path_factory.mktemp('stock') / 'mlflow.sqlite3'}")
        for name, tags in MODELS.items():
            store.create_registered_model(name, tags=[RegisteredModelTag(*tag) for tag in tags.items()])
        for name, versions in VERSIONS.items():
            for run_id, source, tags in versions:
                listed = [ModelVersionTag(*tag) for tag in tags.items()]
                store.create_model_version(name, source, run_id=run_id, tags=listed)
        yield store
        store._dispose_engine()


@pytest.fixture
def ours(db: None, alice: User) -> DjangoStore:
    """Our store with the same, asked by alice, who may see everything."""
    moments = (START + timedelta(seconds=step) for step in itertools.count())
    for name, tags in MODELS.items():
        made = RegisteredModel.objects.create(name=name, owner=alice, created_by=alice, updated_at=next(moments))
        ModelTag.objects.bulk_create(ModelTag(model=made, key=key, value=value) for key, value in tags.items())
    for name, versions in VERSIONS.items():
        model = RegisteredModel.objects.get(name=name)
        for number, (run_id, source, tags) in enumerate(versions, 1):
            version = add_version(model, number, run_id=run_id, source=source, at=next(moments))
            VersionTag.objects.bulk_create(VersionTag(version=version, key=k, value=v) for k, v in tags.items())
        RegisteredModel.objects.filter(pk=model.pk).update(updated_at=next(moments))
    set_caller(as_(alice))
    return DjangoStore()


def add_version(model: RegisteredModel, number: int, at: datetime = START, **columns: Any) -> ModelVersion:
    columns.setdefault("state", ModelVersion.State.REGISTERED)
    return ModelVersion.objects.create(
        model=model, number=number, created_by=model.owner, created_at=at, updated_at=at, **columns
    )


def named(page: Any) -> list[Any]:
    return [(one.name, int(one.version)) if hasattr(one, "version") else one.name for one in page]


@pytest.mark.parametrize("question", QUESTIONS_ON_MODELS)
def test_models_are_found_as_on_mlflows_own_server(stock: Any, ours: DjangoStore, question: str | None) -> None:
    asked: dict[str, Any] = {"filter_string": question, "max_results": 100}
    assert named(ours.search_registered_models(**asked)) == named(stock.search_registered_models(**asked))


@pytest.mark.parametrize("question", QUESTIONS_ON_VERSIONS)
def test_versions_are_found_as_on_mlflows_own_server(stock: Any, ours: DjangoStore, question: str | None) -> None:
    asked: dict[str, Any] = {"filter_string": question, "max_results": 100}
    assert named(ours.search_model_versions(**asked)) == named(stock.search_model_versions(**asked))


@pytest.mark.parametrize("question", [one for one in QUESTIONS_ON_VERSIONS if one and "tags" in one])
def test_tags_that_many_versions_have_are_asked_the_other_way_round_and_say_the_same(
    stock: Any, ours: DjangoStore, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.mlflow_search.MANY", 1)
    asked: dict[str, Any] = {"filter_string": question, "max_results": 100}
    assert named(ours.search_model_versions(**asked)) == named(stock.search_model_versions(**asked))


@pytest.mark.parametrize("question", NOT_UNDERSTOOD)
@pytest.mark.parametrize("search", ["search_registered_models", "search_model_versions"])
def test_what_mlflow_refuses_to_read_is_refused(stock: Any, ours: DjangoStore, search: str, question: str) -> None:
    for store in (stock, ours):
        with pytest.raises(MlflowException) as refused:
            getattr(store, search)(filter_string=question, max_results=10)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "order",
    [
        ["name DESC"],
        ["name"],
        ["last_updated_timestamp DESC"],
        ["timestamp ASC", "name DESC"],
    ],
)
def test_models_are_sorted_as_on_mlflows_own_server(stock: Any, ours: DjangoStore, order: list[str]) -> None:
    asked: dict[str, Any] = {"order_by": order, "max_results": 100}
    assert named(ours.search_registered_models(**asked)) == named(stock.search_registered_models(**asked))


@pytest.mark.parametrize(
    "order",
    [["name DESC"], ["version_number ASC", "name DESC"], ["creation_timestamp DESC"], ["last_updated_timestamp"]],
)
def test_versions_are_sorted_as_on_mlflows_own_server(stock: Any, ours: DjangoStore, order: list[str]) -> None:
    asked: dict[str, Any] = {"order_by": order, "max_results": 100}
    assert named(ours.search_model_versions(**asked)) == named(stock.search_model_versions(**asked))


@pytest.mark.parametrize("order", [["name", "name DESC"], ["owner"], ["name SIDEWAYS"]])
@pytest.mark.parametrize("search", ["search_registered_models", "search_model_versions"])
def test_an_order_that_means_nothing_is_refused(ours: DjangoStore, search: str, order: list[str]) -> None:
    with pytest.raises(MlflowException) as refused:
        getattr(ours, search)(order_by=order, max_results=10)
    assert refused.value.get_http_status_code() == 400


def test_pages_follow_each_other_without_gap_or_repetition(ours: DjangoStore) -> None:
    found: list[Any] = []
    token: Any = None
    for _ in range(3):
        page = ours.search_model_versions(max_results=2, page_token=token)
        found, token = found + named(page), page.token
    assert len(found) == len(set(found)) == 5
    assert token is None


def test_a_number_that_no_column_holds_is_compared_as_any_other(ours: DjangoStore) -> None:
    assert len(ours.search_model_versions(filter_string=f"version_number < {10**30}", max_results=10)) == 5
    assert not ours.search_model_versions(filter_string=f"version_number = {10**30}", max_results=10)


@pytest.mark.parametrize("offset", [-1, 10**12, "x", [1], 1.5e300])
def test_a_token_of_ones_own_making_is_refused(ours: DjangoStore, offset: Any) -> None:
    token = SearchUtils.create_page_token(offset)
    with pytest.raises(MlflowException) as refused:
        ours.search_model_versions(max_results=2, page_token=token)
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize("token", ["WzFd", "bm8=", "x"])
def test_a_token_that_is_none_is_refused(ours: DjangoStore, token: str) -> None:
    with pytest.raises(MlflowException) as refused:
        ours.search_registered_models(max_results=2, page_token=token)
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize(("search", "most"), [("search_registered_models", 1_000), ("search_model_versions", 200_000)])
def test_a_page_has_the_size_that_mlflow_allows(ours: DjangoStore, search: str, most: int) -> None:
    assert getattr(ours, search)(max_results=most)
    for wrong in (0, -1, None, most + 1):
        with pytest.raises(MlflowException) as refused:
            getattr(ours, search)(max_results=wrong)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("text", ["name = 'a\0b'", f"name = '{'x' * 10_000}'"])
def test_a_filter_that_no_database_can_be_asked_is_refused(ours: DjangoStore, text: str) -> None:
    with pytest.raises(MlflowException) as refused:
        ours.search_registered_models(filter_string=text, max_results=10)
    assert refused.value.get_http_status_code() == 400


class TestNewestOfEachStage:
    """What MLflow calls the latest versions."""

    def test_is_the_highest_number_there(self, ours: DjangoStore, alice: User) -> None:
        model = RegisteredModel.objects.get(name="churn")
        numbers = itertools.count(1)
        for state in ("registered", "revoked", "live", "approved", "retired", "rejected", "live", "in_review"):
            add_version(model, next(numbers), state=ModelVersion.State(state))
        self.hold(model, 3, "production", alice)
        self.hold(model, 7, "staging", alice)

        latest = {one.current_stage: int(one.version) for one in ours.get_latest_versions("churn")}

        assert latest == {"Archived": 5, "Production": 3, "Staging": 7, "None": 8}
        [shown] = ours.search_registered_models(filter_string="name = 'churn'", max_results=1)
        assert {one.current_stage: int(one.version) for one in shown.latest_versions} == latest

    def test_costs_the_same_however_many_there_are(self, ours: DjangoStore) -> None:
        few = self.statements(ours)
        model = RegisteredModel.objects.get(name="churn")
        for number in range(1, 30):
            add_version(model, number)
        assert self.statements(ours) == few
        assert ours.get_latest_versions("churn", ["None"])[0].version == "29"

    @staticmethod
    def hold(model: RegisteredModel, number: int, stage: str, by: User) -> None:
        """Put a stage's alias on a version; which promotion did it is not what is asked here."""
        from registry.models import Promotion

        place, version = Stage.objects.get(name=stage), model.versions.get(number=number)
        promotion = Promotion.objects.create(
            model=model, version=version, stage=place, release={}, release_digest=f"{number}", by=by
        )
        Alias.objects.create(model=model, name=place.alias, version=version, stage=place, promotion=promotion)

    @staticmethod
    def statements(store: DjangoStore) -> int:
        with CaptureQueriesContext(connection) as caught:
            store.search_registered_models(max_results=100)
        return len(caught)
