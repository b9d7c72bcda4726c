"""Decides, offline and without Django, whether a release attestation allows a model version to be used now.

For scoring workers and for everyone who pulls: all that it needs is the registry's public key, pinned beforehand, the current
time and the highest status counter seen so far. Nothing unsigned in an attestation is believed: the manifest and the policies
count because signed statements name their digests, the authors and the revocations because the registry signed them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from foundation.canonical import digest_of, sha256_hex
from foundation.dsse import BadEnvelope, envelope_digest, open_sealed
from foundation.webauthn import BadAssertion, check_signed_by, method_of
from registry.manifest import ManifestFile, manifest_digest

ATTESTATION_TYPE: Final = "https://countersign.dev/release-attestation/v1"
SIGN_OFF_TYPE: Final = "https://countersign.dev/sign-off/v1"
RELEASE_TYPE: Final = "https://countersign.dev/release/v1"
PROVENANCE_TYPE: Final = "https://countersign.dev/provenance/v1"
STATUS_TYPE: Final = "https://countersign.dev/status/v1"
METHODS: Final = frozenset({"passkey", "totp", "password", "identity_provider"})
APPROVING: Final = frozenset({"approve", "approve_with_conditions"})


class NotVerified(ValueError):
    """The attestation does not allow the use; the sentence says why, `reason` is its stable name."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Status:
    """What the registry said at one moment about all its releases; good until `expires_at`."""

    counter: int
    issued_at: datetime
    expires_at: datetime
    revoked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Slot:
    """One sign-off that a policy asks for: of how many distinct people, and for which facets they answer."""

    key: str
    people: int
    answers_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifiedSignOff:
    """One approval that counted: who, in which slot, when."""

    slot: str
    reviewer: str
    signed_at: str


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A version that may be used for its stage until `valid_until`, and while the status stays good."""

    model: str
    version: int
    stage: str
    digest: str
    files: tuple[ManifestFile, ...]
    sign_offs: tuple[VerifiedSignOff, ...]
    valid_until: datetime
    status: Status


def version_id(model: str, version: int, digest: str) -> str:
    """How a status snapshot names a version: a SHA-256 that tells nothing to those who do not know the version."""
    return digest_of({"digest": digest, "model": model, "version": version})


def verify(
    attestation: Mapping[str, Any],
    key: Ed25519PublicKey,
    *,
    at: datetime,
    model: str = "",
    stage: str = "",
    version: int | None = None,
    seen_counter: int = 0,
) -> VerifiedRelease:
    """The release that `attestation` proves; raises `NotVerified` with a sentence where anything about it is wrong.

    `model`, `stage` and `version` are what the caller meant to use; empty ones are not compared. `seen_counter` is the highest
    status counter that the caller has seen: a lower one would roll back a revocation.
    """
    try:
        return _verify(attestation, key, at=at, model=model, stage=stage, version=version, seen_counter=seen_counter)
    except BadEnvelope as error:
        raise NotVerified("signature", str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, NotVerified):
            raise
        raise NotVerified("malformed", f"The attestation is not complete or not readable: {error!r}.") from error


def verify_status(envelope: Mapping[str, Any], key: Ed25519PublicKey, *, at: datetime, seen_counter: int = 0) -> Status:
    """The status snapshot inside `envelope`; raises `NotVerified` where it is forged, expired, or older than one seen before."""
    try:
        predicate = _open(envelope, key, STATUS_TYPE)["predicate"]
        status = Status(
            counter=int(predicate["counter"]),
            issued_at=_time(predicate["issued_at"]),
            expires_at=_time(predicate["expires_at"]),
            revoked=frozenset(str(entry) for entry in predicate["revoked"]),
        )
    except BadEnvelope as error:
        raise NotVerified("signature", str(error)) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise NotVerified("malformed", f"The status snapshot is not complete: {error!r}.") from error
    if status.counter < seen_counter:
        raise NotVerified(
            "rollback",
            f"This status snapshot has number {status.counter}, but number {seen_counter} was seen before: it is outdated.",
        )
    if at >= status.expires_at:
        raise NotVerified(
            "status-expired", f"The status snapshot expired at {status.expires_at.isoformat()}; fetch a new one."
        )
    return status


def check_standing(release: VerifiedRelease, status: Status, *, at: datetime) -> None:
    """That a release verified before may still be used under a newer `status`; raises `NotVerified`."""
    if version_id(release.model, release.version, release.digest) in status.revoked:
        raise NotVerified("revoked", f"The approval of {release.model} version {release.version} was revoked.")
    if at >= release.valid_until:
        raise NotVerified(
            "expired",
            f"The approval of {release.model} version {release.version} expired at {release.valid_until.isoformat()}.",
        )
    if at >= status.expires_at:
        raise NotVerified(
            "status-expired", f"The status snapshot expired at {status.expires_at.isoformat()}; fetch a new one."
        )


def _verify(
    attestation: Mapping[str, Any],
    key: Ed25519PublicKey,
    *,
    at: datetime,
    model: str,
    stage: str,
    version: int | None,
    seen_counter: int,
) -> VerifiedRelease:
    if attestation["type"] != ATTESTATION_TYPE:
        raise NotVerified("malformed", f"This is not a release attestation but {attestation['type']!r}.")
    release = _open(attestation["release"], key, RELEASE_TYPE)["predicate"]
    for name, meant in (("model", model), ("stage", stage), ("version", version)):
        if meant and release[name] != meant:
            raise NotVerified("other-release", f"The attestation is for {name} {release[name]}, not for {meant}.")
    files = _files(attestation["manifest"], release["digest"])
    status = verify_status(attestation["status"], key, at=at, seen_counter=seen_counter)
    sign_offs = _sign_offs(attestation, release, key, at)
    verified = VerifiedRelease(
        model=release["model"],
        version=release["version"],
        stage=release["stage"],
        digest=release["digest"],
        files=files,
        sign_offs=tuple(VerifiedSignOff(one["slot"]["key"], one["reviewer"]["id"], one["issued"]) for one in sign_offs),
        valid_until=_time(release["valid_until"]),
        status=status,
    )
    check_standing(verified, status, at=at)
    return verified


def _open(envelope: Mapping[str, Any], key: Ed25519PublicKey, predicate_type: str) -> dict[str, Any]:
    statement = open_sealed(envelope, key)
    if statement["predicateType"] != predicate_type:
        raise NotVerified(
            "malformed", f"A statement of type {predicate_type} was expected, not {statement['predicateType']}."
        )
    return statement


def _files(manifest: Iterable[Mapping[str, Any]], digest: str) -> tuple[ManifestFile, ...]:
    files = tuple(ManifestFile(path=entry["path"], size=entry["size"], sha256=entry["sha256"]) for entry in manifest)
    if manifest_digest(files) != digest:
        raise NotVerified("manifest", "The list of files is not the one that was signed: its digest differs.")
    return files


def _sign_offs(
    attestation: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey, at: datetime
) -> list[dict[str, Any]]:
    """The approvals behind the release, after every rule about them has been checked."""
    envelopes = attestation["sign_offs"]
    if sorted(envelope_digest(envelope) for envelope in envelopes) != sorted(release["sign_offs"]):
        raise NotVerified("sign-offs", "The sign-offs in the attestation are not those that the release names.")
    slots = _slots(attestation["policies"], release["policies"])
    facets = _facets(attestation["subject"], release)
    accepted = _methods(attestation["policies"])
    decisions = [_decision(envelope, release, key) for envelope in envelopes]
    for envelope, decision in zip(envelopes, decisions, strict=True):
        check_confirmed(decision, "reviewer", envelope_digest(envelope), attestation, accepted, key)
    for decision in decisions:
        _check_current(decision, slots, facets, at)
    _check_independent(decisions, _authors(attestation["provenance"], release, key))
    _check_quorum(decisions, slots)
    return decisions


def _decision(envelope: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey) -> dict[str, Any]:
    statement = _open(envelope, key, SIGN_OFF_TYPE)
    predicate: dict[str, Any] = statement["predicate"]
    if statement["subject"][0]["digest"]["sha256"] != release["digest"]:
        raise NotVerified("sign-offs", "A sign-off is about other files than those of the release.")
    for name in ("model", "version", "stage"):
        if predicate[name] != release[name]:
            raise NotVerified("sign-offs", f"A sign-off is for {name} {predicate[name]}, not for {release[name]}.")
    if predicate["decision"] not in APPROVING:
        raise NotVerified(
            "sign-offs", f"A sign-off of the release says {predicate['decision']!r}, which approves nothing."
        )
    return predicate


def check_confirmed(
    predicate: Mapping[str, Any],
    signer: str,
    digest: str,
    attestation: Mapping[str, Any],
    accepted: frozenset[str],
    key: Ed25519PublicKey,
) -> None:
    """That the person under `signer` confirmed the statement with SHA-256 `digest` in an accepted way.

    A passkey's assertion over the statement has to be there, by a key that the registry says is the person's: a statement that
    somebody sealed with the registry's key alone is not enough.
    """
    method = method_of(predicate)
    if method not in accepted:
        raise NotVerified("method", f"A signature was confirmed by {method}, which the policy does not accept.")
    if method != "passkey":
        return
    proof = attestation.get("assertions", {}).get(digest, {})
    person, at = predicate[signer]["id"], _time(predicate["issued"])
    try:
        check_signed_by(person, at, digest, proof.get("assertion"), proof.get("enrolment"), key)
    except BadAssertion as bad:
        raise NotVerified("passkey", f"A signature by passkey does not hold. {bad}") from bad


def _methods(texts: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """How signers may confirm that it is them: what every policy accepts."""
    return frozenset.intersection(
        METHODS, *(frozenset(text["content"].get("reauthentication", METHODS)) for text in texts)
    )


def _slots(texts: Iterable[Mapping[str, Any]], named: Iterable[Mapping[str, Any]]) -> dict[str, Slot]:
    """The slots that the release's policies ask for, each policy's text checked against the digest that was signed."""
    by_digest = {digest_of(text["content"]): text["content"] for text in texts}
    slots: dict[str, Slot] = {}
    for policy in named:
        content = by_digest.get(policy["digest"])
        if content is None:
            raise NotVerified("policy", f"The text of the policy {policy['name']} is missing or was changed.")
        for slot in content["slots"]:
            # Two policies may use one key for slots of their own: the second is told apart by its policy's name, as in reviews.
            key = f"{slot['key']}-{policy['name']}" if slot["key"] in slots else slot["key"]
            slots[key] = Slot(key, int(slot["people"]), tuple(slot["answers_for"]))
    if not slots:
        raise NotVerified("policy", "The release names no policy that asks for a sign-off.")
    return slots


def _facets(text: str, release: Mapping[str, Any]) -> dict[str, str]:
    """The digests of the facets that were released, out of the subject's text, whose own digest the release names."""
    if sha256_hex(text.encode()) != release["subject_digest"]:
        raise NotVerified("subject", "The subject in the attestation is not the one that was released.")
    subject = json.loads(text)
    for name in ("model", "version", "stage", "digest"):
        if subject[name] != release[name]:
            raise NotVerified("subject", f"The subject is for {name} {subject[name]}, not for {release[name]}.")
    if subject["policies"] != release["policies"]:
        raise NotVerified("policy", "The subject was judged under other policies than the release names.")
    facets: dict[str, str] = subject["facets"]
    return facets


