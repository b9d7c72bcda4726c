"""What a draft would change."""

import pytest

from access.entry.actions import draft_access_policy, set_with
from access.entry.documents import Doing
from access.entry.rehearsal import Change, rehearse
from access.models import User
from registry.actions import create_model
from registry.models import RegisteredModel
from tests.access.entry.conftest import rule
from tests.conftest import as_

pytestmark = pytest.mark.django_db


def rehearsed(erin: User, *rules: dict[str, str], **target: object) -> dict[tuple[str, Doing], Change]:
    draft = draft_access_policy("draft", {"title": "Draft", "rules": list(rules), "target": target}, by=as_(erin))
    found = rehearse(draft, set_with(draft))
    return {(one.account.username, one.doing): one for one in found.changes}


def test_a_draft_that_changes_nothing_says_so(erin: User, alice: User, model: RegisteredModel) -> None:
    assert rehearsed(erin, rule("all")) == {}


def test_it_names_who_loses_which_models(erin: User, alice: User, scorer: User, model: RegisteredModel) -> None:
    create_model("churn", tier=3, description="Churn", intended_use="Retention", owner=alice, by=as_(alice))

    found = rehearsed(erin, rule("no-services", "deny", 'subject.kind == "service"'), tiers=[1])

    assert set(found) == {("scorer", Doing.READ), ("scorer", Doing.PULL)}
    assert found["scorer", Doing.PULL].lost.first == ("credit",)
    assert found["scorer", Doing.PULL].lost.count == 1


def test_who_may_not_do_it_anyway_loses_nothing(erin: User, alice: User, model: RegisteredModel) -> None:
    assert ("alice", Doing.PULL) not in rehearsed(erin, rule("nobody", "deny"))


def test_who_would_have_to_meet_terms_is_told_apart(
    erin: User, alice: User, scorer: User, model: RegisteredModel
) -> None:
    found = rehearsed(erin, rule("office", when='network.within("10.0.0.0/8")'), tiers=[1])

    one = found["scorer", Doing.PULL]
    assert (one.lost.count, one.on_terms.count, one.gained.count) == (0, 1, 0)


def test_the_digest_is_of_the_draft_the_set_and_what_changes(erin: User, alice: User, model: RegisteredModel) -> None:
    draft = draft_access_policy("draft", {"title": "Draft", "rules": [rule("none", "deny")]}, by=as_(erin))
    first = rehearse(draft, set_with(draft))

    assert rehearse(draft, set_with(draft)).digest == first.digest
    create_model("churn", tier=3, description="Churn", intended_use="Retention", owner=alice, by=as_(alice))
    assert rehearse(draft, set_with(draft)).digest != first.digest
    assert first.losing == 2
