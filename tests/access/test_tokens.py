"""Service tokens: shown once, kept as a digest, narrow, short-lived, and dead from the moment they are revoked."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from access import actions, token_format
from access.authentication import authenticate_credentials
from access.models import ServiceToken, User
from access.permissions import PEOPLE_ONLY, Permission
from access.tokens import IssuedToken
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid, Unauthenticated
from tests.access.ledger import entries, outcomes, public_bytes
from tests.conftest import as_

META = {"REMOTE_ADDR": "203.0.113.9", "HTTP_USER_AGENT": "pytest"}


def issue(scorer: User, erin: User, *, days: int = 30, **changes: object) -> IssuedToken:
    fields: dict[str, object] = {"name": "batch", "scopes": [Permission.PULL_VERSION], "models": [], **changes}
    return actions.issue_token(scorer, days=days, by=as_(erin), **fields)  # type: ignore[arg-type]  # the fields above


def bearer(secret: str) -> str:
    return f"Bearer {secret}"


# --- the format


def test_a_token_is_256_random_bits_of_which_only_the_digest_is_kept() -> None:
    first, second = token_format.NewToken.make(), token_format.NewToken.make()

    assert first.text != second.text
    assert len(base64.urlsafe_b64decode(first.text.split("_", 2)[2] + "=")) == 32
    assert first.digest == hashlib.sha256(first.text.encode()).hexdigest()
    assert first.text not in repr(first)


@given(st.text())
def test_whatever_is_sent_has_a_prefix_or_is_no_token(text: str) -> None:
    assert token_format.prefix_of(text) is None
    assert not token_format.matches(text, None)


def test_every_digest_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(token_format, "compare_digest", compare)
    fresh = token_format.NewToken.make()

    assert token_format.matches(fresh.text, fresh.digest)
    assert not token_format.matches(fresh.text, token_format.NewToken.make().digest)
    assert not token_format.matches(fresh.text, None)
    assert len(compared) == 3
    assert all(len(one) == len(other) == 64 for one, other in compared)


# --- issuing


@pytest.mark.django_db
def test_the_secret_is_shown_once_and_kept_nowhere(scorer: User, erin: User, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    issued = issue(scorer, erin)
    authenticate_credentials(bearer(issued.secret), META)

    secret = issued.secret.split("_", 2)[2]
    row = ServiceToken.objects.filter(pk=issued.token.pk).values().get()
    assert secret not in str(row)
    assert secret.encode() not in public_bytes()
    assert row["digest"].encode() not in public_bytes()
    assert secret not in caplog.text
    assert secret not in repr(issued)


@pytest.mark.django_db
def test_issuing_is_on_record_with_scopes_models_and_end(scorer: User, erin: User) -> None:
    issued = issue(scorer, erin, models=["credit", "credit"])

    entry = entries(Action.TOKEN_ISSUE)[-1]
    assert entry["obj"]["id"] == issued.token.prefix
    assert entry["d"]["after"] == {
        "account": str(scorer.uuid),
        "scopes": ["pull_version"],
        "models": ["credit"],
        "expires": issued.token.expires_at.isoformat(),
    }


@pytest.mark.django_db
@pytest.mark.parametrize("days", [-1, 0, 91, 36500])
def test_a_token_lives_one_to_ninety_days(days: int, scorer: User, erin: User) -> None:
    with pytest.raises(Invalid, match="1 to 90 days"):
        issue(scorer, erin, days=days)


@pytest.mark.django_db
@pytest.mark.parametrize("scope", sorted(PEOPLE_ONLY))
def test_no_token_carries_what_only_people_may(scope: Permission, scorer: User, erin: User) -> None:
    with pytest.raises(Invalid, match="Only people"):
        issue(scorer, erin, scopes=[scope])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes", [{"name": " "}, {"name": "n" * 81}, {"scopes": []}, {"models": [""]}, {"models": ["m" * 129]}]
)
def test_a_token_is_named_scoped_and_spelled_out(changes: dict[str, object], scorer: User, erin: User) -> None:
    with pytest.raises(Invalid) as refused:
        issue(scorer, erin, **changes)  # type: ignore[arg-type]  # days is not among them

    assert refused.value.errors.keys() == changes.keys()


@pytest.mark.django_db
def test_tokens_are_for_active_service_accounts_only(scorer: User, erin: User, alice: User) -> None:
    with pytest.raises(Conflict, match="service accounts"):
        issue(alice, erin)
    actions.deactivate(scorer, by=as_(erin))
    with pytest.raises(Conflict, match="service accounts"):
        issue(scorer, erin)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["alice", "bob", "dave", "rita", "root", "scorer"])
def test_only_whoever_manages_tokens_issues_one(name: str, request: pytest.FixtureRequest, scorer: User) -> None:
    with pytest.raises(Forbidden):
        issue(scorer, request.getfixturevalue(name))


# --- using


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["bearer", "basic", "basic with a name"])
def test_a_token_signs_in_as_bearer_and_as_basic_password(scheme: str, scorer: User, erin: User) -> None:
    secret = issue(scorer, erin, models=["credit"]).secret
    name = "scorer" if "name" in scheme else ""
    header = bearer(secret) if scheme == "bearer" else "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()

    by = authenticate_credentials(header, META)

    assert by.user == scorer
    assert by.via.startswith("token:")
    assert by.scopes == frozenset({Permission.PULL_VERSION})
    assert by.models == frozenset({"credit"})
    assert (by.ip, by.user_agent) == ("203.0.113.9", "pytest")


@pytest.mark.django_db
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic ###", "Basic eDp5", "Digest abc", "cs_aaaaaaaa_b"])
def test_what_is_no_token_signs_nobody_in(header: str) -> None:
    with pytest.raises(Unauthenticated):
        authenticate_credentials(header, META)


@pytest.mark.django_db
def test_wrong_altered_expired_revoked_and_orphaned_tokens_are_refused_alike(scorer: User, erin: User) -> None:
    altered, expired, revoked, orphaned = (issue(scorer, erin, days=days).secret for days in (30, 1, 30, 30))
    unknown = token_format.NewToken.make().text
    actions.revoke_token(ServiceToken.objects.get(prefix=revoked[3:11]), by=as_(erin))
    last = altered[-1]
    altered = altered[:-1] + ("A" if last != "A" else "E")
    said = set()

    with time_machine.travel(timezone.now() + timedelta(days=2), tick=False):
        for secret in (unknown, altered, expired, revoked):
            with pytest.raises(Unauthenticated) as refused:
                authenticate_credentials(bearer(secret), META)
            said.add(refused.value.detail)
        authenticate_credentials(bearer(orphaned), META)
        User.objects.filter(pk=scorer.pk).update(is_active=False)
        with pytest.raises(Unauthenticated) as refused:
            authenticate_credentials(bearer(orphaned), META)
        said.add(refused.value.detail)

    assert len(said) == 1
    assert {why for outcome, why in outcomes(Action.TOKEN_USE) if outcome == "denied"} == {
        "unknown-token",
        "wrong-secret",
        "expired-token",
        "revoked-token",
        "inactive-token",
    }


@pytest.mark.django_db
def test_a_refused_token_cannot_fill_the_ledger(scorer: User, erin: User) -> None:
    secret = issue(scorer, erin).secret
    actions.revoke_token(ServiceToken.objects.get(prefix=secret[3:11]), by=as_(erin))

    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                authenticate_credentials(bearer(secret), META)
        assert len(outcomes(Action.TOKEN_USE)) == 1
        clock.shift(61)
        with pytest.raises(Unauthenticated):
            authenticate_credentials(bearer(secret), META)

    assert len(outcomes(Action.TOKEN_USE)) == 2


@pytest.mark.django_db
def test_the_last_use_is_noted_at_most_once_a_minute(scorer: User, erin: User) -> None:
    issued = issue(scorer, erin)

    def last_used() -> object:
        return ServiceToken.objects.get(pk=issued.token.pk).last_used_at

    with time_machine.travel(timezone.now(), tick=False) as clock:
        authenticate_credentials(bearer(issued.secret), META)
        first = last_used()
        assert first is not None
        clock.shift(30)
        authenticate_credentials(bearer(issued.secret), META)
        assert last_used() == first
        clock.shift(31)
        authenticate_credentials(bearer(issued.secret), META)
        assert last_used() != first


@pytest.mark.django_db
def test_revocation_ends_a_token_between_two_requests(
    scorer: User, erin: User, api_for: Callable[[User | str], APIClient]
) -> None:
    issued = issue(scorer, erin)
    client = api_for(issued.secret)
    assert client.get("/api/v1/me/").status_code == 200

    actions.revoke_token(issued.token, by=as_(erin))

    answer = client.get("/api/v1/me/")
    assert answer.status_code == 401
    assert "expired or revoked" in answer.json()["detail"]


# --- revoking


@pytest.mark.django_db
def test_the_owner_of_an_account_revokes_its_tokens_and_others_do_not(
    scorer: User, erin: User, dave: User, alice: User
) -> None:
    User.objects.filter(pk=scorer.pk).update(owner=dave)
    issued = issue(scorer, erin)
    with pytest.raises(Forbidden):
        actions.revoke_token(issued.token, by=as_(alice))

    revoked = actions.revoke_token(issued.token, by=as_(dave))

    assert revoked.revoked_by == dave
    with pytest.raises(Conflict, match="already revoked"):
        actions.revoke_token(issued.token, by=as_(erin))


@pytest.mark.django_db
def test_a_deactivated_owner_revokes_nothing(scorer: User, erin: User, dave: User) -> None:
    User.objects.filter(pk=scorer.pk).update(owner=dave)
    issued = issue(scorer, erin)
    dave.is_active = False
    dave.save()

    with pytest.raises(Forbidden):
        actions.revoke_token(issued.token, by=as_(dave))
