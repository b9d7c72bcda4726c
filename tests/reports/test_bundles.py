"""What one signature proves to an outsider, by page, file and command; and that a release says it by passkey only where a passkey did."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from access.models import Reauthentication, User
from access.principal import Principal
from access.stepup import Rehearsal, StatementReady
from countersign.proof.attestation import NotVerified, verify
from countersign.proof.canonical import canonical, digest_of, sha256_hex
from countersign.proof.dsse import envelope_digest, open_sealed
from foundation.keys import public_pem, registry_signer
from foundation.refusals import Conflict, Invalid
from registry.models import ModelVersion, Stage
from reports.bundles import bundle_of
from reports.checking import check
from reviews.actions import sign_off
from reviews.evaluation import current_subject
from reviews.models import Review, SignOff
from reviews.promotion import promote
from reviews.standing import Standing, judge, standing_of
from reviews.subjects import frozen
from serving.attestations import release_attestation
from serving.bundles import BUNDLE_TYPE, report_on
from tests.conftest import as_
from tests.passkeys import SoftKey, enrolled, sign_with
from tests.reviews.conftest import approve, ask, sign
from tests.sealing import resealed

ClientFor = Callable[[User], Client]


def sign_by_passkey(review: Review, slot: str, user: User) -> SignOff:
    """As the page does it: rehearse, let the passkey sign, do."""
    soft = SoftKey()
    enrolled(user, soft)
    round_, key = review.current_round, uuid.uuid4().hex
    given: SignOff = sign_with(
        soft,
        user,
        lambda proof: sign_off(
            round_,
            slot,
            decision="approve",
            reason="I read it all.",
            reauthentication=proof,
            expected_subject=current_subject(round_).digest,
            idempotency_key=key,
            by=as_(user),
        ),
    )
    return given


@pytest.fixture
def given(review: Review, bob: User) -> SignOff:
    return sign_by_passkey(review, "validator", bob)


@pytest.fixture
def bundle(given: SignOff) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(bundle_of(given.round.review.version, given.statement_digest)))
    return found


@pytest.fixture
def attestation(review: Review, production: Stage, bob: User, carol: User, rita: User) -> dict[str, Any]:
    sign_by_passkey(review, "validator", bob)
    sign_by_passkey(review, "risk", carol)
    promote(review.version, production, by=as_(rita))
    version = ModelVersion.objects.get(pk=review.version_id)
    found: dict[str, Any] = json.loads(
        json.dumps(release_attestation(version, production, version.promotions.get().release))
    )
    return found


def outcomes(value: dict[str, Any]) -> dict[str, bool | None]:
    return {one.title: one.holds for one in report_on(value, registry_signer().public, at=timezone.now()).checks}


def why(attestation: dict[str, Any]) -> str:
    with pytest.raises(NotVerified) as refused:
        verify(attestation, registry_signer().public, at=timezone.now())
    return refused.value.reason


def test_the_challenge_is_the_statements_digest_and_the_same_statement_is_recorded(given: SignOff) -> None:
    assert given.reauthentication.challenge == given.statement_digest == envelope_digest(given.statement)
    assert (
        open_sealed(given.statement, registry_signer().public)["predicate"]["reauthentication"]["method"] == "passkey"
    )


def test_a_bundle_proves_signature_statement_and_person_and_says_what_it_cannot(bundle: dict[str, Any]) -> None:
    assert outcomes(bundle) == {"Registry's signature": True, "Statement": True, "Passkey": True, "Not told": None}


def test_a_password_is_the_registrys_word_and_the_bundle_says_so(review: Review, bob: User) -> None:
    by_password = sign(review, "validator", bob)

    report = report_on(
        bundle_of(review.version, by_password.statement_digest), registry_signer().public, at=timezone.now()
    )

    assert report.holds
    assert {one.title: one.holds for one in report.checks}["Confirmation"] is None


@pytest.mark.parametrize("part", ["assertion", "enrolment"])
def test_without_assertion_or_enrolment_a_passkey_signed_nothing(part: str, bundle: dict[str, Any]) -> None:
    bundle[part] = None

    assert outcomes(bundle)["Passkey"] is False


@pytest.mark.parametrize("part", ["authenticator_data", "client_data", "signature", "credential_id"])
def test_one_changed_byte_of_the_assertion_breaks_it(part: str, bundle: dict[str, Any]) -> None:
    data = bytearray(base64.urlsafe_b64decode(bundle["assertion"][part] + "=="))
    data[-2] ^= 1
    bundle["assertion"][part] = base64.urlsafe_b64encode(bytes(data)).decode().rstrip("=")

    assert outcomes(bundle)["Passkey"] is False


def test_the_registry_alone_cannot_change_what_a_passkey_signed(bundle: dict[str, Any]) -> None:
    bundle["envelope"] = resealed(bundle["envelope"], decision="reject")

    assert outcomes(bundle)["Passkey"] is False


def test_the_passkey_of_another_person_does_not_sign_for_one(
    review: Review, bundle: dict[str, Any], carol: User
) -> None:
    theirs = sign_by_passkey(review, "risk", carol).reauthentication
    bundle |= {"assertion": theirs.assertion, "enrolment": theirs.enrolment}

    assert outcomes(bundle)["Passkey"] is False


def test_a_statement_that_the_registry_did_not_sign_is_none(bundle: dict[str, Any]) -> None:
    bundle["envelope"]["signatures"] = []

    assert outcomes(bundle) == {"Registry's signature": False}


@pytest.mark.parametrize("value", [{}, {"type": BUNDLE_TYPE}, {"type": BUNDLE_TYPE, "envelope": 7}, {"type": 3}])
def test_what_is_no_bundle_does_not_hold_and_does_not_crash(value: dict[str, Any]) -> None:
    assert False in outcomes(value).values()


def test_a_release_signed_by_passkeys_is_verified_with_its_assertions(attestation: dict[str, Any]) -> None:
    release = verify(attestation, registry_signer().public, at=timezone.now())

    assert [one.method for one in release.sign_offs] == ["passkey", "passkey"]


def test_a_release_that_lacks_an_assertion_is_refused(attestation: dict[str, Any]) -> None:
    attestation["assertions"].popitem()

    assert why(attestation) == "passkey"


def test_a_release_with_swapped_assertions_is_refused(attestation: dict[str, Any]) -> None:
    first, second = attestation["assertions"]
    proofs = attestation["assertions"]
    proofs[first], proofs[second] = proofs[second], proofs[first]

    assert why(attestation) == "passkey"


def test_where_the_policy_accepts_only_passkeys_a_password_is_refused_offline(
    attestation: dict[str, Any], released_by_password: dict[str, Any]
) -> None:
    verify(released_by_password, registry_signer().public, at=timezone.now())

    assert why(_under_passkeys_only(released_by_password)) == "method"
    verify(_under_passkeys_only(attestation), registry_signer().public, at=timezone.now())


@pytest.fixture
def released_by_password(
    make_candidate: Callable[..., ModelVersion], production: Stage, alice: User, bob: User, carol: User, rita: User
) -> dict[str, Any]:
    version = make_candidate()
    approve(ask(version, production, alice), bob, carol)
    promote(version, production, by=as_(rita))
    found: dict[str, Any] = json.loads(
        json.dumps(release_attestation(version, production, version.promotions.get().release))
    )
    return found


def _under_passkeys_only(attestation: dict[str, Any]) -> dict[str, Any]:
    """The same release as if its policy accepted passkeys alone, all digests and signatures made to fit."""
    changed = copy.deepcopy(attestation)
    subject = json.loads(changed["subject"])
    for text, named in zip(changed["policies"], subject["policies"], strict=True):
        text["content"]["reauthentication"] = ["passkey"]
        named["digest"] = digest_of(text["content"])
    changed["subject"] = canonical(subject).decode()
    changed["release"] = resealed(
        changed["release"], policies=subject["policies"], subject_digest=sha256_hex(changed["subject"].encode())
    )
    return changed


def test_a_sign_off_whose_assertion_was_altered_in_the_database_counts_no_more(given: SignOff) -> None:
    proof = given.reauthentication
    assert proof.assertion is not None
    forged = dict(proof.assertion) | {"signature": proof.assertion["signature"][::-1]}
    Reauthentication.objects.filter(pk=proof.pk).update(assertion=forged)

    standing = standing_of(given.round, frozen(given.round).facets, timezone.now())

    assert [one.standing for one in standing.signatures] == [Standing.FORGED]


def test_a_statement_that_claims_a_passkey_without_one_counts_no_more(review: Review, bob: User) -> None:
    given = sign(review, "validator", bob)
    forged = resealed(given.statement, reauthentication={"method": "passkey", "at": given.signed_at.isoformat()})
    given.statement, given.statement_digest = forged, envelope_digest(forged)

    judged = judge(given.round, list(given.round.slots.all()), [given], frozen(given.round).facets, timezone.now(), ())

    assert [one.standing for one in judged.signatures] == [Standing.FORGED]


def test_what_a_passkey_signed_is_not_recorded_as_something_else(review: Review, bob: User) -> None:
    soft = SoftKey()
    enrolled(bob, soft)
    round_, seen = review.current_round, current_subject(review.current_round).digest
    asked: list[str] = []

    def act(proof: Any) -> SignOff:
        asked.append("approve" if not asked else "reject")
        return sign_off(
            round_,
            "validator",
            decision=asked[-1],
            reason="I read it all.",
            reauthentication=proof,
            expected_subject=seen,
            idempotency_key="a" * 16,
            by=as_(bob),
        )

    with pytest.raises(Conflict) as refused:
        sign_with(soft, bob, act)

    assert refused.value.code == "other-statement"
    assert not SignOff.objects.exists()


def test_a_rehearsal_leaves_nothing(review: Review, bob: User) -> None:
    with pytest.raises(StatementReady):
        sign_off(
            review.current_round,
            "validator",
            decision="approve",
            reason="I read it all.",
            reauthentication=Rehearsal.now(),
            expected_subject=current_subject(review.current_round).digest,
            idempotency_key="a" * 16,
            by=as_(bob),
        )

    assert not SignOff.objects.exists()


def test_the_file_is_for_those_who_see_the_model(given: SignOff, client_for: ClientFor, bob: User) -> None:
    address = reverse("reports:sign_off_bundle", args=["credit", 1, given.statement_digest])

    answer = client_for(bob).get(address)

    assert answer.json()["type"] == BUNDLE_TYPE
    assert Client().get(address).status_code == 302
    assert client_for(bob).get(address.replace(given.statement_digest, "0" * 64)).status_code == 404


def test_the_page_checks_a_bundle_for_everybody(bundle: dict[str, Any]) -> None:
    page = Client().post(reverse("reports:verify"), {"text": json.dumps(bundle)}).content.decode()

    assert "This signature holds." in page
    assert "signed exactly this statement" in page


def test_a_broken_bundle_is_told_apart_on_the_page(bundle: dict[str, Any]) -> None:
    bundle["assertion"] = None

    found = check(json.dumps(bundle), by=Principal.anonymous(), at=timezone.now())

    assert (found.good, found.sentence) == (False, "This signature does not hold.")


def test_everybody_gets_the_registrys_public_key() -> None:
    answer = Client().get(reverse("reports:registry_key"))

    assert answer.content.decode() == public_pem(registry_signer().public)


def verified(file: Path, key: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine without database or keys of ours: everything that it could read points nowhere."""
    nowhere = str(file.parent / "nowhere")
    environment = {"PATH": os.environ["PATH"], "COUNTERSIGN_VAR_DIR": nowhere, "PYTHONPATH": "."}
    command = [sys.executable, "manage.py", "verify-signoff", str(file), "--key", str(key), *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "registry.pub"
    path.write_text(public_pem(registry_signer().public))
    return path


def test_the_command_verifies_a_bundle_without_any_database(
    bundle: dict[str, Any], key_file: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(bundle))
    bad.write_text(json.dumps(bundle | {"assertion": None}))

    fine, broken = verified(good, key_file), verified(bad, key_file)

    assert (fine.returncode, "A passkey (ES256)" in fine.stdout) == (0, True), fine.stderr
    assert (broken.returncode, "BAD   Passkey" in broken.stdout) == (1, True)
    assert not (tmp_path / "nowhere").exists()


def test_the_command_reads_a_whole_release_as_of_a_moment(
    attestation: dict[str, Any], key_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "release.json"
    file.write_text(json.dumps(attestation))

    now = verified(file, key_file)
    later = verified(file, key_file, "--at", (timezone.now() + timedelta(days=1)).isoformat())

    assert (now.returncode, now.stdout.count("by passkey")) == (0, 2), now.stderr
    assert (later.returncode, "expired" in later.stdout) == (1, True)


@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_the_command_says_what_it_cannot_read(content: str, key_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)

    found = verified(file, key_file)

    assert (found.returncode, "Traceback" in found.stderr) == (2, False)


def test_nothing_else_counts_as_a_file_to_check() -> None:
    with pytest.raises(Invalid):
        check("[]", by=Principal.anonymous(), at=timezone.now())
