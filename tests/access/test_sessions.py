"""Logging in and out by password: recorded, counted, under a fresh session, and over when the account is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import DatabaseError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from access import actions
from access.models import User
from audit.events import Action
from tests.access.ledger import disclosed, entries, outcomes, public_bytes
from tests.access.test_stepup import code_of
from tests.conftest import PASSWORD, as_

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_rate_limits() -> None:
    """allauth counts in the cache, which tests share."""
    cache.clear()


def log_in(client: Client, username: str, password: str = PASSWORD, **headers: str) -> HttpResponse:
    answer: HttpResponse = client.post("/accounts/login/", {"login": username, "password": password}, **headers)  # type: ignore[assignment,arg-type]  # the stubs know no extra headers
    return answer


def signed_in(client: Client) -> bool:
    return client.get("/me/").status_code == 200


def test_a_login_and_a_logout_are_on_record(bob: User, client: Client) -> None:
    log_in(client, "bob", HTTP_USER_AGENT="pytest browser")
    assert signed_in(client)

    client.post("/accounts/logout/")

    assert not signed_in(client)
    started, ended = entries(Action.SESSION_START)[-1], entries(Action.SESSION_END)[-1]
    assert started["actor"]["id"] == ended["actor"]["id"] == str(bob.uuid)
    assert started["actor"]["via"] == "session"
    assert "pytest browser" in disclosed()["user_agent"]


def test_a_failed_login_is_on_record_without_the_password_and_with_the_name_erasable(bob: User, client: Client) -> None:
    log_in(client, "bob", "hunter2hunter2")

    assert not signed_in(client)
    assert outcomes(Action.SESSION_START) == [("denied", "wrong-credentials")]
    assert b"hunter2" not in public_bytes()
    assert b"bob" not in public_bytes()
    assert "bob" in disclosed()["username"]
    assert not any("hunter2" in value for values in disclosed().values() for value in values)


def test_an_unknown_name_reads_like_a_wrong_password(bob: User, client: Client) -> None:
    unknown, wrong = log_in(client, "nobody", "x" * 12), log_in(client, "bob", "x" * 12)

    assert unknown.status_code == wrong.status_code == 200
    assert unknown.content.count(b"callout--bad") == wrong.content.count(b"callout--bad") == 1
    assert entries(Action.SESSION_START)[0]["why"] == entries(Action.SESSION_START)[1]["why"]


def test_logging_in_changes_the_session_key(bob: User, client: Client) -> None:
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = "by an attacker"
    session.save()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = str(session.session_key)
    planted = session.session_key

    log_in(client, "bob")

    assert client.session.session_key != planted
    victim = Client()
    victim.cookies[django_settings.SESSION_COOKIE_NAME] = str(planted)
    assert not signed_in(victim)


def test_five_wrong_passwords_lock_the_account_for_that_address(bob: User, client: Client) -> None:
    for _ in range(5):
        answer = log_in(client, "bob", "wrong password")

    assert answer.status_code == 429
    page = answer.content.decode()
    assert "Too many attempts" in page
    assert "in 15 minutes" in page
    assert 0 < int(answer["Retry-After"]) <= 900
    assert log_in(client, "bob").status_code == 429
    assert not signed_in(client)


def test_the_lock_ends_when_the_page_said_and_trying_does_not_extend_it(bob: User, client: Client) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            log_in(client, "bob", "wrong password")
        clock.shift(timedelta(minutes=14))
        again = log_in(client, "bob")
        assert again.status_code == 429
        assert int(again["Retry-After"]) <= 60
        clock.shift(timedelta(minutes=2))
        log_in(client, "bob")

        assert signed_in(client)


def test_a_lock_at_one_address_leaves_the_owner_of_the_account_in(bob: User) -> None:
    attacker, owner = Client(REMOTE_ADDR="198.51.100.1"), Client(REMOTE_ADDR="203.0.113.9")
    for _ in range(5):
        log_in(attacker, "bob", "wrong password")

    log_in(owner, "bob")

    assert signed_in(owner)


@pytest.mark.parametrize("proxies", [0, 1])
def test_a_forged_forwarding_header_gives_no_new_attempts(proxies: int, bob: User, settings: Settings) -> None:
    settings.AXES_IPWARE_PROXY_COUNT = proxies
    client = Client(REMOTE_ADDR="203.0.113.9")
    for attempt in range(5):
        forged = f"198.51.100.{attempt}"
        answer = log_in(
            client, "bob", "wrong password", HTTP_X_FORWARDED_FOR=f"{forged}, 203.0.113.9" if proxies else forged
        )

    assert answer.status_code == 429
    again = log_in(client, "bob", HTTP_X_FORWARDED_FOR="198.51.100.77, 203.0.113.9" if proxies else "198.51.100.77")
    assert again.status_code == 429


def test_one_password_tried_on_many_names_is_slowed_down(client: Client) -> None:
    answers = [log_in(client, f"person{number}", "Summer2026!") for number in range(12)]

    assert b"Too many failed login attempts" in answers[-1].content


def test_a_deactivated_persons_session_ends_with_the_next_request(
    bob: User, erin: User, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    assert signed_in(client)

    actions.deactivate(bob, by=as_(erin))

    assert not signed_in(client)
    assert client.get("/api/v1/me/").status_code == 401


def test_a_session_from_before_a_deactivation_does_not_come_back(
    bob: User, erin: User, client_for: Callable[[User], Client]
) -> None:
    client = client_for(bob)
    actions.deactivate(bob, by=as_(erin))

    actions.reactivate(bob, by=as_(erin))

    assert not signed_in(client)


def test_a_session_survives_a_change_of_the_secret_key_that_names_the_old_one(
    bob: User, client_for: Callable[[User], Client], settings: Settings
) -> None:
    client = client_for(bob)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a-new-secret-key-of-sufficient-length-0123456789-0123456789"

    assert signed_in(client)


def test_what_was_typed_as_a_password_is_not_kept_with_the_counted_failures(bob: User, client: Client) -> None:
    log_in(client, "bob", "hunter2hunter2")

    assert "hunter2" not in str(list(AccessAttempt.objects.values()))


def test_a_deactivated_person_cannot_log_in(bob: User, erin: User, client: Client) -> None:
    actions.deactivate(bob, by=as_(erin))

    log_in(client, "bob")

    assert not signed_in(client)
    assert outcomes(Action.SESSION_START) == [("denied", "account-closed")]


def test_a_service_account_has_no_session_even_if_somebody_gave_it_a_password(scorer: User, client: Client) -> None:
    scorer.set_password(PASSWORD)
    scorer.save()

    log_in(client, "scorer")

    assert not signed_in(client)
    assert outcomes(Action.SESSION_START) == [("denied", "not-a-person")]


def test_nobody_signs_themselves_up(client: Client) -> None:
    answer = client.post(
        "/accounts/signup/", {"username": "intruder", "password1": PASSWORD, "password2": PASSWORD, "is_staff": "on"}
    )

    assert b"Accounts are made by an administrator" in answer.content
    assert not User.objects.filter(username="intruder").exists()


def about_to_set_up_an_app(client: Client, username: str) -> str:
    """Log in as far as the page that shows an authenticator app its secret; returns the secret."""
    secret: str = generate_totp_secret()
    log_in(client, username)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    session = client.session
    session["mfa.totp.secret"] = secret
    session.save()
    return secret


def test_a_second_factor_is_asked_for_counted_and_on_record(bob: User, client: Client) -> None:
    secret = about_to_set_up_an_app(client, "bob")
    client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)})
    client.post("/accounts/logout/")
    assert [one["obj"]["id"] for one in entries(Action.AUTHENTICATOR_ADD)] == [str(bob.uuid)]

    log_in(client, "bob")
    assert not signed_in(client)
    answers = [client.post("/accounts/2fa/authenticate/", {"code": "000000"}) for _ in range(21)]

    assert ("denied", "wrong-code") in outcomes(Action.SESSION_START)
    assert b"Too many failed login attempts" in answers[-1].content
    assert len(outcomes(Action.SESSION_START)) < 21
    assert secret.encode() not in public_bytes()


def test_an_authenticator_that_cannot_be_recorded_is_not_set_up(
    bob: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseError("the ledger takes nothing")

    secret = about_to_set_up_an_app(client, "bob")
    monkeypatch.setattr("access.receivers.append_alone", fail)

    with pytest.raises(DatabaseError):
        client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)})

    assert not Authenticator.objects.filter(user=bob).exists()


def test_a_login_leads_to_no_other_site(bob: User, client: Client) -> None:
    answer = client.post("/accounts/login/", {"login": "bob", "password": PASSWORD, "next": "https://evil.example/"})

    assert answer.status_code == 302
    assert "evil" not in answer["Location"]


def test_changing_ones_password_is_on_record(bob: User, client: Client) -> None:
    log_in(client, "bob")
    new = "another correct horse"

    client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": new, "password2": new})

    assert User.objects.get(pk=bob.pk).check_password(new)
    assert entries(Action.PERSON_SET_PASSWORD)[-1]["obj"]["id"] == str(bob.uuid)
    assert b"another correct" not in public_bytes()
