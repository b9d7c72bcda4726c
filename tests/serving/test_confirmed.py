"""Offline, a statement counts for what its signer confirmed: by a way that the policy accepts, and by passkey only with the assertion."""

from __future__ import annotations

import base64
import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from fido2 import cbor

from countersign.proof.attestation import (
    BREAK_GLASS_TYPE,
    ENVELOPE_TYPE,
    EXCEPTION_TYPE,
    RELEASE_TYPE,
    ROLLBACK_TYPE,
    SIGN_OFF_TYPE,
    NotVerified,
    verify,
)
from countersign.proof.canonical import digest_of, sha256_hex
from countersign.proof.dsse import envelope_digest
from countersign.proof.webauthn import PASSKEY_TYPE, encoded
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


def ahead(
    registry: Registry,
    *,
    policy: dict[str, Any] = POLICY,
    asks: dict[str, Any] | None = None,
    seconds: dict[str, Any] | None = None,
    release: dict[str, Any] | None = None,
) -> Attestation:
    """An attestation of a version that two people put live for two hours, with what the arguments make of their words."""
    attestation = registry.attestation(FILES, policy=policy)
    said = _predicate(attestation["release"])
    both = {
        **{name: said[name] for name in ("model", "version", "stage", "policies")},
        "hours": 2,
        "reauthentication": {"method": "password"},
        "issued": NOW.isoformat(),
    }
    asked = both | {"role": "asks", "person": {"id": "rita"}} | (asks or {})
    first = registry.sealed(BREAK_GLASS_TYPE, asked, said["digest"])
    answer = both | {"role": "seconds", "person": {"id": "carol"}, "groups": ["Risk officers"]}
    answer |= {"asked": envelope_digest(first)} | (seconds or {})
    second = registry.sealed(BREAK_GLASS_TYPE, answer, said["digest"])
    end = (NOW + timedelta(hours=2)).isoformat()
    named = {"asks": envelope_digest(first), "seconds": envelope_digest(second)}
    said |= {"basis": "break_glass", "break_glass": named, "valid_until": end, "pulls_until": end} | (release or {})
    attestation["break_glass"] = {"asks": first, "seconds": second}
    attestation["release"] = registry.sealed(RELEASE_TYPE, said, said["digest"])
    return attestation


def test_a_break_glass_within_the_policy_is_verified(registry: Registry) -> None:
    assert verify(ahead(registry), registry.signer.public, at=NOW).basis == "break_glass"


LATER = {"issued": (NOW + timedelta(hours=2)).isoformat()}
EARLIER = {"issued": (NOW - timedelta(seconds=1)).isoformat()}
TOO_LONG = (NOW + timedelta(hours=3)).isoformat()


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"policy": POLICY | {"break_glass": {"allowed": False}}}, "break-glass"),
        ({"policy": POLICY | {"break_glass": {"hours": 1}}}, "break-glass"),
        ({"policy": POLICY | {"break_glass": {"seconded_by": "Model validation"}}}, "break-glass"),
        ({"policy": PASSKEYS_ONLY}, "method"),
        ({"asks": {"role": "seconds"}}, "break-glass"),
        ({"seconds": {"role": "declines"}}, "break-glass"),
        ({"asks": {"policies": []}}, "break-glass"),
        ({"seconds": {"policies": []}}, "break-glass"),
        ({"asks": {"stage": "staging"}}, "sign-offs"),
        ({"seconds": {"asked": "0" * 64}}, "break-glass"),
        ({"seconds": {"hours": 9}}, "break-glass"),
        ({"seconds": {"person": {"id": "rita"}}}, "independence"),
        ({"seconds": {"person": {"id": "alice"}}}, "independence"),
        ({"seconds": LATER}, "break-glass"),
        ({"seconds": EARLIER}, "break-glass"),
        ({"release": {"valid_until": TOO_LONG}}, "break-glass"),
        ({"release": {"pulls_until": TOO_LONG}}, "break-glass"),
        ({"asks": {"reauthentication": {"method": "passkey"}}}, "passkey"),
        ({"seconds": {"reauthentication": {"method": "passkey"}}}, "passkey"),
    ],
)
def test_a_break_glass_that_the_policy_or_its_two_statements_do_not_bear_out_is_refused(
    registry: Registry, flaw: dict[str, Any], reason: str
) -> None:
    assert refused(registry, ahead(registry, **flaw)) == reason


def test_statements_of_a_break_glass_that_the_release_does_not_name_are_refused(registry: Registry) -> None:
    attestation, other = ahead(registry), ahead(registry, seconds={"reason": "Another one."})
    attestation["break_glass"] = other["break_glass"]

    assert refused(registry, attestation) == "break-glass"


def in_advance(
    registry: Registry,
    *,
    policy: dict[str, Any] = POLICY,
    document: dict[str, Any] | None = None,
    under: str = "",
    risk: dict[str, Any] | None = None,
    cited: int = 2,
    release: dict[str, Any] | None = None,
) -> Attestation:
    """An attestation of a retrained version whose bounds two people signed, with what the arguments make of it."""
    attestation = registry.attestation(FILES, policy=policy)
    said = _predicate(attestation["release"])
    text = {name: said[name] for name in ("model", "stage", "policies", "valid_until")} | {"bounds": {"max_uses": 3}}
    text |= document or {}
    signed = {
        "pulls_until": said["valid_until"],
        "reauthentication": {"method": "password"},
        "issued": NOW.isoformat(),
    }
    words = [
        signed | {"slot": {"key": "validator"}, "signer": {"id": "bob"}},
        signed | {"slot": {"key": "risk"}, "signer": {"id": "carol"}} | (risk or {}),
    ]
    digests = [digest_of(text), under or digest_of(text)]
    signatures = [registry.sealed(ENVELOPE_TYPE, *one) for one in zip(words, digests, strict=True)]
    named = {"digest": digest_of(text), "signatures": [envelope_digest(one) for one in signatures][:cited]}
    said |= {"basis": "envelope", "envelope": named, "bounds": [{"bound": "auc"}], "sign_offs": []} | (release or {})
    attestation["envelope"] = {"document": text, "signatures": signatures}
    attestation["release"] = registry.sealed(RELEASE_TYPE, said, said["digest"])
    return attestation


