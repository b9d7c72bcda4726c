"""Pulling over the API: only what is approved at this moment leaves, byte for byte, with proof, and on record."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.signals import request_finished
from django.db import close_old_connections
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import ServiceToken, User
from audit.entries import Entry
from audit.models import Checkpoint
from audit.queries import Filter, entries
from audit.sequencer import Sequencer
from countersign.proof.attestation import verify
from foundation.keys import registry_signer
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.store import ArtifactStore
from serving.models import Deployment, StatusSnapshot
from tests.audit.conftest import ledger_of_its_own, sequencer
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate
from tests.serving.conftest import release, withdraw_approval

__all__ = ["ledger_of_its_own", "sequencer"]

pytestmark = pytest.mark.django_db

V1 = "/api/v1/models/credit"
Api = Callable[[User | str], APIClient]


@pytest.fixture
def scorer_api(api_for: Api, scorer_token: str) -> APIClient:
    return api_for(scorer_token)


def close(response: Any) -> None:
    """What a server does at the end, but the connection that holds the test's transaction stays, as with Django's own client."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def body(response: object) -> bytes:
    content = b"".join(response.streaming_content)  # type: ignore[attr-defined]  # a streaming response of the test client
    close(response)
    return content


def test_an_alias_resolves_to_the_approved_version(scorer_api: APIClient, released: ModelVersion) -> None:
    answer = scorer_api.get(f"{V1}/aliases/champion")

    said = answer.json()
    assert answer.status_code == 200
    assert (said["model"], said["version"], said["stage"], said["digest"]) == (
        "credit",
        1,
        "production",
        released.digest,
    )
    assert {file["path"] for file in said["files"]} == {file.path for file in released.files}
    assert scorer_api.get(f"{V1}/aliases/champion", headers={"If-None-Match": answer["ETag"]}).status_code == 304


def test_files_leave_byte_for_byte_with_their_digest(scorer_api: APIClient, released: ModelVersion) -> None:
    for file in scorer_api.get(f"{V1}/aliases/champion").json()["files"]:
        answer = scorer_api.get(file["url"])

        content = body(answer)
        assert hashlib.sha256(content).hexdigest() == file["sha256"] == answer["ETag"].strip('"')
        assert int(answer["Content-Length"]) == len(content) == file["size"]
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Disposition"].startswith("attachment")
        assert answer["Repr-Digest"].startswith("sha-256=:")


def test_the_tar_holds_the_same_files(scorer_api: APIClient, released: ModelVersion) -> None:
    answer = scorer_api.get(f"{V1}/versions/1/download")

    content = body(answer)
    assert len(content) == int(answer["Content-Length"])
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        found = {member.name: hashlib.sha256(tar.extractfile(member).read()).hexdigest() for member in tar.getmembers()}  # type: ignore[union-attr]  # all are files
    assert found == {file.path: file.sha256 for file in released.files}


def test_the_attestation_is_verified_with_nothing_but_the_public_key(
    scorer_api: APIClient, released: ModelVersion
) -> None:
    attestation = scorer_api.get(f"{V1}/versions/1/attestation?stage=production").json()

    verified = verify(
        attestation, registry_signer().public, at=timezone.now(), model="credit", stage="production", version=1
    )

    assert verified.digest == released.digest
    assert {one.slot for one in verified.sign_offs} == {"validator", "risk"}


def test_the_status_is_signed_anew_only_when_something_was_revoked_or_time_passed(
    scorer_api: APIClient,
    released: ModelVersion,
    make_candidate: MakeCandidate,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
) -> None:
    address = f"{V1}/versions/1/attestation"

    def counter() -> int:
        attestation = scorer_api.get(address).json()
        return verify(attestation, registry_signer().public, at=timezone.now()).status.counter

    first = counter()
    assert counter() == first
    second = release(make_candidate(), by=alice, validator=bob, risk=carol, promoter=rita)
    withdraw_approval(second, carol)
    assert counter() == first + 1
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        assert counter() == first + 2
    assert StatusSnapshot.objects.count() == 1


