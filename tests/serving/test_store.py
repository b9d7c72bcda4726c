"""The adapter for MLflow, without a server: who may download, what a refusal carries, where sources may lie, what is let through."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from pytest_django import Settings

from access.models import User
from foundation.refusals import Invalid, NotFound, Refusal, Requirement, RequirementStatus, TooLarge, Unavailable
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.store import ArtifactStore
from serving.caller import set_caller
from serving.freezing import freeze
from serving.mlflow_errors import as_mlflow
from serving.store import DjangoStore
from serving.tracking import artifact_root, folder_of
from serving.tracking_models import Experiment
from serving.wire import listed
from serving.wire_rules import Needs, is_ours, needs, plain_path
from tests.conftest import MakeVersion, as_
from tests.factories import store_files, tiny_model_files
from tests.reviews.conftest import ask
from tests.serving.conftest import withdraw_approval


@pytest.fixture
def store() -> DjangoStore:
    return DjangoStore("django://default")


def refused(attempt: Callable[[], Any]) -> MlflowException:
    with pytest.raises(MlflowException) as error:
        attempt()
    return error.value


@pytest.fixture
def root(settings: Settings, tmp_path: Path, alice: User) -> Path:
    """MLflow's artifact folder with one model in it, logged to an experiment that alice, who asks, reads; and a secret outside."""
    Experiment.objects.create(experiment_id=1, name="limits", folder="1", owner=alice)
    set_caller(as_(alice))
    settings.VAR_DIR = tmp_path
    (tmp_path / "secret.txt").write_text("secret")
    folder = artifact_root() / "1" / "models" / "m-1" / "artifacts"
    folder.mkdir(parents=True)
    for path, content in tiny_model_files().items():
        (folder / path).write_bytes(content)
    return artifact_root()


SOURCE = "mlflow-artifacts:/1/models/m-1/artifacts"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "attempt",
    [
        lambda store: store.get_registered_model("cre\x00dit"),
        lambda store: store.get_model_version_by_alias("credit", "\x00"),
        lambda store: store.create_registered_model("x", tags=[RegisteredModelTag("a", "b\x00")]),
        lambda store: store.search_model_versions(filter_string="name = '\x00'"),
    ],
)
def test_a_nul_is_a_wrong_parameter_and_no_failure(
    store: DjangoStore, alice: User, attempt: Callable[[DjangoStore], Any]
) -> None:
    set_caller(as_(alice))

    assert refused(lambda: attempt(store)).error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.django_db
class TestDownloads:
    """Who gets the address of a version's files."""

    def test_a_pulling_service_only_while_the_approval_stands(
        self, store: DjangoStore, scorer: User, released: ModelVersion, carol: User
    ) -> None:
        set_caller(as_(scorer))
        assert store.get_model_version_download_uri("credit", "1").endswith("/artifacts/countersign/credit/1")
        assert store.get_model_version_by_alias("credit", "champion").version == "1"

        withdraw_approval(released, carol)

        assert refused(lambda: store.get_model_version_download_uri("credit", "1")).error_code == "RESOURCE_CONFLICT"
        assert (
            refused(lambda: store.get_model_version_by_alias("credit", "champion")).error_code
            == "INVALID_PARAMETER_VALUE"
        )

    def test_an_unapproved_version_comes_with_its_requirements(
        self, store: DjangoStore, scorer: User, candidate: ModelVersion
    ) -> None:
        set_caller(as_(scorer))

        error = refused(lambda: store.get_model_version_download_uri("credit", "1"))

        assert error.json_kwargs["code"] == "not-approved"
        assert {one["status"] for one in error.json_kwargs["requirements"]} & {"waiting", "unsatisfied"}
        assert error.json_kwargs["link"] in error.message

    def test_who_registers_works_on_candidates(self, store: DjangoStore, alice: User, candidate: ModelVersion) -> None:
        set_caller(as_(alice))

        assert store.get_model_version_download_uri("credit", "1").startswith("http")

    def test_who_only_sees_downloads_nothing(self, store: DjangoStore, dave: User, released: ModelVersion) -> None:
        set_caller(as_(dave))

        assert store.get_model_version("credit", "1").current_stage == "Production"
        assert refused(lambda: store.get_model_version_download_uri("credit", "1")).error_code == "PERMISSION_DENIED"

    def test_what_was_not_admitted_is_given_to_nobody(
        self, store: DjangoStore, alice: User, model: RegisteredModel, root: Path
    ) -> None:
        set_caller(as_(alice))
        version = store.create_model_version("credit", SOURCE)

        assert version.status == "PENDING_REGISTRATION"
        assert "quarantine" in str(refused(lambda: store.get_model_version_download_uri("credit", "1")))


