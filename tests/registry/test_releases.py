"""Who may stand behind a stage's alias: only what a release signed by the registry names, and the database agrees."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from countersign.proof.dsse import Signer, open_sealed, seal, statement
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Forbidden, NotFound
from registry.lifecycle import State, move
from registry.models import Alias, ModelVersion, Promotion, Stage
from registry.queries import resolve_alias
from registry.releases import RELEASE_TYPE, drop_stage_aliases, place_stage_alias
from tests.conftest import as_
from tests.databases import without_triggers

pytestmark = pytest.mark.django_db


@pytest.fixture
def approved(model, make_version, alice):
    """Makes an approved version: the sign-offs that lead there are tested in `reviews`."""

    def make():
        version = make_version(model)
        with transaction.atomic():
            move(version, "request_review", by=as_(alice))
            return move(version, "approve", by=as_(alice), decision="a" * 64)

    return make


def predicate_of(version, /, *, previous=None, stage="production", days=30, **changes):
    now = timezone.now()
    fields = {
        "model": version.model.name,
        "version": version.number,
        "stage": stage,
        "digest": version.digest,
        "previous": previous,
        "valid_until": (now + timedelta(days=days)).isoformat(),
        "at": now.isoformat(),
    }
    return fields | changes


def release_of(version, /, *, signer=None, predicate_type=RELEASE_TYPE, subject=None, **changes):
    predicate = predicate_of(version, **changes)
    return seal(
        statement(
            subject_name=f"{version.model.name}/{version.number}",
            subject_sha256=subject or version.digest,
            predicate_type=predicate_type,
            predicate=predicate,
        ),
        signer or registry_signer(),
    )


def place(version, stage, by, **options):
    release = options.pop("release", None) or release_of(
        version, previous=options.pop("previous", None), stage=stage.name
    )
    return place_stage_alias(version.model, stage, version, release=release, by=as_(by), **options)


def test_a_signed_release_moves_the_alias_and_the_version_is_live(approved, production, rita, alice):
    version = approved()

    promotion = place(version, production, rita)

    assert Alias.objects.get(name="champion").promotion == promotion
    assert resolve_alias("credit", "champion", as_(alice)) == version
    assert ModelVersion.objects.get(pk=version.pk).state == State.LIVE


def test_the_next_release_replaces_it_and_the_first_is_approved_again(approved, production, rita):
    first, second = approved(), approved()
    place(first, production, rita)

    promotion = place(second, production, rita, previous=1)

    assert promotion.previous == first
    assert Alias.objects.get(name="champion").version == second
    assert ModelVersion.objects.get(pk=first.pk).state == State.APPROVED


def test_a_version_that_holds_another_stage_stays_live(approved, production, rita):
    staging = Stage.objects.get(name="staging")
    first, second = approved(), approved()
    place(first, staging, rita)
    place(first, production, rita)

    place(second, production, rita, previous=1)

    assert ModelVersion.objects.get(pk=first.pk).state == State.LIVE


def test_without_the_permission_nothing_moves(approved, production, alice):
    with pytest.raises(Forbidden):
        place(approved(), production, alice)

    assert not Promotion.objects.exists()


def test_a_release_signed_by_another_key_is_refused(approved, production, rita):
    version = approved()
    forged = release_of(version, signer=Signer(Ed25519PrivateKey.generate()))

    with pytest.raises(Conflict, match="not one that the registry signed"):
        place(version, production, rita, release=forged)


def test_a_changed_release_is_refused(approved, production, rita):
    version, other = approved(), approved()
    envelope = release_of(version)
    envelope["payload"] = release_of(other)["payload"]

    with pytest.raises(Conflict) as refused:
        place(other, production, rita, release=envelope)

    assert refused.value.code == "release-signature"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": "other"}, "release-mismatch"),
        ({"version": 7}, "release-mismatch"),
        ({"stage": "staging"}, "release-mismatch"),
        ({"digest": "0" * 64}, "release-form"),
        ({"subject": "0" * 64}, "release-form"),
        ({"days": -1}, "release-expired"),
        ({"previous": 3}, "stage-moved"),
        ({"predicate_type": "https://countersign.dev/sign-off/v1"}, "release-form"),
        ({"valid_until": "2030-01-01T00:00:00"}, "release-form"),
        ({"valid_until": "soon"}, "release-form"),
        ({"version": "one"}, "release-form"),
    ],
)
def test_a_release_that_names_something_else_is_refused(approved, production, rita, changes, code):
    version = approved()

    with pytest.raises(Conflict) as refused:
        place(version, production, rita, release=release_of(version, **changes))

    assert refused.value.code == code
    assert not Alias.objects.exists()


def test_a_statement_of_another_format_is_no_release(approved, production, rita):
    version = approved()
    value = open_sealed(release_of(version), registry_signer().public)

    with pytest.raises(Conflict, match="another type"):
        place(
            version,
            production,
            rita,
            release=seal(value | {"_type": "https://in-toto.io/Statement/v9"}, registry_signer()),
        )


def test_a_version_whose_files_are_not_those_of_its_digest_is_not_released(approved, production, rita):
    version = approved()
    with without_triggers():
        ModelVersion.objects.filter(pk=version.pk).update(manifest=version.manifest[1:])

    with pytest.raises(Conflict) as refused:
        place(version, production, rita)

    assert refused.value.code == "manifest-damaged"


def test_a_release_of_one_version_does_not_carry_another(approved, production, rita):
    first, second = approved(), approved()

    with pytest.raises(Conflict) as refused:
        place(second, production, rita, release=release_of(first))

    assert refused.value.code == "release-mismatch"


def test_a_release_is_used_once(approved, production, rita):
    first, second = approved(), approved()
    release = release_of(first)
    place(first, production, rita, release=release)
    place(second, production, rita, previous=1)

    with pytest.raises(Conflict, match="used for a promotion before"):
        place(first, production, rita, release=release)


def test_a_champion_that_moved_meanwhile_stops_the_promotion(approved, production, rita):
    first, second, third = approved(), approved(), approved()
    place(first, production, rita)
    decided_before = release_of(third, previous=1)
    place(second, production, rita, previous=1)

    with pytest.raises(Conflict, match="version 1 was live when this was decided, version 2 is live now"):
        place(third, production, rita, release=decided_before)


@pytest.mark.parametrize("state", [State.REGISTERED, State.IN_REVIEW, State.REVOKED, State.EXPIRED, State.RETIRED])
def test_only_approved_versions_are_released(approved, production, rita, state):
    version = approved()
    ModelVersion.objects.filter(pk=version.pk).update(state=state)

    with pytest.raises(Conflict):
        place(version, production, rita)

    assert not Promotion.objects.exists()


def test_dropping_takes_every_stage_alias_and_leaves_free_ones(approved, production, rita, alice, model):
    from registry.actions import set_alias

    version = approved()
    place(version, Stage.objects.get(name="staging"), rita)
    place(version, production, rita)
    set_alias(model, "shadow", version, by=as_(alice))

    dropped = drop_stage_aliases(version, by=as_(rita))

    assert {alias.name for alias in dropped} == {"challenger", "champion"}
    assert list(Alias.objects.values_list("name", flat=True)) == ["shadow"]


def test_an_unknown_alias_names_those_that_exist(approved, production, rita, alice):
    place(approved(), production, rita)

    with pytest.raises(NotFound, match="Its aliases: champion"):
        resolve_alias("credit", "chmapion", as_(alice))


def refused_by_the_database():
    return pytest.raises(DatabaseError)


class TestTheDatabaseInsists:
    def test_a_stage_alias_is_not_moved_through_the_orm(self, approved, production, rita):
        first, second = approved(), approved()
        place(first, production, rita)

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.filter(name="champion").update(version=second)

        assert Alias.objects.get(name="champion").version == first

    def test_a_stage_alias_is_not_saved_elsewhere(self, approved, production, rita):
        first, second = approved(), approved()
        place(first, production, rita)
        alias = Alias.objects.get(name="champion")
        alias.version = second

        with refused_by_the_database(), transaction.atomic():
            alias.save()

    def test_a_stage_alias_is_not_moved_by_sql(self, approved, production, rita):
        first, second = approved(), approved()
        place(first, production, rita)

        with refused_by_the_database(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE registry_alias SET version_id = %s", [second.pk])

    def test_a_stage_alias_is_not_inserted_without_a_promotion(self, approved, production, rita, model):
        version = approved()

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.bulk_create(
                [Alias(model=model, name="champion", version=version, stage=production, updated_by=rita)]
            )

    def test_a_stage_alias_is_not_put_back_to_an_older_promotion(self, approved, production, rita):
        first, second = approved(), approved()
        older = place(first, production, rita)
        place(second, production, rita, previous=1)

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.filter(name="champion").update(version=first, promotion=older)

    def test_the_promotion_of_another_version_does_not_help(self, approved, production, rita):
        first, second = approved(), approved()
        promotion = place(first, production, rita)
        Alias.objects.all().delete()

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.create(
                model=second.model,
                name="champion",
                version=second,
                stage=production,
                promotion=promotion,
                updated_by=rita,
            )

    def test_a_revoked_version_is_not_put_back_by_sql(self, approved, production, rita, alice):
        version = approved()
        promotion = place(version, production, rita)
        drop_stage_aliases(version, by=as_(rita))
        move(version, "revoke", by=as_(rita), decision="r" * 64)

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.create(
                model=version.model,
                name="champion",
                version=version,
                stage=production,
                promotion=promotion,
                updated_by=rita,
            )

    @pytest.mark.parametrize("name", ["champion", "Champion", "challenger"])
    def test_a_free_alias_does_not_take_the_name_of_a_stage(self, approved, alice, model, name):
        with refused_by_the_database(), transaction.atomic():
            Alias.objects.create(model=model, name=name, version=approved(), updated_by=alice)

    def test_a_free_alias_is_not_renamed_to_a_stage(self, approved, alice, model):
        from registry.actions import set_alias

        set_alias(model, "shadow", approved(), by=as_(alice))

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.filter(name="shadow").update(name="champion")

    def test_a_stage_alias_is_not_made_a_free_one(self, approved, production, rita):
        place(approved(), production, rita)

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.filter(name="champion").update(stage=None, promotion=None, name="other")

    def test_an_alias_stays_within_its_model(self, approved, alice, rita):
        from registry.actions import create_model, set_alias

        version = approved()
        set_alias(version.model, "shadow", version, by=as_(alice))
        other = create_model("other", by=as_(alice))

        with refused_by_the_database(), transaction.atomic():
            Alias.objects.filter(name="shadow").update(model=other)

    def test_a_stage_is_not_renamed(self):
        with refused_by_the_database(), transaction.atomic():
            Stage.objects.filter(name="production").update(alias="other")

    def test_a_forged_promotion_gets_past_the_database_and_no_further(self, approved, production, rita, alice):
        version = approved()
        forged = Promotion.objects.create(
            model=version.model,
            version=version,
            stage=production,
            release=dict(release_of(version, signer=Signer(Ed25519PrivateKey.generate()))),
            release_digest="f" * 64,
            by=rita,
        )
        Alias.objects.create(
            model=version.model, name="champion", version=version, stage=production, promotion=forged, updated_by=rita
        )

        with pytest.raises(Conflict, match="not one that the registry signed"):
            resolve_alias("credit", "champion", as_(alice))
