"""What is asked for with a body that is accepted, at the addresses that no room's own tests ask so: the answer, and its one entry."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from django.http.response import HttpResponseBase
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from access.models import User
from datasets.actions import add_recipe
from jobs.models import Job
from monitoring.models import Alert
from monitoring.tasks import tick
from registry import actions as registry
from registry.models import Alias, ModelVersion, RegisteredModel, Stage
from reviews.actions import give_delegation
from reviews.evaluation import current_subject
from reviews.models import BreakGlass, Delegation, Finding, GateException, RetrainingEnvelope, Review, Thread
from reviews.promotion import promote
from tests.conftest import PASSWORD, MakeVersion, as_
from tests.datasets.frames import RECIPE
from tests.datasets.made import prepared, registered, versioned
from tests.flows.test_recorded import brief, written_by
from tests.monitoring.conftest import RECIPE as MONITORED
from tests.monitoring.conftest import Worker, deployment, people, table, version, worker
from tests.reviews.conftest import (
    MakeApproved,
    MakeCandidate,
    approved,
    ask,
    attach,
    candidate,
    make_approved,
    make_candidate,
    review,
    sign,
)
from tests.reviews.evidence import CARD, metrics
from tests.reviews.rules import in_force as in_force_policy
from tests.reviews.test_break_glass import TEXT, asked, fix, in_production
from tests.reviews.test_envelopes import base, bounds_of, clock, proposed, source, trained
from tests.reviews.test_exceptions import GATE
from tests.reviews.test_findings import raised
from tests.reviews.test_renewal import put_in_force
from training.models import TrainingJob

__all__ = [
    "approved",
    "base",
    "candidate",
    "clock",
    "deployment",
    "fix",
    "in_production",
    "make_approved",
    "make_candidate",
    "put_in_force",
    "review",
    "source",
    "table",
    "trained",
    "version",
    "worker",
]

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]
Connect = Callable[[User | str], APIClient]
Send = Callable[..., Any]

SECRET: Final = {"secret": PASSWORD}
CONFIRMED: Final = "session.reauthenticate"
"""That somebody proved who they are is an access of its own, beside what they signed."""


def done(
    ask: Callable[[], HttpResponseBase], status: int, action: str, *, signed: bool = False, also: Sequence[str] = ()
) -> HttpResponseBase:
    """What is answered, with `status` and one entry that `action` is done; a signature has that of its proof before it.

    `also` is what else the action does, each with an entry of its own.
    """
    response, entries = written_by(ask)

    assert response.status_code == status, getattr(response, "content", b"")[:2_000]
    expected = [CONFIRMED] * signed + [action, *also]
    assert sorted(brief(entries)) == sorted((one, "ok") for one in expected), brief(entries)
    return response


@pytest.fixture
def by_api(api_for: Connect) -> Send:
    """Sends JSON below /api/v1/ as somebody, and gives what is answered once it is on record."""

    def send(who: User, path: str, body: Mapping[str, object], status: int, action: str, **more: Any) -> Any:
        request = partial(
            api_for(who).post, f"/api/v1/{path}" + "/" * ("monitoring" not in path), dict(body), format="json"
        )
        return json.loads(done(request, status, action, **more).content)  # type: ignore[attr-defined]  # JSON is sent whole

    return send


@pytest.fixture
def by_form(client_for: Browser) -> Send:
    """Sends a plain form as somebody, and gives where it leads once it is on record."""

    def send(who: User, path: str, fields: Mapping[str, object], action: str, **more: Any) -> str:
        request = partial(client_for(who).post, f"/{path}/", dict(fields))
        return done(request, 302, action, **more).headers["Location"]

    return send


def days(count: int) -> str:
    return (timezone.now() + timedelta(days=count)).isoformat()


# Findings and threads.


def test_a_finding_lives_over_the_api(review: Review, alice: User, bob: User, dave: User, by_api: Send) -> None:
    values = {
        "title": "The gap under 25",
        "detail": "See the slices.",
        "severity": "major",
        "owner": "alice",
        "due_at": days(9),
        "verifying_group": "Model validation",
    }
    made = by_api(dave, "models/credit/versions/1/findings", values, 201, "finding.raise")
    here = f"findings/{made['finding']['uuid']}"

    by_api(bob, f"{here}/comments", {"body": "By slice?"}, 201, "finding.comment")
    later = by_api(
        bob, f"{here}/extend", {"due_at": days(20), "reason": "Away."} | SECRET, 200, "finding.extend", signed=True
    )
    answered = by_api(alice, f"{here}/answer", {"body": "In the card."}, 200, "finding.answer")
    returned = by_api(bob, f"{here}/return", {"body": "Where?"}, 200, "finding.return")
    by_api(alice, f"{here}/answer", {"body": "Limitations."}, 200, "finding.answer")
    closed = by_api(bob, f"{here}/close", {"body": "Read it."}, 200, "finding.close")

    steps = [event["kind"] for event in closed["events"]]
    assert later["finding"]["due_at"] > made["finding"]["due_at"]
    assert [one["finding"]["state"] for one in (made, answered, returned, closed)] == [
        "open",
        "answered",
        "open",
        "closed",
    ]
    assert len(steps) == 7


def test_who_raised_a_finding_withdraws_it_over_the_api(review: Review, alice: User, dave: User, by_api: Send) -> None:
    found = raised(review.version, owner=alice, by=dave)

    answer = by_api(dave, f"findings/{found.uuid}/withdraw", {"body": "Read it wrong."}, 200, "finding.withdraw")

    assert answer["finding"]["state"] == Finding.State.WITHDRAWN


def test_a_thread_lives_over_the_api(review: Review, alice: User, bob: User, by_api: Send) -> None:
    values = {"body": "Why so few?", "section": "fairness", "must_resolve": True}
    made = by_api(bob, f"reviews/{review.uuid}/threads", values, 201, "thread.open", also=["comment.add"])
    here = f"threads/{made['uuid']}"

    replied = by_api(alice, f"{here}/replies", {"body": "The census has no more."}, 201, "comment.add")
    edited = by_api(
        bob, f"comments/{made['comments'][0]['id']}/edit", {"body": "Why so few rows?"}, 200, "comment.edit"
    )
    resolved = by_api(bob, f"{here}/resolve", {}, 200, "thread.resolve")
    reopened = by_api(bob, f"{here}/reopen", {}, 200, "thread.reopen")

    assert [one["author"] for one in replied["comments"]] == ["bob", "alice"]
    assert (edited["body"], edited["revisions"]) == ("Why so few rows?", 1)
    assert (resolved["resolved_by"], reopened["resolved_by"]) == ("bob", None)
    assert not Thread.objects.get().resolved_at


# Reviews, and who stands in.


def test_a_review_is_steered_over_the_api(review: Review, alice: User, bob: User, carol: User, by_api: Send) -> None:
    asked_for = sign(review, "risk", carol, decision="request_changes", reason="Explain the age gap.")
    given = sign(review, "validator", bob)

    dismissed = by_api(bob, f"sign-offs/{asked_for.uuid}/dismiss", {"reason": "In the card."}, 200, "sign_off.dismiss")
    withdrawn = by_api(bob, f"sign-offs/{given.uuid}/withdraw", {"reason": "Drift."}, 200, "sign_off.withdraw")
    opened = by_api(alice, f"reviews/{review.uuid}/rounds", {}, 201, "round.open", also=["round.close"])
    closed = by_api(
        alice, f"reviews/{review.uuid}/withdraw", {}, 200, "review.withdraw", also=["round.close", "version.move"]
    )

    assert [one["uuid"] for one in (dismissed, withdrawn)] == [str(asked_for.uuid), str(given.uuid)]
    assert (opened["review"]["round"], closed["state"]) == (2, "withdrawn")
    asked_for.refresh_from_db()
    given.refresh_from_db()
    assert (asked_for.dismissed_by, given.withdrawn_why) == (bob, "Drift.")


@pytest.fixture
def stale(review: Review, alice: User, bob: User) -> Review:
    """What bob signed has changed since."""
    sign(review, "validator", bob)
    attach(review.version, "metrics", metrics(auc=0.86), by=alice)
    return review


def test_stale_signatures_are_asked_for_over_the_api(stale: Review, alice: User, by_api: Send) -> None:
    answer = by_api(alice, f"reviews/{stale.uuid}/sign-again", {}, 200, "sign_off.request")

    assert answer == {"asked": ["bob"]}


def test_stale_signatures_are_asked_for_on_the_page(stale: Review, alice: User, by_form: Send) -> None:
    there = by_form(alice, "models/credit/v/1/sign-again", {"stage": "production"}, "sign_off.request")

    assert there.endswith("#signoff")


def test_a_gate_is_excepted_and_blocks_again_over_the_api(
    make_candidate: MakeCandidate, production: Stage, alice: User, bob: User, carol: User, by_api: Send
) -> None:
    in_force_policy(gates={GATE: {"excepted_by": "risk"}})
    weak = ask(make_candidate(auc=0.74), production, alice)
    values = {
        "gate": GATE,
        "reason": "The only model.",
        "compensating_control": "A person reads every refusal.",
        "ends_at": days(30),
        "expected_subject": current_subject(weak.current_round).digest,
    }

    given = by_api(carol, f"reviews/{weak.uuid}/exceptions", values | SECRET, 201, "exception.grant", signed=True)
    by_api(carol, f"exceptions/{given['uuid']}/withdraw", {"reason": "A better one."}, 200, "exception.withdraw")

    assert GateException.objects.get().withdrawn_why == "A better one."


def test_a_delegation_is_ended_over_the_api(carol: User, dave: User, by_api: Send) -> None:
    now = timezone.now()
    given = give_delegation(
        dave,
        group="Risk officers",
        starts_at=now,
        ends_at=now + timedelta(days=5),
        reason="Away.",
        by=as_(carol),
    )

    by_api(carol, f"delegations/{given.uuid}/end", {}, 200, "delegation.end")

    assert Delegation.objects.get().ended_at is not None


# What goes live, and ahead of its review.


MOVED: Final = ["version.move"]
"""A version's own state changed; each has an entry."""


