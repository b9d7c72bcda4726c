"""What may be written to the registry, by whom, and what the refusals say."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from access.permissions import Permission, grant
from access.principal import Principal
from audit.models import Pending
from countersign.proof.manifest import ManifestFile
from foundation.refusals import Conflict, Forbidden, Invalid, NotFound, TooLarge, Unauthenticated
from jobs.models import Job
from registry import actions
from registry.lifecycle import State
from registry.models import Alias, Blob, ModelVersion, RegisteredModel
from registry.queries import card_completeness, evidence_of, facets, servable
from registry.store import ArtifactStore
from tests.conftest import as_
from tests.factories import store_files, stored_tiny_model, tiny_model_files

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(model, make_version):
    return make_version(model)


def register(model, by, **options):
    return actions.register_version(model, stored_tiny_model(), by=as_(by), **{"admit": False, **options})


WRITES = {
    "model": lambda version, by: actions.update_model(version.model, description="Mine", by=by),
    "archive": lambda version, by: actions.archive_model(version.model, by=by),
    "register": lambda version, by: actions.register_version(version.model, version.files, by=by),
    "version": lambda version, by: actions.update_version(version, description="Mine", by=by),
    "retire": lambda version, by: actions.retire_version(version, by=by),
    "evidence": lambda version, by: actions.add_evidence(version, "metrics", {"auc": 1.0}, by=by),
    "card": lambda version, by: actions.revise_card(version, {"limitations": "Mine"}, by=by),
    "restore": lambda version, by: actions.restore_card(version, 1, by=by),
    "alias": lambda version, by: actions.set_alias(version.model, "shadow", version, by=by),
    "no alias": lambda version, by: actions.delete_alias(version.model, "shadow", by=by),
    "model tag": lambda version, by: actions.set_model_tag(version.model, "team", "mine", by=by),
    "no model tag": lambda version, by: actions.delete_model_tag(version.model, "team", by=by),
    "version tag": lambda version, by: actions.set_version_tag(version, "team", "mine", by=by),
    "no version tag": lambda version, by: actions.delete_version_tag(version, "team", by=by),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_holds_no_role_for_a_model_writes_nothing_about_it(version, root, write):
    with pytest.raises(Forbidden, match="takes the permission"):
        write(version, as_(root))


@pytest.mark.parametrize(
    "write", [WRITES["model"], WRITES["archive"], WRITES["register"]], ids=["model", "archive", "register"]
)
def test_an_archived_model_is_not_written_about(version, alice, write):
    actions.archive_model(version.model, by=as_(alice))

    with pytest.raises(Conflict, match="archived"):
        write(version, as_(alice))


@pytest.mark.parametrize("name", ["evidence", "card", "restore", "alias"])
def test_a_retired_version_takes_nothing_any_more(version, alice, name):
    actions.revise_card(version, {"limitations": "Ours"}, by=as_(alice))
    actions.revise_card(version, {"limitations": "Ours, too"}, by=as_(alice))
    actions.retire_version(version, by=as_(alice))

    with pytest.raises(Conflict, match="is retired and does not take this"):
        WRITES[name](version, as_(alice))


class TestModels:
    def test_whoever_creates_a_model_owns_it(self, alice):
        model = actions.create_model("churn", tier=2, by=as_(alice))

        assert (model.owner, model.created_by, model.tier) == (alice, alice, 2)

    def test_a_reviewer_may_not_create_models(self, bob):
        with pytest.raises(Forbidden, match="takes the permission"):
            actions.create_model("new-model", by=as_(bob))

        assert not RegisteredModel.objects.exists()

    def test_nobody_creates_nothing(self):
        with pytest.raises(Unauthenticated):
            actions.create_model("new-model", by=Principal.anonymous())

    @pytest.mark.parametrize("name", ["", "../x", "a/b", " ", "x" * 129, "-x", "new", "New", "a\nb", "ü"])
    def test_names_that_cannot_stand_in_an_address_are_refused(self, alice, name):
        with pytest.raises(Invalid):
            actions.create_model(name, by=as_(alice))

    @pytest.mark.parametrize("name", ["credit", "CREDIT"])
    def test_a_name_is_given_once_whatever_its_case(self, model, alice, name):
        with pytest.raises(Conflict, match="is taken"):
            actions.create_model(name, by=as_(alice))

    def test_an_unknown_tier_is_refused(self, alice):
        with pytest.raises(Invalid):
            actions.create_model("churn", tier=4, by=as_(alice))
        model = actions.create_model("churn", tier=1, by=as_(alice))
        with pytest.raises(Invalid):
            actions.update_model(model, tier=4, by=as_(alice))

    def test_a_service_does_not_own_a_model(self, alice, scorer):
        with pytest.raises(Invalid, match="active person"):
            actions.create_model("churn", owner=scorer, by=as_(alice))
        model = actions.create_model("churn", by=as_(alice))
        with pytest.raises(Invalid, match="active person"):
            actions.update_model(model, owner=scorer, by=as_(alice))

    def test_somebody_who_left_does_not_own_a_model(self, alice, bob):
        User.objects.filter(pk=bob.pk).update(is_active=False)
        bob.refresh_from_db()

        with pytest.raises(Invalid, match="active person"):
            actions.create_model("churn", owner=bob, by=as_(alice))

    def test_saying_the_same_tier_and_owner_changes_neither_and_asks_for_nothing_more(self, version, alice, bob):
        ModelVersion.objects.update(state=State.IN_REVIEW)
        grant(version.model, Permission.EDIT_MODEL, to=bob, by=as_(alice))

        said = actions.update_model(
            version.model, tier=version.model.tier, owner=alice, description="New words.", by=as_(bob)
        )

        assert (said.tier, said.owner, said.description) == (version.model.tier, alice, "New words.")

    def test_the_tier_becomes_milder_only_before_the_first_version(self, alice, make_version):
        model = actions.create_model("churn", tier=1, by=as_(alice))
        assert actions.update_model(model, tier=2, by=as_(alice)).tier == 2
        make_version(model)

        with pytest.raises(Conflict, match="only become stricter"):
            actions.update_model(model, tier=3, by=as_(alice))

        assert actions.update_model(model, tier=1, by=as_(alice)).tier == 1

    def test_the_tier_stays_during_a_review(self, version, alice):
        ModelVersion.objects.update(state=State.IN_REVIEW)

        with pytest.raises(Conflict, match="in review"):
            actions.update_model(version.model, tier=2, by=as_(alice))

    def test_another_owner_takes_the_permission_to_manage_access(self, model, alice, bob, dave, erin):
        grant(model, Permission.EDIT_MODEL, to=dave, by=as_(alice))

        with pytest.raises(Forbidden):
            actions.update_model(model, owner=bob, by=as_(dave))

        assert actions.update_model(model, owner=bob, by=as_(alice)).owner == bob

    def test_a_change_is_recorded_with_what_was_before(self, model, alice):
        actions.update_model(model, description="New words", by=as_(alice))

        entry = bytes(Pending.objects.latest("pk").payload).decode()
        assert "Credit default" in entry
        assert "New words" in entry

    def test_an_archived_model_takes_no_versions(self, model, alice):
        actions.archive_model(model, by=as_(alice))

        with pytest.raises(Conflict, match="archived"):
            register(model, alice)

    def test_a_model_with_a_live_version_is_not_archived(self, version, alice):
        ModelVersion.objects.update(state=State.LIVE)

        with pytest.raises(Conflict, match="Version 1 is live"):
            actions.archive_model(version.model, by=as_(alice))


class TestVersions:
    def test_a_version_waits_in_quarantine_until_it_has_been_scanned(self, model, alice, perform_jobs):
        version = register(model, alice, admit=True)
        assert version.state == State.QUARANTINED
        assert Job.objects.get().kind == "registry.admit"

        perform_jobs()

        version.refresh_from_db()
        assert version.state == State.REGISTERED
        assert version.flavour == "sklearn"
        assert Job.objects.get().state == Job.State.SUCCEEDED
        assert servable(version)

    def test_a_hostile_version_is_rejected_with_the_reasons(self, model, alice, perform_jobs):
        files = store_files(tiny_model_files() | {"code/evil.py": b"import os"})
        version = actions.register_version(model, files, by=as_(alice))

        perform_jobs()

        version.refresh_from_db()
        assert version.state == State.REJECTED
        assert "brings no code" in version.status_message
        assert evidence_of(version)["scan"].content["verdict"] == "refused"
        assert Job.objects.get().state == Job.State.SUCCEEDED

    def test_scanning_twice_records_once(self, model, alice):
        version = actions.admit_version(register(model, alice), by=as_(alice))
        scans = version.evidence.count()

        again = actions.admit_version(version, by=as_(alice))

        assert again.state == State.REGISTERED
        assert version.evidence.count() == scans

    def test_numbers_come_from_the_counter_and_are_never_reused(self, model, alice):
        first, second = register(model, alice), register(model, alice)
        RegisteredModel.objects.filter(pk=model.pk).update(last_number=7)

        assert (first.number, second.number, register(model, alice).number) == (1, 2, 8)

    def test_a_retry_of_the_same_run_gives_the_same_version(self, model, alice):
        first = register(model, alice, source="runs:/abc/model", run_id="abc")

        assert register(model, alice, source="runs:/abc/model", run_id="abc") == first
        assert ModelVersion.objects.count() == 1

    def test_after_the_retry_window_it_is_a_new_version(self, model, alice):
        first = register(model, alice, run_id="abc")

        with time_machine.travel(timezone.now() + timedelta(minutes=11)):
            assert register(model, alice, run_id="abc") != first

    @pytest.mark.parametrize("named", [{"source": "runs:/abc/model"}, {"run_id": "abc"}])
    def test_a_source_or_a_run_alone_tells_a_retry(self, model, alice, named):
        assert register(model, alice, **named) == register(model, alice, **named)

    def test_another_run_or_account_is_not_a_retry(self, model, alice, erin):
        first = register(model, alice, run_id="abc")
        grant(model, Permission.REGISTER_VERSION, to=erin, by=as_(alice))

        assert len({first, register(model, alice, run_id="abd"), register(model, erin, run_id="abc")}) == 3

    def test_a_job_makes_one_version_however_often_it_is_repeated(self, model, alice):
        job = uuid.uuid4()

        assert register(model, alice, job_uuid=job) == register(model, alice, job_uuid=job)

    def test_a_job_does_not_make_two_different_versions(self, model, alice):
        job = uuid.uuid4()
        register(model, alice, job_uuid=job)
        other = store_files(tiny_model_files() | {"registered_model_meta": b"a: b"})

        with pytest.raises(Conflict, match="with other bytes"):
            actions.register_version(model, other, job_uuid=job, by=as_(alice))

    def test_files_that_are_not_in_the_store_are_refused(self, model, alice):
        with pytest.raises(Invalid, match="upload the file first"):
            actions.register_version(model, [ManifestFile("MLmodel", 3, "a" * 64)], by=as_(alice))

        assert RegisteredModel.objects.get().last_number == 0

    def test_a_size_that_is_not_the_stored_one_is_refused(self, model, alice):
        files = stored_tiny_model()
        wrong = [ManifestFile(files[0].path, files[0].size + 1, files[0].sha256), *files[1:]]

        with pytest.raises(Invalid, match="the manifest says"):
            actions.register_version(model, wrong, by=as_(alice))

    def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_kept(self, model, alice):
        files = stored_tiny_model()
        files[0] = ManifestFile("../MLmodel", files[0].size, files[0].sha256)

        with pytest.raises(Invalid):
            actions.register_version(model, files, by=as_(alice))

        assert not ModelVersion.objects.exists()
        assert not Blob.objects.exists()

    def test_too_many_files_are_too_large(self, model, alice, settings):
        settings.MAX_VERSION_FILES = 2

        with pytest.raises(TooLarge):
            register(model, alice)

    def test_registering_takes_the_permission(self, model, bob):
        with pytest.raises(Forbidden):
            register(model, bob)

    def test_a_retraining_continues_a_version_of_its_own_model(self, version, alice):
        other = actions.create_model("other", by=as_(alice))

        with pytest.raises(Invalid, match="another model"):
            register(other, alice, retrain_of=version)

    def test_a_version_with_an_alias_is_not_retired(self, version, alice):
        actions.set_alias(version.model, "shadow", version, by=as_(alice))

        with pytest.raises(Conflict, match="still has the alias shadow"):
            actions.retire_version(version, by=as_(alice))

    def test_retiring_keeps_number_and_bytes(self, version, alice):
        retired = actions.retire_version(version, by=as_(alice))

        assert retired.state == State.RETIRED
        assert ArtifactStore().size(retired.files[0].sha256) is not None

    def test_stored_files_are_known_to_the_database(self, version):
        assert set(Blob.objects.values_list("digest", flat=True)) == {file.sha256 for file in version.files}


class TestEvidence:
    def test_the_newest_of_each_kind_counts(self, version, alice):
        actions.add_evidence(version, "metrics", {"metrics": {"auc": 0.8}}, by=as_(alice))
        newer = actions.add_evidence(version, "metrics", {"metrics": {"auc": 0.9}}, by=as_(alice))

        assert evidence_of(version)["metrics"] == newer
        assert newer.producer == alice
        assert newer.produced_via == "test"

    def test_the_same_result_twice_is_one(self, version, alice):
        first = actions.add_evidence(version, "metrics", {"a": 1}, run_id="r", by=as_(alice))

        assert actions.add_evidence(version, "metrics", {"a": 1}, run_id="r", by=as_(alice)) == first

    @pytest.mark.parametrize("kind", ["scan", "signature", "praise"])
    def test_nobody_writes_their_own_scan(self, version, alice, kind):
        with pytest.raises(Invalid, match="not a kind of evidence that can be added"):
            actions.add_evidence(version, kind, {"verdict": "admitted"}, by=as_(alice))

    @pytest.mark.parametrize("content", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {1: 2}])
    def test_evidence_is_plain_json(self, version, alice, content):
        with pytest.raises(Invalid):
            actions.add_evidence(version, "metrics", content, by=as_(alice))

    def test_evidence_has_a_limit(self, version, alice):
        with pytest.raises(TooLarge):
            actions.add_evidence(version, "metrics", {"a": "x" * 5_000_000}, by=as_(alice))

    def test_adding_takes_the_permission(self, version, bob):
        with pytest.raises(Forbidden):
            actions.add_evidence(version, "metrics", {"a": 1}, by=as_(bob))

    def test_a_retired_version_takes_no_evidence(self, version, alice):
        actions.retire_version(version, by=as_(alice))

        with pytest.raises(Conflict):
            actions.add_evidence(version, "metrics", {"a": 1}, by=as_(alice))

    def test_each_facet_changes_with_what_it_answers_for(self, version, alice):
        before = facets(version)
        actions.add_evidence(version, "metrics", {"a": 1}, by=as_(alice))
        actions.add_evidence(version, "environment", {"packages": []}, by=as_(alice))
        actions.revise_card(version, {"owner": "Alice"}, by=as_(alice))
        after = facets(version)

        assert {facet for facet in before if before[facet] != after[facet]} == {"evaluation", "environment", "card"}
        assert set(after) == {"artifact", "data", "environment", "evaluation", "card"}

    def test_tags_and_description_change_no_facet(self, version, alice):
        before = facets(version)

        actions.set_version_tag(version, "team", "risk", by=as_(alice))
        actions.update_version(version, description="words", by=as_(alice))

        assert facets(ModelVersion.objects.get(pk=version.pk)) == before


class TestCard:
    def test_revisions_are_added_and_sections_kept(self, version, alice):
        actions.revise_card(version, {"intended_use": "Limits for existing customers."}, by=as_(alice))

        second = actions.revise_card(version, {"owner": "Alice"}, by=as_(alice))

        assert second.number == 2
        assert second.sections == {"intended_use": "Limits for existing customers.", "owner": "Alice"}
        assert card_completeness(version) == 2 / 8

    @pytest.mark.parametrize("sections", [{"praise": "x"}, {"owner": 5}, {"data": "x" * 20_001}])
    def test_what_is_no_section_is_refused(self, version, alice, sections):
        with pytest.raises(Invalid) as refused:
            actions.revise_card(version, sections, by=as_(alice))

        assert set(refused.value.errors) == set(sections)

    def test_a_section_that_is_emptied_is_gone(self, version, alice):
        actions.revise_card(version, {"owner": "Alice", "data": "ACS"}, by=as_(alice))

        assert actions.revise_card(version, {"data": ""}, by=as_(alice)).sections == {"owner": "Alice"}

    def test_saying_the_same_again_is_refused(self, version, alice):
        actions.revise_card(version, {"owner": "Alice"}, by=as_(alice))

        with pytest.raises(Conflict, match="Nothing changed"):
            actions.revise_card(version, {"owner": "Alice"}, by=as_(alice))

    def test_revising_takes_the_permission(self, version, bob):
        with pytest.raises(Forbidden):
            actions.revise_card(version, {"owner": "Bob"}, by=as_(bob))


class TestAliases:
    def test_a_free_alias_moves(self, version, make_version, alice):
        second = make_version(version.model)
        actions.set_alias(version.model, "shadow", version, by=as_(alice))

        actions.set_alias(version.model, "shadow", second, by=as_(alice))

        assert Alias.objects.get().version == second

    @pytest.mark.parametrize("name", ["champion", "Champion", "challenger", "production", "Staging"])
    def test_the_alias_of_a_stage_is_refused_with_the_way_to_a_review(self, version, alice, name):
        with pytest.raises(Conflict, match="reviewed, signed and promoted") as refused:
            actions.set_alias(version.model, name, version, by=as_(alice))

        assert refused.value.code == "alias-protected"
        assert not Alias.objects.exists()

    @pytest.mark.parametrize("name", ["champion", "challenger", "production"])
    def test_the_alias_of_a_stage_is_not_deleted(self, model, alice, name):
        with pytest.raises(Conflict):
            actions.delete_alias(model, name, by=as_(alice))

    @pytest.mark.parametrize("name", ["latest", "LATEST", "v1", "V22", "", "a b", "../x", "x" * 81])
    def test_names_that_read_as_a_version_or_an_address_are_refused(self, version, alice, name):
        with pytest.raises(Invalid):
            actions.set_alias(version.model, name, version, by=as_(alice))

    def test_an_alias_does_not_point_into_quarantine(self, model, alice):
        with pytest.raises(Conflict, match="quarantined"):
            actions.set_alias(model, "shadow", register(model, alice), by=as_(alice))

    def test_an_alias_does_not_point_at_another_models_version(self, version, alice):
        other = actions.create_model("other", by=as_(alice))

        with pytest.raises(NotFound):
            actions.set_alias(other, "shadow", version, by=as_(alice))

    def test_an_alias_that_moved_meanwhile_is_not_overwritten(self, version, make_version, alice):
        second = make_version(version.model)
        actions.set_alias(version.model, "shadow", second, by=as_(alice))

        with pytest.raises(Conflict, match="points at version 2 now"):
            actions.set_alias(version.model, "shadow", version, expected=1, by=as_(alice))

        moved = actions.set_alias(version.model, "shadow", version, expected=2, by=as_(alice))
        assert moved.version == version

    def test_deleting_what_is_not_there_succeeds(self, model, alice):
        actions.delete_alias(model, "shadow", by=as_(alice))

    def test_setting_takes_the_permission(self, version, bob):
        with pytest.raises(Forbidden):
            actions.set_alias(version.model, "shadow", version, by=as_(bob))


class TestTags:
    def test_tags_are_set_changed_and_taken_off(self, version, alice):
        model = version.model
        actions.set_model_tag(model, "team", "a", by=as_(alice))
        actions.set_model_tag(model, "team", "b", by=as_(alice))
        assert [(tag.key, tag.value) for tag in model.tags.all()] == [("team", "b")]

        actions.delete_model_tag(model, "team", by=as_(alice))
        actions.delete_model_tag(model, "team", by=as_(alice))
        assert not model.tags.exists()

    def test_version_tags_too(self, version, alice):
        actions.set_version_tag(version, "team", "a", by=as_(alice))
        actions.delete_version_tag(version, "team", by=as_(alice))

        assert not version.tags.exists()

    @pytest.mark.parametrize(("key", "value"), [("", "x"), (" ", "x"), ("k" * 251, "x"), ("k", "x" * 5001)])
    def test_tags_have_limits(self, version, alice, key, value):
        with pytest.raises(Invalid):
            actions.set_model_tag(version.model, key, value, by=as_(alice))
        with pytest.raises(Invalid):
            actions.set_version_tag(version, key, value, by=as_(alice))

    @pytest.mark.parametrize(("key", "value"), [("k" * 250, "x"), ("k", "x" * 5000), ("k", "")])
    def test_a_tag_may_be_as_long_as_its_limits_say(self, version, alice, key, value):
        assert actions.set_model_tag(version.model, key, value, by=as_(alice)).value == value
        assert actions.set_version_tag(version, key, value, by=as_(alice)).value == value


def test_a_refused_attempt_is_recorded(model, bob):
    before = Pending.objects.count()

    with pytest.raises(Forbidden):
        register(model, bob)

    assert Pending.objects.count() == before + 1
    assert '"outcome":"denied"' in bytes(Pending.objects.latest("pk").payload).decode()
