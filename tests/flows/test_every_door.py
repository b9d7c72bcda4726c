"""An unsigned version does not go live, whichever door somebody tries: portal, API, Django admin, ORM, SQL.

(The MLflow client's door is tried with a real client and server in tests/serving.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import User
from countersign.proof.dsse import Envelope, Signer, seal, statement
from foundation.refusals import Refusal
from registry.models import Alias, ModelVersion, Promotion, RegisteredModel, Stage
from registry.releases import RELEASE_TYPE, place_stage_alias
from reviews.models import Approval, Review, Round
from reviews.promotion import promote
from serving.queries import resolve
from tests.conftest import MakeVersion, as_

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(model: RegisteredModel, make_version: MakeVersion) -> ModelVersion:
    """Admitted, and signed by nobody."""
    return make_version(model)


def assert_nothing_is_live(version: ModelVersion, scorer: User) -> None:
    """No alias that anybody would be given points at the version, and nobody can pull it."""
    for wanted in ({"alias": "champion"}, {"version": version.number}):
        with pytest.raises(Refusal):
            resolve(version.model.name, **wanted, by=as_(scorer))


def forged_release(version: ModelVersion, stage: Stage, signer: Signer) -> Envelope:
    """A release that says everything right, sealed by a key of one's own."""
    said = {
        "model": version.model.name,
        "version": version.number,
        "stage": stage.name,
        "digest": version.digest,
        "round": "none",
        "subject_digest": "0" * 64,
        "sign_offs": [],
        "policies": [],
        "previous": None,
        "valid_until": "2099-01-01T00:00:00+00:00",
        "promoted_by": "mallory",
        "at": "2026-11-23T00:00:00+00:00",
    }
    content = statement(
        subject_name=str(version), subject_sha256=version.digest, predicate_type=RELEASE_TYPE, predicate=said
    )
    return seal(content, signer)


