"""Writing access policies and putting them in force."""

from typing import Any

import pytest

from access.entry.actions import draft_access_policy, draft_retirement, publish_access_policy, set_with
from access.entry.asking import newest_publications, rulebook
from access.entry.models import AccessPolicy, AccessPolicyVersion
from access.entry.rehearsal import rehearse
from access.models import User
from access.permissions import Permission, verdict
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid
from registry.models import RegisteredModel
from tests.access.entry.conftest import BUILT_IN, Enforce, published, rule
from tests.access.ledger import entries, outcomes
from tests.conftest import as_

pytestmark = pytest.mark.django_db

CONTENT: dict[str, Any] = {"title": "Tier 1", "rules": [rule("people", when='subject.kind == "person"')]}


def set_in_force() -> str:
    [(digest,)] = newest_publications()
    return str(digest)


def test_a_draft_changes_nothing_and_is_saved_over(erin: User) -> None:
    before = set_in_force()

    first = draft_access_policy("tier-1", CONTENT, note="first", by=as_(erin))
    second = draft_access_policy("tier-1", CONTENT | {"title": "Other"}, note="second", by=as_(erin))

    assert (second.pk, second.number, second.title) == (first.pk, 1, "Other")
    assert set_in_force() == before
    assert [entry["outcome"] for entry in entries(Action.ACCESS_POLICY_DRAFT)] == ["ok", "ok"]


def test_who_may_not_write_policies_drafts_none(alice: User, scorer: User) -> None:
    for user in (alice, scorer):
        with pytest.raises(Forbidden):
            draft_access_policy("tier-1", CONTENT, by=as_(user))


def test_a_text_with_flaws_is_not_saved(erin: User) -> None:
    with pytest.raises(Invalid) as caught:
        draft_access_policy("Tier 1", CONTENT | {"target": {"teams": ["Nobody"], "stages": ["nowhere"]}}, by=as_(erin))

    assert {"name", "target.teams", "target.stages"} <= set(caught.value.errors)
    assert not AccessPolicy.objects.filter(name="Tier 1").exists()


def test_nobody_publishes_what_they_wrote_not_even_a_part_of_it(erin: User, carol: User, root: User) -> None:
    draft = draft_access_policy("tier-1", CONTENT, by=as_(erin))

    with pytest.raises(Forbidden, match="You wrote"):
        published(draft, erin)
    with pytest.raises(Forbidden, match="publish access policies"):
        published(draft, root)

    assert published(draft, carol).status == "published"
    assert outcomes(Action.ACCESS_POLICY_PUBLISH) == [("denied", "own-draft"), ("denied", "forbidden"), ("ok", "")]


def test_who_publishes_has_seen_who_would_lose_access(erin: User, carol: User, model: RegisteredModel) -> None:
    draft = draft_access_policy("tier-1", CONTENT | {"rules": [rule("none", "deny")]}, by=as_(erin))
    seen = rehearse(draft, set_with(draft)).digest
    draft_access_policy("tier-1", CONTENT, by=as_(erin))

    with pytest.raises(Conflict, match="not what you were shown"):
        publish_access_policy(draft, expected_rehearsal=seen, by=as_(carol))
    with pytest.raises(Conflict, match="not what you were shown"):
        publish_access_policy(draft, expected_rehearsal="", by=as_(carol))


def test_a_published_version_is_not_published_again(enforce: Enforce, erin: User, carol: User) -> None:
    version = enforce("tier-1", rule("all"))

    with pytest.raises(Conflict, match="only a draft"):
        publish_access_policy(version, expected_rehearsal="", by=as_(carol))
    assert draft_access_policy("tier-1", CONTENT, by=as_(erin)).number == 2


def test_the_newest_versions_are_in_force_and_compiled_once(enforce: Enforce) -> None:
    enforce("tier-1", rule("all"), tiers=[1])
    enforce("tier-1", rule("nobody", "deny"), tiers=[1])
    book = rulebook(set_in_force())

    assert [(one.name, one.number) for one in book.policies] == [("tier-1", 2), (BUILT_IN, 1)]
    assert rulebook(set_in_force()) is book
    assert book.digest == set_in_force()


def test_a_policy_ends_by_two_people_as_well_and_the_built_in_one_can_be_replaced(
    enforce: Enforce, retire: Any, erin: User, alice: User, model: RegisteredModel
) -> None:
    enforce("people", rule("people", when='subject.kind == "person"'))
    ended = retire(BUILT_IN)

    assert ended.retires
    assert [one.policy.name for one in AccessPolicyVersion.objects.in_force()] == ["people"]
    assert verdict(as_(alice), Permission.SEE_MODEL, model).allowed
    assert outcomes(Action.ACCESS_POLICY_RETIRE) == [("ok", "")]
    with pytest.raises(Conflict, match="nothing to end"):
        draft_retirement(AccessPolicy.objects.get(name=BUILT_IN), note="", by=as_(erin))


def test_a_policy_that_lets_nobody_in_can_be_replaced(
    enforce: Enforce, retire: Any, erin: User, carol: User, alice: User, model: RegisteredModel
) -> None:
    enforce("locked", rule("nobody", "deny"))
    assert not verdict(as_(erin), Permission.SEE_MODEL, model).allowed
    assert verdict(as_(erin), Permission.MANAGE_PEOPLE).allowed

    retire("locked")

    assert verdict(as_(alice), Permission.SEE_MODEL, model).allowed
