"""The check of one assertion, without database or clock: what signs a statement, and that everything near it does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fido2 import cbor
from fido2.cose import ES384
from hypothesis import given
from hypothesis import strategies as st

from countersign.proof.canonical import sha256_hex
from countersign.proof.dsse import Signer, seal, statement
from countersign.proof.webauthn import (
    PASSKEY_TYPE,
    BadAssertion,
    EnrolledKey,
    algorithm_of,
    check_assertion,
    check_signed_by,
    decoded,
    encoded,
    public_key,
    read_assertion,
    read_enrolment,
)
from tests.passkeys import FLAG, ORIGIN, SoftKey, client_data, tampered

DIGEST = sha256_hex(b"the statement")
OPTIONS = {"challenge": encoded(bytes.fromhex(DIGEST))}
AT = datetime(2026, 11, 23, tzinfo=UTC)
REGISTRY = Signer(Ed25519PrivateKey.generate())


def _key(soft: SoftKey, person: str = "bob-id") -> EnrolledKey:
    return EnrolledKey(person, "Bob", soft.id, cbor.encode(dict(soft.cose)), soft.rp_id, AT)


def _enrolment(soft: SoftKey, signer: Signer = REGISTRY, **changed: Any) -> dict[str, Any]:
    cose = cbor.encode(dict(soft.cose))
    predicate = {
        "person": {"id": "bob-id", "name": "Bob", "username": "bob"},
        "credential_id": soft.id,
        "public_key": encoded(cose),
        "rp_id": "localhost",
        "at": AT.isoformat(),
    } | changed
    value = statement(
        subject_name="bob", subject_sha256=sha256_hex(cose), predicate_type=PASSKEY_TYPE, predicate=predicate
    )
    return dict(seal(value, signer))


def _why(answer: Any, soft: SoftKey, *, challenge: str = DIGEST, origins: set[str] | None = None) -> str:
    with pytest.raises(BadAssertion) as bad:
        check_assertion(read_assertion(answer), challenge=challenge, key=_key(soft), origins=origins)
    return bad.value.reason


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_each_algorithm_signs_a_statement(algorithm: str) -> None:
    soft = SoftKey(algorithm)

    check_assertion(read_assertion(soft.get(OPTIONS)), challenge=DIGEST, key=_key(soft), origins={ORIGIN})

    assert algorithm_of(cbor.encode(dict(soft.cose))) == algorithm


def test_a_record_of_an_assertion_is_as_good_as_the_browsers_answer() -> None:
    soft = SoftKey()
    kept = read_assertion(soft.get(OPTIONS)).as_json()

    check_assertion(read_assertion(json.loads(json.dumps(kept))), challenge=DIGEST, key=_key(soft))


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("part", ["signature", "authenticatorData"])
def test_one_changed_bit_breaks_the_signature(algorithm: str, part: str) -> None:
    soft = SoftKey(algorithm)

    assert _why(tampered(soft.get(OPTIONS), part), soft) == "signature"


def test_a_key_of_somebody_else_does_not_sign_in_its_place() -> None:
    mine, other = SoftKey(), SoftKey()
    answer = other.get(OPTIONS)

    assert _why(answer, mine) == "other-key"
    assert _why(answer | {"id": mine.id}, mine) == "signature"


def test_another_statement_is_not_signed() -> None:
    soft = SoftKey()

    assert _why(soft.get(OPTIONS), soft, challenge=sha256_hex(b"another")) == "other-statement"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"origin": "http://localhost:8001"}, "other-origin"),
        ({"origin": "https://evil.example"}, "other-origin"),
        ({"crossOrigin": True}, "other-origin"),
        ({"kind": "webauthn.create"}, "malformed"),
        ({"flags": FLAG.UP}, "not-verified"),
        ({"flags": FLAG.UV}, "not-present"),
        ({"flags": FLAG.UP | FLAG.UV | FLAG.BS}, "malformed"),
    ],
)
def test_each_wrong_circumstance_is_refused(wrong: dict[str, Any], reason: str) -> None:
    soft = SoftKey()

    assert _why(soft.get(OPTIONS, **wrong), soft, origins={ORIGIN}) == reason


def test_a_key_of_another_site_is_refused() -> None:
    soft = SoftKey()
    answer = SoftKey(rp_id="evil.example")
    answer.private, answer.credential = soft.private, soft.credential

    assert _why(answer.get(OPTIONS), soft) == "other-origin"


@pytest.mark.parametrize(
    ("origin", "rp_id", "good"),
    [
        ("https://models.example.org", "example.org", True),
        ("https://example.org:8443", "example.org", True),
        ("http://localhost:8000", "localhost", True),
        ("http://example.org", "example.org", False),
        ("https://badexample.org", "example.org", False),
        ("https://example.org.evil.net", "example.org", False),
    ],
)
def test_offline_every_secure_address_of_the_site_is_good(origin: str, rp_id: str, good: bool) -> None:
    soft = SoftKey(rp_id=rp_id)
    answer = read_assertion(soft.get(OPTIONS, origin=origin))

    if good:
        check_assertion(answer, challenge=DIGEST, key=_key(soft))
    else:
        with pytest.raises(BadAssertion):
            check_assertion(answer, challenge=DIGEST, key=_key(soft))


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"response": {}}, {"id": "!", "response": {}}, {"id": 7}])
def test_what_is_no_assertion_is_refused_and_does_not_crash(answer: object) -> None:
    with pytest.raises(BadAssertion):
        read_assertion(answer)


def test_client_data_with_a_name_twice_is_refused() -> None:
    soft = SoftKey()
    answer = soft.get(OPTIONS)
    twice = client_data("webauthn.get", OPTIONS["challenge"], ORIGIN)[:-1] + b', "challenge": "AAAA"}'
    answer["response"]["clientDataJSON"] = encoded(twice)

    assert _why(answer, soft) == "malformed"


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader_of_keys(data: bytes) -> None:
    with pytest.raises(BadAssertion) as bad:
        public_key(data)

    assert bad.value.reason == "key"


def test_another_algorithm_is_refused_by_name() -> None:
    other = ES384.from_cryptography_key(ec.generate_private_key(ec.SECP384R1()).public_key())

    with pytest.raises(BadAssertion, match="ES256"):
        public_key(cbor.encode(dict(other)))


def test_a_statement_is_bound_to_its_person_by_the_registrys_enrolment() -> None:
    soft = SoftKey()

    key = check_signed_by("bob-id", AT, DIGEST, soft.get(OPTIONS), _enrolment(soft), REGISTRY.public)

    assert (key.person_name, key.rp_id) == ("Bob", "localhost")


def test_a_statement_without_an_assertion_is_not_signed() -> None:
    with pytest.raises(BadAssertion) as bad:
        check_signed_by("bob-id", AT, DIGEST, None, None, REGISTRY.public)

    assert bad.value.reason == "no-assertion"


def test_a_good_assertion_of_another_person_is_not_theirs() -> None:
    soft = SoftKey()

    with pytest.raises(BadAssertion) as bad:
        check_signed_by("carol-id", AT, DIGEST, soft.get(OPTIONS), _enrolment(soft), REGISTRY.public)

    assert bad.value.reason == "other-person"


def test_a_key_enrolled_after_the_signature_did_not_make_it() -> None:
    soft = SoftKey()

    with pytest.raises(BadAssertion) as bad:
        check_signed_by(
            "bob-id", AT - timedelta(seconds=1), DIGEST, soft.get(OPTIONS), _enrolment(soft), REGISTRY.public
        )

    assert bad.value.reason == "enrolment"


@pytest.mark.parametrize(
    "changed",
    [{"public_key": encoded(b"\xa0")}, {"person": "bob"}, {"at": "2026-11-23T00:00:00"}, {"credential_id": None}],
)
def test_an_enrolment_that_contradicts_itself_binds_nobody(changed: dict[str, Any]) -> None:
    soft = SoftKey()

    with pytest.raises(BadAssertion):
        check_signed_by("bob-id", AT, DIGEST, soft.get(OPTIONS), _enrolment(soft, **changed), REGISTRY.public)


def test_an_enrolment_that_the_registry_did_not_sign_binds_nobody() -> None:
    soft = SoftKey()

    with pytest.raises(BadAssertion) as bad:
        read_enrolment(_enrolment(soft, Signer(Ed25519PrivateKey.generate())), REGISTRY.public)

    assert bad.value.reason == "enrolment"


@given(st.binary(min_size=1, max_size=100))
def test_base64url_goes_there_and_back(data: bytes) -> None:
    assert decoded(encoded(data), "data") == data
