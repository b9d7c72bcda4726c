"""The same rules over HTTP: nothing that the portal refuses goes through here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from access import actions as access_actions
from access.models import Role, User
from access.principal import Principal
from registry import actions as registry_actions
from registry.models import Alias, ModelVersion, Stage
from reviews.models import PolicyVersion, Review, SignOff
from reviews.shipped import shipped_policies
from tests.conftest import PASSWORD, as_
from tests.reviews.evidence import CARD
from tests.reviews.publishing import make_author

pytestmark = pytest.mark.django_db
Connect = Callable[[User | str], APIClient]
SIGNED = {"decision": "approve", "reason": "Read it all.", "method": "password", "secret": PASSWORD}


def body(review: Review, api: APIClient, **changes: str) -> dict[str, str]:
    subject = api.get(reverse("api-review", args=[review.uuid])).json()["subject_digest"]
    return {
        "slot": "validator",
        "decision": "approve",
        "reason": "Read it all.",
        "expected_subject": subject,
        "idempotency_key": "from-the-api",
        "method": "password",
        "secret": PASSWORD,
    } | changes


def test_whole_way_over_the_api(
    candidate: ModelVersion, alice: User, bob: User, carol: User, rita: User, production: Stage, api_for: Connect
) -> None:
    asked = api_for(alice).post(
        reverse("api-reviews"), {"model": "credit", "version": 1, "why": "Better."}, format="json"
    )
    assert asked.status_code == 201
    review = Review.objects.get()
    refused = api_for(rita).post(reverse("api-promotions", args=["credit"]), {"version": 1}, format="json")
    assert refused.status_code == 409
    assert {one["key"] for one in refused.json()["requirements"] if one["status"] == "waiting"} == {
        "slot-validator",
        "slot-risk",
    }

    for user, slot in ((bob, "validator"), (carol, "risk")):
        api = api_for(user)
        given = api.post(
            reverse("api-sign-offs", args=[review.uuid]),
            body(review, api, slot=slot, idempotency_key=f"signed-by-{user.username}"),
            format="json",
        )
        assert given.status_code == 201
    promoted = api_for(rita).post(
        reverse("api-promotions", args=["credit"]), {"version": 1, "expected_previous": None}, format="json"
    )

    assert promoted.status_code == 201
    assert Alias.objects.get(stage=production).version == candidate
    assert promoted.json()["release"]["signatures"]
    assert not [
        one
        for one in api_for(bob).get(reverse("api-requirements", args=["credit", 1])).json()
        if one["status"] == "waiting"
    ]


def test_wrong_password_signs_nothing(review: Review, bob: User, api_for: Connect) -> None:
    api = api_for(bob)

    response = api.post(reverse("api-sign-offs", args=[review.uuid]), body(review, api, secret="wrong"), format="json")

    assert response.status_code == 400
    assert not SignOff.objects.exists()


def test_service_token_cannot_sign(review: Review, scorer: User, scorer_token: str, api_for: Connect) -> None:
    access_actions.assign_role(Role.objects.get(name="Reviewer"), to=scorer, by=Principal.system("operator"))
    api = api_for(scorer_token)

    response = api.post(reverse("api-sign-offs", args=[review.uuid]), body(review, api), format="json")

    assert response.status_code == 403
    assert "Service accounts do not sign" in response.json()["detail"]


def test_changed_subject_is_a_conflict_with_the_difference(
    review: Review, bob: User, alice: User, api_for: Connect
) -> None:
    api = api_for(bob)
    values = body(review, api)
    registry_actions.revise_card(
        review.version, CARD | {"limitations": "Not for anyone under 18, ever."}, by=as_(alice)
    )

    response = api.post(reverse("api-sign-offs", args=[review.uuid]), values, format="json")

    assert response.status_code == 409
    assert response.headers["Content-Type"] == "application/problem+json"
    assert [change["facet"] for change in response.json()["changed"]] == ["card"]


def test_repeated_request_answers_with_the_same_sign_off(review: Review, bob: User, api_for: Connect) -> None:
    api = api_for(bob)
    values = body(review, api)

    first, second = (api.post(reverse("api-sign-offs", args=[review.uuid]), values, format="json") for _ in range(2))

    assert first.json()["uuid"] == second.json()["uuid"]
    assert SignOff.objects.count() == 1


@pytest.mark.parametrize("field", ["state", "approved_by", "person", "signed_at", "statement"])
def test_fields_that_nobody_may_set_are_ignored(
    review: Review, bob: User, carol: User, api_for: Connect, field: str
) -> None:
    api = api_for(bob)

    api.post(reverse("api-sign-offs", args=[review.uuid]), body(review, api, **{field: "carol"}), format="json")

    given = SignOff.objects.get()
    assert given.person == bob
    assert given.signed_at is not None
    assert review.current_round.is_open


def test_review_of_a_model_one_may_not_see_is_not_there(review: Review, root: User, api_for: Connect) -> None:
    api = api_for(root)

    assert api.get(reverse("api-review", args=[review.uuid])).status_code == 404
    assert api.get(reverse("api-reviews")).json()["results"] == []
    assert api.get(reverse("api-requirements", args=["credit", 1])).status_code == 404
    assert api.get(reverse("api-promotions", args=["credit"])).status_code == 404
    assert api.get(reverse("api-revocations", args=["credit"])).status_code == 404


def test_nobody_gets_nothing(review: Review, client: APIClient) -> None:
    for name, args in (("api-reviews", []), ("api-review", [review.uuid]), ("api-policies", [])):
        assert client.get(reverse(name, args=args)).status_code == 401


def test_policy_is_checked_with_positions(erin: User, api_for: Connect) -> None:
    access_actions.assign_role(Role.objects.get(name="Policy author"), to=erin, by=Principal.system("operator"))
    content = shipped_policies()["staging"]
    api = api_for(erin)
    assert api.post(reverse("api-policy-check"), {"content": content}, format="json").json()["slots"] == 1
    content["gates"][0]["passes"] = "true &&\n scan.admited"

    response = api.post(reverse("api-policy-check"), {"content": content}, format="json")

    assert response.status_code == 400
    (flaw,) = response.json()["flaws"]
    assert (flaw["where"], flaw["line"], flaw["column"]) == ("gates[0].passes", 2, 6)


def test_policy_is_drafted_rehearsed_proposed_and_signed(erin: User, carol: User, api_for: Connect) -> None:
    author, signer = api_for(make_author(erin)), api_for(carol)
    content = PolicyVersion.objects.get(policy__name="staging").content | {"valid_months": 3}
    here = {
        name: reverse(f"api-policy-{name}", args=["staging", 2]) for name in ("rehearsals", "propose", "signatures")
    }

    drafted = author.post(reverse("api-policies"), {"name": "staging", "content": content}, format="json")
    rehearsed = author.post(here["rehearsals"])
    proposed = author.post(here["propose"])
    refused = author.post(here["signatures"], SIGNED, format="json")
    signed = signer.post(here["signatures"], SIGNED | {"expected_rehearsal": rehearsed.json()["digest"]}, format="json")

    assert (drafted.status_code, drafted.json()["status"]) == (201, "draft")
    assert rehearsed.json()["result"]["against"] == 1
    assert proposed.json()["status"] == "proposed"
    assert refused.status_code == 403
    assert signed.status_code == 409, "proposing rehearsed it anew"
    assert signer.post(here["signatures"], SIGNED, format="json").status_code == 201
    assert author.get(reverse("api-policy", args=["staging", 2])).json()["status"] == "published"
    assert signer.get(here["signatures"]).json()[0]["person"] == "carol"


def test_proposed_policy_is_taken_back(erin: User, api_for: Connect) -> None:
    author = api_for(make_author(erin))
    content = PolicyVersion.objects.get(policy__name="staging").content | {"valid_months": 3}
    author.post(reverse("api-policies"), {"name": "staging", "content": content}, format="json")
    author.post(reverse("api-policy-propose", args=["staging", 2]))

    assert author.post(reverse("api-policy-take-back", args=["staging", 2])).json()["status"] == "draft"


def test_reader_cannot_draft_a_policy(bob: User, api_for: Connect) -> None:
    content = shipped_policies()["staging"]

    assert (
        api_for(bob).post(reverse("api-policies"), {"name": "mine", "content": content}, format="json").status_code
        == 403
    )


def test_revocation_over_the_api(approved: Review, carol: User, dave: User, api_for: Connect) -> None:
    values = {"version": 1, "reason": "The label leaks.", "secret": PASSWORD}
    assert api_for(dave).post(reverse("api-revocations", args=["credit"]), values, format="json").status_code == 403

    response = api_for(carol).post(reverse("api-revocations", args=["credit"]), values, format="json")

    assert response.status_code == 201
    assert api_for(carol).get(reverse("api-revocations", args=["credit"])).json()[0]["reason"] == "The label leaks."
