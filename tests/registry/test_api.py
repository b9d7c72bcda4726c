"""The API: what it shows, what it takes, and what it refuses with problem JSON."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from access.permissions import Permission, grant
from registry.actions import create_model
from registry.models import Blob, ModelVersion, RegisteredModel
from registry.store import ArtifactStore
from tests.conftest import as_
from tests.factories import tiny_model_files

pytestmark = pytest.mark.django_db
MODELS = "/api/v1/models/"
VERSIONS = "/api/v1/models/credit/versions/"


@pytest.fixture
def version(model, make_version):
    return make_version(model)


@pytest.fixture
def alice_api(api_for, alice):
    return api_for(alice)


def upload_of(files, **changes):
    manifest = [
        {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for path, data in files.items()
    ]
    parts = {path: SimpleUploadedFile(path.rpartition("/")[2] or "x", data) for path, data in files.items()}
    return {"manifest": json.dumps(manifest), **parts, **changes}


class TestModels:
    def test_models_are_listed_filtered_and_ordered(self, alice_api, alice, model):
        create_model("churn", tier=3, by=as_(alice))

        assert [row["name"] for row in alice_api.get(MODELS).json()["results"]] == ["churn", "credit"]
        assert [row["name"] for row in alice_api.get(MODELS, {"ordering": "-name"}).json()["results"]] == [
            "credit",
            "churn",
        ]
        assert [row["name"] for row in alice_api.get(MODELS, {"tier": 3}).json()["results"]] == ["churn"]
        assert [row["name"] for row in alice_api.get(MODELS, {"q": "existing cust"}).json()["results"]] == ["credit"]
        assert alice_api.get(MODELS, {"owner": "nobody"}).json()["count"] == 0

    def test_pages_are_bounded(self, alice_api, alice):
        for number in range(3):
            create_model(f"m{number}", by=as_(alice))

        page = alice_api.get(MODELS, {"page_size": 2}).json()

        assert len(page["results"]) == 2
        assert page["next"]

    def test_an_unknown_ordering_is_refused(self, alice_api):
        answer = alice_api.get(MODELS, {"ordering": "owner__password"})

        assert answer.status_code == 400
        assert answer["Content-Type"] == "application/problem+json"
        assert "ordering" in answer.json()["errors"]

    def test_a_model_is_created(self, alice_api, alice):
        answer = alice_api.post(MODELS, {"name": "churn", "tier": 2}, format="json")

        assert answer.status_code == 201
        assert answer.json()["owner"] == "alice"

    @pytest.mark.parametrize(
        ("field", "value"),
        [("owner", "bob"), ("created_by", "bob"), ("last_number", 9), ("archived_at", "2020-01-01"), ("id", 77)],
    )
    def test_fields_that_are_not_named_are_not_assigned(self, alice_api, alice, bob, field, value):
        alice_api.post(MODELS, {"name": "churn", field: value}, format="json")

        model = RegisteredModel.objects.get(name="churn")
        assert (model.owner, model.created_by, model.last_number, model.archived_at) == (alice, alice, 0, None)
        assert model.pk != 77

    def test_the_name_of_a_model_is_not_overwritten(self, alice_api, model):
        answer = alice_api.post(MODELS, {"name": "credit"}, format="json")

        assert answer.status_code == 409
        assert answer.json()["type"].endswith("model-exists")

    def test_a_model_is_changed_but_not_renamed_or_given_away(self, alice_api, alice, model):
        answer = alice_api.patch(f"{MODELS}credit/", {"description": "x", "name": "y", "owner": "bob"}, format="json")

        assert answer.status_code == 200
        model.refresh_from_db()
        assert (model.name, model.description, model.owner) == ("credit", "x", alice)

    def test_absent_and_hidden_look_the_same(self, api_for, outsider, model):
        api = api_for(outsider)
        hidden, absent = api.get(f"{MODELS}credit/"), api.get(f"{MODELS}nothing/")

        assert hidden.status_code == absent.status_code == 404
        assert hidden.json()["detail"].replace("credit", "nothing") == absent.json()["detail"]

    def test_a_list_shows_what_the_detail_shows(self, api_for, outsider, model, alice):
        other = create_model("other", by=as_(alice))
        grant(other, Permission.SEE_MODEL, to=outsider, by=as_(alice))
        api = api_for(outsider)

        assert [row["name"] for row in api.get(MODELS).json()["results"]] == ["other"]
        assert api.get(f"{MODELS}other/").status_code == 200

    def test_nobody_reads_without_signing_in(self, model):
        from rest_framework.test import APIClient

        assert APIClient().get(MODELS).status_code == 401

    def test_the_list_takes_a_fixed_number_of_statements(
        self, alice_api, alice, make_version, django_assert_max_num_queries
    ):
        for number in range(6):
            create_model(f"m{number}", by=as_(alice))

        with django_assert_max_num_queries(12):
            alice_api.get(MODELS)


class TestRegistering:
    def test_files_are_registered_and_wait_for_the_scan(self, alice_api, model, perform_jobs):
        answer = alice_api.post(VERSIONS, upload_of(tiny_model_files(), description="first"), format="multipart")

        assert answer.status_code == 201, answer.json()
        assert answer.json()["state"] == "quarantined"
        perform_jobs()
        read = alice_api.get(f"{VERSIONS}1/").json()
        assert read["state"] == "registered"
        assert {row["path"] for row in read["files"]} == set(tiny_model_files())

    def test_a_wrong_digest_is_refused_and_nothing_is_kept(self, alice_api, model):
        files = tiny_model_files()
        manifest = [{"path": path, "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()]
        manifest[-1]["sha256"] = "0" * 64

        answer = alice_api.post(VERSIONS, upload_of(files, manifest=json.dumps(manifest)), format="multipart")

        assert answer.status_code == 400
        assert answer.json()["type"].endswith("digest-mismatch")
        assert manifest[-1]["path"] in answer.json()["errors"]
        assert not ModelVersion.objects.exists()
        assert not Blob.objects.exists()

    def test_a_truncated_file_is_refused(self, alice_api, model):
        files = tiny_model_files()
        manifest = [
            {"path": path, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data) + 100}
            for path, data in files.items()
        ]

        answer = alice_api.post(VERSIONS, upload_of(files, manifest=json.dumps(manifest)), format="multipart")

        assert answer.status_code == 400
        assert answer.json()["type"].endswith("upload-truncated")

    def test_a_file_beyond_the_limit_is_too_large(self, alice_api, model, settings):
        settings.MAX_FILE_BYTES = 100

        answer = alice_api.post(VERSIONS, upload_of(tiny_model_files()), format="multipart")

        assert answer.status_code == 413
        assert not ModelVersion.objects.exists()

    def test_an_announced_body_beyond_the_limit_is_refused_unread(self, alice_api, model, settings):
        settings.MAX_VERSION_BYTES = 1

        answer = alice_api.post(VERSIONS, upload_of({"MLmodel": b"x" * 11 * 1024**2}), format="multipart")

        assert answer.status_code == 413

    @pytest.mark.parametrize(
        "path", ["../MLmodel", "%2e%2e/MLmodel", "%252e%252e%252fMLmodel", "/etc/passwd", "a/../../MLmodel", "a\\b"]
    )
    def test_paths_that_lead_elsewhere_are_refused(self, alice_api, model, path):
        answer = alice_api.post(VERSIONS, upload_of({path: b"x"}), format="multipart")

        assert answer.status_code == 400
        assert not ModelVersion.objects.exists()

    def test_the_digest_of_anothers_file_does_not_give_access_to_it(self, alice_api, alice, model):
        import io

        secret = ArtifactStore().write(io.BytesIO(b"another's weights"))
        manifest = [{"path": "MLmodel", "sha256": secret.digest, "size": secret.size}]

        answer = alice_api.post(VERSIONS, {"manifest": json.dumps(manifest)}, format="multipart")

        assert answer.status_code == 400
        assert answer.json()["type"].endswith("manifest-mismatch")

    def test_a_file_that_the_manifest_does_not_name_is_refused(self, alice_api, model):
        answer = alice_api.post(
            VERSIONS,
            upload_of(tiny_model_files(), **{"extra.bin": SimpleUploadedFile("extra.bin", b"x")}),
            format="multipart",
        )

        assert answer.status_code == 400

    @pytest.mark.parametrize("manifest", ["", "{}", "[1]", '[{"path": "a"}]', "not json", "null"])
    def test_a_manifest_that_is_none_is_refused(self, alice_api, model, manifest):
        answer = alice_api.post(VERSIONS, upload_of({"MLmodel": b"x"}, manifest=manifest), format="multipart")

        assert answer.status_code == 400

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("state", "live"),
            ("digest", "0" * 64),
            ("created_by", "bob"),
            ("number", "44"),
            ("job_uuid", "x"),
            ("admit", "false"),
        ],
    )
    def test_fields_that_are_not_named_are_not_assigned(self, alice_api, alice, model, field, value):
        answer = alice_api.post(VERSIONS, upload_of(tiny_model_files(), **{field: value}), format="multipart")

        # a text part that is no file and no known field is ignored
        assert answer.status_code == 201
        version = ModelVersion.objects.get()
        assert (version.state, version.number, version.created_by, version.job_uuid) == ("quarantined", 1, alice, None)
        assert version.digest != "0" * 64

    def test_whoever_may_not_register_uploads_nothing(self, api_for, bob, model):
        answer = api_for(bob).post(VERSIONS, upload_of(tiny_model_files()), format="multipart")

        assert answer.status_code == 403
        assert not list(ArtifactStore().root.rglob("*"))

    def test_only_the_description_of_a_version_changes(self, alice_api, version):
        answer = alice_api.patch(
            f"{VERSIONS}1/", {"description": "x", "state": "live", "digest": "0" * 64, "run_id": "y"}, format="json"
        )

        assert answer.status_code == 200
        read = ModelVersion.objects.get()
        assert (read.description, read.state, read.digest, read.run_id) == ("x", "registered", version.digest, "")


class TestRest:
    def test_evidence_is_added_and_read(self, alice_api, version):
        added = alice_api.post(f"{VERSIONS}1/evidence/", {"kind": "metrics", "content": {"auc": 0.8}}, format="json")
        listed = alice_api.get(f"{VERSIONS}1/evidence/").json()["results"]

        assert added.status_code == 201
        assert {row["kind"] for row in listed} == {"scan", "signature", "metrics"}
        assert alice_api.get(f"{VERSIONS}1/evidence/{added.json()['id']}/").json()["content"] == {"auc": 0.8}

    @pytest.mark.parametrize(
        "body", [{"kind": "scan", "content": {}}, {"kind": "metrics", "content": [1]}, {"kind": "metrics"}]
    )
    def test_evidence_that_is_none_is_refused(self, alice_api, version, body):
        assert alice_api.post(f"{VERSIONS}1/evidence/", body, format="json").status_code == 400

    def test_the_producer_of_evidence_is_whoever_sends_it(self, alice_api, version):
        body = {"kind": "metrics", "content": {"a": 1}, "producer": "bob", "subject_digest": "0" * 64}

        added = alice_api.post(f"{VERSIONS}1/evidence/", body, format="json").json()

        assert (added["producer"], added["subject_digest"]) == ("alice", version.digest)

    def test_the_card_is_revised_and_read(self, alice_api, version):
        alice_api.post(f"{VERSIONS}1/card/", {"sections": {"owner": "Alice"}}, format="json")

        assert alice_api.get(f"{VERSIONS}1/card/").json()["results"][0]["sections"] == {"owner": "Alice"}

    def test_a_free_alias_is_set_listed_and_deleted(self, alice_api, version):
        alice_api.put(f"{MODELS}credit/aliases/shadow/", {"version": 1}, format="json")
        assert [row["name"] for row in alice_api.get(f"{MODELS}credit/aliases/").json()["results"]] == ["shadow"]

        assert alice_api.delete(f"{MODELS}credit/aliases/shadow/").status_code == 204
        assert alice_api.get(f"{MODELS}credit/aliases/").json()["count"] == 0

    def test_a_stage_alias_is_refused_with_the_way_to_a_review(self, alice_api, version):
        answer = alice_api.put(f"{MODELS}credit/aliases/champion/", {"version": 1}, format="json")

        assert answer.status_code == 409
        assert answer.json()["type"].endswith("alias-protected")
        assert "/models/credit/v/1/request-review/" in answer.json()["link"]

    def test_tags_are_set_and_taken_off(self, alice_api, version):
        alice_api.put(f"{MODELS}credit/tags/team/", {"value": "risk"}, format="json")
        alice_api.put(f"{VERSIONS}1/tags/team/", {"value": "risk"}, format="json")
        assert alice_api.get(f"{MODELS}credit/").json()["tags"] == {"team": "risk"}
        assert alice_api.get(f"{VERSIONS}1/").json()["tags"] == {"team": "risk"}

        alice_api.delete(f"{MODELS}credit/tags/team/")
        alice_api.delete(f"{VERSIONS}1/tags/team/")
        assert alice_api.get(f"{MODELS}credit/").json()["tags"] == {}

    def test_an_unknown_version_is_not_found(self, alice_api, model):
        assert alice_api.get(f"{VERSIONS}9/").status_code == 404
