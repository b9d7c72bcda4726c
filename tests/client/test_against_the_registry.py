"""The client against the registry itself: what it pulls, registers and asks, over HTTP, with its proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

import countersign
from access.actions import revoke_token
from access.models import ServiceToken, User
from audit.sequencer import Sequencer
from countersign import Misused, Refused, Registry
from countersign.cli import main
from countersign.uploads import await_admission
from registry.models import ModelVersion, RegisteredModel
from tests.audit.conftest import happen, ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.reviews.conftest import candidate, make_candidate
from tests.serving.conftest import registrar_token, released, withdraw_approval
from tests.serving.tiny_models import tiny

__all__ = ["candidate", "ledger_of_its_own", "make_candidate", "registrar_token", "released", "sequencer"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def signed(sequencer: Sequencer, released: ModelVersion) -> ModelVersion:
    """Version 1 of `credit`, live, and the ledger signed up to its promotion."""
    sequencer.tick()
    return released


@pytest.fixture
def open_registry(live_server: LiveServer, scorer_token: str) -> Iterator[Registry]:
    """The registry, its keys trusted as it shows them."""
    with Registry(live_server.url, token=scorer_token, trust_on_first_use=True) as registry:
        yield registry


def test_a_version_is_pulled_with_the_proof_of_its_people_and_its_promotion(
    open_registry: Registry, signed: ModelVersion, tmp_path: Path
) -> None:
    found = open_registry.pull("credit@champion", tmp_path / "model", purpose="nightly scoring")

    assert (found.release.version, found.release.digest) == (1, signed.digest)
    assert found.entry is not None
    assert len(found.release.sign_offs) == 2
    assert {
        path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").rglob("*") if path.is_file()
    } == {
        ".countersign/pull.json",
        *(file.path for file in signed.files),
    }
    assert countersign.verify(tmp_path / "model").release.digest == signed.digest


def test_the_ledger_is_held_to_what_it_showed_before(
    open_registry: Registry, signed: ModelVersion, sequencer: Sequencer, tmp_path: Path
) -> None:
    open_registry.pull("credit@champion", tmp_path / "model")
    before = open_registry.seen().head
    happen(40)
    sequencer.tick()

    found = open_registry.pull("credit/1", tmp_path / "model", stage="production")

    assert before is not None
    assert found.ledger_size is not None
    assert found.ledger_size > before.tree.size + 39


def test_a_revoked_version_is_refused_online_and_by_what_was_kept(
    open_registry: Registry, signed: ModelVersion, carol: User, tmp_path: Path
) -> None:
    open_registry.pull("credit@champion", tmp_path / "model")
    withdraw_approval(signed, carol)

    with pytest.raises(Refused) as refusal:
        open_registry.pull("credit/1", tmp_path / "model")
    with pytest.raises(Refused):
        open_registry.refresh(tmp_path / "model")

    assert refusal.value.reason == "revoked"


def test_a_version_without_signatures_is_refused_with_what_is_missing(
    sequencer: Sequencer, open_registry: Registry, candidate: ModelVersion, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refusal:
        open_registry.pull("credit/1", tmp_path / "model")

    assert refusal.value.status == 409
    assert refusal.value.unmet
    assert "/models/credit/v/1/" in refusal.value.link


def test_why_tells_what_stands_in_the_way(
    live_server: LiveServer,
    scorer_token: str,
    candidate: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", live_server.url)
    monkeypatch.setenv("COUNTERSIGN_TOKEN", scorer_token)

    code = main(["why", "credit", "--stage", "production"])

    said = capsys.readouterr().out
    assert code == 3
    assert "credit cannot go to production yet" in said
    assert "/models/credit/v/1/" in said


def test_why_is_silent_for_what_is_live(open_registry: Registry, signed: ModelVersion) -> None:
    assert [one.title for one in open_registry.why("credit@champion") if one.blocks] == []


def test_a_folder_is_registered_and_admitted(
    live_server: LiveServer,
    registrar_token: str,
    model: RegisteredModel,
    perform_jobs: Callable[[], int],
    tmp_path: Path,
) -> None:
    for path, content in tiny().items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(content)
    with Registry(live_server.url, token=registrar_token) as registry:
        version = registry.register("credit", tmp_path / "model", description="By the client.", wait_seconds=0)
        perform_jobs()
        found = registry.version(f"credit/{version['number']}")

    assert found["state"] == "registered"
    assert found["description"] == "By the client."
    assert {file["path"] for file in found["files"]} == set(tiny())


def test_a_folder_with_a_link_is_not_sent(live_server: LiveServer, registrar_token: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").symlink_to("/etc/hostname")

    with Registry(live_server.url, token=registrar_token) as registry, pytest.raises(Misused, match="is a link"):
        registry.register("credit", tmp_path / "model")


def test_what_admission_refuses_is_told(
    live_server: LiveServer,
    registrar_token: str,
    model: RegisteredModel,
    perform_jobs: Callable[[], int],
    tmp_path: Path,
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with Registry(live_server.url, token=registrar_token) as registry:
        version = registry.register("credit", tmp_path / "model", wait_seconds=0)
        perform_jobs()

        with pytest.raises(Refused, match="was refused at admission"):
            await_admission(registry._session, "credit", version["number"], seconds=5)


def test_a_stage_s_name_stands_for_its_alias(open_registry: Registry, signed: ModelVersion, tmp_path: Path) -> None:
    found = open_registry.pull("credit@production", tmp_path / "model")

    assert (found.alias, found.release.stage) == ("champion", "production")
    assert open_registry.version("credit@production")["number"] == 1


def test_a_watcher_learns_of_the_present_and_of_a_revocation(
    open_registry: Registry, signed: ModelVersion, carol: User
) -> None:
    events = open_registry.watch("credit@production", "credit/1", seconds=30)

    first = [next(events) for _ in range(3)]
    withdraw_approval(signed, carol)
    then = [next(events) for _ in range(3)]

    assert [one.kind for one in first] == ["release", "release", "status"]
    assert {one.digest for one in first[:2]} == {signed.digest}
    assert {one.ref for one in then if one.kind == "revoked"} == {"credit@production", "credit/1"}
    events.close()


def test_a_watcher_whose_token_is_revoked_is_told_so(
    live_server: LiveServer, sequencer: Sequencer, released: ModelVersion, scorer_token: str, erin: User
) -> None:
    with Registry(live_server.url, token=scorer_token) as registry:
        events = registry.watch("credit@production", seconds=30)
        assert next(events).kind == "release"
        revoke_token(ServiceToken.objects.get(prefix=scorer_token.split("_")[1]), by=as_(erin))

        with pytest.raises(Refused):
            list(events)