def test_a_stage_is_rolled_back_over_the_api(
    in_production: ModelVersion, production: Stage, make_approved: MakeApproved, rita: User, by_api: Send
) -> None:
    promote(make_approved(auc=0.86), production, by=as_(rita))

    values = {"reason": "It does worse."} | SECRET
    answer = by_api(
        rita, "models/credit/rollback", values, 201, "version.roll_back", signed=True, also=["alias.set", *MOVED * 2]
    )

    assert answer["version"] == in_production.number
    assert Alias.objects.get(stage=production).version == in_production


OPENED: Final = ["review.request", "round.open", *MOVED]
ASKED: Final = {"reason": "outage", "text": TEXT, "hours": 4} | SECRET


def test_the_glass_is_broken_over_the_api(fix: ModelVersion, rita: User, carol: User, by_api: Send) -> None:
    path = f"models/credit/versions/{fix.number}/break-glass"
    case = by_api(rita, path, ASKED, 201, "break_glass.ask", signed=True, also=OPENED)
    answer = by_api(
        carol,
        f"break-glass/{case['uuid']}/answer",
        {"answer": "second"} | SECRET,
        200,
        "break_glass.second",
        signed=True,
        also=["alias.set", *MOVED * 2],
    )

    assert (case["state"], answer["state"]) == (BreakGlass.State.ASKED, BreakGlass.State.IN_FORCE)
    assert Alias.objects.get(stage__name="production").version == fix


