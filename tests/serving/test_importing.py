"""Another MLflow registry is taken over: what comes, under which rules, and that a killed import goes on where it stopped."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pytest_django import Settings

from access.models import User
from audit.models import Pending
from countersign.proof.manifest import ManifestFile, manifest_digest
from foundation.refusals import Conflict, Invalid
from registry import actions
from registry.admission import Examination
from registry.manifest import Limits
from registry.models import Alias, ModelVersion, RegisteredModel
from registry.scanning import scan_files
from registry.store import ArtifactStore
from reviews.models import Review
from serving.importing_source import open_registry
from serving.queries import resolve
from tests.conftest import as_
from tests.factories import tiny_model_files
from tests.serving.installation import ROOT, Installation, free_port

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"
)


@dataclass
class Old:
    """The registry that is left: its database, its files, and MLflow's own client for it."""

    database: Path
    files: Path
    client: MlflowClient

    @property
    def address(self) -> str:
        return f"sqlite:///{self.database}"

    def add_version(self, name: str, run: str = "", **more: object) -> str:
        """Log the tiny model to a run and register it from there."""
        run = run or self.log()
        source = f"{self.client.get_run(run).info.artifact_uri}/model"
        return str(self.client.create_model_version(name, source, run_id=run, **more).version)  # type: ignore[arg-type]  # a test's shorthand

    def log(self, files: dict[str, bytes] | None = None) -> str:
        """A run with a model's files; returns its id."""
        experiment = self.client.get_experiment_by_name("old")
        key = experiment.experiment_id if experiment else self.client.create_experiment("old", str(self.files.as_uri()))
        run = str(self.client.create_run(key).info.run_id)
        folder = self.files.parent / f"logging-{run}"
        folder.mkdir()
        for path, content in (files or tiny_model_files()).items():
            (folder / path).write_bytes(content)
        self.client.log_artifacts(run, str(folder), "model")
        shutil.rmtree(folder)
        return run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Old:
    """Made by MLflow's own client: models with versions, gaps, stages, tags and aliases."""
    folder = tmp_path_factory.mktemp("old")
    address = f"sqlite:///{folder / 'mlflow.db'}"
    old = Old(folder / "mlflow.db", folder / "files", MlflowClient(tracking_uri=address, registry_uri=address))
    client = old.client
    client.create_registered_model("churn", tags={"team": "crm"}, description="Who leaves")
    run = old.log()
    old.add_version("churn", run, tags={"seed": "7"}, description="the first")
    old.add_version("churn", run)
    old.add_version("churn")
    old.add_version("churn", run)  # the same source again, which is no repetition of version 1
    client.delete_model_version("churn", "2")
    client.transition_model_version_stage("churn", "1", "Archived")
    client.transition_model_version_stage("churn", "3", "Production")
    client.set_registered_model_alias("churn", "champion", "3")
    client.set_registered_model_alias("churn", "shadow", "4")
    client.create_registered_model("fraud")
    old.add_version("fraud")
    shutil.copytree(old.files, folder / "files-as-made")
    _copy_database(old.database, folder / "as-made.db")
    return old


@pytest.fixture
def old(made: Old, tmp_path: Path, settings: Settings) -> Old:
    """The same for every test, at the same place; its client stays connected."""
    settings.VAR_DIR = tmp_path / "var"
    shutil.rmtree(made.files)
    shutil.copytree(made.files.with_name("files-as-made"), made.files)
    _copy_database(made.database.with_name("as-made.db"), made.database)
    return made


@pytest.fixture(autouse=True)
def _the_same_bytes_are_scanned_once(monkeypatch: pytest.MonkeyPatch, scanned: dict[str, Examination]) -> None:
    """The scan is the real one, in its own process; its verdict on the same manifest is remembered for the module."""

    def scan_once(files: Sequence[ManifestFile], store: ArtifactStore, limits: Limits) -> Examination:
        digest = manifest_digest(files)
        if digest not in scanned:
            scanned[digest] = scan_files(files, store, limits)
        return scanned[digest]

    monkeypatch.setattr("registry.admitting.scan_files", scan_once)


@pytest.fixture(scope="module")
def scanned() -> dict[str, Examination]:
    """Verdicts by the digest of what was scanned."""
    return {}


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)