def test_an_auditor_gets_the_proof_but_not_the_bytes(dave: User, api_for: Api, released: ModelVersion) -> None:
    auditor = api_for(dave)

    attestation = auditor.get(f"{V1}/versions/1/attestation")

    assert attestation.status_code == 200
    assert verify(attestation.json(), registry_signer().public, at=timezone.now(), model="credit").version == 1
    assert auditor.get(f"{V1}/versions/1/files/MLmodel").status_code == 403


def test_a_stranger_gets_no_proof(root: User, api_for: Api, released: ModelVersion) -> None:
    assert api_for(root).get(f"{V1}/versions/1/attestation").status_code == 404


def test_what_was_never_reviewed_is_refused_with_everything_that_is_missing(
    scorer_api: APIClient, candidate: ModelVersion
) -> None:
    for address in ("versions/1/files/MLmodel", "versions/1/download", "versions/1/attestation"):
        answer = scorer_api.get(f"{V1}/{address}")

        assert answer.status_code == 409, address
        assert answer["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert problem["type"] == "urn:countersign:refusal:not-approved"
        assert "has no approval in force" in problem["detail"]
        waiting = {one["key"] for one in problem["requirements"] if one["status"] in {"waiting", "unsatisfied"}}
        assert any("validator" in key for key in waiting)
        assert any("risk" in key for key in waiting)


def test_what_is_approved_but_not_promoted_is_not_released(
    scorer_api: APIClient, candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    from tests.reviews.conftest import approve, ask

    approve(ask(candidate, production, alice), bob, carol)

    assert scorer_api.get(f"{V1}/versions/1/download").status_code == 409


def test_an_approval_for_one_stage_is_none_for_another(scorer_api: APIClient, released: ModelVersion) -> None:
    assert scorer_api.get(f"{V1}/versions/1/attestation?stage=staging").status_code == 409
    assert scorer_api.get(f"{V1}/versions/1/attestation?stage=nowhere").status_code == 404


def test_a_good_address_is_refused_after_a_revocation(
    scorer_api: APIClient, released: ModelVersion, carol: User
) -> None:
    addresses = [file["url"] for file in scorer_api.get(f"{V1}/aliases/champion").json()["files"]]
    assert body(scorer_api.get(addresses[0]))

    withdraw_approval(released, carol)

    refused = scorer_api.get(addresses[0])
    assert refused.status_code == 409
    assert "was revoked" in refused.json()["detail"]
    alias = scorer_api.get(f"{V1}/aliases/champion")
    assert alias.status_code == 404
    assert "points at nothing yet" in alias.json()["detail"]


def test_a_cached_copy_is_not_confirmed_after_a_revocation(
    scorer_api: APIClient, released: ModelVersion, carol: User
) -> None:
    first = scorer_api.get(f"{V1}/versions/1/files/MLmodel")
    etag = first["ETag"]
    assert body(first)
    assert scorer_api.get(f"{V1}/versions/1/files/MLmodel", headers={"If-None-Match": etag}).status_code == 304

    withdraw_approval(released, carol)

    assert scorer_api.get(f"{V1}/versions/1/files/MLmodel", headers={"If-None-Match": etag}).status_code == 409


def test_an_approval_that_ran_out_ends_the_pulls(scorer_api: APIClient, released: ModelVersion, scorer: User) -> None:
    with time_machine.travel(timezone.now() + timedelta(days=400)):
        ServiceToken.objects.filter(user=scorer).update(expires_at=timezone.now() + timedelta(days=1))

        assert scorer_api.get(f"{V1}/aliases/champion").status_code == 409


def test_unknown_names_get_a_clear_sentence(scorer_api: APIClient, released: ModelVersion) -> None:
    cases = {
        f"{V1}/aliases/favourite": "credit has no alias “favourite”. Its aliases: champion.",
        f"{V1}/aliases/challenger": "No version of credit is in Staging",
        f"{V1}/versions/9/download": "credit has no version 9.",
        f"{V1}/versions/1/files/nothing.txt": "has no file “nothing.txt”",
        "/api/v1/models/unheard/aliases/champion": "no registered model named “unheard”",
    }
    for address, sentence in cases.items():
        answer = scorer_api.get(address)
        assert answer.status_code == 404, address
        assert sentence in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2fMLmodel",
        "%252e%252e%252fMLmodel",
        "/etc/passwd",
        "MLmodel/",
    ],
)
def test_only_paths_of_the_manifest_can_be_asked_for(scorer_api: APIClient, released: ModelVersion, path: str) -> None:
    assert scorer_api.get(f"{V1}/versions/1/files/{path}").status_code == 404