def test_the_glass_is_broken_by_plain_forms(fix: ModelVersion, rita: User, carol: User, by_form: Send) -> None:
    page = by_form(
        rita, f"models/credit/v/{fix.number}/break-glass", ASKED, "break_glass.ask", signed=True, also=OPENED
    ).strip("/")
    by_form(
        carol, page, {"answer": "second"} | SECRET, "break_glass.second", signed=True, also=["alias.set", *MOVED * 2]
    )

    assert Alias.objects.get(stage__name="production").version == fix


@pytest.mark.parametrize("way", ["api", "form"])
def test_an_emergency_is_declined(
    way: str, fix: ModelVersion, production: Stage, rita: User, carol: User, by_api: Send, by_form: Send
) -> None:
    case = asked(fix, production, rita)
    values = {"answer": "decline", "reason": "It can wait."} | SECRET

    if way == "api":
        by_api(carol, f"break-glass/{case.uuid}/answer", values, 200, "break_glass.decline", signed=True)
    else:
        by_form(carol, f"break-glass/{case.uuid}", values, "break_glass.decline", signed=True)

    case.refresh_from_db()
    assert case.state == BreakGlass.State.DECLINED


def test_an_envelope_lives_over_the_api(
    base: ModelVersion, production: Stage, alice: User, bob: User, by_api: Send
) -> None:
    values = {"base": base.number, "bounds": bounds_of(base, production), "why": "Monthly.", "valid_until": days(90)}
    made = by_api(alice, "models/credit/envelopes", values, 201, "envelope.propose")
    here = f"envelopes/{made['uuid']}"

    signature = {"slot": "validator", "reason": "I accept it."} | SECRET
    signed = by_api(bob, f"{here}/signatures", signature, 201, "envelope.sign", signed=True)
    ended = by_api(alice, f"{here}/withdraw", {"reason": "Other data."}, 200, "envelope.withdraw")

    assert (signed["person"], signed["slot_key"]) == ("bob", "validator")
    assert ended["state"] == RetrainingEnvelope.State.WITHDRAWN


