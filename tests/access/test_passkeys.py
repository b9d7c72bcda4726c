"""Enrolling a passkey and signing with it: theirs, once, for one statement, at our address, in time; all else refused and counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.db import IntegrityError, transaction
from django.utils import timezone

from access import passkeys
from access.models import Passkey, PasskeyCeremony, Reauthentication, User
from access.stepup import methods_of, prove, reauthenticate
from audit.events import Action
from countersign.proof.canonical import sha256_hex
from countersign.proof.webauthn import check_signed_by, read_enrolment
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Forbidden, Invalid, Refusal
from tests.access.ledger import outcomes
from tests.conftest import PASSWORD, as_
from tests.passkeys import FLAG, SoftKey, enrolled, ready_for, tampered

pytestmark = pytest.mark.django_db

DIGEST = sha256_hex(b"the statement")


@pytest.fixture
def laptop(bob: User) -> SoftKey:
    soft = SoftKey()
    enrolled(bob, soft)
    return soft


def asked(user: User, digest: str = DIGEST) -> dict[str, Any]:
    return passkeys.begin(user, ready_for(digest))


def signed(user: User, answer: object) -> Reauthentication:
    return passkeys.finish(user, answer, by=as_(user))


def why(user: User, answer: object) -> str:
    with pytest.raises(Refusal) as refused:
        signed(user, answer)
    assert not Reauthentication.objects.filter(user=user, method="passkey", consumed_at=None).exists()
    return refused.value.code


def test_the_registry_says_whose_key_it_is(bob: User) -> None:
    soft = SoftKey()

    passkey = enrolled(bob, soft)

    key = read_enrolment(passkey.statement, registry_signer().public)
    assert (key.person, key.person_name, key.credential_id, key.rp_id) == (
        str(bob.uuid),
        str(bob),
        soft.id,
        "localhost",
    )
    assert outcomes(Action.AUTHENTICATOR_ADD) == [("ok", "")]


def test_nobody_enrols_a_key_for_somebody_else(bob: User, carol: User) -> None:
    credential = SoftKey().create("AAAA")
    authenticator = Authenticator.objects.create(
        user=bob, type=Authenticator.Type.WEBAUTHN, data={"name": "x", "credential": credential}
    )

    with pytest.raises(Forbidden):
        passkeys.enrol(authenticator, by=as_(carol))

    assert not Passkey.objects.exists()


def test_one_key_belongs_to_one_person(bob: User, carol: User, laptop: SoftKey) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        enrolled(carol, laptop)


def test_a_passkey_comes_first_and_a_secret_stays_possible(bob: User, laptop: SoftKey) -> None:
    assert methods_of(bob) == ["passkey", "password"]
    assert reauthenticate(bob, method="password", secret=PASSWORD, by=as_(bob)).method == "password"


def test_a_passkey_is_no_password(bob: User, laptop: SoftKey) -> None:
    with pytest.raises(Invalid) as refused:
        reauthenticate(bob, method="passkey", secret="", by=as_(bob))

    assert refused.value.code == "wrong-method"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_an_assertion_over_the_statement_is_proof_for_anybody(bob: User, algorithm: str) -> None:
    soft = SoftKey(algorithm)
    enrolled(bob, soft)

    given = signed(bob, soft.get(asked(bob)))

    assert (given.method, given.challenge) == ("passkey", DIGEST)
    check_signed_by(str(bob.uuid), given.at, DIGEST, given.assertion, given.enrolment, registry_signer().public)
    assert outcomes(Action.SESSION_REAUTHENTICATE) == [("ok", "")]


def test_the_proof_stands_for_its_statement_and_no_other(bob: User, laptop: SoftKey) -> None:
    proof = prove(signed(bob, laptop.get(asked(bob))), user=bob)

    proof.stands_for(DIGEST)
    with pytest.raises(Conflict, match="something changed"):
        proof.stands_for(sha256_hex(b"another statement"))


def test_the_time_and_nonce_of_the_rehearsal_are_those_of_the_proof(bob: User, laptop: SoftKey) -> None:
    ready = ready_for(DIGEST)

    given = signed(bob, laptop.get(passkeys.begin(bob, ready)))

    assert (given.at, given.nonce) == (ready.rehearsal.at, ready.rehearsal.nonce)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda key, options: tampered(key.get(options), "signature"), "passkey-signature"),
        (lambda key, options: tampered(key.get(options), "authenticatorData"), "passkey-signature"),
        (lambda key, options: key.get(options, origin="https://evil.example"), "passkey-other-origin"),
        (lambda key, options: key.get(options, origin="http://localhost:8001"), "passkey-other-origin"),
        (lambda key, options: key.get(options, flags=FLAG.UP), "passkey-not-verified"),
        (lambda key, options: key.get({"challenge": "AAAA"}), "passkey-other-statement"),
        (lambda key, options: key.get(options, count=0), "passkey-copied"),
        (lambda key, options: {"id": "x"}, "passkey-malformed"),
        (lambda key, options: None, "passkey-malformed"),
    ],
)
def test_a_forged_answer_is_refused_with_its_reason(
    bob: User, laptop: SoftKey, wrong: Callable[[SoftKey, dict[str, Any]], object], code: str
) -> None:
    signed(bob, laptop.get(asked(bob, sha256_hex(b"earlier"))))
    Reauthentication.objects.update(consumed_at=timezone.now())

    assert why(bob, wrong(laptop, asked(bob))) == code
    assert outcomes(Action.SESSION_REAUTHENTICATE)[-1] == ("denied", code)


def test_an_answer_counts_once(bob: User, laptop: SoftKey) -> None:
    answer = laptop.get(asked(bob))
    prove(signed(bob, answer), user=bob)

    assert why(bob, answer) == "passkey-replayed"


def test_a_ceremony_counts_once_also_with_a_new_answer(bob: User, laptop: SoftKey) -> None:
    options = asked(bob)
    prove(signed(bob, laptop.get(options)), user=bob)

    assert why(bob, laptop.get(options)) == "passkey-replayed"


def test_a_ceremony_of_somebody_else_is_not_ones_own(bob: User, carol: User, laptop: SoftKey) -> None:
    theirs = SoftKey()
    enrolled(carol, theirs)

    assert why(bob, laptop.get(asked(carol))) == "passkey-other-person"


def test_a_key_of_somebody_else_does_not_sign_for_one(bob: User, carol: User, laptop: SoftKey) -> None:
    theirs = SoftKey()
    enrolled(carol, theirs)

    assert why(bob, theirs.get(asked(bob))) == "passkey-other-person"


def test_nobody_answers_in_the_place_of_somebody_else(bob: User, carol: User, laptop: SoftKey) -> None:
    answer = laptop.get(asked(bob))

    with pytest.raises(Forbidden):
        passkeys.finish(bob, answer, by=as_(carol))


def test_an_unknown_key_is_refused(bob: User, laptop: SoftKey) -> None:
    assert why(bob, SoftKey().get(asked(bob))) == "passkey-unknown"


def test_after_five_minutes_it_is_too_late(bob: User, laptop: SoftKey) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        answer = laptop.get(asked(bob))
        clock.shift(timedelta(minutes=5, seconds=1))

        assert why(bob, answer) == "passkey-stale"


def test_within_five_minutes_it_is_not(bob: User, laptop: SoftKey) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        answer = laptop.get(asked(bob))
        clock.shift(timedelta(minutes=5))

        assert prove(signed(bob, answer), user=bob).method == "passkey"


def test_a_synced_passkey_may_not_count_at_all(bob: User) -> None:
    soft = SoftKey(counts=False)
    enrolled(bob, soft)

    for number in range(2):
        signed(bob, soft.get(asked(bob, sha256_hex(bytes([number])))))


def test_a_counter_that_stood_still_is_a_copy(bob: User, laptop: SoftKey) -> None:
    prove(signed(bob, laptop.get(asked(bob), count=9)), user=bob)

    assert why(bob, laptop.get(asked(bob, sha256_hex(b"next")), count=9)) == "passkey-copied"


def test_wrong_answers_are_counted_like_wrong_passwords(bob: User, laptop: SoftKey) -> None:
    for _ in range(5):
        why(bob, {"id": "x"})

    assert why(bob, laptop.get(asked(bob))) == "locked-out"
    with pytest.raises(Conflict):
        reauthenticate(bob, method="password", secret=PASSWORD, by=as_(bob))


def test_a_removed_passkey_signs_no_more_and_its_row_stays(bob: User, laptop: SoftKey) -> None:
    options = asked(bob)

    passkeys.retire(bob, laptop.id, by=as_(bob))

    assert why(bob, laptop.get(options)) == "passkey-unknown"
    assert methods_of(bob) == ["password"]
    assert Passkey.objects.get().removed_at is not None
    assert outcomes(Action.AUTHENTICATOR_REMOVE) == [("ok", "")]


def test_a_key_that_the_login_no_longer_knows_signs_no_more(bob: User, laptop: SoftKey) -> None:
    options = asked(bob)
    Authenticator.objects.all().delete()

    assert why(bob, laptop.get(options)) == "passkey-unknown"


def test_nobody_renames_the_passkey_of_somebody_else(bob: User, carol: User, laptop: SoftKey) -> None:
    authenticator = Authenticator.objects.get(pk=Passkey.objects.get().authenticator_pk)

    with pytest.raises(Forbidden):
        passkeys.rename(authenticator, "Mine", by=as_(carol))
    passkeys.rename(authenticator, "Old blue key", by=as_(bob))

    assert Passkey.objects.get().name == "Old blue key"
    assert outcomes(Action.AUTHENTICATOR_RENAME)[-1] == ("ok", "")


def test_nobody_retires_the_passkey_of_somebody_else(bob: User, carol: User, laptop: SoftKey) -> None:
    with pytest.raises(Forbidden):
        passkeys.retire(bob, laptop.id, by=as_(carol))

    assert Passkey.objects.get().removed_at is None


def test_who_has_no_passkey_is_told_where_to_get_one(bob: User) -> None:
    with pytest.raises(Conflict, match="no passkey yet") as refused:
        asked(bob)

    assert refused.value.link == "/me/"
    assert not PasskeyCeremony.objects.exists()


def test_old_ceremonies_are_forgotten(bob: User, laptop: SoftKey) -> None:
    with time_machine.travel(timezone.now(), tick=False) as clock:
        asked(bob)
        clock.shift(timedelta(days=1, seconds=1))
        asked(bob, sha256_hex(b"next"))

    assert PasskeyCeremony.objects.count() == 1