def test_nobody_pulls_without_the_permission(
    api_for: Api, released: ModelVersion, alice: User, root: User, dave: User, caller_token: str
) -> None:
    assert APIClient().get(f"{V1}/aliases/champion").status_code == 401
    assert api_for("cs_abcdefgh_" + "x" * 43).get(f"{V1}/aliases/champion").status_code == 401
    assert api_for(caller_token).get(f"{V1}/aliases/champion").status_code == 404
    assert api_for(root).get(f"{V1}/aliases/champion").status_code == 404
    assert api_for(dave).get(f"{V1}/aliases/champion").status_code == 403
    assert "pull_version" in api_for(dave).get(f"{V1}/aliases/champion").json()["detail"]


def test_each_pull_is_on_record_before_and_after(scorer_api: APIClient, released: ModelVersion) -> None:
    answer = scorer_api.get(f"{V1}/versions/1/files/MLmodel", headers={"X-Purpose": "nightly batch"})
    assert steps() == [("begun", "MLmodel", 0)]

    content = body(answer)

    assert steps() == [("begun", "MLmodel", 0), ("completed", "MLmodel", len(content))]


@pytest.mark.django_db(transaction=True)
def test_a_pull_that_breaks_off_is_on_record_as_such(scorer_api: APIClient, released: ModelVersion) -> None:
    answer = scorer_api.get(f"{V1}/versions/1/download")
    next(iter(answer.streaming_content))  # type: ignore[attr-defined]  # a StreamingHttpResponse; the stubs know one class only
    answer.close()

    assert [step for step, _, _ in steps()] == ["begun", "broken_off"]


def test_a_refused_pull_is_on_record(scorer_api: APIClient, candidate: ModelVersion) -> None:
    scorer_api.get(f"{V1}/versions/1/download")

    entry = recorded("version.pull")[-1]
    assert (entry.outcome, entry.why) == ("denied", "not-approved")


def test_damaged_bytes_are_not_handed_out(scorer_api: APIClient, released: ModelVersion) -> None:
    path = ArtifactStore().path(released.files[0].sha256)
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[:-1])

    answer = scorer_api.get(f"{V1}/versions/1/files/{released.files[0].path}")

    assert answer.status_code == 503
    assert "missing or damaged" in answer.json()["detail"]


def test_the_authorisation_of_callers(
    api_for: Api, deployment: Deployment, released: ModelVersion, caller_token: str, scorer_token: str
) -> None:
    ask = {"deployment": "credit-live"}

    allowed = api_for(caller_token).post("/api/v1/serving/authorize", ask, format="json")

    assert allowed.json() == {"allowed": True, "caller": "caller"}
    assert allowed["Cache-Control"] == "private, max-age=1"
    assert api_for(scorer_token).post("/api/v1/serving/authorize", ask, format="json").status_code == 403
    assert (
        api_for(caller_token).post("/api/v1/serving/authorize", {"deployment": "x"}, format="json").status_code == 404
    )
    assert api_for(caller_token).post("/api/v1/serving/authorize", {}, format="json").status_code == 400


def test_a_worker_reports_and_learns_what_to_serve(
    scorer_api: APIClient,
    deployment: Deployment,
    candidate: ModelVersion,
    alice: User,
    bob: User,
    carol: User,
    rita: User,
    erin: User,
) -> None:
    from serving.actions import pause_deployment

    address = "/api/v1/serving/deployments/credit-live/heartbeat"
    before = scorer_api.post(address, {"state": "starting"}, format="json").json()
    assert (before["version"], before["paused"]) == (None, False)
    assert "No version of credit is live in Production yet" in before["reason"]

    release(candidate, by=alice, validator=bob, risk=carol, promoter=rita)
    assert scorer_api.post(address, {"state": "serving", "version": 1}, format="json").json()["version"] == 1
    deployment.refresh_from_db()
    assert (deployment.state, deployment.version, deployment.silent) == ("serving", candidate, False)
    assert [entry.after["version"] for entry in recorded("deployment.start")] == [1]

    pause_deployment(deployment, reason="Complaints.", by=as_(erin))
    paused = scorer_api.post(address, {"state": "serving", "version": 1}, format="json").json()
    assert (paused["paused"], paused["reason"]) == (True, "Complaints.")

    withdraw_approval(candidate, carol)
    after = scorer_api.post(address, {"state": "stopped", "version": 1}, format="json").json()
    assert after["version"] is None