def _check_current(
    decision: Mapping[str, Any], slots: Mapping[str, Slot], facets: Mapping[str, str], at: datetime
) -> None:
    """That a sign-off stands in a slot of the policies, has not expired, and saw the released state of what its slot answers for."""
    slot = slots.get(decision["slot"]["key"])
    if slot is None:
        raise NotVerified("sign-offs", f"The slot {decision['slot']['key']} is in none of the policies.")
    if at >= _time(decision["expires"]):
        raise NotVerified("expired", f"The sign-off in the slot {slot.key} expired at {decision['expires']}.")
    if stale := [facet for facet in slot.answers_for if decision["facets"][facet] != facets[facet]]:
        raise NotVerified("stale", f"The sign-off in the slot {slot.key} saw another state of {', '.join(stale)}.")


def _authors(envelope: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey) -> frozenset[str]:
    predicate = _open(envelope, key, PROVENANCE_TYPE)["predicate"]
    if any(predicate[name] != release[name] for name in ("model", "version", "digest")):
        raise NotVerified("provenance", "The statement about the authors is about another version.")
    return frozenset(predicate["authors"])


def _check_independent(decisions: Iterable[Mapping[str, Any]], authors: frozenset[str]) -> None:
    people = [decision["reviewer"]["id"] for decision in decisions]
    if len(set(people)) != len(people):
        raise NotVerified("independence", "One person signed in more than one slot.")
    if own := authors.intersection(people):
        raise NotVerified("independence", f"{sorted(own)[0]} took part in making this version and cannot approve it.")


def _check_quorum(decisions: Iterable[Mapping[str, Any]], slots: Mapping[str, Slot]) -> None:
    """That every slot has as many distinct people as its policy asks for."""
    people_in: dict[str, set[str]] = defaultdict(set)
    for decision in decisions:
        people_in[decision["slot"]["key"]].add(decision["reviewer"]["id"])
    for slot in slots.values():
        if len(people_in[slot.key]) < slot.people:
            raise NotVerified(
                "threshold", f"The slot {slot.key} has {len(people_in[slot.key])} of {slot.people} sign-offs."
            )


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise NotVerified("malformed", f"The time {text} has no time zone.")
    return moment
