"""The monitoring pages and API: what they show, to whom, at what cost, and what can be posted to them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from access import actions as access
from access.models import Role, User
from access.permissions import Permission
from access.principal import Principal
from monitoring.ingest import ingest
from monitoring.models import Alert, Outcome, PredictionWindow, Thresholds
from monitoring.tasks import tick
from serving.models import Deployment
from tests.conftest import as_
from tests.monitoring.conftest import NOON, Worker, people

ClientFor = Callable[[User], Client]
ApiFor = Callable[[User | str], APIClient]
PAGE = "/monitoring/credit-live/"
API = "/api/v1/monitoring/credit-live"
HOUR = timedelta(hours=1)


@pytest.fixture
def shifted(worker: Worker) -> Worker:
    """Three hours of predictions, the last of them by a caller who says that the shift is injected."""
    worker.answer(people(300, seed=1).query("age >= 16"), at=NOON)
    worker.answer(people(300, seed=2).query("age >= 16"), at=NOON + HOUR)
    worker.answer(people(400, seed=3, older=25), at=NOON + 2 * HOUR, caller="drift-demo (injected shift)")
    tick()
    return worker


@pytest.fixture
def feed_token(erin: User) -> str:
    setup = Principal.system("operator")
    account = access.create_service_account("outcome-feed", owner=erin, description="Reports outcomes", by=setup)
    access.assign_role(Role.objects.get(name="Service: score"), to=account, by=setup)
    issued = access.issue_token(
        account, name="t", scopes=[Permission.FEED_OUTCOMES, Permission.SCORE_MODEL], models=[], days=1, by=setup
    )
    return issued.secret


def test_the_list_says_what_is_empty(client_for: ClientFor, dave: User) -> None:
    assert "Nothing is deployed yet" in client_for(dave).get("/monitoring/").content.decode()


def test_the_list_and_the_page_say_that_nothing_has_been_scored(
    client_for: ClientFor, deployment: Deployment, dave: User
) -> None:
    client = client_for(dave)

    assert "No prediction has been counted yet." in client.get("/monitoring/").content.decode()
    page = client.get(PAGE)
    assert page.status_code == 200
    assert "Nothing has been scored yet" in page.content.decode()


def test_the_page_shows_drift_and_who_says_that_it_is_injected(
    client_for: ClientFor, shifted: Worker, dave: User
) -> None:
    text = client_for(dave).get(PAGE).content.decode()

    assert "age drifted: PSI" in text
    assert "drift-demo (injected shift)" in text
    assert "Dates inside the scored rows are not used" in text
    assert text.count("<svg") > 6
    assert "nan" not in text.lower().replace("financ", "")


def test_any_feature_and_period_can_be_asked_for(client_for: ClientFor, shifted: Worker, dave: User) -> None:
    client = client_for(dave)

    for query in ("feature=sex&windows=1", "feature=nope&windows=x", "windows=999999999", "windows=0"):
        assert client.get(f"{PAGE}?{query}").status_code == 200


def test_the_pages_cost_does_not_grow_with_windows_and_features(
    client_for: ClientFor, shifted: Worker, dave: User, django_assert_max_num_queries
) -> None:
    client = client_for(dave)
    with django_assert_max_num_queries(40) as few:
        client.get(PAGE)
    for hour in range(3, 9):
        shifted.answer(people(210, seed=hour), at=NOON + hour * HOUR)
    tick()

    with django_assert_max_num_queries(len(few)):
        client.get(PAGE)


def test_the_list_costs_the_same_for_many_deployments(
    client_for: ClientFor, shifted: Worker, dave: User, django_assert_max_num_queries
) -> None:
    client, one = client_for(dave), shifted.deployment
    with django_assert_max_num_queries(30) as few:
        client.get("/monitoring/")
    for number in range(5):
        Deployment.objects.create(name=f"more-{number}", model=one.model, stage=one.stage, created_by=one.created_by)

    with django_assert_max_num_queries(len(few)):
        client.get("/monitoring/")


def test_those_who_may_not_see_the_model_find_nothing(client_for: ClientFor, shifted: Worker, root: User) -> None:
    client = client_for(root)

    assert "Monitoring is not open to you" in client.get("/monitoring/").content.decode()
    for address in (PAGE, "/monitoring/no-such/", f"{PAGE}drift.csv"):
        assert client.get(address).status_code == 404
    assert Client().get(PAGE).status_code in {302, 401, 404}


def test_limits_are_saved_by_those_who_care_and_wrong_ones_explained(
    client_for: ClientFor, shifted: Worker, alice: User, bob: User
) -> None:
    sent = {
        "psi_warn": "5",
        "psi_fail": "9",
        "auc_drop_warn": "0.02",
        "auc_drop_fail": "0.05",
        "minimum_rows": "50",
        "minimum_outcomes": "50",
        "window_seconds": "60",
    }

    assert client_for(bob).post(f"{PAGE}thresholds/", sent).status_code == 403
    assert client_for(alice).post(f"{PAGE}thresholds/", sent | {"psi_fail": "1"}).status_code == 400
    assert client_for(alice).post(f"{PAGE}thresholds/", sent).status_code == 302

    assert Thresholds.objects.get().psi_fail == 9
    assert not Alert.objects.open().exists()


def test_an_alert_is_acknowledged_on_the_page(client_for: ClientFor, shifted: Worker, alice: User) -> None:
    alert = Alert.objects.open().get(feature="age")

    client_for(alice).post(f"{PAGE}alerts/{alert.pk}/acknowledge/", {"note": "It is <injected>."})

    alert.refresh_from_db()
    assert alert.acknowledged_by == alice
    assert "It is &lt;injected&gt;." in client_for(alice).get(PAGE).content.decode()


def test_evaluate_now_is_work_for_a_worker(
    client_for: ClientFor, worker: Worker, dave: User, perform_jobs: Callable[[], int]
) -> None:
    worker.answer(people(30))

    client_for(dave).post(f"{PAGE}evaluate/")

    assert perform_jobs() >= 1
    assert PredictionWindow.objects.get().rows == 30


@pytest.mark.parametrize("what", ["drift", "performance", "alerts"])
def test_every_table_can_be_exported(what: str, client_for: ClientFor, shifted: Worker, dave: User) -> None:
    answer = client_for(dave).get(f"{PAGE}{what}.csv")

    assert answer.status_code == 200
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert (len(rows) > 0) == (what != "performance")


def test_a_note_cannot_act_as_a_formula_in_the_export(client_for: ClientFor, shifted: Worker, alice: User) -> None:
    alert = Alert.objects.open().get(feature="age")
    client_for(alice).post(f"{PAGE}alerts/{alert.pk}/acknowledge/", {"note": "=1+1"})

    text = client_for(alice).get(f"{PAGE}alerts.csv").content.decode()

    assert "'=1+1" in text


def test_a_service_feeds_outcomes_and_learns_what_was_unknown(api_for: ApiFor, worker: Worker, feed_token: str) -> None:
    worker.answer(people(2), scores=[0.2, 0.8])

    answer = api_for(feed_token).post(
        f"{API}/outcomes", {"outcomes": [{"id": "p1", "label": 0}, {"id": "ghost", "label": 1}]}, format="json"
    )

    assert answer.status_code == 200
    assert answer.json() == {"taken": 1, "repeated": 0, "contradicting": [], "unknown": ["ghost"]}
    assert Outcome.objects.get().fed_by.username == "outcome-feed"


def test_bad_outcomes_are_refused_as_problem_json(api_for: ApiFor, worker: Worker, feed_token: str) -> None:
    answer = api_for(feed_token).post(f"{API}/outcomes", [{"id": "p1", "label": "maybe"}], format="json")

    assert answer.status_code == 400
    assert answer.json()["errors"] == {"row 1": "the label is 'maybe', which is neither 0 nor 1."}
    assert not Outcome.objects.exists()


def test_a_file_of_outcomes_is_fed_on_the_page(client_for: ClientFor, worker: Worker, alice: User, erin: User) -> None:
    role = Role.objects.create(name="Outcomes", permissions=["outcomes.feed"])
    access.assign_role(role, to=alice, by=as_(erin))
    worker.answer(people(2))
    file = SimpleUploadedFile("o.csv", b"id,label\np1,1\nghost,0\n")

    page = client_for(alice).post(f"{PAGE}outcomes/", {"file": file}, follow=True)

    assert "1 outcomes taken. 1 name predictions that this deployment never made: ghost." in page.content.decode()
    bad = client_for(alice).post(f"{PAGE}outcomes/", {"file": SimpleUploadedFile("o.csv", b"a,b\n1,2\n")})
    assert bad.status_code == 400
    assert "it needs id and label" in bad.content.decode()


def test_the_api_tells_the_same_as_the_page(api_for: ApiFor, shifted: Worker, dave: User) -> None:
    (line,) = api_for(dave).get("/api/v1/monitoring").json()
    found = api_for(dave).get(API).json()

    assert (line["deployment"], line["level"]) == ("credit-live", "fail")
    assert [one["level"] for one in found["windows"]][-1] == "fail"
    assert found["alerts"][0]["sentence"].startswith("age drifted")
    assert api_for(dave).get(f"{API}/thresholds").json()["psi_warn"] == 0.10


def test_the_api_acknowledges_and_changes_limits(api_for: ApiFor, shifted: Worker, alice: User, dave: User) -> None:
    alert = Alert.objects.open().get(feature="age")

    assert api_for(dave).post(f"{API}/alerts/{alert.pk}/acknowledge", {"note": "x"}, format="json").status_code == 403
    done = api_for(alice).post(f"{API}/alerts/{alert.pk}/acknowledge", {"note": "Seen."}, format="json")
    assert done.json()["acknowledged_by"] == "alice"
    assert api_for(alice).patch(f"{API}/thresholds", {"psi_warn": 0.2}, format="json").json()["psi_warn"] == 0.2
    assert api_for(alice).patch(f"{API}/thresholds", {"psi_warn": 2}, format="json").status_code == 400
    assert api_for(alice).post(f"{API}/alerts/{alert.pk}/retrain").status_code == 409
    assert api_for(dave).post(f"{API}/evaluate").status_code == 202


def test_the_timer_goes_on_when_one_deployment_fails(
    worker: Worker, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    Deployment.objects.create(
        name="aaa-broken", model=deployment.model, stage=deployment.stage, created_by=deployment.created_by
    )
    worker.answer(people(30))

    def fail_first(one: Deployment, *, by: Principal) -> object:
        if one.name == "aaa-broken":
            raise OSError("its folder is gone")
        return ingest(one, by=by)

    monkeypatch.setattr("monitoring.tasks.ingest", fail_first)

    assert tick() == 30
