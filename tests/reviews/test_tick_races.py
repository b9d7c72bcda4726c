"""Two ticks at once, on PostgreSQL: what time decides happens once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from access.models import User
from registry.models import Alias, ModelVersion, Promotion, Stage
from reviews.break_glass import ask, second
from reviews.clock import tick
from reviews.models import Approval, BreakGlass, Lapse, Review
from reviews.promotion import promote
from tests.conftest import as_
from tests.reviews.conftest import MakeCandidate, proof_of
from tests.reviews.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("attempt", range(3))
def test_two_ticks_end_an_approval_once(approved: Review, production: Stage, rita: User, attempt: int) -> None:
    promote(approved.version, production, by=as_(rita))
    end = Approval.objects.get().pulls_until

    at_once(lambda: tick(end), lambda: tick(end), lambda: tick(end + timedelta(seconds=1)))

    assert Lapse.objects.count() == 1
    assert not Alias.objects.filter(stage=production).exists()
    assert ModelVersion.objects.get(pk=approved.version_id).state == ModelVersion.State.EXPIRED


@pytest.mark.parametrize("attempt", range(3))
def test_two_ticks_take_a_break_glass_back_once(
    approved: Review,
    make_candidate: MakeCandidate,
    production: Stage,
    carol: User,
    rita: User,
    attempt: int,
) -> None:
    promote(approved.version, production, by=as_(rita))
    case = ask(
        make_candidate(auc=0.86),
        production,
        reason="outage",
        text="The live version refuses everybody.",
        hours=1,
        reauthentication=proof_of(rita),
        by=as_(rita),
    )
    second(case, reauthentication=proof_of(carol), by=as_(carol))
    before = Promotion.objects.count()
    end = timezone.now() + timedelta(hours=2)

    at_once(lambda: tick(end), lambda: tick(end))

    assert BreakGlass.objects.get().state == BreakGlass.State.ROLLED_BACK
    assert Promotion.objects.count() == before + 1
    assert Alias.objects.get(stage=production).version_id == approved.version_id