@pytest.mark.django_db
class TestRegistering:
    """Where versions come from, and what becomes of the files."""

    def test_the_files_are_frozen(self, store: DjangoStore, alice: User, model: RegisteredModel, root: Path) -> None:
        set_caller(as_(alice))
        store.create_model_version("credit", SOURCE, tags=[ModelVersionTag("team", "risk")], description="first")
        (root / "1/models/m-1/artifacts/model.skops").write_bytes(b"something else")

        version = ModelVersion.objects.get()
        file = version.file("model.skops")

        assert file is not None
        with ArtifactStore().open(file.sha256, verify=True) as stream:
            assert stream.read() == tiny_model_files()["model.skops"]
        assert store.get_model_version("credit", "1").tags == {"team": "risk"}

    def test_a_registered_version_can_be_copied_by_who_may_download_it(
        self, store: DjangoStore, alice: User, dave: User, model: RegisteredModel, make_version: MakeVersion
    ) -> None:
        original = make_version(model)
        set_caller(as_(alice))
        store.create_registered_model("copy")

        copied = store.create_model_version("copy", "models:/credit/1")

        assert ModelVersion.objects.get(model__name="copy").digest == original.digest
        assert copied.status == "PENDING_REGISTRATION"
        set_caller(as_(dave))
        assert refused(lambda: store.create_model_version("copy", "models:/credit/1")).error_code == "PERMISSION_DENIED"

    def test_who_may_not_register_makes_nothing_be_copied(
        self, store: DjangoStore, dave: User, model: RegisteredModel, root: Path
    ) -> None:
        set_caller(as_(dave))

        error = refused(lambda: store.create_model_version("credit", SOURCE))

        assert error.error_code == "PERMISSION_DENIED"
        assert not list(ArtifactStore().root.rglob("sha256/*/*"))

    def test_an_unknown_model_makes_nothing_be_copied(self, store: DjangoStore, alice: User, root: Path) -> None:
        set_caller(as_(alice))

        assert refused(lambda: store.create_model_version("unheard", SOURCE)).error_code == "RESOURCE_DOES_NOT_EXIST"

    def test_prompts_are_refused(self, store: DjangoStore, alice: User) -> None:
        set_caller(as_(alice))
        tags = [RegisteredModelTag("mlflow.prompt.is_prompt", "true")]

        assert "Prompts" in str(refused(lambda: store.create_registered_model("greeting", tags=tags)))


@pytest.mark.django_db
def test_stages_aliases_and_removal(store: DjangoStore, alice: User, rita: User, released: ModelVersion) -> None:
    set_caller(as_(rita))
    assert [one.version for one in store.get_latest_versions("credit", ["production"])] == ["1"]
    assert store.get_latest_versions("credit", ["Staging"]) == []
    store.set_registered_model_alias("credit", "champion", "1")  # already so: nothing to do, nothing refused
    assert (
        refused(lambda: store.transition_model_version_stage("credit", "1", "None", False)).error_code
        == "RESOURCE_CONFLICT"
    )
    assert (
        refused(lambda: store.transition_model_version_stage("credit", "1", "Moon", False)).error_code
        == "INVALID_PARAMETER_VALUE"
    )

    set_caller(as_(alice))
    assert refused(lambda: store.delete_registered_model("credit")).error_code == "RESOURCE_CONFLICT"
    assert refused(lambda: store.delete_model_version("credit", "1")).error_code in {
        "RESOURCE_CONFLICT",
        "PERMISSION_DENIED",
    }
    store.create_registered_model("spare")
    store.delete_registered_model("spare")
    assert refused(lambda: store.get_registered_model("spare")).error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.django_db
