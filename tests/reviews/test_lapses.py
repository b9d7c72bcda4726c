"""Whether an approval that ends by itself takes everything with it, once, and nothing that stands on something else."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from access.models import User
from audit.models import Pending
from countersign.proof.attestation import version_id
from foundation.refusals import Conflict
from notices.models import Notification
from registry.actions import set_alias
from registry.models import Alias, ModelVersion, Stage
from reviews.actions import request_review
from reviews.clock import CLOCK
from reviews.lapses import lapse
from reviews.models import Approval, Lapse, Review
from reviews.promotion import promote
from reviews.queries import approval_in_force
from reviews.revocation import revoke
from serving.attestations import current_status
from tests.conftest import as_
from tests.reviews.conftest import MakeApproved, MakeCandidate, approve, ask, proof_of, sign

pytestmark = pytest.mark.django_db

Kind = Lapse.Kind


@pytest.fixture
def standing(approved: Review, production: Stage, rita: User) -> Approval:
    promote(approved.version, production, by=as_(rita))
    return Approval.objects.get(version=approved.version)


def end(approval: Approval, now: datetime | None = None) -> Lapse:
    return lapse(approval, Kind.CONDITION, "A condition was overdue.", now or timezone.now(), by=CLOCK)


def test_lapse_drops_the_alias_and_stops_pulls_in_one_step(standing: Approval, production: Stage) -> None:
    found = end(standing)

    version = ModelVersion.objects.get(pk=standing.version_id)
    assert not Alias.objects.filter(stage=production).exists()
    assert version.state == ModelVersion.State.EXPIRED
    assert approval_in_force(version, production, timezone.now()) is None
    assert len(entries("approval.lapse")) == 1
    assert str(found.uuid) in entries("approval.lapse")[0]


def test_second_lapse_changes_nothing(standing: Approval) -> None:
    first = end(standing)

    assert end(standing, timezone.now() + timedelta(days=1)) == first
    assert Lapse.objects.count() == 1
    assert len(entries("approval.lapse")) == 1


def test_owner_and_requester_are_told_once(standing: Approval, alice: User) -> None:
    end(standing)
    end(standing)

    told = Notification.objects.get(person=alice, event__startswith="lapse:")
    assert told.body == "A condition was overdue."
    assert told.link == "/models/credit/v/1/"


def test_status_snapshot_names_a_version_whose_approvals_all_ended(standing: Approval) -> None:
    version = standing.version
    name = version_id(version.model.name, version.number, version.digest)
    before = _revoked()

    end(standing)

    assert name not in before
    assert name in _revoked()


def test_version_under_review_again_is_in_review_after_the_lapse(standing: Approval, alice: User) -> None:
    Approval.objects.filter(pk=standing.pk).update(valid_until=timezone.now() + timedelta(days=30))
    ask(standing.version, standing.stage, alice)

    end(standing)

    assert ModelVersion.objects.get(pk=standing.version_id).state == ModelVersion.State.IN_REVIEW


def test_version_expires_though_another_one_is_under_review(
    standing: Approval, make_candidate: MakeCandidate, alice: User
) -> None:
    ask(make_candidate(auc=0.86), standing.stage, alice)

    end(standing)

    assert ModelVersion.objects.get(pk=standing.version_id).state == ModelVersion.State.EXPIRED


def test_alias_of_another_version_stays(
    standing: Approval, make_approved: MakeApproved, production: Stage, rita: User
) -> None:
    second = make_approved(auc=0.86)
    promote(second, production, by=as_(rita))

    end(standing)

    assert Alias.objects.get(stage=production).version == second
    assert ModelVersion.objects.get(pk=standing.version_id).state == ModelVersion.State.EXPIRED


@pytest.fixture
def renewed(standing: Approval, alice: User, bob: User, carol: User) -> Approval:
    """A second approval of the same version for the same stage, by which it holds it since."""
    soon = standing.valid_until - timedelta(days=40)
    with time_machine.travel(soon, tick=False):
        approve(request_review(standing.version, standing.stage, why="Anew.", by=as_(alice)), bob, carol)
    return Approval.objects.latest("pk")


def test_alias_goes_with_the_approval_by_which_it_is_held(
    standing: Approval, renewed: Approval, production: Stage
) -> None:
    over = renewed.pulls_until
    end(standing, over)
    before = Alias.objects.filter(stage=production).exists()
    end(renewed, over)

    assert (before, Alias.objects.filter(stage=production).exists()) == (True, False)


def test_alias_stays_while_an_earlier_approval_of_it_is_in_force(
    standing: Approval, renewed: Approval, production: Stage
) -> None:
    now = renewed.approved_at + timedelta(days=1)
    with time_machine.travel(now, tick=False):
        end(renewed, now)

    assert approval_in_force(standing.version, production, now) == standing
    assert Alias.objects.get(stage=production).version == standing.version


@pytest.mark.parametrize("stays", [True, False], ids=["which it holds", "which another version holds"])
def test_version_stays_live_by_another_stage_alone(
    standing: Approval, make_candidate: MakeCandidate, alice: User, bob: User, rita: User, stays: bool
) -> None:
    version, staging = standing.version, Stage.objects.get(name="staging")
    set_alias(version.model, "fallback", version, by=as_(alice))
    for one in (version, make_candidate(auc=0.86)):
        sign(ask(one, staging, alice), "reviewer", bob)
        if stays is (one == version):
            promote(one, staging, by=as_(rita))

    end(standing)

    live = ModelVersion.objects.get(pk=version.pk).state == ModelVersion.State.LIVE
    assert live is stays


def test_revoked_approval_cannot_lapse(standing: Approval, carol: User) -> None:
    revoke(standing.version, reason="Wrong labels.", reauthentication=proof_of(carol), by=as_(carol))

    with pytest.raises(Conflict, match="was revoked"):
        end(standing)


def entries(action: str) -> list[str]:
    """The ledger's entries of one action that succeeded, as text."""
    found = [bytes(row.payload).decode() for row in Pending.objects.order_by("pk")]
    return [one for one in found if f'"{action}"' in one and '"outcome":"ok"' in one]


def _revoked() -> list[str]:
    payload = json.loads(b64decode(current_status()["payload"]))
    return list(payload["predicate"]["revoked"])
