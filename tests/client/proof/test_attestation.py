"""What an offline verifier accepts, and that every single forgery is refused with its own reason."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.proof.attestation import (
    RELEASE_TYPE,
    SIGN_OFF_TYPE,
    STATUS_TYPE,
    NotVerified,
    VerifiedRelease,
    check_standing,
    verify,
    verify_status,
    version_id,
)
from countersign.proof.canonical import digest_of
from countersign.proof.dsse import open_sealed, seal
from tests.serving.attesting import NOW, POLICY, Registry

FILES = {"MLmodel": b"flavors: {}\n", "model.skops": b"bytes of a model"}


@pytest.fixture
def registry() -> Registry:
    return Registry()


_ASKED: dict[str, Any] = {"at": NOW, "model": "credit", "stage": "production"}


def check(registry: Registry, attestation: dict[str, Any], **asked: Any) -> VerifiedRelease:
    return verify(attestation, registry.signer.public, **(_ASKED | asked))


def refused(registry: Registry, attestation: dict[str, Any], **asked: Any) -> str:
    with pytest.raises(NotVerified) as refusal:
        check(registry, attestation, **asked)
    return refusal.value.reason


def test_a_signed_release_is_verified_offline(registry: Registry) -> None:
    release = check(registry, registry.attestation(FILES), version=3, seen_counter=7)

    assert (release.model, release.version, release.stage) == ("credit", 3, "production")
    assert [file.path for file in release.files] == ["MLmodel", "model.skops"]
    assert {(one.slot, one.reviewer) for one in release.sign_offs} == {("validator", "bob"), ("risk", "carol")}


def test_verification_and_worker_need_no_django() -> None:
    code = "import sys, countersign, serving.worker; sys.exit('django' in sys.modules or 'mlflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_registry_s_signature_does_not_count(registry: Registry) -> None:
    assert refused(registry, Registry().attestation(FILES)) == "signature"


def test_an_attestation_for_something_else_does_not_count(registry: Registry) -> None:
    attestation = registry.attestation(FILES)

    assert refused(registry, attestation, model="fraud") == "other-release"
    assert refused(registry, attestation, stage="staging") == "other-release"
    assert refused(registry, attestation, version=4) == "other-release"


def test_a_changed_manifest_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["manifest"][1]["sha256"] = "0" * 64

    assert refused(registry, attestation) == "manifest"


def test_an_added_file_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["manifest"].append({"path": "code.py", "size": 1, "sha256": "0" * 64})

    assert refused(registry, attestation) == "manifest"


def test_a_release_with_a_changed_payload_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    payload = json.loads(base64.b64decode(attestation["release"]["payload"]))
    payload["predicate"]["version"] = 4
    attestation["release"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()

    assert refused(registry, attestation) == "signature"


def test_a_sign_off_cannot_stand_in_for_a_release(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["release"] = attestation["sign_offs"][0]

    assert refused(registry, attestation) == "malformed"


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"signers": (("validator", "bob"),)}, "threshold"),
        ({"signers": ()}, "threshold"),
        ({"signers": (("validator", "bob"), ("risk", "bob"))}, "independence"),
        ({"signers": (("validator", "alice"), ("risk", "carol"))}, "independence"),
        ({"signers": (("validator", "bob"), ("risk", "carol"), ("friend", "dave"))}, "sign-offs"),
        ({"decision": "request_changes"}, "sign-offs"),
        ({"valid": timedelta(seconds=-1)}, "expired"),
        ({"seen_facets": {"card": "0" * 64}}, "stale"),
        ({"policy": {"title": "Nothing", "slots": []}}, "policy"),
        ({"policy": {"title": "Two", "slots": [{**POLICY["slots"][0], "people": 2}]}}, "sign-offs"),
    ],
)
def test_what_was_never_enough_is_refused_although_the_registry_signed_it(
    registry: Registry, flaw: dict[str, Any], reason: str
) -> None:
    assert refused(registry, registry.attestation(FILES, **flaw)) == reason


def test_a_facet_that_the_slot_does_not_answer_for_may_differ(registry: Registry) -> None:
    policy = {"title": "Risk only", "slots": [POLICY["slots"][1]]}
    attestation = registry.attestation(
        FILES, policy=policy, signers=(("risk", "carol"),), seen_facets={"data": "0" * 64}
    )

    assert check(registry, attestation).version == 3


def test_two_people_are_asked_for_where_the_policy_says_two(registry: Registry) -> None:
    policy = {"title": "Two", "slots": [{**POLICY["slots"][0], "people": 2}]}
    one = registry.attestation(FILES, policy=policy, signers=(("validator", "bob"),))
    two = registry.attestation(FILES, policy=policy, signers=(("validator", "bob"), ("validator", "carol")))

    assert refused(registry, one) == "threshold"
    assert len(check(registry, two).sign_offs) == 2


def test_slots_of_two_policies_are_each_asked_for_whatever_they_are_called(registry: Registry) -> None:
    slot = POLICY["slots"][0]
    policy = {"title": "Two slots", "slots": [slot, {**slot, "key": "validator-zz"}]}
    beside = {"zz": {"title": "One more", "slots": [slot]}}
    signers = (("validator", "bob"), ("validator-zz", "carol"))

    few = registry.attestation(FILES, policy=policy, beside=beside, signers=signers)
    all_ = registry.attestation(FILES, policy=policy, beside=beside, signers=(*signers, ("validator_zz", "dave")))

    assert refused(registry, few) == "threshold"
    assert len(check(registry, all_).sign_offs) == 3


def test_a_weaker_policy_text_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["policies"][0]["content"] = {"title": "Production", "slots": []}

    assert refused(registry, attestation) == "policy"


def test_sign_offs_of_another_version_are_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["sign_offs"] = registry.attestation(FILES, version=2)["sign_offs"]

    assert refused(registry, attestation) == "sign-offs"


def test_another_subject_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["subject"] = attestation["subject"].replace("production", "staging")

    assert refused(registry, attestation) == "subject"


def test_the_authors_of_another_version_are_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    attestation["provenance"] = registry.attestation(FILES, version=2)["provenance"]

    assert refused(registry, attestation) == "provenance"


def test_an_expired_status_is_a_freeze(registry: Registry) -> None:
    attestation = registry.attestation(FILES)

    assert refused(registry, attestation, at=NOW + timedelta(hours=1)) == "status-expired"


@pytest.mark.parametrize("field", ["issued_at", "expires_at"])
def test_a_moment_without_a_time_zone_is_none(registry: Registry, field: str) -> None:
    attestation = registry.attestation(FILES)
    said = open_sealed(attestation["status"], registry.signer.public)["predicate"]
    naive = said | {field: said[field].removesuffix("+00:00")}
    attestation["status"] = registry.sealed(STATUS_TYPE, naive, digest_of(naive))

    with pytest.raises(NotVerified, match="has no time zone"):
        check(registry, attestation)


def test_a_lower_counter_is_a_rollback(registry: Registry) -> None:
    attestation = registry.attestation(FILES)

    assert refused(registry, attestation, seen_counter=8) == "rollback"
    assert check(registry, attestation, seen_counter=7).status.counter == 7


def test_a_revoked_version_is_refused_and_its_neighbours_are_not(registry: Registry) -> None:
    release = check(registry, registry.attestation(FILES))
    registry.revoke("credit", 2, release.digest)
    assert check(registry, registry.attestation(FILES)).version == 3

    registry.revoke("credit", 3, release.digest)

    assert refused(registry, registry.attestation(FILES)) == "revoked"


def test_a_release_verified_before_stops_under_a_newer_status(registry: Registry) -> None:
    release = check(registry, registry.attestation(FILES))
    registry.revoke("credit", 3, release.digest)
    status = verify_status(registry.status(), registry.signer.public, at=NOW, seen_counter=release.status.counter)

    with pytest.raises(NotVerified, match="was revoked"):
        check_standing(release, status, at=NOW)


def test_a_snapshot_tells_nothing_about_versions_that_one_does_not_know() -> None:
    name = version_id("secret-project", 1, "0" * 64)

    assert len(name) == 64
    assert "secret" not in name


def test_a_statement_signed_by_the_right_key_but_of_another_type_is_refused(registry: Registry) -> None:
    attestation = registry.attestation(FILES)
    payload = json.loads(base64.b64decode(attestation["release"]["payload"]))
    attestation["release"] = seal(payload | {"predicateType": SIGN_OFF_TYPE}, registry.signer)

    assert payload["predicateType"] == RELEASE_TYPE
    assert refused(registry, attestation) == "malformed"


@given(data=st.data())
def test_whatever_is_missing_or_of_another_kind_is_refused_with_a_sentence(data: st.DataObject) -> None:
    registry = Registry()
    attestation: Any = copy.deepcopy(registry.attestation(FILES))
    where = attestation
    for _ in range(data.draw(st.integers(0, 2))):
        inner = [
            one
            for one in (where.values() if isinstance(where, dict) else where)
            if isinstance(one, dict | list) and one
        ]
        if not inner:
            break
        where = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(where) if isinstance(where, dict) else range(len(where))))
    junk: Any = data.draw(st.sampled_from([None, 0, "x", [], {}]))
    if where[key] == junk:
        return
    where[key] = junk
    if key in {"name", "number"}:
        return  # labels for readers beside a policy's text; what counts is the text's digest

    assert refused(registry, attestation)
