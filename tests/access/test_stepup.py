"""Confirming again that it is you: right secret only, counted, fresh, once, and one's own."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core.cache import caches
from django.core.cache.backends import locmem
from django.db import transaction
from django.utils import timezone

from access import actions, stepup
from access.models import Reauthentication, User
from access.principal import Principal
from audit.events import Action
from foundation.refusals import Conflict, Forbidden, Invalid
from tests.access.ledger import outcomes, public_bytes
from tests.conftest import PASSWORD, as_
from tests.passkeys import SoftKey, enrolled

pytestmark = pytest.mark.django_db


def confirm(
    user: User, secret: str = PASSWORD, *, method: str = "password", by: Principal | None = None
) -> Reauthentication:
    return actions.reauthenticate(user, method=method, secret=secret, by=by or as_(user))


def code_of(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def test_the_right_password_is_a_proof_on_record(bob: User) -> None:
    proof = confirm(bob)

    assert proof.user == bob
    assert proof.method == "password"
    assert outcomes(Action.SESSION_REAUTHENTICATE) == [("ok", "")]


def test_a_wrong_password_is_none_and_leaves_no_trace_of_itself(bob: User) -> None:
    with pytest.raises(Invalid, match="password is not right"):
        confirm(bob, "hunter2hunter2")

    assert not Reauthentication.objects.exists()
    assert outcomes(Action.SESSION_REAUTHENTICATE) == [("denied", "not-you")]
    assert b"hunter2" not in public_bytes()


def test_the_signature_dialog_cannot_be_brute_forced_from_any_address(bob: User) -> None:
    for attempt in range(5):
        with pytest.raises(Invalid):
            confirm(
                bob,
                "wrong",
                by=Principal.of(bob, via="session", ip=f"203.0.113.{attempt}", user_agent=f"agent {attempt}"),
            )

    with pytest.raises(Conflict, match=r"Too many wrong attempts.*15 minutes"):
        confirm(bob, PASSWORD, by=Principal.of(bob, via="session", ip="198.51.100.7", user_agent="fresh"))

    with time_machine.travel(timezone.now() + timedelta(minutes=16)):
        assert confirm(bob)


def test_one_persons_failures_lock_nobody_else(bob: User, carol: User) -> None:
    for _ in range(5):
        with pytest.raises(Invalid):
            confirm(bob, "wrong")

    assert confirm(carol)


def test_success_starts_the_count_again(bob: User) -> None:
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(Invalid):
                confirm(bob, "wrong")
        confirm(bob)


@pytest.mark.django_db(transaction=True)
def test_failures_stay_counted_because_no_callers_transaction_can_roll_them_back(bob: User) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        confirm(bob, "wrong")


def test_nobody_confirms_for_somebody_else(bob: User, carol: User) -> None:
    with pytest.raises(Forbidden, match="their own identity"):
        confirm(bob, by=as_(carol))
    with pytest.raises(Forbidden, match="their own identity"):
        confirm(bob, by=Principal.system("operator"))


def test_a_deactivated_person_confirms_nothing(bob: User, erin: User) -> None:
    loaded_before = as_(bob)
    actions.deactivate(bob, by=as_(erin))

    with pytest.raises(Conflict):
        confirm(bob, by=loaded_before)


def test_whoever_has_an_authenticator_uses_its_code_and_not_the_password(bob: User) -> None:
    secret = generate_totp_secret()
    TOTP.activate(bob, secret)
    assert stepup.methods_of(bob) == [Reauthentication.Method.TOTP]

    with pytest.raises(Invalid, match="authenticator code"):
        confirm(bob)
    with pytest.raises(Invalid, match="code is not right"):
        confirm(bob, "000000", method="totp")
    code = code_of(secret)
    proof = confirm(bob, code, method="totp")

    assert proof.method == "totp"
    with pytest.raises(Invalid, match="each works once"):
        confirm(bob, code, method="totp")


def test_a_code_is_used_up_for_every_process(bob: User) -> None:
    secret = generate_totp_secret()
    TOTP.activate(bob, secret)
    with time_machine.travel(timezone.now(), tick=False):
        code = code_of(secret)
        confirm(bob, code, method="totp")

        for kept in (getattr(locmem, name) for name in ("_caches", "_expire_info")):
            kept.clear()  # another process has nothing of what this one keeps in its memory
        del caches["default"]

        with pytest.raises(Invalid, match="each works once"):
            confirm(bob, code, method="totp")


def test_whoever_has_none_cannot_choose_it(bob: User) -> None:
    assert not Authenticator.objects.exists()

    for method in ("totp", "", "passkey"):
        with pytest.raises(Invalid, match="Confirm with your password"):
            confirm(bob, "000000", method=method)


def test_a_passkey_is_no_secret_that_can_be_typed(bob: User) -> None:
    enrolled(bob, SoftKey())
    assert stepup.methods_of(bob) == [Reauthentication.Method.PASSKEY, Reauthentication.Method.PASSWORD]

    with pytest.raises(Invalid, match="Confirm with your password"):
        confirm(bob, method="passkey")


# --- using a proof up


def test_a_proof_is_used_once(bob: User) -> None:
    proof = confirm(bob)

    used = actions.consume(proof, user=bob, now=timezone.now())

    assert used.consumed_at is not None
    with pytest.raises(Conflict, match="already used"):
        actions.consume(proof, user=bob, now=timezone.now())


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (300, True), (301, False), (86_400, False), (-1, False)])
def test_a_proof_is_good_for_five_minutes(seconds: int, good: bool, bob: User) -> None:
    proof = confirm(bob)
    now = proof.at + timedelta(seconds=seconds)

    if good:
        assert actions.consume(proof, user=bob, now=now).consumed_at == now
    else:
        with pytest.raises(Conflict, match="more than 5 minutes"):
            actions.consume(proof, user=bob, now=now)


def test_a_proof_is_good_for_its_owner_only(bob: User, carol: User) -> None:
    proof = confirm(bob)

    with pytest.raises(Forbidden, match="somebody else's"):
        actions.consume(proof, user=carol, now=timezone.now())


def test_the_database_alone_does_not_give_the_authenticator_away(bob: User) -> None:
    secret = generate_totp_secret()
    TOTP.activate(bob, secret)

    kept = Authenticator.objects.get(user=bob).data["secret"]

    assert secret not in kept
    assert confirm(bob, code_of(secret), method="totp").method == "totp"