def test_searches_show_what_the_caller_may_see_and_page(
    store: DjangoStore, alice: User, root: Path, erin: User
) -> None:
    from access.models import User as Account

    set_caller(as_(alice))
    for name in ("a", "b", "c"):
        store.create_registered_model(name)
    first = store.search_registered_models(max_results=2)
    second = store.search_registered_models(max_results=2, page_token=first.token)
    assert [one.name for one in [*first, *second]] == ["a", "b", "c"]
    assert refused(lambda: store.search_registered_models(max_results=0)).error_code == "INVALID_PARAMETER_VALUE"

    set_caller(as_(Account.objects.create_user("stranger")))
    assert store.search_registered_models(max_results=10) == []
    assert store.search_model_versions(max_results=10) == []


@pytest.mark.django_db
def test_a_refused_move_says_where_a_review_is_requested_and_then_where_it_is(
    store: DjangoStore, alice: User, candidate: ModelVersion
) -> None:
    set_caller(as_(alice))
    page = "http://localhost:8000/models/credit/v/1"

    before = [refused(move) for move in _moves(store)]
    ask(candidate, Stage.objects.get(name="production"), alice)
    after = [refused(move) for move in _moves(store)]

    assert [one.json_kwargs["link"] for one in before] == [f"{page}/request-review/?stage=production"] * 2
    assert [one.json_kwargs["link"] for one in after] == [f"{page}/?stage=production"] * 2
    assert all(one.json_kwargs["requirements"] and one.json_kwargs["link"] in one.message for one in before + after)


def _moves(store: DjangoStore) -> list[Callable[[], Any]]:
    return [
        lambda: store.set_registered_model_alias("credit", "champion", "1"),
        lambda: store.transition_model_version_stage("credit", "1", "Production", archive_existing_versions=False),
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 429, 500, 503])
def test_no_refusal_is_answered_with_what_the_client_repeats(status: int) -> None:
    assert as_mlflow(Refusal("No.", status=status)).get_http_status_code() in {400, 401, 403, 404, 409}
    assert as_mlflow(Unavailable("Busy.")).get_http_status_code() == 409


def test_a_refusal_keeps_its_requirements_and_its_address() -> None:
    unmet = Requirement("risk", "Risk officer signs", RequirementStatus.WAITING, cleared_by="Carol")

    error = as_mlflow(Refusal("Not yet.", requirements=(unmet,), link="/models/credit/v/1/"))

    assert error.json_kwargs["requirements"][0]["title"] == "Risk officer signs"
    assert "Risk officer signs" in error.message
    assert "Cleared by: Carol" in error.message
    assert "http://localhost:8000/models/credit/v/1/" in error.message


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "/etc",
        "..",
        "mlflow-artifacts:/../secret.txt",
        "mlflow-artifacts:/1/../../secret.txt",
        "mlflow-artifacts:/%2e%2e/secret.txt",
        "mlflow-artifacts:/%252e%252e/secret.txt",
        "mlflow-artifacts:/..%5csecret.txt",
        "mlflow-artifacts:/1/x\x00",
        "mlflow-artifacts:/",
        "mlflow-artifacts://169.254.169.254/1/models/m-1/artifacts",
        "http://169.254.169.254/1/models/m-1/artifacts",
        "https://[::1]/1/models/m-1/artifacts",
        "s3:/1/models/m-1/artifacts",
        "file:/1/models/m-1/artifacts",
        "/1/models/m-1/artifacts",
        "mlflow-artifacts:/1/models?x=1",
        "mlflow-artifacts:/1/models/unheard",
    ],
)
def test_a_source_is_followed_into_our_own_folder_only(root: Path, source: str) -> None:
    with pytest.raises((Invalid, NotFound)):
        folder_of(source)


def test_a_link_in_the_artifact_folder_is_not_followed(root: Path) -> None:
    (root / "1" / "models" / "m-1" / "artifacts" / "x").symlink_to(root.parent.parent / "secret.txt")
    (root / "out").symlink_to(root.parent.parent)

    with pytest.raises(Invalid, match="neither a file nor a folder"):
        freeze(folder_of(SOURCE))
    with pytest.raises(Invalid, match="points out"):
        folder_of("mlflow-artifacts:/out")


def test_a_device_is_not_read(root: Path) -> None:
    os.mkfifo(root / "1" / "models" / "m-1" / "artifacts" / "pipe")

    with pytest.raises(Invalid, match="neither a file nor a folder"):
        freeze(folder_of(SOURCE))