def test_an_envelope_is_signed_and_withdrawn_by_plain_forms(
    base: ModelVersion, production: Stage, alice: User, bob: User, by_form: Send
) -> None:
    envelope = proposed(base, production, alice)

    by_form(
        bob,
        f"envelopes/{envelope.uuid}/sign",
        {"reason": "I accept it.", "intent": "on"} | SECRET,
        "envelope.sign",
        signed=True,
    )
    by_form(alice, f"envelopes/{envelope.uuid}/withdraw", {"reason": "Other data."}, "envelope.withdraw")

    envelope.refresh_from_db()
    assert envelope.signatures.get().person == bob
    assert envelope.ended_why == "Other data."


# Cards, recipes, keys, comparisons, retraining.


def test_a_card_says_again_what_it_said(candidate: ModelVersion, alice: User, by_api: Send) -> None:
    registry.revise_card(candidate, CARD | {"limitations": "None."}, by=as_(alice))

    path = "models/credit/versions/1/card/restore"
    answer = by_api(alice, path, {"revision": 1}, 201, "card.revise")

    assert answer["sections"]["limitations"] == CARD["limitations"]


def test_a_recipe_is_kept_by_a_plain_form(alice: User, by_form: Send) -> None:
    dataset = registered(alice)
    versioned(dataset, alice)

    fields = {"name": "standard", "content": json.dumps(RECIPE)}
    there = by_form(alice, "datasets/loans/recipes/new", fields, "recipe.add")

    assert there == "/datasets/loans/recipes/standard/1/"
    assert dataset.recipes.get().name == "standard"


def test_single_keys_are_switched_off_on_ones_own_page(bob: User, by_form: Send) -> None:
    by_form(bob, "me/keys", {"off": "1"}, "person.set_keys")

    bob.refresh_from_db()
    assert not bob.single_keys


@pytest.fixture
def challenger(
    in_production: ModelVersion, model: RegisteredModel, make_version: MakeVersion, alice: User
) -> ModelVersion:
    """Trained here, and never compared with the version in production."""
    found = make_version(model)
    data = versioned(registered(alice), alice, rows=400)
    _trained_here(found, data, prepared(data.dataset, alice), alice)
    return found


def _trained_here(version: ModelVersion, data: Any, recipe: Any, by: User) -> None:
    TrainingJob.objects.create(
        job=Job.objects.create(kind="training.train", requested_by=by),
        model=version.model,
        dataset_version=data,
        recipe=recipe,
        algorithm="logistic_regression",
        split={"test_fraction": 0.25},
        version=version,
        requested_by=by,
    )


def test_a_version_is_compared_once_more_over_the_api(challenger: ModelVersion, alice: User, by_api: Send) -> None:
    path = f"models/credit/versions/{challenger.number}/compare"
    by_api(alice, path, {}, 202, "comparison.request", also=["job.enqueue"])

    assert Job.objects.filter(kind="training.compare", requested_by=alice).count() == 1


def test_a_version_is_compared_once_more_by_a_plain_form(challenger: ModelVersion, alice: User, by_form: Send) -> None:
    path = f"models/credit/v/{challenger.number}/compare-again"
    by_form(alice, path, {}, "comparison.request", also=["job.enqueue"])

    assert Job.objects.filter(kind="training.compare", requested_by=alice).count() == 1


@pytest.fixture
def alert(worker: Worker, version: ModelVersion, table: Any, alice: User) -> Alert:
    """Older people than the version was trained on are scored."""
    _trained_here(version, table, add_recipe(table.dataset, "basic", MONITORED, by=as_(alice)), alice)
    worker.answer(people(1_000, seed=1, older=20))
    tick()
    return Alert.objects.get()


RETRAINING: Final = {"action": "retraining.request", "also": ["training.request", "job.enqueue"]}


def test_a_retraining_is_asked_for_over_the_api(alert: Alert, alice: User, by_api: Send) -> None:
    answer = by_api(alice, f"monitoring/credit-live/alerts/{alert.pk}/retrain", {}, 202, **RETRAINING)

    alert.refresh_from_db()
    assert alert.retraining is not None
    assert answer == {"training": str(alert.retraining.job.uuid)}
    assert alert.retraining.retrain_of == alert.version


def test_a_retraining_is_asked_for_by_a_plain_form(alert: Alert, alice: User, by_form: Send) -> None:
    by_form(alice, f"monitoring/credit-live/alerts/{alert.pk}/retrain", {}, **RETRAINING)

    alert.refresh_from_db()
    assert alert.retraining is not None
    assert alert.retraining.retrain_of == alert.version
