"""Decides what we hand out with a version so that anyone can check, offline, that it was approved: see `countersign.proof.attestation`.

A release attestation joins what exists already (the manifest, the sign-off statements, the release) with two statements made
here: who took part in making the version, and the status snapshot, whose counter only ever rises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from access.models import Reauthentication, User
from countersign.proof.attestation import ATTESTATION_TYPE, PROVENANCE_TYPE, STATUS_TYPE, stage_id, version_id
from countersign.proof.canonical import digest_of
from countersign.proof.dsse import Envelope, envelope_digest, seal, statement
from foundation.keys import registry_signer
from foundation.refusals import Unavailable
from registry.models import ModelVersion, Stage
from registry.releases import read_release
from reviews import within
from reviews.models import (
    Approval,
    BreakGlass,
    EnvelopeSignature,
    GateException,
    PolicyVersion,
    Review,
    Rollback,
    Round,
    SignOff,
)
from reviews.people import deeds_of
from serving.models import StatusCounter, StatusSnapshot

T = TypeVar("T")
STATUS_LASTS: Final = timedelta(hours=1)
RENEW_AFTER: Final = timedelta(minutes=10)


def release_attestation(version: ModelVersion, stage: Stage, release: Mapping[str, Any]) -> dict[str, Any]:
    """The proof that `release` allows `version` on `stage`: plain JSON, verified by `countersign.proof.attestation.verify`.

    `release` is the envelope that `serving.queries.resolve` found in force. Raises `Unavailable` where the records behind it are
    not all there.
    """
    predicate = read_release(release).predicate
    return {
        "type": ATTESTATION_TYPE,
        "release": dict(release),
        "manifest": version.manifest,
        **_grounds(predicate),
        "subject": _subject(version, predicate),
        "sign_offs": _sign_offs(predicate),
        "assertions": _assertions(_named(predicate)),
        "policies": _policies(predicate),
        "exceptions": _exceptions(predicate),
        "provenance": _provenance(version, stage, release),
        "status": current_status(),
    }


def current_status() -> Envelope:
    """The status snapshot that stands, as the registry signed it."""
    envelope: Envelope = current_snapshot().envelope
    return envelope


def current_snapshot() -> StatusSnapshot:
    """The status snapshot that stands: signed anew when something was revoked since, or after ten minutes; good for an hour."""
    now, revoked = timezone.now(), _revoked()
    latest = StatusSnapshot.objects.order_by("-counter").first()
    if latest and latest.revoked_digest == digest_of(revoked) and now < latest.issued_at + RENEW_AFTER:
        return latest
    return _issue_status()


@transaction.atomic
def _issue_status() -> StatusSnapshot:
    # The counter's row is locked before the revocations are read: a snapshot with a higher number never knows of fewer.
    counter = StatusCounter.next()
    now, revoked = timezone.now(), _revoked()
    expires = now + STATUS_LASTS
    predicate = {
        "counter": counter,
        "issued_at": now.isoformat(),
        "expires_at": expires.isoformat(),
        "revoked": revoked,
    }
    envelope = seal(
        statement(
            subject_name="status", subject_sha256=digest_of(predicate), predicate_type=STATUS_TYPE, predicate=predicate
        ),
        registry_signer(),
    )
    snapshot = StatusSnapshot.objects.create(
        counter=counter, envelope=envelope, revoked_digest=digest_of(revoked), issued_at=now, expires_at=expires
    )
    StatusSnapshot.objects.filter(counter__lt=counter).delete()
    return snapshot


def _revoked() -> list[str]:
    """What must not be used any more: revoked versions, those whose every approval has ended, and the stages at which that is so."""
    standing = Approval.objects.filter(revocation=None, lapse=None)
    ended = Q(approvals__isnull=False) & ~Q(pk__in=standing.values("version"))
    versions = ModelVersion.objects.filter(Q(state=ModelVersion.State.REVOKED) | ended).distinct()
    rows = versions.values_list("model__name", "number", "digest")
    same = standing.filter(version=OuterRef("version"), stage=OuterRef("stage"))
    elsewhere = standing.filter(version=OuterRef("version"))
    stages = Approval.objects.filter(~Exists(same), Exists(elsewhere)).distinct()
    at_stage = stages.values_list("version__model__name", "version__number", "version__digest", "stage__name")
    return sorted({*(version_id(*row) for row in rows), *(stage_id(*row) for row in at_stage)})


def _sign_offs(predicate: Mapping[str, Any]) -> list[dict[str, Any]]:
    named = list(predicate["sign_offs"])
    found = dict(SignOff.objects.filter(statement_digest__in=named).values_list("statement_digest", "statement"))
    if len(found) != len(set(named)):
        raise Unavailable(
            "A sign-off that this release names is not in the database; tell an administrator.", code="records-missing"
        )
    return [found[digest] for digest in named]


def _assertions(digests: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What passkeys signed, by the digest of the statement: the assertion, and the registry's statement whose key made it."""
    rows = Reauthentication.objects.filter(method=Reauthentication.Method.PASSKEY, challenge__in=list(digests))
    return {one.challenge: {"assertion": one.assertion, "enrolment": one.enrolment} for one in rows}