def folder_of(old: Old, name: str, number: str) -> Path:
    """Where the files of a version lie there."""
    return Path(str(old.client.get_model_version(name, number).source).removeprefix("file://"))


def take_over(old: Old, *more: str, by: str = "alice", files: bool = True) -> str:
    """Run the command; returns what it printed."""
    said = io.StringIO()
    places = ["--files", str(old.files)] if files else []
    call_command("import_mlflow", "--from", old.address, "--by", by, *places, *more, stdout=said)
    return said.getvalue()


@pytest.mark.django_db
class TestWhatComes:
    """The other registry's words, kept."""

    def test_models_versions_and_files_come_with_their_numbers(self, old: Old, alice: User) -> None:
        said = take_over(old)

        model = RegisteredModel.objects.get(name="churn")
        version = model.versions.get(number=3)
        foreign = old.client.get_model_version("churn", "3")
        assert list(model.versions.order_by("number").values_list("number", flat=True)) == [1, 3, 4]
        assert (model.description, model.owner) == ("Who leaves", alice)
        assert model.tags.get(key="team").value == "crm"
        assert (version.run_id, version.source) == (foreign.run_id, foreign.source)
        file = version.file("model.skops")
        assert file is not None
        with ArtifactStore().open(file.sha256, verify=True) as stream:
            assert stream.read() == tiny_model_files()["model.skops"]
        assert "2 models and 4 versions imported" in said

    def test_description_tags_and_origin_stay_readable(self, old: Old, alice: User) -> None:
        take_over(old)

        version = ModelVersion.objects.get(model__name="churn", number=1)

        tags = dict(version.tags.values_list("key", "value"))
        assert version.description == "the first"
        assert tags["seed"] == "7"
        assert tags["imported.from"] == f"sqlite:{old.database}"
        assert tags["imported.stage"] == "Archived"

    def test_the_next_version_gets_a_number_of_its_own(self, old: Old, alice: User) -> None:
        take_over(old)
        version = ModelVersion.objects.get(model__name="churn", number=4)

        made = actions.register_version(version.model, version.files, by=as_(alice))

        assert made.number == 5
        with pytest.raises(Conflict, match="version 3 already"):
            actions.register_version(version.model, version.files, number=3, by=as_(alice))

    def test_every_write_is_on_record_by_who_imports(self, old: Old, alice: User) -> None:
        before = Pending.objects.count()

        take_over(old)

        made = [json.loads(bytes(entry.payload)) for entry in Pending.objects.order_by("pk")[before:]]
        assert {body["actor"]["id"] for body in made} == {str(alice.uuid)}
        assert sum(body["action"] == "version.register" for body in made) == 4

    def test_a_free_alias_comes_and_an_archived_version_is_retired(self, old: Old, alice: User) -> None:
        take_over(old)

        assert Alias.objects.get(model__name="churn", name="shadow").version.number == 4
        assert ModelVersion.objects.get(model__name="churn", number=1).state == ModelVersion.State.RETIRED

    def test_only_the_models_that_are_asked_for(self, old: Old, alice: User) -> None:
        take_over(old, "--models", "fr*", "--tier", "3")

        assert [(model.name, model.tier) for model in RegisteredModel.objects.all()] == [("fraud", 3)]


@pytest.mark.django_db
class TestProduction:
    """Nothing becomes live by being imported."""

    def test_a_production_version_is_not_live_and_has_a_dated_review(self, old: Old, alice: User) -> None:
        take_over(old, "--grace-days", "14")

        review = Review.objects.get()
        assert (review.version.number, review.stage.name) == (3, "production")
        assert timedelta(days=13) < review.due_at - timezone.now() <= timedelta(days=14)
        assert not Alias.objects.filter(name="champion").exists()
        assert review.version.state == ModelVersion.State.IN_REVIEW
        assert "when the grace of the import ends" in review.why

    def test_nobody_can_pull_it_before_it_is_signed(self, old: Old, alice: User, scorer: User) -> None:
        take_over(old)

        with pytest.raises(Exception, match="champion"):
            resolve("churn", alias="champion", by=as_(scorer))

    def test_a_stages_alias_alone_asks_for_the_review_too(self, old: Old, alice: User) -> None:
        old.client.set_registered_model_alias("fraud", "Champion", "1")

        take_over(old, "--models", "fraud")

        assert Review.objects.get().version.model.name == "fraud"
        assert not Alias.objects.exists()