def test_only_the_deployment_s_own_worker_reports(
    api_for: Api,
    deployment: Deployment,
    released: ModelVersion,
    alice: User,
    scorer_token: str,
    caller_token: str,
    erin: User,
) -> None:
    from tests.serving.conftest import service

    address = "/api/v1/serving/deployments/credit-live/heartbeat"
    report = {"state": "serving", "version": 1}
    assert api_for(caller_token).post(address, report, format="json").status_code == 404
    assert api_for(scorer_token).post(address, report | {"state": "lying"}, format="json").status_code == 400
    other = service("other-worker", "Service: pull", erin)
    Deployment.objects.update(worker=User.objects.get(username="scorer"))

    assert api_for(other).post(address, report, format="json").status_code == 403
    assert api_for(scorer_token).post(address, report, format="json").status_code == 200


def test_the_kill_switch_over_the_api(
    api_for: Api, deployment: Deployment, model: RegisteredModel, erin: User, alice: User
) -> None:
    token = api_for(erin)
    token.handler.enforce_csrf_checks = False
    assert token.post(
        "/api/v1/serving/deployments/credit-live/pause", {"reason": "Wrong prices."}, format="json"
    ).json()["paused"]
    assert token.get("/api/v1/serving/deployments/credit-live").json()["paused"]
    assert not token.post(
        "/api/v1/serving/deployments/credit-live/resume", {"reason": "Fixed again."}, format="json"
    ).json()["paused"]
    assert [one["name"] for one in token.get("/api/v1/serving/deployments").json()["deployments"]] == ["credit-live"]
    assert (
        api_for(alice)
        .post("/api/v1/serving/deployments/credit-live/pause", {"reason": "I like to."}, format="json")
        .status_code
        == 403
    )


def steps() -> list[tuple[str, str, int]]:
    """Each step of the pulls on record, oldest first."""
    return [(one.after["step"], one.after["path"], one.after["bytes"]) for one in recorded("version.pull")]


def recorded(action: str) -> list[Entry]:
    return [one.entry for one in entries(Filter(action=action))][::-1]


def test_every_answer_to_a_pull_names_its_entry_and_the_newest_checkpoint(
    sequencer: Sequencer, scorer_api: APIClient, released: ModelVersion
) -> None:
    sequencer.tick()
    latest = Checkpoint.objects.latest("size").note

    for address in ("versions/1/files/MLmodel", "versions/1/download", "versions/1/attestation"):
        answer = scorer_api.get(f"{V1}/{address}")
        if answer.streaming:
            body(answer)

        writer, _, n = answer["Countersign-Ledger-Entry"].partition("/")
        assert base64.b64decode(answer["Countersign-Ledger-Checkpoint"]).decode() == latest
        recorded = [one.entry for one in entries() if (one.entry.writer, one.entry.n) == (writer, int(n))]
        assert [one.obj_id for one in recorded] == [str(released.pk)]


def test_before_the_ledger_has_a_checkpoint_a_pull_names_its_entry_only(
    scorer_api: APIClient, released: ModelVersion
) -> None:
    answer = scorer_api.get(f"{V1}/versions/1/attestation")

    assert "Countersign-Ledger-Entry" in answer
    assert "Countersign-Ledger-Checkpoint" not in answer


def test_a_tar_that_nobody_reads_is_on_record_as_broken_off(scorer_api: APIClient, released: ModelVersion) -> None:
    close(scorer_api.get(f"{V1}/versions/1/download"))

    assert [(one.entry.after["step"], one.entry.after["bytes"]) for one in entries(Filter(action="version.pull"))] == [
        ("broken_off", 0),
        ("begun", 0),
    ]