@pytest.fixture
def own_key() -> Signer:
    """A key that is not the registry's."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Signer(Ed25519PrivateKey.generate())


def test_the_portal_s_promotion_page_refuses_with_what_is_missing(
    version: ModelVersion, rita: User, scorer: User, client_for: Callable[[User], Client]
) -> None:
    address = reverse("reviews:promote", args=[version.model.name, version.number])

    response = client_for(rita).post(address, {"stage": "production"})

    assert response.status_code == 409
    assert "sign" in response.content.decode().lower()
    assert_nothing_is_live(version, scorer)


def test_the_api_s_alias_cannot_be_set_by_anyone(
    version: ModelVersion, alice: User, rita: User, root: User, scorer: User, api_for: Callable[[User | str], APIClient]
) -> None:
    address = f"/api/v1/models/{version.model.name}/aliases/"

    for person in (alice, rita, root):
        for send in (api_for(person).post, api_for(person).put, api_for(person).patch):
            response = send(
                address, {"name": "champion", "alias": "champion", "version": version.number}, format="json"
            )
            assert response.status_code >= 400

    assert_nothing_is_live(version, scorer)


def test_not_even_a_superuser_can_promote(version: ModelVersion, production: Stage, root: User, scorer: User) -> None:
    with pytest.raises(Refusal):
        promote(version, production, by=as_(root))

    assert_nothing_is_live(version, scorer)


@pytest.mark.parametrize("name", ["alias", "promotion", "modelversion", "registeredmodel", "evidence", "stage"])
def test_the_django_admin_shows_and_writes_nothing(
    name: str, version: ModelVersion, root: User, client_for: Callable[[User], Client]
) -> None:
    client = client_for(root)

    assert client.get(f"/admin/registry/{name}/add/").status_code in {403, 404}
    assert client.post(f"/admin/registry/{name}/add/", {"name": "champion"}).status_code in {403, 404}


@pytest.mark.parametrize("name", ["approval", "signoff", "round", "review", "policyversion"])
def test_the_django_admin_writes_no_decision(
    name: str, version: ModelVersion, root: User, client_for: Callable[[User], Client]
) -> None:
    assert client_for(root).get(f"/admin/reviews/{name}/add/").status_code in {403, 404}


def test_the_orm_cannot_write_a_protected_alias_without_a_promotion(
    version: ModelVersion, production: Stage, alice: User, scorer: User
) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Alias.objects.create(
            model=version.model, name="champion", version=version, stage=production, promotion=None, updated_by=alice
        )

    assert_nothing_is_live(version, scorer)


def test_the_orm_cannot_write_a_free_alias_with_a_stage_s_name(
    version: ModelVersion, alice: User, scorer: User
) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        Alias.objects.create(model=version.model, name="champion", version=version, updated_by=alice)

    assert_nothing_is_live(version, scorer)


def test_a_complete_set_of_forged_rows_gets_nothing_pulled(
    version: ModelVersion, production: Stage, alice: User, scorer: User, own_key: Signer
) -> None:
    now = timezone.now()
    ModelVersion.objects.filter(pk=version.pk).update(state=ModelVersion.State.LIVE)
    release = forged_release(version, production, own_key)
    promotion = Promotion.objects.create(
        model=version.model, version=version, stage=production, release=release, release_digest="f" * 64, by=alice
    )
    Alias.objects.create(
        model=version.model, name="champion", version=version, stage=production, promotion=promotion, updated_by=alice
    )
    review = Review.objects.create(
        version=version, stage=production, why="-", requested_by=alice, due_at=now, closed_at=now
    )
    round_ = Round.objects.create(
        review=review,
        number=1,
        state=Round.State.APPROVED,
        subject="{}",
        subject_digest="0" * 64,
        opened_by=alice,
        closed_at=now,
    )
    Approval.objects.create(
        version=version,
        stage=production,
        round=round_,
        promotion=promotion,
        valid_until=now.replace(year=now.year + 1),
        pulls_until=now.replace(year=now.year + 1),
    )

    assert_nothing_is_live(version, scorer)


def test_a_release_by_another_key_is_not_accepted(
    version: ModelVersion, production: Stage, rita: User, scorer: User, own_key: Signer
) -> None:
    with pytest.raises(Refusal), transaction.atomic():
        place_stage_alias(
            version.model, production, version, release=forged_release(version, production, own_key), by=as_(rita)
        )

    assert_nothing_is_live(version, scorer)


def test_even_a_promotion_s_row_does_not_let_an_unapproved_version_become_champion(
    version: ModelVersion, production: Stage, alice: User, scorer: User, own_key: Signer
) -> None:
    promotion = Promotion.objects.create(
        model=version.model,
        version=version,
        stage=production,
        release=forged_release(version, production, own_key),
        release_digest="f" * 64,
        by=alice,
    )

    with pytest.raises(IntegrityError), transaction.atomic():
        Alias.objects.create(
            model=version.model,
            name="champion",
            version=version,
            stage=production,
            promotion=promotion,
            updated_by=alice,
        )

    assert_nothing_is_live(version, scorer)


def test_sql_cannot_point_the_champion_at_a_version_without_its_promotion(
    version: ModelVersion, production: Stage, alice: User, scorer: User
) -> None:
    columns = "(model_id, name, version_id, stage_id, promotion_id, updated_at, updated_by_id)"
    values: list[Any] = [version.model_id, "champion", version.pk, production.pk, None, timezone.now(), alice.pk]

    with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO registry_alias {columns} VALUES (%s, %s, %s, %s, %s, %s, %s)", values)

    assert_nothing_is_live(version, scorer)


def test_a_state_written_past_the_product_changes_nothing(version: ModelVersion, scorer: User) -> None:
    for state in (ModelVersion.State.APPROVED, ModelVersion.State.LIVE):
        ModelVersion.objects.filter(pk=version.pk).update(state=state)
        assert_nothing_is_live(version, scorer)


def test_a_refusal_names_every_requirement_and_is_on_record(
    version: ModelVersion, production: Stage, rita: User
) -> None:
    from audit.queries import Filter, entries

    with pytest.raises(Refusal) as refused:
        promote(version, production, by=as_(rita))

    problem = json.loads(json.dumps(refused.value.as_problem()))
    keys = {requirement["key"] for requirement in problem["requirements"]}
    assert {"validator", "risk"} <= {key.removeprefix("slot-").removeprefix("slot:") for key in keys}
    denied = [logged for logged in entries(Filter(action="version.promote"))[:10] if logged.entry.outcome == "denied"]
    assert len(denied) == 1
