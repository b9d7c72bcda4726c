"""The page /verify/: what an attestation or a digest is worth, in words; everything altered is found."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from access.models import User
from access.principal import Principal
from foundation.refusals import Invalid
from registry.models import ModelVersion, Stage
from reports.checking import check
from reviews.revocation import revoke
from serving.attestations import release_attestation
from tests.conftest import as_
from tests.reviews.conftest import proof_of

ClientFor = Callable[[User], Client]
NOBODY = Principal.anonymous()


@pytest.fixture
def attestation(released: ModelVersion, production: Stage) -> dict[str, Any]:
    promotion = released.promotions.get()
    parsed: dict[str, Any] = json.loads(json.dumps(release_attestation(released, production, promotion.release)))
    return parsed


def test_a_genuine_attestation_holds_and_names_who_signed(attestation: dict[str, Any]) -> None:
    found = check(json.dumps(attestation), by=NOBODY, at=timezone.now())

    assert found.good
    assert "credit version 1 may be used for production" in found.sentence
    assert {one.name for one in found.signers} == {"Bob Lindqvist", "Carol Adeyemi"}


@pytest.mark.parametrize("part", ["release", "manifest", "sign_offs", "policies", "provenance", "status", "type"])
def test_an_attestation_that_lacks_a_part_does_not_hold(part: str, attestation: dict[str, Any]) -> None:
    del attestation[part]

    assert not check(json.dumps(attestation), by=NOBODY, at=timezone.now()).good


def test_other_bytes_do_not_hold(attestation: dict[str, Any]) -> None:
    altered = copy.deepcopy(attestation)
    altered["manifest"][0]["sha256"] = "0" * 64

    found = check(json.dumps(altered), by=NOBODY, at=timezone.now())

    assert not found.good
    assert "does not hold" in found.sentence


def test_an_attestation_from_before_a_revocation_does_not_hold_after_it(
    attestation: dict[str, Any], released: ModelVersion, carol: User
) -> None:
    revoke(released, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))

    found = check(json.dumps(attestation), by=NOBODY, at=timezone.now())

    assert not found.good
    assert "revoked" in found.sentence


def test_a_digest_says_how_the_approval_stands(released: ModelVersion, dave: User, carol: User) -> None:
    assert check(f"sha256:{released.digest}", by=as_(dave), at=timezone.now()).good

    revoke(released, reason="Data breach.", reauthentication=proof_of(carol), by=as_(carol))

    found = check(released.digest.upper(), by=as_(dave), at=timezone.now())
    assert not found.good
    assert found.versions[0][1].startswith("REVOKED")


def test_a_digest_tells_nothing_to_those_who_may_not_see_the_model(released: ModelVersion) -> None:
    found = check(released.digest, by=NOBODY, at=timezone.now())

    assert not found.good
    assert not found.versions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Paste an attestation"),
        ("hello", "neither readable JSON"),
        ("[1]", "JSON object"),
        ("%PDF-1.7 …", "for reading"),
        ("[" * 200_000, "neither readable JSON"),
    ],
)
def test_what_is_no_attestation_is_said_so(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check(text, by=NOBODY, at=timezone.now())


@pytest.mark.django_db
def test_an_empty_object_is_no_attestation() -> None:
    assert "does not hold" in check("{}", by=NOBODY, at=timezone.now()).sentence


def test_the_page_takes_a_file_from_anybody(attestation: dict[str, Any]) -> None:
    file = SimpleUploadedFile("attestation.json", json.dumps(attestation).encode())

    page = Client().post("/verify/", {"text": "", "file": file})

    assert page.status_code == 200
    assert "It holds" in page.content.decode()


@pytest.mark.django_db
def test_the_page_shows_what_is_wrong_beside_the_field() -> None:
    page = Client().post("/verify/", {"text": "hello"})

    assert page.status_code == 400
    assert "neither readable JSON" in page.content.decode()
