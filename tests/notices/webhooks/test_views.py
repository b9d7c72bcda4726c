"""The portal's pages about webhooks, by plain forms."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from access.actions import assign_role
from access.models import Role, User
from access.principal import Principal
from notices.models import Delivery, Webhook
from notices.webhooks.delivery import deliver
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from notices.webhooks.letters import secret_of
from registry.models import RegisteredModel
from tests.notices.webhooks.conftest import SECRET, Hook
from tests.notices.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db
ClientFor = Callable[[User], Client]
FORM = {
    "name": "pipeline",
    "url": "https://receiver.example/hook/with-a-key",
    "events": ["version.promoted", "model_version.created"],
    "model_names": "credit\n\n churn ",
    "description": "Rolls out",
}


def body(answer: object) -> str:
    content: bytes = answer.content  # type: ignore[attr-defined]  # every response of the test client has it
    return content.decode()


def happened(model: RegisteredModel) -> Delivery:
    emit(Event.TAG_SET, model, {"name": model.name, "version": "1", "key": "k", "value": "v"})
    return Delivery.objects.latest("pk")


def test_an_empty_list_says_what_to_do_first(client_for: ClientFor, erin: User) -> None:
    page = body(client_for(erin).get("/webhooks/"))

    assert "No system is told yet" in page
    assert 'href="/webhooks/new/"' in page


def test_from_the_form_to_a_secret_that_is_shown_once(client_for: ClientFor, erin: User) -> None:
    client = client_for(erin)
    assert 'type="checkbox"' in body(client.get("/webhooks/new/"))

    answer = client.post("/webhooks/new/", FORM)

    webhook = Webhook.objects.get()
    assert (webhook.owner, webhook.model_names, webhook.events) == (erin, ["credit", "churn"], FORM["events"])
    secret = secret_of(webhook)
    assert secret in body(answer)
    assert "no-store" in answer["Cache-Control"]
    again = body(client.get(f"/webhooks/{webhook.uuid}/"))
    assert secret not in again
    assert "Nothing was sent yet" in again


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "https://127.0.0.1/"}, "not an address on the internet"),
        ({"events": []}, "This field is required"),
        ({"events": ["prompt.created"]}, "not one of the available choices"),
        ({"name": "-"}, "letter or digit first and last"),
    ],
)
def test_a_form_that_is_wrong_comes_back_with_what_was_written(
    client_for: ClientFor, erin: User, wrong: dict[str, object], said: str
) -> None:
    answer = client_for(erin).post("/webhooks/new/", {**FORM, **wrong})

    assert answer.status_code == 400
    assert said in body(answer)
    assert "Rolls out" in body(answer)
    assert not Webhook.objects.exists()


def test_a_name_that_is_taken_is_said_beside_the_name(client_for: ClientFor, erin: User, hook: Hook) -> None:
    hook()

    assert "There is a webhook called pipeline" in body(client_for(erin).post("/webhooks/new/", FORM))


def test_its_owner_changes_it_by_the_form(client_for: ClientFor, erin: User, hook: Hook) -> None:
    webhook, client = hook(), client_for(erin)
    assert webhook.url in body(client.get(f"/webhooks/{webhook.uuid}/edit/"))

    answer = client.post(f"/webhooks/{webhook.uuid}/edit/", {**FORM, "name": "renamed"})

    webhook.refresh_from_db()
    assert (answer.status_code, webhook.name, webhook.url) == (302, "renamed", FORM["url"])
    assert secret_of(webhook) == SECRET


def test_others_neither_see_its_address_nor_change_it(
    client_for: ClientFor, erin: User, alice: User, hook: Hook
) -> None:
    webhook = hook(url="https://receiver.example/hook/with-a-key")
    assign_role(Role.objects.get(name="Administrator"), to=alice, by=Principal.system("operator"))
    client = client_for(alice)

    for path in ("/webhooks/", f"/webhooks/{webhook.uuid}/"):
        page = body(client.get(path))
        assert "https://receiver.example/…" in page
        assert "with-a-key" not in page
    assert client.get(f"/webhooks/{webhook.uuid}/edit/").status_code == 403
    assert client.post(f"/webhooks/{webhook.uuid}/secret/").status_code == 403


def test_who_does_not_look_after_webhooks_finds_no_entry_and_no_page(
    client_for: ClientFor, erin: User, bob: User, hook: Hook
) -> None:
    webhook = hook()

    assert "/webhooks/" in body(client_for(erin).get("/models/"))
    client = client_for(bob)
    assert "/webhooks/" not in body(client.get("/models/"))
    for path in ("/webhooks/", "/webhooks/new/", f"/webhooks/{webhook.uuid}/"):
        assert client.get(path).status_code == 403


def test_it_is_switched_off_and_on(client_for: ClientFor, erin: User, hook: Hook) -> None:
    webhook, client = hook(), client_for(erin)

    page = body(client.post(f"/webhooks/{webhook.uuid}/switch/", {"on": "no"}, follow=True))
    assert "Switched off: it is sent nothing" in page
    page = body(client.post(f"/webhooks/{webhook.uuid}/switch/", {"on": "yes"}, follow=True))

    assert "Switched off" not in page
    assert Webhook.objects.get().state == "on"


def test_a_new_secret_is_shown_once_and_signs_from_now_on(client_for: ClientFor, erin: User, hook: Hook) -> None:
    webhook, client = hook(), client_for(erin)

    answer = client.post(f"/webhooks/{webhook.uuid}/secret/")

    webhook.refresh_from_db()
    assert secret_of(webhook) != SECRET
    assert secret_of(webhook) in body(answer)
    assert secret_of(webhook) not in body(client.get(f"/webhooks/{webhook.uuid}/"))


def test_an_example_says_whether_it_arrived(client_for: ClientFor, erin: User, hook: Hook, receiver: Receiver) -> None:
    webhook, client = hook(), client_for(erin)
    receiver.answers = [200, 500]

    assert "The example arrived: answered 200" in body(client.post(f"/webhooks/{webhook.uuid}/test/", follow=True))
    assert "did not arrive: answered 500" in body(client.post(f"/webhooks/{webhook.uuid}/test/", follow=True))


def test_deleting_asks_first(client_for: ClientFor, erin: User, hook: Hook, model: RegisteredModel) -> None:
    webhook, client = hook(), client_for(erin)
    happened(model)

    assert "1 event that waits" in body(client.get(f"/webhooks/{webhook.uuid}/delete/"))
    assert Webhook.objects.exists()
    client.post(f"/webhooks/{webhook.uuid}/delete/")

    assert not Webhook.objects.exists()


def test_a_delivery_is_read_and_sent_again(
    client_for: ClientFor, erin: User, hook: Hook, receiver: Receiver, model: RegisteredModel
) -> None:
    webhook, client, row = hook(), client_for(erin), happened(model)
    deliver()
    page = body(client.get(f"/webhooks/{webhook.uuid}/deliveries/{row.uuid}/"))
    assert "&quot;key&quot;: &quot;k&quot;" in page
    assert str(row.uuid) in page

    said = body(client.post(f"/webhooks/{webhook.uuid}/deliveries/{row.uuid}/again/", follow=True))
    deliver()

    assert "under the same id" in said
    assert len(set(receiver.ids())) == 1
    assert len(receiver.requests) == 2


def test_what_names_a_model_that_one_may_not_see_is_not_shown(
    client_for: ClientFor, erin: User, hook: Hook, model: RegisteredModel
) -> None:
    webhook, row = hook(), happened(model)
    role = Role.objects.get(name="Administrator")
    role.permissions = [one for one in role.permissions if one != "see_model"]
    role.save()
    client = client_for(erin)

    page = body(client.get(f"/webhooks/{webhook.uuid}/deliveries/{row.uuid}/"))

    assert "Not for you to read" in page
    assert "&quot;credit&quot;" not in page
    assert f"deliveries/{row.uuid}" not in body(client.get(f"/webhooks/{webhook.uuid}/"))


def test_the_log_is_narrowed_and_comes_in_pages(
    client_for: ClientFor, erin: User, hook: Hook, model: RegisteredModel
) -> None:
    webhook, client = hook(), client_for(erin)
    for _ in range(31):
        happened(model)
    Delivery.objects.filter(pk=Delivery.objects.earliest("pk").pk).update(state="failed", last_error="answered 404")

    page = body(client.get(f"/webhooks/{webhook.uuid}/"))
    assert "1 to 30 of 31 deliveries" in page
    assert "credit v1" in page
    assert re.search(r'href="\?page=2"', page)
    assert "answered 404" in body(client.get(f"/webhooks/{webhook.uuid}/?state=failed&event=model_version_tag.set"))
    assert "No such delivery" in body(client.get(f"/webhooks/{webhook.uuid}/?state=withheld"))
    assert "1 to 30 of 31" in body(client.get(f"/webhooks/{webhook.uuid}/?state=nonsense"))


def test_a_paused_webhook_says_so_with_the_way_out(client_for: ClientFor, erin: User, hook: Hook) -> None:
    from django.utils import timezone

    webhook = hook()
    Webhook.objects.update(state="paused", paused_at=timezone.now(), failed_in_a_row=5)

    page = body(client_for(erin).get(f"/webhooks/{webhook.uuid}/"))

    assert "after 5 deliveries in a row were given up" in page
    assert "Resume</button>" in page


def test_the_list_costs_the_same_for_one_and_for_many(
    client_for: ClientFor, erin: User, hook: Hook, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_for(erin)
    for n in range(12):
        hook(name=f"hook-{n}")
    client.get("/webhooks/")

    with django_assert_max_num_queries(14):
        client.get("/webhooks/")