def test_freezing_stops_at_the_limits(root: Path, settings: Settings) -> None:
    settings.MAX_VERSION_FILES = 2
    with pytest.raises(TooLarge, match="at most 2 files"):
        freeze(folder_of(SOURCE))
    settings.MAX_VERSION_FILES, settings.MAX_VERSION_BYTES = 500, 100
    with pytest.raises(TooLarge):
        freeze(folder_of(SOURCE))


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("countersign/credit/1", "countersign/credit/1"),
        ("/1/models/", "1/models"),
        ("a%20b/c", "a b/c"),
        ("a/../b", None),
        ("%2e%2e/b", None),
        ("%252e%252e/b", None),
        ("a//b", None),
        ("a/./b", None),
        ("a\\b", None),
        ("a%00b", None),
        ("%2525252525252525252e", None),
        ("", None),
    ],
)
def test_artifact_paths_hide_nothing(path: str, plain: str | None) -> None:
    assert plain_path(path) == plain


def test_what_pretends_to_be_ours_counts_as_ours() -> None:
    assert is_ours("countersign/x")
    assert is_ours("CounterSign")
    assert not is_ours("countersigned/x")


def test_the_table_of_addresses() -> None:
    assert needs("GET", "/health") is Needs.NOTHING
    assert needs("POST", "/api/2.0/mlflow/model-versions/create") is Needs.CREDENTIAL
    assert needs("POST", "/api/2.0/mlflow/runs/create") is Needs.WRITE_RUNS
    assert needs("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/x") is Needs.WRITE_RUNS
    assert needs("GET", "/api/2.0/mlflow-artifacts/artifacts") is Needs.READ_FILES
    assert needs("POST", "/api/2.0/mlflow/webhooks/0-a/test") is Needs.CREDENTIAL
    for method, path in (
        ("GET", "/"),
        ("POST", "/graphql"),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/x"),
        ("GET", "/ajax-api/2.0/mlflow/runs/get"),
        ("GET", "/api/2.0/mlflow/artifacts/list"),
        ("POST", "/api/3.0/mlflow/scorers/register"),
        ("DELETE", "/api/3.0/mlflow/traces/tr-1"),
        ("GET", "/api/2.0/mlflow/logged-models/m-1/artifacts/directories"),
        ("POST", "/ajax-api/2.0/mlflow/webhooks"),
        ("GET", "/api/2.0/mlflow/registered-models/get/../search"),
        ("POST", "/api/2.0/mlflow/runs/create\n"),
    ):
        assert needs(method, path) is None, path


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_traces_and_what_is_put_away_need_the_right_to_runs(version: str) -> None:
    api = f"/api/{version}/mlflow"
    for method, path in (
        ("GET", f"{api}/traces"),
        ("GET", f"{api}/traces/batchGet"),
        ("GET", f"{api}/traces/tr-1"),
        ("GET", f"{api}/traces/tr-1/info"),
        ("POST", f"{api}/traces/search"),
        ("GET", f"{api}/datasets/d-1/records"),
    ):
        assert needs(method, path) is Needs.READ_RUNS, path
    for method, path in (
        ("POST", "/v1/traces"),
        ("POST", f"{api}/traces"),
        ("PATCH", f"{api}/traces/0a"),
        ("DELETE", f"{api}/traces/tr-1/tags"),
        ("POST", f"{api}/traces/tr-1/assessments"),
        ("POST", f"{api}/traces/delete-traces"),
        ("POST", f"{api}/datasets/create"),
        ("POST", f"{api}/runs/delete"),
        ("POST", f"{api}/experiments/delete"),
        ("DELETE", f"{api}/logged-models/m-1"),
    ):
        assert needs(method, path) is Needs.WRITE_RUNS, path


def test_a_version_is_listed_folder_by_folder(tmp_path: Path) -> None:
    files = store_files({"MLmodel": b"1", "sub/a.txt": b"22", "sub/b/c.txt": b"333"}, ArtifactStore(tmp_path))

    assert listed(files, "") == [{"path": "sub", "is_dir": True}, {"path": "MLmodel", "is_dir": False, "file_size": 1}]
    assert listed(files, "sub") == [{"path": "b", "is_dir": True}, {"path": "a.txt", "is_dir": False, "file_size": 2}]
    assert listed(files, "nothing") == []