def test_bounds_that_two_people_signed_are_verified(registry: Registry) -> None:
    assert verify(in_advance(registry), registry.signer.public, at=NOW).basis == "envelope"


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"document": {"model": "loans"}}, "envelope"),
        ({"document": {"stage": "staging"}}, "envelope"),
        ({"document": {"policies": []}}, "envelope"),
        ({"document": {"valid_until": NOW.isoformat()}}, "envelope"),
        ({"under": "0" * 64}, "envelope"),
        ({"cited": 1}, "envelope"),
        ({"release": {"bounds": []}}, "envelope"),
        ({"risk": {"slot": {"key": "friend"}}}, "envelope"),
        ({"risk": {"slot": {"key": "validator"}}}, "threshold"),
        ({"risk": {"signer": {"id": "bob"}}}, "independence"),
        ({"risk": {"signer": {"id": "alice"}}}, "independence"),
        ({"risk": {"pulls_until": NOW.isoformat()}}, "expired"),
        ({"risk": {"reauthentication": {"method": "passkey"}}}, "passkey"),
        ({"policy": PASSKEYS_ONLY}, "method"),
    ],
)
def test_bounds_that_the_signatures_under_them_do_not_bear_out_are_refused(
    registry: Registry, flaw: dict[str, Any], reason: str
) -> None:
    assert refused(registry, in_advance(registry, **flaw)) == reason


@pytest.mark.parametrize(
    ("words", "named", "reason"),
    [
        ({}, "", ""),
        ({}, "0" * 64, "rollback-decision"),
        ({"stage": "staging"}, "", "sign-offs"),
        ({"reauthentication": {"method": "passkey"}}, "", "passkey"),
        ({"reauthentication": {"method": "a wink"}}, "", "method"),
    ],
)
def test_a_rollback_needs_its_signed_decision(
    registry: Registry, words: dict[str, Any], named: str, reason: str
) -> None:
    attestation = registry.attestation(FILES)
    said = _predicate(attestation["release"])
    decision = {
        **{name: said[name] for name in ("model", "version", "stage")},
        "person": {"id": "rita"},
        "reauthentication": {"method": "password"},
        "issued": NOW.isoformat(),
    }
    attestation["rollback"] = registry.sealed(ROLLBACK_TYPE, decision | words, said["digest"])
    cites = {"rollback": named or envelope_digest(attestation["rollback"])}
    attestation["release"] = registry.sealed(RELEASE_TYPE, said | cites, said["digest"])

    if reason:
        assert refused(registry, attestation) == reason
    else:
        assert verify(attestation, registry.signer.public, at=NOW).version == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"basis": "because"}, "basis"),
        ({"subject_digest": "0" * 64}, "subject"),
        ({"policies": []}, "policy"),
    ],
)
def test_a_release_that_rests_on_something_else_is_refused(
    registry: Registry, changes: dict[str, Any], reason: str
) -> None:
    attestation = registry.attestation(FILES)
    said = _predicate(attestation["release"])
    attestation["release"] = registry.sealed(RELEASE_TYPE, said | changes, said["digest"])

    assert refused(registry, attestation) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "loans"}, "subject"),
        ({"version": 9}, "subject"),
        ({"stage": "staging"}, "subject"),
        ({"digest": "0" * 64}, "subject"),
        ({"policies": []}, "policy"),
    ],
)
def test_a_subject_that_was_frozen_for_something_else_is_refused(
    registry: Registry, changes: dict[str, Any], reason: str
) -> None:
    attestation = registry.attestation(FILES)
    said = _predicate(attestation["release"])
    attestation["subject"] = json.dumps(json.loads(attestation["subject"]) | changes)
    cites = {"subject_digest": sha256_hex(attestation["subject"].encode())}
    attestation["release"] = registry.sealed(RELEASE_TYPE, said | cites, said["digest"])

    assert refused(registry, attestation) == reason


def test_a_sign_off_that_ended_before_the_release_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    said, signed = _predicate(attestation["release"]), _predicate(attestation["sign_offs"][1])
    attestation["sign_offs"][1] = registry.sealed(
        SIGN_OFF_TYPE, signed | {"pulls_until": NOW.isoformat()}, said["digest"]
    )
    named = [envelope_digest(one) for one in attestation["sign_offs"]]
    attestation["release"] = registry.sealed(RELEASE_TYPE, said | {"sign_offs": named}, said["digest"])

    assert refused(registry, attestation) == "expired"


def test_bounds_that_the_release_does_not_name_are_refused(registry: Registry) -> None:
    attestation = in_advance(registry)
    said = _predicate(attestation["release"])
    other = said["envelope"] | {"digest": "0" * 64}
    attestation["release"] = registry.sealed(RELEASE_TYPE, said | {"envelope": other}, said["digest"])

    assert refused(registry, attestation) == "envelope"
