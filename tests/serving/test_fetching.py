"""Files of a version come from another server: whole, once, within the limits, or the version says why they did not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from access.actions import assign_role, withdraw_role
from access.models import Role, User
from access.principal import Principal
from audit.models import Pending
from foundation.refusals import Conflict, Unavailable
from jobs.actions import request_cancel, retry
from jobs.models import Job
from jobs.work import claim, perform, sweep
from registry import actions
from registry.arriving import record_arrival
from registry.models import ModelVersion, RegisteredModel
from registry.store import ArtifactStore
from serving import fetching
from serving.fetching import Patience, fetch
from serving.upstreams import locate
from tests.conftest import as_
from tests.factories import tiny_model_files
from tests.serving.lab import Lab, tracking

State = ModelVersion.State
Perform = Callable[[], int]

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A configured tracking server; nobody waits long for it."""
    monkeypatch.setattr(fetching, "PAUSES", (0.01, 0.01, 0.01))
    with tracking() as made:
        settings.UPSTREAMS = [{"upstream": "mlflow", "name": "lab", "url": made.url}]
        yield made


def register(model: RegisteredModel, source: str, by: User, **more: Any) -> ModelVersion:
    return actions.register_version(model, None, source=source, by=as_(by), **more)


def fresh(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.get(pk=version.pk)


def content(version: ModelVersion) -> dict[str, bytes]:
    store, found = ArtifactStore(), {}
    for file in fresh(version).files:
        with store.open(file.sha256, verify=True) as stream:
            found[file.path] = stream.read()
    return found


def entries(action: str) -> list[dict[str, Any]]:
    payloads = [json.loads(bytes(row.payload)) for row in Pending.objects.order_by("id")]
    return [one for one in payloads if one["action"] == action]


def why_rejected(version: ModelVersion) -> str:
    version = fresh(version)
    assert (version.state, version.manifest, version.digest) == (State.REJECTED, [], "")
    return version.status_message


class TestComing:
    """What is fetched."""

    def test_a_logged_model_comes_with_its_run_and_is_scanned_like_every_other(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        version = register(model, lab.log_model(tiny_model_files()), alice, logged_model_id="m-1")
        assert (version.state, version.status_message, version.awaits_files) == (
            State.QUARANTINED,
            "Waiting for its files.",
            True,
        )

        perform_jobs()

        assert content(version) == tiny_model_files()
        assert (fresh(version).state, fresh(version).run_id) == (State.REGISTERED, "r1")
        (entry,) = entries("version.fetch")
        assert entry["d"]["after"]["digest"] == fresh(version).digest
        assert entry["d"]["after"]["from"] == "lab (mlflow-artifacts:/7/models/m-1/artifacts)"

    def test_a_model_is_found_by_the_run_that_logged_it_and_by_the_path_in_it(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        lab.log_model({"MLmodel": b"new"})
        lab.files["7/r1/artifacts/old/MLmodel"] = b"old"

        new, old = (register(model, f"runs:/r1/{path}", alice, run_id="r1") for path in ("model", "old"))
        perform_jobs()

        assert (content(new), content(old)) == ({"MLmodel": b"new"}, {"MLmodel": b"old"})

    def test_folders_in_it_come_too(self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform) -> None:
        version = register(model, lab.log_model({"MLmodel": b"1", "a/b/c.txt": b"2", "a/d.txt": b"3"}), alice)

        perform_jobs()

        assert content(version) == {"MLmodel": b"1", "a/b/c.txt": b"2", "a/d.txt": b"3"}

    def test_its_pages_say_what_it_waits_for(
        self, lab: Lab, model: RegisteredModel, alice: User, client: Client
    ) -> None:
        register(model, "models:/m-1", alice)
        client.force_login(alice)

        pages = [client.get(f"/models/credit/v/1/{page}").content.decode() for page in ("", "files/", "lineage/")]

        assert all("Waiting for its files." in page for page in pages[:2])
        assert "A worker scans the files" not in pages[1]
        assert not any("digest of the version" in page for page in pages)

    def test_a_repeated_request_is_the_same_version_until_it_was_given_up(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        source = "models:/m-1"
        first = register(model, source, alice)

        assert register(model, source, alice) == first
        perform_jobs()
        assert fresh(first).state == State.REJECTED
        assert register(model, source, alice).number == 2


class TestBreakingOff:
    """What happens when it does not come at once."""

    BODY = bytes(range(256)) * 8_192  # 2 MiB: read in parts

    def version(self, lab: Lab, model: RegisteredModel, alice: User) -> ModelVersion:
        return register(model, lab.log_model({"MLmodel": self.BODY}), alice)

    def test_it_goes_on_from_the_byte_where_it_broke_off(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        lab.breaks = [700_000, 5]
        version = self.version(lab, model, alice)

        perform_jobs()

        ranges = [headers.get("Range") for path, headers in lab.asked if path.endswith("/MLmodel")]
        assert ranges == [None, "bytes=700000-", "bytes=700005-"]
        assert content(version) == {"MLmodel": self.BODY}

    @pytest.mark.parametrize("what", ["etags", "ranges"])
    def test_it_begins_anew_where_the_server_cannot_go_on(
        self, what: str, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        lab.breaks = [700_000]
        setattr(lab, what, False)
        version = self.version(lab, model, alice)

        perform_jobs()

        assert content(version) == {"MLmodel": self.BODY}

    @pytest.mark.parametrize(("careless", "etags"), [(False, True), (True, True), (True, False)])
    def test_two_contents_of_a_file_are_never_mixed(
        self,
        careless: bool,
        etags: bool,
        lab: Lab,
        model: RegisteredModel,
        alice: User,
        perform_jobs: Perform,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        lab.breaks, lab.careless, lab.etags = [700_000], careless, etags
        version, other = self.version(lab, model, alice), bytes(len(self.BODY))
        waited = Patience._wait

        def meanwhile(patience: Patience, seconds: float) -> None:
            lab.files["7/models/m-1/artifacts/MLmodel"] = other
            waited(patience, seconds)

        monkeypatch.setattr(Patience, "_wait", meanwhile)
        perform_jobs()

        assert content(version) == {"MLmodel": other}

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
    def test_a_server_that_is_busy_is_asked_again(
        self, status: int, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        version = register(model, lab.log_model({"MLmodel": b"1"}), alice)
        lab.answers = [(status, {}), (status, {"Retry-After": "0"})]

        perform_jobs()

        assert content(version) == {"MLmodel": b"1"}

    def test_a_server_that_stays_away_is_given_up_with_the_reason(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        version = register(model, "models:/m-1", alice)
        lab.answers = [(503, {})] * 4

        perform_jobs()

        assert why_rejected(version) == "Its files could not be fetched: lab answered 503 (asked 4 times)."
        (entry,) = entries("version.fetch")
        assert (entry["outcome"], entry["why"]) == ("error", "not-fetched")

    def test_what_a_killed_worker_brought_is_not_fetched_again(
        self, lab: Lab, model: RegisteredModel, alice: User
    ) -> None:
        version = register(model, lab.log_model({"MLmodel": b"1", "b": b"2", "c": b"3"}), alice)
        job = Job.objects.get(kind="serving.fetch")
        killed = claim(job.uuid, worker="one")
        assert killed is not None
        lab.breaks = [1, 0, 0, 0, 0, 0]
        folder, _ = locate(version.source)
        with pytest.raises(Unavailable):
            fetch(folder, killed, Patience(killed.check))
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        lab.asked.clear()
        lab.breaks.clear()

        perform(job.uuid, worker="two")

        assert lab.paths() == ["b", "c"]
        assert content(version) == {"MLmodel": b"1", "b": b"2", "c": b"3"}

    def test_a_worker_that_was_lost_for_good_leaves_no_version_waiting(
        self, lab: Lab, model: RegisteredModel, alice: User
    ) -> None:
        version = register(model, "models:/m-1", alice)
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.update(state=Job.State.RUNNING, attempt=3, lease_until=past)

        sweep()

        assert "The worker was lost" in why_rejected(version)

    def test_what_is_cancelled_ends(self, lab: Lab, model: RegisteredModel, alice: User) -> None:
        version = register(model, lab.log_model({"MLmodel": b"1"}), alice)
        job = Job.objects.get()
        stopped = claim(job.uuid, worker="one")
        assert stopped is not None
        request_cancel(job, by=as_(alice))
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

        perform(job.uuid, worker="two")

        assert "Cancelled on request" in why_rejected(version)
        assert lab.asked == []

    def test_what_was_given_up_is_not_taken_up_by_repeating_the_job(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        version = register(model, "models:/m-1", alice)
        perform_jobs()
        lab.log_model({"MLmodel": b"1"})
        job = retry(Job.objects.get(), by=as_(alice))

        perform_jobs()

        job.refresh_from_db()
        assert "Register it again" in job.error
        assert fresh(version).state == State.REJECTED


class TestRefusing:
    """What is never fetched, and what the version says then."""

    def test_whoever_may_not_register_any_more_by_then(
        self, lab: Lab, model: RegisteredModel, bob: User, erin: User, perform_jobs: Perform
    ) -> None:
        role, operator = Role.objects.get(name="Service: register"), Principal.system("operator")
        assign_role(role, to=bob, by=operator)
        version = register(model, lab.log_model({"MLmodel": b"1"}), bob)
        withdraw_role(role, to=bob, by=operator)

        perform_jobs()

        assert "Bob Lindqvist holds no role" in why_rejected(version)
        assert lab.asked == []

    def test_a_redirect_leads_nowhere(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        version = register(model, lab.log_model({"MLmodel": b"1"}), alice)
        with tracking() as other:
            lab.answers = [(302, {"Location": f"{other.url}/secret"})]
            perform_jobs()

        assert "answered 302, which is followed nowhere" in why_rejected(version)
        assert other.asked == []

    def test_a_file_as_large_as_no_version_may_be_is_not_begun(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform, settings: Settings
    ) -> None:
        settings.MAX_VERSION_BYTES = 10
        version = register(model, lab.log_model({"MLmodel": b"1", "b": b"0123456789"}), alice)

        perform_jobs()

        assert "A version has at most 500 files" in why_rejected(version)
        assert lab.paths() == []

    def test_a_server_that_lies_about_a_size_fills_no_disk(
        self,
        lab: Lab,
        model: RegisteredModel,
        alice: User,
        perform_jobs: Perform,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settings.MAX_VERSION_BYTES = 1_000
        version = register(model, lab.log_model({"MLmodel": bytes(3 * 1024**2)}), alice)
        monkeypatch.setattr(lab, "listed", lambda _: [{"path": "MLmodel", "is_dir": False, "file_size": 7}])

        perform_jobs()

        assert "at most 1,000 bytes" in why_rejected(version)
        assert not list(ArtifactStore().root.rglob("sha256/*/*"))

    @pytest.mark.parametrize("row", [{"path": ".."}, {"path": ""}, {"path": "a b"}, {"path": "-rf"}, {"path": 7}])
    def test_a_name_that_no_file_has_here(
        self,
        row: dict[str, Any],
        lab: Lab,
        model: RegisteredModel,
        alice: User,
        perform_jobs: Perform,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        version = register(model, lab.log_model({"MLmodel": b"1"}), alice)
        monkeypatch.setattr(lab, "listed", lambda _: [row])

        perform_jobs()

        assert why_rejected(version)
        assert lab.paths() == []

    def test_folders_without_end(
        self,
        lab: Lab,
        model: RegisteredModel,
        alice: User,
        perform_jobs: Perform,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settings.MAX_VERSION_FILES = 5
        version = register(model, lab.log_model({"MLmodel": b"1"}), alice)
        monkeypatch.setattr(lab, "listed", lambda _: [{"path": "deeper", "is_dir": True}])

        perform_jobs()

        assert "more than 5 folders" in why_rejected(version)

    @pytest.mark.parametrize(
        ("location", "said"),
        [
            ("file:///var/mlruns/1", "not behind its artifact proxy"),
            ("https://169.254.169.254/latest", "not behind its artifact proxy"),
            ("mlflow-artifacts://elsewhere:5000/1", "not behind its artifact proxy"),
            ("mlflow-artifacts:/1/../2", "not behind its artifact proxy"),
            ("mlflow-artifacts:/1/%2e%2e/2", "not behind its artifact proxy"),
            ("s3://secret/1", "lies in no bucket"),
        ],
    )
    def test_wherever_else_the_server_says_that_its_files_are(
        self, location: str, said: str, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        lab.models["m-1"] = {"info": {"artifact_uri": location}}
        version = register(model, "models:/m-1", alice)

        perform_jobs()

        assert said in why_rejected(version)
        assert len(lab.asked) == 1

    @pytest.mark.parametrize("source", ["mlflow-artifacts:/7/r2/artifacts/x", "mlflow-artifacts:/7/r1/artifactsX"])
    def test_a_source_outside_of_the_run_that_is_named_with_it(
        self, source: str, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform
    ) -> None:
        lab.log_model({"MLmodel": b"1"})
        version = register(model, source, alice, run_id="r1")

        perform_jobs()

        assert "does not lie in the artifacts of r1 on lab" in why_rejected(version)
        assert lab.paths() == []

    def test_what_is_no_mlflow_server(
        self, lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lab, "answer", lambda *_: b"<html>")
        version = register(model, "models:/m-1", alice)

        perform_jobs()

        assert "does not answer as an MLflow server does" in why_rejected(version)


def test_the_credential_of_its_file_is_sent_and_only_there(
    lab: Lab, model: RegisteredModel, alice: User, perform_jobs: Perform, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("first\n")
    settings.UPSTREAMS = [{**settings.UPSTREAMS[0], "token_file": str(tmp_path / "token")}]
    lab.token, source = "Bearer second", lab.log_model({"MLmodel": b"1"})
    refused = register(model, source, alice)
    perform_jobs()
    (tmp_path / "token").write_text("second\n")
    taken = register(model, source, alice)

    perform_jobs()

    assert "lab refused the credential that is configured for it (401)" in why_rejected(refused)
    assert content(taken) == {"MLmodel": b"1"}


def test_a_version_that_waits_for_no_files_gets_none(model: RegisteredModel, make_version: Any, alice: User) -> None:
    version = make_version(model)

    with pytest.raises(Conflict, match="does not wait for files"):
        record_arrival(version, version.files, origin="lab", by=as_(alice))