@pytest.mark.django_db
class TestLeftOut:
    """What does not come is named, with the reason."""

    def test_missing_files_leave_out_that_version_alone(self, old: Old, alice: User) -> None:
        shutil.rmtree(folder_of(old, "churn", "3"))

        said = take_over(old)

        assert "- churn v3: There is no folder at" in said
        assert sorted(ModelVersion.objects.filter(model__name="churn").values_list("number", flat=True)) == [1, 4]

    def test_they_come_under_their_number_once_they_are_found(self, old: Old, alice: User) -> None:
        folder = folder_of(old, "churn", "3")
        folder.rename(folder.with_name("lost"))
        take_over(old)
        folder.with_name("lost").rename(folder)

        take_over(old)

        assert Review.objects.get().version.number == 3

    def test_names_that_are_refused_and_prompts(self, old: Old, alice: User) -> None:
        old.client.create_registered_model("größe")
        old.client.register_prompt("ask", "Say {{ this }}")

        said = take_over(old)

        assert "- größe: " in said
        assert "- ask: It is a prompt" in said
        assert RegisteredModel.objects.count() == 2

    def test_files_that_the_scan_refuses_are_rejected_and_named(self, old: Old, alice: User) -> None:
        old.add_version("fraud", old.log(tiny_model_files() | {"model.pkl": b"\x80\x04."}))

        said = take_over(old, "--models", "fraud")

        assert ModelVersion.objects.get(number=2).state == ModelVersion.State.REJECTED
        assert "- fraud v2: Its files are here, and the scan refused them" in said

    def test_folders_that_were_not_named_are_not_read(self, old: Old, alice: User) -> None:
        said = take_over(old, files=False)

        assert "name their folder with --files" in said
        assert not ModelVersion.objects.exists()

    @pytest.mark.parametrize(
        ("source", "sentence"),
        [
            ("/etc", "name their folder with --files"),
            ("{files}/../../../etc", "name their folder with --files"),
            ("s3://payroll/2026", "name that place with --files"),
            ("http://169.254.169.254/latest", "name that place with --files"),
            ("mlflow-artifacts:/1/2/artifacts", "behind a tracking server"),
            ("runs:/0123456789abcdef0123456789abcdef/model", "is not known there"),
            ("models:/m-0123456789abcdef0123456789abcdef", "is not known there"),
        ],
    )
    def test_a_source_that_names_something_else_is_not_followed(
        self, old: Old, alice: User, source: str, sentence: str
    ) -> None:
        """Whoever could register there chose the source."""
        with closing(sqlite3.connect(old.database)) as database:
            row = (source.format(files=old.files), source.format(files=old.files))
            database.execute("UPDATE model_versions SET source = ?, storage_location = ? WHERE name = 'fraud'", row)
            database.commit()

        said = take_over(old, "--models", "fraud")

        assert "- fraud v1: " in said
        assert sentence in said
        assert not ModelVersion.objects.exists()

    def test_a_model_of_that_name_that_is_here_is_not_mixed_with_it(
        self, old: Old, alice: User, model: RegisteredModel
    ) -> None:
        old.client.create_registered_model("credit")
        old.add_version("credit")

        said = take_over(old, "--models", "credit")

        assert "the two are not mixed" in said
        assert not model.versions.exists()

    def test_who_may_not_create_models_imports_nothing(self, old: Old, dave: User) -> None:
        take_over(old, by="dave")

        assert not RegisteredModel.objects.exists()


