"""How a page and the API ask for a confirmation: what is offered, the passkey's two steps, and what stands in its place."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from access.models import User
from reviews.evaluation import current_subject
from reviews.forms import PolicySignForm, RevokeForm, SignatureForm, SignForm, why_no_method
from reviews.models import Review, SignOff
from tests.conftest import PASSWORD
from tests.passkeys import SoftKey, enrolled

ClientFor = Callable[[User], Client]
PAGE = "/models/credit/v/1/sign/"


@pytest.fixture
def laptop(bob: User) -> SoftKey:
    soft = SoftKey()
    enrolled(bob, soft)
    return soft


def filled(review: Review, **more: Any) -> dict[str, Any]:
    """The form of the page, complete but for the confirmation."""
    values = SignForm.fresh("validator", current_subject(review.current_round).digest, "approve")
    return {
        "stage": "production",
        **values,
        "expected_round": 1,
        "reason": "I read it all.",
        "intent": "on",
        **more,
    }


def test_the_script_gets_the_challenge_and_the_signed_form_is_recorded(
    review: Review, bob: User, laptop: SoftKey, client_for: ClientFor
) -> None:
    client, form = client_for(bob), filled(review, method="passkey")

    asked = client.post(PAGE, form | {"prepare": "passkey"}).json()["publicKey"]
    answer = client.post(PAGE, form | {"assertion": json.dumps(laptop.get(asked))})

    assert answer.status_code == 302
    assert (asked["userVerification"], asked["allowCredentials"][0]["id"]) == ("required", laptop.id)
    assert SignOff.objects.get().reauthentication.method == "passkey"


def test_asking_for_the_challenge_records_nothing(
    review: Review, bob: User, laptop: SoftKey, client_for: ClientFor
) -> None:
    client_for(bob).post(PAGE, filled(review, method="passkey", prepare="passkey"))

    assert not SignOff.objects.exists()


def test_the_same_form_sent_twice_signs_once(review: Review, bob: User, laptop: SoftKey, client_for: ClientFor) -> None:
    client, form = client_for(bob), filled(review, method="passkey")
    asked = client.post(PAGE, form | {"prepare": "passkey"}).json()["publicKey"]
    signed = form | {"assertion": json.dumps(laptop.get(asked))}

    answers = [client.post(PAGE, signed).status_code for _ in range(2)]

    assert SignOff.objects.count() == 1
    assert answers[0] == 302


def test_what_is_missing_is_told_to_the_script_by_field(
    review: Review, bob: User, laptop: SoftKey, client_for: ClientFor
) -> None:
    answer = client_for(bob).post(PAGE, filled(review, method="passkey", prepare="passkey", reason=""))

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["reason"])


def test_a_forged_answer_stands_over_the_form(
    review: Review, bob: User, laptop: SoftKey, client_for: ClientFor
) -> None:
    answer = client_for(bob).post(PAGE, filled(review, method="passkey", assertion='{"id": "x"}'))

    assert answer.status_code == 400
    assert "Nothing was signed." in answer.content.decode()
    assert not SignOff.objects.exists()


def test_a_form_without_the_passkeys_answer_signs_nothing(
    review: Review, bob: User, laptop: SoftKey, client_for: ClientFor
) -> None:
    answer = client_for(bob).post(PAGE, filled(review, method="passkey"))

    assert "Your passkey has not signed yet" in answer.content.decode()
    assert not SignOff.objects.exists()


def test_who_has_no_accepted_method_reads_where_to_get_one(bob: User) -> None:
    form = RevokeForm(person=bob, accepted=("passkey",))

    assert (form.offered, form.why_no_method) == ([], why_no_method(("passkey",)))
    assert "Add one on your own page" in form.why_no_method


def test_only_accepted_methods_are_offered_best_first(bob: User, laptop: SoftKey) -> None:
    assert RevokeForm(person=bob).offered == ["passkey", "password"]
    assert RevokeForm(person=bob, accepted=("passkey", "totp")).offered == ["passkey"]
    assert RevokeForm(person=bob, accepted=("password",)).offered == ["password"]


def test_no_identity_provider_is_offered_and_the_sentence_says_why(bob: User) -> None:
    form = RevokeForm(person=bob, accepted=("identity_provider",))

    assert "none is connected to this installation" in form.why_no_method


def test_over_the_api_a_passkey_signs_in_two_requests(
    review: Review, bob: User, laptop: SoftKey, client_for: ClientFor
) -> None:
    client, address = client_for(bob), f"/api/v1/reviews/{review.uuid}/sign-offs/"
    body = {
        "slot": "validator",
        "decision": "approve",
        "reason": "I read it all.",
        "expected_subject": current_subject(review.current_round).digest,
        "idempotency_key": uuid.uuid4().hex,
        "method": "passkey",
    }

    first = client.post(address, body, content_type="application/json")
    asked = first.json()["publicKey"]
    second = client.post(address, body | {"assertion": laptop.get(asked)}, content_type="application/json")

    assert (first.status_code, first.json()["type"]) == (428, "urn:countersign:refusal:passkey-wanted")
    assert (second.status_code, SignOff.objects.get().reauthentication.method) == (201, "passkey")


def test_over_the_api_a_password_is_still_one_request(review: Review, bob: User, client_for: ClientFor) -> None:
    body = {
        "slot": "validator",
        "decision": "approve",
        "reason": "I read it all.",
        "expected_subject": current_subject(review.current_round).digest,
        "idempotency_key": uuid.uuid4().hex,
        "secret": PASSWORD,
    }

    answer = client_for(bob).post(f"/api/v1/reviews/{review.uuid}/sign-offs/", body, content_type="application/json")

    assert answer.status_code == 201


@pytest.mark.parametrize("form", [SignForm, PolicySignForm])
def test_every_signature_asks_for_a_decision_a_reason_and_the_intent(form: type[SignatureForm], bob: User) -> None:
    empty = form({}, person=bob)

    assert {"decision", "reason", "intent"} <= set(empty.errors)
    assert list(empty.fields)[:3] == ["decision", "reason", "intent"]
