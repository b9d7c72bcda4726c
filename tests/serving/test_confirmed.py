"""Offline, a statement counts for what its signer confirmed: by a way that the policy accepts, and by passkey only with the assertion."""

from __future__ import annotations

import base64
import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from fido2 import cbor

from foundation.canonical import sha256_hex
from foundation.dsse import envelope_digest
from foundation.webauthn import PASSKEY_TYPE, encoded
from serving.verification import EXCEPTION_TYPE, RELEASE_TYPE, SIGN_OFF_TYPE, NotVerified, verify
from tests.passkeys import SoftKey
from tests.serving.attesting import NOW, POLICY, Registry

FILES = {"MLmodel": b"flavors: {}\n", "model.skops": b"bytes of a model"}
PASSKEYS_ONLY = POLICY | {"reauthentication": ["passkey"]}
EXCEPTABLE: dict[str, Any] = POLICY | {
    "gates": [{"key": "auc-floor", "excepted_by": "risk"}, {"key": "calibration", "excepted_by": ""}]
}

Attestation = dict[str, Any]


@pytest.fixture
def registry() -> Registry:
    return Registry()


def refused(registry: Registry, attestation: Attestation) -> str:
    with pytest.raises(NotVerified) as refusal:
        verify(attestation, registry.signer.public, at=NOW)
    return refusal.value.reason


def enrolment(registry: Registry, key: SoftKey, person: str, **changes: Any) -> Any:
    """The registry's statement that the key is the person's."""
    cose = cbor.encode(dict(key.cose))
    predicate = {
        "person": {"id": person, "name": person.title(), "username": person},
        "credential_id": key.id,
        "public_key": encoded(cose),
        "rp_id": key.rp_id,
        "at": (NOW - timedelta(days=1)).isoformat(),
    }
    return registry.sealed(PASSKEY_TYPE, predicate | changes, sha256_hex(cose))


def signed_by_passkey(registry: Registry, **flaw: Any) -> Attestation:
    """An attestation whose two sign-offs were both signed with a passkey of their signer."""
    attestation = registry.attestation(FILES, method="passkey", **flaw)
    attestation["assertions"] = {}
    for envelope, person in zip(attestation["sign_offs"], ("bob", "carol"), strict=True):
        key, digest = SoftKey(), envelope_digest(envelope)
        answer = key.get({"challenge": encoded(bytes.fromhex(digest))})
        attestation["assertions"][digest] = {"assertion": answer, "enrolment": enrolment(registry, key, person)}
    return attestation


def test_signatures_by_passkey_are_verified_with_their_assertions(registry: Registry) -> None:
    release = verify(signed_by_passkey(registry, policy=PASSKEYS_ONLY), registry.signer.public, at=NOW)

    assert {one.method for one in release.sign_offs} == {"passkey"}


@pytest.mark.parametrize("method", ["password", "totp", "a wink"])
def test_a_confirmation_that_the_policy_does_not_accept_is_refused(registry: Registry, method: str) -> None:
    assert refused(registry, registry.attestation(FILES, policy=PASSKEYS_ONLY, method=method)) == "method"


def test_an_unknown_confirmation_is_refused_also_where_the_policy_names_none(registry: Registry) -> None:
    assert refused(registry, registry.attestation(FILES, method="a wink")) == "method"


@pytest.mark.parametrize("left", ["assertions", "assertion", "enrolment"])
def test_a_passkey_that_the_registry_only_claims_is_refused(registry: Registry, left: str) -> None:
    attestation = signed_by_passkey(registry)
    if left == "assertions":
        attestation["assertions"] = {}
    else:
        attestation["assertions"][envelope_digest(attestation["sign_offs"][1])].pop(left)

    assert refused(registry, attestation) == "passkey"


def test_the_passkey_of_somebody_else_is_refused(registry: Registry) -> None:
    attestation = signed_by_passkey(registry)
    first, second = (envelope_digest(one) for one in attestation["sign_offs"])
    key = SoftKey()
    attestation["assertions"][second] = {
        "assertion": key.get({"challenge": encoded(bytes.fromhex(second))}),
        "enrolment": enrolment(registry, key, "bob"),
    }
    swapped = copy.deepcopy(attestation)
    swapped["assertions"][second] = swapped["assertions"][first]

    assert refused(registry, attestation) == "passkey"
    assert refused(registry, swapped) == "passkey"


def excepted(registry: Registry, *, left_out: bool = False, **changes: Any) -> Attestation:
    """An attestation that rests on an exception of one gate too, with what `changes` make of its statement."""
    attestation = registry.attestation(FILES, policy=EXCEPTABLE)
    said = _predicate(attestation["release"])
    exception = registry.sealed(
        EXCEPTION_TYPE,
        {
            **{name: said[name] for name in ("model", "version", "stage")},
            "slot": {"key": "risk", "title": "Risk"},
            "gate": {"key": "auc-floor"},
            "reviewer": {"id": "carol", "name": "Carol", "username": "carol"},
            "ends_at": said["valid_until"],
            "reauthentication": {"method": "password"},
            "issued": NOW.isoformat(),
        }
        | changes,
        said["digest"],
    )
    attestation["exceptions"] = [] if left_out else [exception]
    attestation["release"] = registry.sealed(
        RELEASE_TYPE, said | {"exceptions": [envelope_digest(exception)]}, said["digest"]
    )
    return attestation


def _predicate(envelope: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return found


def test_an_exception_by_the_slot_that_the_policy_names_is_verified(registry: Registry) -> None:
    assert verify(excepted(registry), registry.signer.public, at=NOW).version == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"left_out": True}, "exceptions"),
        ({"slot": {"key": "validator"}}, "exceptions"),
        ({"slot": {"key": ""}, "gate": {"key": "calibration"}}, "exceptions"),
        ({"gate": {"key": "unknown"}}, "exceptions"),
        ({"reviewer": {"id": "alice"}}, "independence"),
        ({"ends_at": NOW.isoformat()}, "exceptions"),
        ({"stage": "staging"}, "sign-offs"),
        ({"reauthentication": {"method": "passkey"}}, "passkey"),
        ({"reauthentication": {"method": "a wink"}}, "method"),
    ],
)
def test_an_exception_that_the_policy_does_not_allow_is_refused(
    registry: Registry, changes: dict[str, Any], reason: str
) -> None:
    assert refused(registry, excepted(registry, **changes)) == reason


def test_a_signature_for_somebody_in_a_slot_that_is_not_delegable_is_refused(registry: Registry) -> None:
    policy = POLICY | {"slots": [slot | {"delegable": False} for slot in POLICY["slots"]]}
    attestation = registry.attestation(FILES, policy=policy)
    said = _predicate(attestation["sign_offs"][1])
    attestation["sign_offs"][1] = registry.sealed(
        SIGN_OFF_TYPE, said | {"on_behalf_of": {"id": "dan"}}, _predicate(attestation["release"])["digest"]
    )
    release = _predicate(attestation["release"])
    named = [envelope_digest(one) for one in attestation["sign_offs"]]
    attestation["release"] = registry.sealed(RELEASE_TYPE, release | {"sign_offs": named}, release["digest"])

    assert refused(registry, attestation) == "delegation"
