"""The pages of access policies."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access.entry.actions import draft_access_policy, set_with
from access.entry.models import AccessPolicyVersion
from access.entry.rehearsal import rehearse
from access.models import User
from audit.events import Action
from registry.models import RegisteredModel
from tests.access.entry.conftest import BUILT_IN, rule
from tests.access.ledger import outcomes
from tests.conftest import as_

pytestmark = pytest.mark.django_db

Browser = Callable[[User], Client]
CONTENT: dict[str, Any] = {"title": "Tier 1", "rules": [rule("none", "deny", 'subject.kind == "service"')]}


def test_the_built_in_policy_is_listed_and_readable(client_for: Browser, erin: User) -> None:
    browser = client_for(erin)

    assert b"Everybody with the permission" in browser.get("/access-policies/").content
    assert b"No access policy like that" in browser.get("/access-policies/?q=nothing").content
    assert b"It came with the product".lower() in browser.get(f"/access-policies/{BUILT_IN}/v/1/").content.lower()


def test_a_policy_is_written_rehearsed_and_published_by_two_people(
    client_for: Browser, erin: User, carol: User, scorer: User, model: RegisteredModel
) -> None:
    written = client_for(erin).post(
        "/access-policies/new/", {"name": "tier-1", "text": json.dumps(CONTENT), "op": "save"}
    )
    address = "/access-policies/tier-1/v/1/"
    seen = client_for(carol).get(address)
    digest = seen.context["rehearsal"].digest
    published = client_for(carol).post(f"{address}publish/", {"rehearsal": digest})

    assert written["Location"] == address
    assert b"scorer" in seen.content
    assert b"Put it in force" in seen.content
    assert b"Put it in force" not in client_for(erin).get(address).content
    assert published["Location"] == address
    assert AccessPolicyVersion.objects.in_force().filter(policy__name="tier-1").exists()
    assert outcomes(Action.ACCESS_POLICY_PUBLISH) == [("ok", "")]


def test_the_editor_says_what_is_wrong_and_keeps_what_was_typed(client_for: Browser, erin: User) -> None:
    wrong = CONTENT | {"rules": [rule("typo", when="rates < 3")]}

    answer = client_for(erin).post("/access-policies/new/", {"name": "typo", "text": json.dumps(wrong), "op": "save"})

    assert answer.status_code == 400
    assert b"line 1, column 1" in answer.content
    assert b"rates &lt; 3" in answer.content
    assert client_for(erin).post("/access-policies/new/", {"text": "{", "op": "check"}).status_code == 400


def test_a_rule_is_checked_while_it_is_typed(client_for: Browser, erin: User, alice: User) -> None:
    said = client_for(erin).post("/access-policies/check/", {"rule": 'network.within("10.0.0.1/8")'}).content

    assert b"column 16" in said
    assert b"Gives true or false" in client_for(erin).post("/access-policies/check/", {"rule": "rate < 3"}).content
    assert client_for(alice).post("/access-policies/check/", {"rule": "rate < 3"}).status_code == 403


def test_a_policy_is_edited_and_ended(client_for: Browser, erin: User, carol: User) -> None:
    draft_access_policy("tier-1", CONTENT, by=as_(erin))
    edited = client_for(erin).post(
        "/access-policies/tier-1/edit/", {"text": json.dumps(CONTENT | {"title": "Other"}), "op": "save"}
    )
    ended = client_for(erin).post(f"/access-policies/{BUILT_IN}/retire/", {"note": "replaced"})

    assert edited["Location"] == "/access-policies/tier-1/v/1/"
    assert ended["Location"] == f"/access-policies/{BUILT_IN}/v/2/"
    assert b"End this policy" in client_for(carol).get(ended["Location"]).content


def test_who_would_lose_access_is_a_table_as_well(
    client_for: Browser, erin: User, scorer: User, model: RegisteredModel
) -> None:
    draft = draft_access_policy("tier-1", CONTENT, by=as_(erin))

    answer = client_for(erin).get("/access-policies/tier-1/v/1/rehearsal.csv")

    assert b"scorer,service,pull,1,0,0,credit" in answer.content
    assert rehearse(draft, set_with(draft)).lost == 2
    assert outcomes(Action.ACCESS_POLICY_EXPORT) == [("ok", "")]


def test_who_manages_no_access_reads_no_policies(client_for: Browser, root: User) -> None:
    browser = client_for(root)

    for address in ("", "new/", f"{BUILT_IN}/v/1/", f"{BUILT_IN}/edit/"):
        assert browser.get(f"/access-policies/{address}").status_code == 403
