"""Decides, offline and without Django, whether a release attestation allows a model version to be used now.

For scoring workers and for everyone who pulls: all that it needs is the registry's public key, pinned beforehand, the current
time and the highest status counter seen so far. Nothing unsigned in an attestation is believed: the manifest and the policies
count because signed statements name their digests, the authors and the revocations because the registry signed them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from countersign.proof.canonical import digest_of, sha256_hex
from countersign.proof.dsse import BadEnvelope, envelope_digest, open_sealed
from countersign.proof.manifest import ManifestFile, manifest_digest
from countersign.proof.naming import told_apart
from countersign.proof.webauthn import BadAssertion, check_signed_by, method_of

ATTESTATION_TYPE: Final = "https://countersign.dev/release-attestation/v1"
SIGN_OFF_TYPE: Final = "https://countersign.dev/sign-off/v1"
EXCEPTION_TYPE: Final = "https://countersign.dev/exception/v1"
RELEASE_TYPE: Final = "https://countersign.dev/release/v1"
PROVENANCE_TYPE: Final = "https://countersign.dev/provenance/v1"
STATUS_TYPE: Final = "https://countersign.dev/status/v1"
BREAK_GLASS_TYPE: Final = "https://countersign.dev/break-glass/v1"
ENVELOPE_TYPE: Final = "https://countersign.dev/envelope/v1"
ROLLBACK_TYPE: Final = "https://countersign.dev/rollback/v1"
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
    delegable: bool = True


@dataclass(frozen=True, slots=True)
class VerifiedSignOff:
    """One approval that counted: who, in which slot, when, and how they confirmed it (a passkey's assertion was verified)."""

    slot: str
    reviewer: str
    signed_at: str
    method: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A version that may be used for its stage until `pulls_until`, and while the status stays good; newly deployed until `valid_until`.

    `basis`: `review`; `break_glass`, where two people put it live ahead of its review; `envelope`, where reviewers signed its bounds in
    advance. `sign_offs` are the people who signed for it, in whichever capacity.
    """

    model: str
    version: int
    stage: str
    digest: str
    files: tuple[ManifestFile, ...]
    sign_offs: tuple[VerifiedSignOff, ...]
    valid_until: datetime
    pulls_until: datetime
    status: Status
    basis: str = "review"


def version_id(model: str, version: int, digest: str) -> str:
    """How a status snapshot names a version: a SHA-256 that tells nothing to those who do not know the version."""
    return digest_of({"digest": digest, "model": model, "version": version})


def stage_id(model: str, version: int, digest: str, stage: str) -> str:
    """How a status snapshot names a version at one stage, whose approval there has ended while it stands for another stage."""
    return digest_of({"digest": digest, "model": model, "stage": stage, "version": version})


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
    named = (release.model, release.version, release.digest)
    if {version_id(*named), stage_id(*named, release.stage)} & status.revoked:
        raise NotVerified("revoked", f"The approval of {release.model} version {release.version} was revoked.")
    if at >= release.pulls_until:
        raise NotVerified(
            "expired",
            f"The approval of {release.model} version {release.version} expired at {release.pulls_until.isoformat()}.",
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
    _check_rollback(attestation, release, key)
    sign_offs = _signers(attestation, release, key, at)
    verified = VerifiedRelease(
        model=release["model"],
        version=release["version"],
        stage=release["stage"],
        digest=release["digest"],
        files=files,
        sign_offs=tuple(sign_offs),
        valid_until=_time(release["valid_until"]),
        pulls_until=_time(release.get("pulls_until", release["valid_until"])),
        basis=release.get("basis", "review"),
        status=status,
    )
    check_standing(verified, status, at=at)
    return verified


def _signers(
    attestation: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey, at: datetime
) -> list[VerifiedSignOff]:
    """The people who signed for the release, after every rule of what it rests on has been checked."""
    basis = release.get("basis", "review")
    if basis == "break_glass":
        return _break_glass(attestation, release, key)
    if basis == "envelope":
        return _in_advance(attestation, release, key, at)
    if basis != "review":
        raise NotVerified("basis", f"The release rests on {basis}, which this verifier does not know.")
    said = _sign_offs(attestation, release, key, at)
    return [_signer(one["slot"]["key"], one["reviewer"], one) for one in said]


def _signer(slot: str, person: Mapping[str, Any], said: Mapping[str, Any]) -> VerifiedSignOff:
    return VerifiedSignOff(slot, person["id"], said["issued"], method_of(said))


def _check_rollback(attestation: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey) -> None:
    """That the signed decision is there by which the version came back, where the release names one."""
    if "rollback" not in release:
        return
    envelope = attestation["rollback"]
    if envelope_digest(envelope) != release["rollback"]:
        raise NotVerified("rollback-decision", "The signed rollback is not the one that the release names.")
    predicate = _about(envelope, ROLLBACK_TYPE, release, key)
    accepted = _methods(attestation["policies"])
    check_confirmed(predicate, "person", envelope_digest(envelope), attestation, accepted, key)


def _break_glass(
    attestation: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey
) -> list[VerifiedSignOff]:
    """That two people signed for these bytes, the second in time and independent, and that the release ends with the hours."""
    said = {}
    accepted = _methods(attestation["policies"])
    for role in ("asks", "seconds"):
        envelope = attestation["break_glass"][role]
        if envelope_digest(envelope) != release["break_glass"][role]:
            raise NotVerified("break-glass", "The statements of the break-glass are not those that the release names.")
        said[role] = predicate = _about(envelope, BREAK_GLASS_TYPE, release, key)
        if predicate["role"] != role or predicate["policies"] != release["policies"]:
            raise NotVerified("break-glass", "A statement of the break-glass says something else than the release.")
        check_confirmed(predicate, "person", envelope_digest(envelope), attestation, accepted, key)
    asks, seconds = said["asks"], said["seconds"]
    if seconds["asked"] != release["break_glass"]["asks"] or seconds["hours"] != asks["hours"]:
        raise NotVerified("break-glass", "The second signature answers another break-glass.")
    people = [asks["person"]["id"], seconds["person"]["id"]]
    if people[0] == people[1]:
        raise NotVerified("independence", "One person signed the break-glass twice.")
    if people[1] in _authors(attestation["provenance"], release, key):
        raise NotVerified("independence", "Whoever seconded the break-glass took part in making this version.")
    _check_hours(asks, seconds, release, _texts(attestation["policies"], release["policies"]))
    return [_signer(f"break-glass {role}", one["person"], one) for role, one in said.items()]


def _check_hours(
    asks: Mapping[str, Any], seconds: Mapping[str, Any], release: Mapping[str, Any], texts: Iterable[Mapping[str, Any]]
) -> None:
    rules = [text.get("break_glass", {}) for text in texts]
    if not all(rule.get("allowed", True) and asks["hours"] <= rule.get("hours", 24) for rule in rules):
        raise NotVerified("break-glass", "The policy does not allow a break-glass, or not for so many hours.")
    if not {rule.get("seconded_by", "Risk officers") for rule in rules} <= set(seconds["groups"]):
        raise NotVerified("break-glass", "The break-glass was seconded for another group than the policy names.")
    hours = timedelta(hours=asks["hours"])
    asked, seconded = _time(asks["issued"]), _time(seconds["issued"])
    if not asked <= seconded < asked + hours:
        raise NotVerified("break-glass", "The break-glass was not seconded in time.")
    if max(_time(release["valid_until"]), _time(release["pulls_until"])) > seconded + hours:
        raise NotVerified("break-glass", "The release lasts longer than the hours of the break-glass.")


def _in_advance(
    attestation: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey, at: datetime
) -> list[VerifiedSignOff]:
    """That reviewers signed the bounds in advance, in every slot, none of them an author, and that the release ends with them."""
    document, envelopes = attestation["envelope"]["document"], attestation["envelope"]["signatures"]
    if digest_of(document) != release["envelope"]["digest"]:
        raise NotVerified("envelope", "The bounds in the attestation are not those that the release names.")
    if sorted(map(envelope_digest, envelopes)) != sorted(release["envelope"]["signatures"]):
        raise NotVerified("envelope", "The signatures under the bounds are not those that the release names.")
    if any(document[name] != release[name] for name in ("model", "stage", "policies")):
        raise NotVerified("envelope", "The bounds are for another model, stage or policy.")
    slots = _slots(attestation["policies"], release["policies"])
    _facets(attestation["subject"], release)
    accepted = _methods(attestation["policies"])
    signed = [_under(envelope, document, slots, attestation, accepted, key, at) for envelope in envelopes]
    _check_independent(signed, _authors(attestation["provenance"], release, key))
    _check_quorum(signed, slots)
    if _time(release["valid_until"]) > _time(document["valid_until"]):
        raise NotVerified("envelope", "The release lasts longer than the envelope.")
    if not release["bounds"]:
        raise NotVerified("envelope", "The release does not say what was measured against the bounds.")
    return [_signer(one["slot"]["key"], one["reviewer"], one) for one in signed]


def _under(
    envelope: Mapping[str, Any],
    document: Mapping[str, Any],
    slots: Mapping[str, Slot],
    attestation: Mapping[str, Any],
    accepted: frozenset[str],
    key: Ed25519PublicKey,
    at: datetime,
) -> dict[str, Any]:
    """One signature under the bounds, in the shape of a sign-off."""
    statement = _open(envelope, key, ENVELOPE_TYPE)
    predicate = statement["predicate"]
    if statement["subject"][0]["digest"]["sha256"] != digest_of(document):
        raise NotVerified("envelope", "A signature is under other bounds.")
    if predicate["slot"]["key"] not in slots:
        raise NotVerified("envelope", f"The slot {predicate['slot']['key']} is in none of the policies.")
    if at >= _time(predicate["pulls_until"]):
        raise NotVerified("expired", f"The signature under the bounds expired at {predicate['pulls_until']}.")
    check_confirmed(predicate, "signer", envelope_digest(envelope), attestation, accepted, key)
    return {**predicate, "reviewer": predicate["signer"]}


def _about(
    envelope: Mapping[str, Any], predicate_type: str, release: Mapping[str, Any], key: Ed25519PublicKey
) -> dict[str, Any]:
    """What a person's statement of this type says; raises `NotVerified` unless it is about the bytes, version and stage of the release."""
    statement = _open(envelope, key, predicate_type)
    predicate: dict[str, Any] = statement["predicate"]
    if statement["subject"][0]["digest"]["sha256"] != release["digest"]:
        raise NotVerified("sign-offs", "A statement is about other files than those of the release.")
    for name in ("model", "version", "stage"):
        if predicate[name] != release[name]:
            raise NotVerified("sign-offs", f"A statement is for {name} {predicate[name]}, not for {release[name]}.")
    return predicate


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
    authors = _authors(attestation["provenance"], release, key)
    _check_independent(decisions, authors)
    _check_quorum(decisions, slots)
    _check_exceptions(attestation, release, key, authors, accepted)
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


def _texts(texts: Iterable[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The texts of the policies that the release names, in that order, each checked against the digest that was signed."""
    by_digest = {digest_of(text["content"]): text["content"] for text in texts}
    if missing := [policy["name"] for policy in named if policy["digest"] not in by_digest]:
        raise NotVerified("policy", f"The text of the policy {missing[0]} is missing or was changed.")
    return [by_digest[policy["digest"]] for policy in named]


def _slots(texts: Iterable[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]) -> dict[str, Slot]:
    """The slots that the release's policies ask for, each policy's text checked against the digest that was signed."""
    rows = _rows("slots", _texts(texts, named), named)
    if not rows:
        raise NotVerified("policy", "The release names no policy that asks for a sign-off.")
    return {
        key: Slot(key, int(slot["people"]), tuple(slot["answers_for"]), bool(slot.get("delegable", True)))
        for key, _, slot in rows
    }


def _rows(
    part: str, contents: Iterable[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Key, policy and text of all slots or gates. Two policies may use one key for rows of their own: told apart as in reviews."""
    rows = [
        (str(policy["name"]), row) for policy, content in zip(named, contents, strict=True) for row in content[part]
    ]
    keys = told_apart([(str(row["key"]), name) for name, row in rows])
    return [(key, name, row) for key, (name, row) in zip(keys, rows, strict=True)]


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
    if decision.get("on_behalf_of") and not slot.delegable:
        raise NotVerified("delegation", f"Nobody may sign in the slot {slot.key} for somebody else.")
    if at >= _time(until := decision.get("pulls_until", decision["expires"])):
        raise NotVerified("expired", f"The sign-off in the slot {slot.key} expired at {until}.")
    if stale := [facet for facet in slot.answers_for if decision["facets"][facet] != facets[facet]]:
        raise NotVerified("stale", f"The sign-off in the slot {slot.key} saw another state of {', '.join(stale)}.")


def _authors(envelope: Mapping[str, Any], release: Mapping[str, Any], key: Ed25519PublicKey) -> frozenset[str]:
    predicate = _open(envelope, key, PROVENANCE_TYPE)["predicate"]
    if any(predicate[name] != release[name] for name in ("model", "version", "digest")):
        raise NotVerified("provenance", "The statement about the authors is about another version.")
    return frozenset(predicate["authors"])


def _check_independent(decisions: Iterable[Mapping[str, Any]], authors: frozenset[str]) -> None:
    people = [person for decision in decisions for person in _spoken_for(decision)]
    if len(set(people)) != len(people):
        raise NotVerified("independence", "One person signed in more than one slot.")
    if own := authors.intersection(people):
        raise NotVerified("independence", f"{sorted(own)[0]} took part in making this version and cannot approve it.")


def _spoken_for(decision: Mapping[str, Any]) -> list[str]:
    """Everybody whose decision it is: the signer, and whom they signed for."""
    delegator = decision.get("on_behalf_of")
    return [decision["reviewer"]["id"], *([delegator["id"]] if delegator else [])]


def _check_exceptions(
    attestation: Mapping[str, Any],
    release: Mapping[str, Any],
    key: Ed25519PublicKey,
    authors: frozenset[str],
    accepted: frozenset[str],
) -> None:
    """That every exception which the release names is there, by an independent holder of the policy's slot, and outlasts the release."""
    envelopes, named = attestation.get("exceptions", ()), release.get("exceptions", ())
    if sorted(envelope_digest(envelope) for envelope in envelopes) != sorted(named):
        raise NotVerified("exceptions", "The exceptions in the attestation are not those that the release names.")
    excepting = _excepting(attestation["policies"], release["policies"]) if envelopes else {}
    for envelope in envelopes:
        said = _about(envelope, EXCEPTION_TYPE, release, key)
        slot = said["slot"]["key"]
        if not slot or excepting.get(said["gate"]["key"]) != slot:
            raise NotVerified("exceptions", f"The policies do not let the slot {slot} except {said['gate']['key']}.")
        if said["reviewer"]["id"] in authors:
            raise NotVerified("independence", f"{said['reviewer']['id']} took part in making this version.")
        if _time(said["ends_at"]) < _time(release["valid_until"]):
            raise NotVerified("exceptions", f"The release outlasts the exception of {said['gate']['key']}.")
        check_confirmed(said, "reviewer", envelope_digest(envelope), attestation, accepted, key)


def _excepting(texts: Iterable[Mapping[str, Any]], named: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The slot that may except each gate; keys that two policies use are told apart by the policy's name, as in reviews."""
    contents = _texts(texts, named)
    slots = {(name, str(slot["key"])): key for key, name, slot in _rows("slots", contents, named)}
    return {
        key: slots.get((name, str(gate.get("excepted_by", ""))), "")
        for key, name, gate in _rows("gates", contents, named)
    }


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
    moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)  # Python 3.10 reads no Z
    if moment.tzinfo is None:
        raise NotVerified("malformed", f"The time {text} has no time zone.")
    return moment
