"""Decides what we hand out with a version so that anyone can check, offline, that it was approved: see `serving.verification`.

A release attestation joins what exists already (the manifest, the sign-off statements, the release) with two statements made
here: who took part in making the version, and the status snapshot, whose counter only ever rises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from access.models import Reauthentication
from foundation.canonical import digest_of
from foundation.dsse import Envelope, seal, statement
from foundation.keys import registry_signer
from foundation.refusals import Unavailable
from registry.models import ModelVersion, Stage
from registry.releases import read_release
from reviews.models import Approval, PolicyVersion, Review, Round, SignOff
from serving.models import StatusCounter, StatusSnapshot
from serving.verification import ATTESTATION_TYPE, PROVENANCE_TYPE, STATUS_TYPE, version_id

STATUS_LASTS: Final = timedelta(hours=1)
RENEW_AFTER: Final = timedelta(minutes=10)


def release_attestation(version: ModelVersion, stage: Stage, release: Mapping[str, Any]) -> dict[str, Any]:
    """The proof that `release` allows `version` on `stage`: plain JSON, verified by `serving.verification.verify`.

    `release` is the envelope that `serving.queries.resolve` found in force. Raises `Unavailable` where the records behind it are
    not all there.
    """
    predicate = read_release(release).predicate
    return {
        "type": ATTESTATION_TYPE,
        "release": dict(release),
        "manifest": version.manifest,
        "subject": _subject(version, predicate),
        "sign_offs": _sign_offs(predicate),
        "assertions": _assertions(predicate["sign_offs"]),
        "policies": _policies(predicate),
        "provenance": _provenance(version, stage),
        "status": current_status(),
    }


def current_status() -> Envelope:
    """The status snapshot that stands: signed anew when something was revoked since, or after ten minutes; good for an hour."""
    now, revoked = timezone.now(), _revoked()
    latest = StatusSnapshot.objects.order_by("-counter").first()
    if latest and latest.revoked_digest == digest_of(revoked) and now < latest.issued_at + RENEW_AFTER:
        envelope: Envelope = latest.envelope
        return envelope
    return _issue_status()


@transaction.atomic
def _issue_status() -> Envelope:
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
    StatusSnapshot.objects.create(
        counter=counter, envelope=envelope, revoked_digest=digest_of(revoked), issued_at=now, expires_at=expires
    )
    StatusSnapshot.objects.filter(counter__lt=counter).delete()
    return envelope


def _revoked() -> list[str]:
    """The versions that must not be used any more: revoked ones, and those whose every approval has ended."""
    standing = Approval.objects.filter(revocation=None, lapse=None)
    ended = Q(approvals__isnull=False) & ~Q(pk__in=standing.values("version"))
    versions = ModelVersion.objects.filter(Q(state=ModelVersion.State.REVOKED) | ended).distinct()
    rows = versions.values_list("model__name", "number", "digest")
    return sorted(version_id(model, number, digest) for model, number, digest in rows)


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


def _subject(version: ModelVersion, predicate: Mapping[str, Any]) -> str:
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


def _provenance(version: ModelVersion, stage: Stage) -> Envelope:
    """Who made the version and asked for its review: registered, trained, owns the service that did, requested. By number only."""
    people = {version.created_by, version.trained_by}
    people |= {person.owner for person in people if person is not None}
    requesters = Review.objects.filter(version=version, stage=stage).select_related("requested_by")
    people |= {review.requested_by for review in requesters}
    predicate = {
        "model": version.model.name,
        "version": version.number,
        "digest": version.digest,
        "authors": sorted(str(person.uuid) for person in people if person is not None),
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