def _named(predicate: Mapping[str, Any]) -> list[str]:
    """The digests of every statement of a person that the release names."""
    named = [*predicate["sign_offs"], *predicate.get("exceptions", ()), *predicate.get("break_glass", {}).values()]
    named += predicate.get("envelope", {}).get("signatures", ())
    return [*named, predicate["rollback"]] if "rollback" in predicate else named


def _grounds(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """The statements that stand behind a release besides sign-offs: of an emergency, under a retraining envelope, of a rollback."""
    found: dict[str, Any] = {}
    if "break_glass" in predicate:
        case = _there(BreakGlass.objects.filter(asked_digest=predicate["break_glass"]["asks"]).first())
        found["break_glass"] = {"asks": case.asked_statement, "seconds": case.seconded_statement}
    if "envelope" in predicate:
        found["envelope"] = _in_advance(predicate)
    if "rollback" in predicate:
        found["rollback"] = _there(Rollback.objects.filter(statement_digest=predicate["rollback"]).first()).statement
    return found


def _in_advance(predicate: Mapping[str, Any]) -> dict[str, Any]:
    named = predicate["envelope"]["signatures"]
    rows = EnvelopeSignature.objects.filter(statement_digest__in=named)
    row = _there(rows.select_related("envelope__model", "envelope__stage", "envelope__base").first())
    return {
        "document": within.document(row.envelope, list(predicate["policies"])),
        "signatures": [one.statement for one in rows],
    }


def _there(row: T | None) -> T:
    if row is None:
        raise Unavailable(
            "A statement that this release names is not in the database; tell an administrator.", code="records-missing"
        )
    return row


def _subject(version: ModelVersion, predicate: Mapping[str, Any]) -> str:
    if "subject_digest" not in predicate:  # a break-glass is about the bytes alone; its review goes on
        return ""
    rounds = Round.objects.filter(review__version=version, subject_digest=predicate["subject_digest"])
    text = rounds.values_list("subject", flat=True).first()
    if text is None:
        raise Unavailable(
            "The subject that this release names is not in the database; tell an administrator.", code="records-missing"
        )
    return text


def _policies(predicate: Mapping[str, Any]) -> list[dict[str, Any]]:
    texts = []
    for named in predicate["policies"]:
        policy = PolicyVersion.objects.filter(policy__name=named["name"], number=named["number"]).first()
        if policy is None:
            raise Unavailable(
                "A policy that this release names is not in the database; tell an administrator.",
                code="records-missing",
            )
        texts.append({"name": named["name"], "number": named["number"], "content": policy.content})
    return texts


def _exceptions(predicate: Mapping[str, Any]) -> list[dict[str, Any]]:
    named = list(predicate.get("exceptions", ()))
    found = dict(GateException.objects.filter(statement_digest__in=named).values_list("statement_digest", "statement"))
    if len(found) != len(set(named)):
        raise Unavailable(
            "An exception that this release names is not in the database; tell an administrator.",
            code="records-missing",
        )
    return [found[digest] for digest in named]


def _provenance(version: ModelVersion, stage: Stage, release: Mapping[str, Any]) -> Envelope:
    """Everybody who had a hand in the version by the time it was approved, as `reviews.independence` counts hands. By number only."""
    approval = (
        Approval.objects.filter(version=version, stage=stage, promotion__release_digest=envelope_digest(release))
        .select_related("round__review__requested_by")
        .first()
    )
    review = approval.round.review if approval and approval.round.review.version_id == version.pk else None
    review = review or Review.objects.filter(version=version, stage=stage).select_related("requested_by").first()
    deeds = deeds_of(version, review, until=approval.approved_at if approval else None)
    accounts = {account for deed in deeds for account in (deed.account, deed.owner) if account is not None}
    authors = User.objects.filter(pk__in=accounts).values_list("uuid", flat=True)
    predicate = {
        "model": version.model.name,
        "version": version.number,
        "digest": version.digest,
        "authors": sorted(map(str, authors)),
        "registered_at": version.created_at.isoformat(),
    }
    return seal(
        statement(
            subject_name=f"{version.model.name}/{version.number}",
            subject_sha256=version.digest,
            predicate_type=PROVENANCE_TYPE,
            predicate=predicate,
        ),
        registry_signer(),
    )