@pytest.mark.django_db
class TestAgain:
    """A second run goes on and changes nothing that is there."""

    def test_the_second_run_changes_nothing(self, old: Old, alice: User) -> None:
        take_over(old)
        before = Pending.objects.count()

        said = take_over(old)

        assert Pending.objects.count() == before
        assert "0 models and 0 versions imported" in said
        assert "4 versions were here already" in said

    def test_what_was_changed_here_stays(self, old: Old, alice: User) -> None:
        take_over(old)
        model = RegisteredModel.objects.get(name="churn")
        actions.set_alias(model, "shadow", model.versions.get(number=3), by=as_(alice))
        actions.update_model(model, description="Ours now", by=as_(alice))

        said = take_over(old)

        assert Alias.objects.get(model=model, name="shadow").version.number == 3
        assert RegisteredModel.objects.get(name="churn").description == "Ours now"
        assert "churn@shadow: It points at version 3 here, and is left there." in said

    def test_new_versions_there_come_unless_their_number_is_taken(self, old: Old, alice: User) -> None:
        take_over(old)
        fraud = RegisteredModel.objects.get(name="fraud")
        actions.register_version(fraud, fraud.versions.get().files, by=as_(alice))
        old.add_version("fraud")
        old.add_version("fraud")

        said = take_over(old)

        assert "- fraud v2: A version of that number was registered here" in said
        assert "imported.from" in fraud.versions.get(number=3).tags.values_list("key", flat=True)

    def test_a_version_that_waits_for_its_scan_is_scanned(
        self, old: Old, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as killed:
            killed.setattr("serving.importing.actions.admit_version", _die)
            with pytest.raises(KeyboardInterrupt):
                take_over(old, "--models", "fraud")
        assert ModelVersion.objects.get().state == ModelVersion.State.QUARANTINED

        take_over(old, "--models", "fraud")

        assert ModelVersion.objects.get().state == ModelVersion.State.REGISTERED

    def test_looking_only_changes_nothing(self, old: Old, alice: User) -> None:
        shutil.rmtree(folder_of(old, "churn", "3"))
        before = Pending.objects.count()

        said = take_over(old, "--dry-run")

        assert "2 models and 3 versions would be imported" in said
        assert "- churn v3: There is no folder at" in said
        assert Pending.objects.count() == before
        assert not ArtifactStore().root.exists() or not list(ArtifactStore().root.rglob("sha256/*/*"))


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.django_db
class TestAddresses:
    """Where it is imported from, which is never changed."""

    def test_the_database_is_only_read(self, old: Old, alice: User) -> None:
        before = old.database.read_bytes()

        take_over(old)

        assert old.database.read_bytes() == before
        assert not list((old.files.parent.parent / "var" / "importing").glob("work"))

    @pytest.mark.parametrize(
        ("address", "sentence"),
        [
            ("sqlite:///{folder}/absent.db", "There is no file"),
            ("sqlite:///{folder}/other.db", "no database of MLflow's"),
            ("sqlite:///{folder}/text.db", "could not be read"),
            ("ftp://old.example.org", "cannot be imported from"),
            ("http://127.0.0.1:{port}", "could not be read"),
            ("postgresql://127.0.0.1:{port}/mlflow", "could not be opened"),
        ],
    )
    def test_an_address_that_is_none_is_refused_in_a_sentence(
        self, old: Old, alice: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, sentence: str
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE other (id)").connection.close()
        (tmp_path / "text.db").write_text("not a database, whatever its name says")

        with pytest.raises(CommandError, match=sentence):
            call_command(
                "import_mlflow", "--from", address.format(folder=tmp_path, port=free_port()), "--by", "alice",
                stdout=io.StringIO(),
            )  # fmt: skip

        assert not (tmp_path / "absent.db").exists()

    def test_somebody_has_to_answer_for_it(self, old: Old, scorer: User) -> None:
        for nobody in ("scorer", "unheard"):
            with pytest.raises(CommandError, match="no active person"):
                take_over(old, by=nobody)


@pytest.mark.postgres
@pytest.mark.django_db
class TestFromPostgres:
    """A database of MLflow's in PostgreSQL, beside ours."""

    @pytest.fixture
    def database(self) -> Iterator[str]:
        """The address of an empty database."""
        ours = connection.settings_dict
        server = f"{ours['USER']}:{ours['PASSWORD']}@{ours['HOST']}:{ours['PORT']}"
        name = f"old_{uuid4().hex}"
        with psycopg.connect(f"postgresql://{server}/postgres", autocommit=True) as control:
            control.execute(f"CREATE DATABASE {name}".encode())
            yield f"postgresql://{server}/{name}"
            control.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

    def test_it_is_read_and_cannot_be_written(self, database: str, alice: User, tmp_path: Path) -> None:
        driven = database.replace("postgresql:", "postgresql+psycopg:")
        client = MlflowClient(tracking_uri=driven, registry_uri=driven)
        client.create_registered_model("kept", tags={"team": "crm"})
        client.create_model_version("kept", str(tmp_path))
        client.set_registered_model_alias("kept", "shadow", "1")

        registry = open_registry(database, work=tmp_path, places=[str(tmp_path)])

        (model,) = registry.models()
        assert (model.name, model.tags, model.aliases) == ("kept", {"team": "crm"}, {"shadow": 1})
        assert [version.number for version in registry.versions(model)] == [1]
        assert "@" not in registry.origin
        with pytest.raises(MlflowException, match="read-only transaction"):
            registry._client.delete_registered_model("kept")

    def test_another_schema_is_left_as_it_is(self, database: str, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="another schema"):
            open_registry(database, work=tmp_path)

        with psycopg.connect(database) as control:
            assert control.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.story
@pytest.mark.timeout(300)
class TestFromAServer:
    """Real processes: MLflow's own server on one side, an installation on the other."""

    @pytest.fixture
    def server(self, old: Old) -> Iterator[str]:
        """`mlflow server` that gives out the files of `old` itself, as MLflow's own proxy does."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", old.address, "--workers", "1",
             "--artifacts-destination", str(old.files), "--port", str(port)],
            cwd=old.files.parent,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def test_an_import_that_is_killed_goes_on(self, old: Old, server: str, tmp_path: Path) -> None:
        client = MlflowClient(tracking_uri=server, registry_uri=server)
        client.create_registered_model("served")
        experiment = client.create_experiment("served")
        for _ in range(4):
            run = client.create_run(experiment).info.run_id
            folder = tmp_path / run
            folder.mkdir()
            for path, content in tiny_model_files().items():
                (folder / path).write_bytes(content)
            client.log_artifacts(run, str(folder), "model")
            uri = f"{client.get_run(run).info.artifact_uri}/model"
            assert uri.startswith("mlflow-artifacts:/")
            client.create_model_version("served", uri, run_id=run)
        client.set_registered_model_alias("served", "champion", "4")
        here = Installation(tmp_path / "here")

        try:
            for line in ("served v1", "served v3"):
                _kill_at(here, server, line)
                assert _half_written(here) == []
            first = _run(here, server)
            second = _run(here, server)
        finally:
            here.stop_all()

        assert "Traceback" not in first
        assert "4 versions were here already" in second
        assert _rows(here, "SELECT number, state FROM registry_modelversion ORDER BY number") == [
            (1, "registered"),
            (2, "registered"),
            (3, "registered"),
            (4, "in_review"),
        ]
        assert _rows(here, "SELECT count(*) FROM registry_alias") == [(0,)]
        assert not list((tmp_path / "here" / "var" / "importing").glob("work"))


def _wait(address: str) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(f"{address} did not answer")


def _start(here: Installation, server: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "import_mlflow", "--from", server, "--by", "alice", "--models", "served"],
        cwd=ROOT,
        env=here.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _kill_at(here: Installation, server: str, line: str) -> None:
    """SIGKILL in the middle of the version that `line` announces."""
    process = _start(here, server)
    assert process.stdout
    seen = []
    for said in process.stdout:
        seen.append(said)
        if said.startswith(line):
            break
    else:
        raise AssertionError("".join(seen))
    time.sleep(0.15)
    process.kill()
    process.communicate()


def _run(here: Installation, server: str) -> str:
    process = _start(here, server)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def _rows(here: Installation, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(next((here.folder / "var").glob("*.sqlite3")))) as database:
        return database.execute(query).fetchall()


def _half_written(here: Installation) -> list[tuple[object, ...]]:
    """Versions without their tags, or in quarantine with no job that would scan them."""
    return _rows(
        here,
        "SELECT v.number FROM registry_modelversion v WHERE NOT EXISTS (SELECT 1 FROM registry_versiontag t WHERE t.version_id = v.id "
        "AND t.key = 'imported.from') OR (v.state = 'quarantined' AND NOT EXISTS (SELECT 1 FROM jobs_job j WHERE "
        "json_extract(j.payload, '$.version') = v.id))",
    )
