"""Whose an experiment is, on the pages and over the API: the owner shares it, others see what they have, strangers nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from access.models import User
from foundation.refusals import Conflict, Forbidden, Invalid
from serving.tracking_actions import (
    Known,
    give_experiment,
    note_experiment,
    open_experiment,
    record_experiment,
    share_experiment,
    unshare_experiment,
)
from serving.tracking_models import Experiment, Level, Others
from tests.conftest import as_

pytestmark = pytest.mark.django_db

ClientFor = Callable[[User], Client]


@pytest.fixture
def limits(alice: User) -> Experiment:
    """Alice's experiment."""
    return record_experiment(Known(7, "limits", "7"), by=as_(alice))


def test_an_empty_list_says_what_to_do_first(client_for: ClientFor, alice: User) -> None:
    page = client_for(alice).get("/experiments/").content.decode()

    assert "No experiment yet" in page
    assert "MLFLOW_TRACKING_URI" in page
    assert "/mlflow/" in page


def test_nobody_reads_them_without_logging_in(client: Client, limits: Experiment) -> None:
    for path in ("/experiments/", "/experiments/7/"):
        assert client.get(path)["Location"].startswith("/accounts/login/"), path


def test_a_list_is_searched_paged_and_asked_for_at_once(
    client_for: ClientFor, alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(1, 31):
        record_experiment(Known(number, f"experiment {number:02}", str(number)), by=as_(alice))
    browser = client_for(alice)
    browser.get("/experiments/")

    with django_assert_max_num_queries(30):
        first = browser.get("/experiments/").content.decode()

    assert "experiment 30" in first
    assert "experiment 05" not in first
    assert "experiment 05" in browser.get("/experiments/?page=2").content.decode()
    found = browser.get("/experiments/?q=ment+12").content.decode()
    assert "experiment 12" in found
    assert "experiment 13" not in found
    assert "No such experiment" in browser.get("/experiments/?q=unheard").content.decode()


def test_a_list_agrees_with_what_may_be_opened(
    client_for: ClientFor, alice: User, bob: User, dave: User, erin: User, limits: Experiment
) -> None:
    stranger = User.objects.create_user("stranger", password="correct horse battery")

    seen = {
        one.username: client_for(one).get("/experiments/").content.decode()
        for one in (alice, bob, dave, erin, stranger)
    }
    opened = {
        one.username: client_for(one).get("/experiments/7/").status_code for one in (alice, bob, dave, erin, stranger)
    }

    assert {name for name, page in seen.items() if "limits" in page} == {"alice", "bob", "dave", "erin"}
    assert opened == {"alice": 200, "bob": 200, "dave": 200, "erin": 200, "stranger": 404}


def test_an_owner_shares_it_and_takes_it_back(
    client_for: ClientFor, alice: User, scorer: User, limits: Experiment
) -> None:
    browser, holder = client_for(alice), f"user:{scorer.uuid}"
    assert "Shared with nobody" in browser.get("/experiments/7/").content.decode()

    shared = browser.post("/experiments/7/", {"change": "share", "holder": holder, "level": "write"})
    again = browser.post("/experiments/7/", {"change": "share", "holder": holder, "level": "write"})

    assert shared["Location"] == "/experiments/7/"
    assert limits.grants.get().level == Level.WRITE
    assert again.status_code == 400
    assert "already" in again.content.decode()
    browser.post("/experiments/7/", {"change": "unshare", "holder": holder})
    assert not limits.grants.exists()
    browser.post("/experiments/7/", {"change": "others", "others": "read"})
    browser.post("/experiments/7/", {"change": "owner", "holder": f"user:{alice.uuid}"})
    limits.refresh_from_db()
    assert (limits.others, limits.owner) == (Others.READ, alice)
    assert browser.post("/experiments/7/", {"change": "burn"}).status_code == 400


def test_who_only_reads_it_sees_who_decides(client_for: ClientFor, bob: User, limits: Experiment) -> None:
    page = client_for(bob).get("/experiments/7/").content.decode()

    assert "Alice Moreau decides that." in page
    assert 'name="change"' not in page
    assert client_for(bob).post("/experiments/7/", {"change": "others", "others": "write"}).status_code == 403


def test_the_same_over_the_api(client_for: ClientFor, alice: User, bob: User, limits: Experiment) -> None:
    browser = client_for(alice)

    listed = browser.get("/api/v1/experiments?q=lim").json()
    changed = browser.post(
        "/api/v1/experiments/7",
        {"change": "share", "holder": f"user:{bob.uuid}", "level": "manage"},
        content_type="application/json",
    )
    wrong = browser.post("/api/v1/experiments/7", {"change": "share", "level": "read"}, content_type="application/json")

    assert [one["name"] for one in listed["results"]] == ["limits"]
    assert [(one["holder"], one["level"]) for one in changed.json()["grants"]] == [(f"user:{bob.uuid}", "manage")]
    assert wrong.status_code == 400
    assert "holder" in wrong.json()["errors"]
    assert browser.get("/api/v1/experiments/8").status_code == 404


def test_an_administrator_shares_what_nobody_owns_but_not_with_themselves(
    erin: User, alice: User, limits: Experiment
) -> None:
    Experiment.objects.filter(pk=7).update(owner=None)
    team = Group.objects.create(name="Pricing")
    team.user_set.add(erin)

    for own in (erin, team):
        with pytest.raises(Conflict, match="to themselves"):
            share_experiment(limits, Level.READ, to=own, by=as_(erin))
    with pytest.raises(Conflict, match="to themselves"):
        give_experiment(limits, to=erin, by=as_(erin))
    give_experiment(limits, to=alice, by=as_(erin))

    limits.refresh_from_db()
    assert limits.owner == alice


def test_only_people_decide_who_has_it(scorer: User, bob: User, limits: Experiment, alice: User) -> None:
    share_experiment(limits, Level.MANAGE, to=scorer, by=as_(alice))

    with pytest.raises(Forbidden, match="may not decide"):
        share_experiment(limits, Level.READ, to=bob, by=as_(scorer))
    with pytest.raises(Forbidden, match="may not decide"):
        open_experiment(limits, Others.WRITE, by=as_(bob))


def test_who_manages_it_shares_it_with_others(limits: Experiment, alice: User, bob: User, carol: User) -> None:
    share_experiment(limits, Level.MANAGE, to=bob, by=as_(alice))

    share_experiment(limits, Level.READ, to=carol, by=as_(bob))

    assert limits.grants.filter(user=carol, level=Level.READ).exists()


def test_what_cannot_be_is_refused(limits: Experiment, alice: User, bob: User, scorer: User) -> None:
    with pytest.raises(Conflict, match="nothing to take back"):
        unshare_experiment(limits, to=bob, by=as_(alice))
    with pytest.raises(Conflict, match="already"):
        open_experiment(limits, Others.NOTHING, by=as_(alice))
    with pytest.raises(Invalid, match="active person"):
        give_experiment(limits, to=scorer, by=as_(alice))
    with pytest.raises(Conflict, match="already"):
        give_experiment(limits, to=alice, by=as_(alice))
    User.objects.filter(pk=bob.pk).update(is_active=False)
    bob.refresh_from_db()
    with pytest.raises(Conflict, match="deactivated"):
        share_experiment(limits, Level.READ, to=bob, by=as_(alice))


def test_the_row_follows_what_mlflow_was_told(limits: Experiment, alice: User) -> None:
    note_experiment(limits, name="limits 2027", by=as_(alice))
    note_experiment(limits, deleted=True, by=as_(alice))

    limits.refresh_from_db()
    assert (limits.name, limits.deleted) == ("limits 2027", True)
