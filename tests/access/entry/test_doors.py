"""Access policies are asked at every door, and refuse whoever may know with the rule; for others the thing is absent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from access.models import User
from access.permissions import Permission, permit, permit_at, verdict, visible_to
from access.principal import Principal
from audit.events import Action
from foundation.refusals import Forbidden, NotFound
from registry.actions import create_model
from registry.models import ModelVersion, RegisteredModel
from registry.queries import find_model
from serving.models import Deployment
from serving.queries import find_pullable
from tests.access.entry.conftest import BUILT_IN, Enforce, rule
from tests.access.ledger import entries
from tests.conftest import as_
from tests.reviews.conftest import candidate, make_candidate
from tests.serving.conftest import caller_token, deployment, released

__all__ = ["caller_token", "candidate", "deployment", "make_candidate", "released"]

pytestmark = pytest.mark.django_db

Api = Callable[[User | str], APIClient]
Browser = Callable[[User], Client]
OFFICE = 'network.within("10.0.0.0/8")'
V1 = "/api/v1/models/credit"


@pytest.fixture
def churn(alice: User) -> RegisteredModel:
    return create_model("churn", tier=3, description="Churn", intended_use="Retention", owner=alice, by=as_(alice))


def at_the_door(user: User, **changes: Any) -> Principal:
    return replace(as_(user), **({"strength": "password", "ip": "192.0.2.1"} | changes))


def names(by: Principal, permission: Permission = Permission.SEE_MODEL) -> set[str]:
    return set(visible_to(RegisteredModel.objects.all(), by, permission).values_list("name", flat=True))


def test_nothing_changes_while_the_built_in_policy_is_in_force(
    alice: User, scorer: User, model: RegisteredModel, churn: RegisteredModel, root: User
) -> None:
    for user, permission in ((alice, Permission.SEE_MODEL), (scorer, Permission.PULL_VERSION)):
        assert names(at_the_door(user), permission) == {"credit", "churn"}
        assert verdict(at_the_door(user), permission, model).allowed
    assert names(at_the_door(root)) == set()


def test_no_policy_gives_what_nobody_granted(enforce: Enforce, root: User, model: RegisteredModel) -> None:
    enforce("everyone", rule("all"), models=["credit"])

    assert not verdict(at_the_door(root), Permission.SEE_MODEL, model).allowed
    assert names(at_the_door(root)) == set()


@pytest.mark.parametrize(
    ("when", "meets", "fails"),
    [
        (OFFICE, {"ip": "10.1.2.3"}, {"ip": "192.0.2.1"}),
        ('subject.strength == "passkey"', {"strength": "passkey"}, {"strength": "totp"}),
        ('purpose != ""', {"purpose": "audit"}, {"purpose": ""}),
    ],
)
def test_lists_and_details_agree_on_the_terms(
    enforce: Enforce,
    alice: User,
    model: RegisteredModel,
    churn: RegisteredModel,
    when: str,
    meets: dict[str, str],
    fails: dict[str, str],
) -> None:
    enforce("tier-1", rule("terms", when=when), tiers=[1])

    assert names(at_the_door(alice, **meets)) == {"credit", "churn"}
    permit(at_the_door(alice, **meets), Permission.SEE_MODEL, model)
    assert names(at_the_door(alice, **fails)) == {"churn"}
    with pytest.raises(Forbidden, match="terms because") as caught:
        permit(at_the_door(alice, **fails), Permission.SEE_MODEL, model)
    assert caught.value.rule == "tier-1/1#terms"
    assert not verdict(at_the_door(alice, **fails), Permission.SEE_MODEL).allowed


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ({"models": ["credit"]}, {"churn"}),
        ({"models": ["cre*"]}, {"churn"}),
        ({"models": ["CRE*"]}, {"churn", "credit"}),
        ({"models": ["c*"]}, set()),
        ({"tiers": [3]}, {"credit"}),
        ({"teams": ["Model validation"]}, {"credit"}),
        ({}, set()),
    ],
)
def test_lists_follow_the_target(
    enforce: Enforce,
    bob: User,
    model: RegisteredModel,
    churn: RegisteredModel,
    target: dict[str, Any],
    seen: set[str],
) -> None:
    RegisteredModel.objects.filter(pk=churn.pk).update(team=bob.groups.get(name="Model validation"))
    enforce("kept", rule("nobody", "deny", "!model.owned"), **target)

    assert names(at_the_door(bob)) == seen
    for one in RegisteredModel.objects.all():
        assert verdict(at_the_door(bob), Permission.SEE_MODEL, one).allowed is (one.name in seen)


def test_rules_about_the_team_hold_in_lists(
    enforce: Enforce, bob: User, alice: User, model: RegisteredModel, churn: RegisteredModel
) -> None:
    RegisteredModel.objects.filter(pk=churn.pk).update(team=bob.groups.get(name="Model validation"))
    enforce("own-team", rule("others", "deny", "model.team != '' && !(model.team in subject.groups)"))

    assert names(at_the_door(bob)) == {"credit", "churn"}
    assert names(at_the_door(alice)) == {"credit"}


def test_who_could_come_again_is_told_and_who_could_not_finds_nothing(
    enforce: Enforce, alice: User, bob: User, model: RegisteredModel
) -> None:
    enforce("tier-1", rule("owners", when=f"model.owned && {OFFICE}"), tiers=[1])

    with pytest.raises(Forbidden, match="owners satisfy"):
        find_model("credit", at_the_door(alice))
    with pytest.raises(NotFound) as hidden:
        find_model("credit", at_the_door(bob))
    with pytest.raises(NotFound) as absent:
        find_model("nothing", at_the_door(bob))
    assert hidden.value.as_problem() | {"detail": ""} == absent.value.as_problem() | {"detail": ""}
    assert hidden.value.detail.replace("credit", "nothing") == absent.value.detail
    assert hidden.value.rule == "tier-1/1#owners"


def test_pages_say_the_rule_and_the_ledger_has_it(
    enforce: Enforce, client_for: Browser, alice: User, bob: User, model: RegisteredModel
) -> None:
    enforce("tier-1", rule("owners", when=f"model.owned && {OFFICE}"), tiers=[1])

    told = client_for(alice).get("/models/credit/?purpose=a+look")
    hidden = client_for(bob).get("/models/credit/")

    assert (told.status_code, hidden.status_code) == (403, 404)
    assert b"owners satisfy." in told.content
    assert b"owners" not in hidden.content
    denied = [one for one in entries(Action.MODEL_VIEW) if one["outcome"] == "denied"]
    assert [one["d"]["after"]["rule"] for one in denied] == ["tier-1/1#owners"] * 2
    assert denied[0]["d"]["after"]["purpose"] == "a look"
    assert client_for(alice).get("/models/credit/", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert b"/models/credit/" not in client_for(alice).get("/models/").content


def test_the_api_and_search_agree(
    enforce: Enforce, api_for: Api, client_for: Browser, alice: User, model: RegisteredModel
) -> None:
    enforce("tier-1", rule("office", when=OFFICE), tiers=[1])

    refused = api_for(alice).get(f"{V1}/")

    assert refused.status_code == 403
    assert refused.json()["code" if "code" in refused.json() else "rule"] == "tier-1/1#office"
    assert api_for(alice).get("/api/v1/models/").json()["results"] == []
    assert b"Credit default" not in client_for(alice).get("/search/?q=credit").content
    assert len(api_for(alice).get("/api/v1/models/", REMOTE_ADDR="10.0.0.9").json()["results"]) == 1


def test_a_pull_declares_its_purpose_and_the_refusal_is_on_record(
    enforce: Enforce, api_for: Api, scorer_token: str, released: ModelVersion
) -> None:
    enforce("purpose", rule("declared", when='purpose.contains("decision")'), actions=["pull"], stages=["production"])
    api = api_for(scorer_token)

    refused = api.get(f"{V1}/aliases/champion")
    allowed = api.get(f"{V1}/aliases/champion", HTTP_X_COUNTERSIGN_PURPOSE="credit decision")

    assert (refused.status_code, allowed.status_code) == (403, 200)
    assert refused.json()["satisfy"] == "declared satisfy."
    denied = [one for one in entries(Action.VERSION_PULL) if one["outcome"] == "denied"]
    assert [one["d"]["after"]["rule"] for one in denied] == ["purpose/1#declared"]
    assert denied[0]["why"] == "access-policy"


def test_who_may_pull_and_not_see_is_told_as_well(
    enforce: Enforce, alice: User, scorer: User, model: RegisteredModel
) -> None:
    enforce("reads", rule("people", when='subject.kind == "person"'), actions=["read"])
    enforce("pulls", rule("office", when=OFFICE), actions=["pull"])

    with pytest.raises(Forbidden, match="office satisfy"):
        find_pullable("credit", at_the_door(scorer))
    assert find_pullable("credit", at_the_door(scorer, ip="10.1.1.1")) == model


def test_a_policy_for_a_stage_is_asked_once_the_stage_is_known(
    enforce: Enforce, scorer: User, model: RegisteredModel
) -> None:
    enforce("live", rule("nobody", "deny"), actions=["pull"], stages=["production"])
    by = at_the_door(scorer)

    assert names(by, Permission.PULL_VERSION) == {"credit"}
    permit(by, Permission.PULL_VERSION, model)
    permit_at(by, Permission.PULL_VERSION, model, "staging")
    with pytest.raises(Forbidden, match="nobody because"):
        permit_at(by, Permission.PULL_VERSION, model, "production")


def test_a_worker_learns_of_its_callers_terms(
    enforce: Enforce, api_for: Api, caller_token: str, released: ModelVersion, deployment: Deployment
) -> None:
    enforce("scores", rule("purpose", when='purpose != ""'), actions=["score"])
    ask = {"deployment": "credit-live"}

    refused = api_for(caller_token).post("/api/v1/serving/authorize", ask, format="json")
    allowed = api_for(caller_token).post(
        "/api/v1/serving/authorize", ask, format="json", HTTP_X_COUNTERSIGN_PURPOSE="limits"
    )

    assert (refused.status_code, allowed.status_code) == (403, 200)


def test_whoever_is_only_asked_about_is_asked_under_the_right_circumstances(
    enforce: Enforce, retire: Any, bob: User, scorer: User, model: RegisteredModel
) -> None:
    retire(BUILT_IN)
    enforce("office", rule("people", when=f'subject.kind == "person" && {OFFICE}'))

    assert verdict(as_(bob), Permission.SEE_MODEL, model).allowed
    assert not verdict(as_(scorer), Permission.SEE_MODEL, model).allowed


def test_asking_costs_no_statement_more_while_no_rule_asks_for_more(
    alice: User, model: RegisteredModel, django_assert_num_queries: Any
) -> None:
    names(at_the_door(alice))

    with django_assert_num_queries(2):
        names(at_the_door(alice))
