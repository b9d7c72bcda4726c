"""Decides, offline and without Django, what one signed decision proves, in words: what holds, what does not, what cannot be told from it.

A sign-off bundle joins a person's statement, countersigned by the registry, with the assertion of the passkey that signed it and the
registry's statement whose passkey that is. All that a check needs besides is the registry's public key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from countersign.proof.attestation import ATTESTATION_TYPE, NotVerified, VerifiedRelease, verify
from countersign.proof.dsse import STATEMENT_TYPE, BadEnvelope, envelope_digest, key_id, open_sealed
from countersign.proof.webauthn import BadAssertion, algorithm_of, check_signed_by, method_of, read_assertion

BUNDLE_TYPE: Final = "https://countersign.dev/sign-off-bundle/v1"
KINDS: Final = "https://countersign.dev/"
SIGNERS: Final = ("reviewer", "revoker", "signer", "person")  # under which name the kinds of statement have who signed
NOT_TOLD: Final = (
    "A bundle proves one signature. It does not tell whether it was taken back since, whether others were needed, or whether the "
    "approval still stands: the release attestation and the registry itself do."
)
WORD_OF_REGISTRY: Final = (
    "The statement says that the person confirmed it by {method}. That leaves nothing that others could check: it rests on the "
    "registry's word. Only a passkey signs the statement itself."
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `holds` is True, False, or None where it cannot be told."""

    title: str
    holds: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, in the order in which it was looked at."""

    what: str
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing that was checked is wrong."""
        return all(check.holds is not False for check in self.checks)


def report_on(value: Mapping[str, Any], key: Ed25519PublicKey, *, at: datetime) -> Report:
    """What the parsed file `value` proves at the moment `at`: a sign-off bundle or a whole release attestation."""
    if value.get("type") == ATTESTATION_TYPE:
        return _on_release(value, key, at)
    if value.get("type") == BUNDLE_TYPE:
        return _on_bundle(value, key)
    kinds = f"{BUNDLE_TYPE} or {ATTESTATION_TYPE}"
    return Report(
        "unknown", (Check("Kind", False, f"This is neither a sign-off bundle nor a release attestation ({kinds})."),)
    )


def _on_bundle(bundle: Mapping[str, Any], key: Ed25519PublicKey) -> Report:
    try:
        said, signer = _opened(bundle, key)
    except BadEnvelope as bad:
        return Report("sign-off bundle", (Check("Registry's signature", False, str(bad)),))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        return Report(
            "sign-off bundle", (Check("Form", False, f"The bundle is not complete or not readable: {error!r}."),)
        )
    predicate = said["predicate"]
    checks = [
        Check("Registry's signature", True, f"The registry's key {key_id(key)} signed the statement."),
        Check("Statement", True, f"{_told(said)} By {signer['name']} ({signer['id']}), {predicate['issued']}."),
        _confirmation(bundle, predicate, signer, key),
        Check("Not told", None, NOT_TOLD),
    ]
    return Report("sign-off bundle", tuple(checks))


def _opened(bundle: Mapping[str, Any], key: Ed25519PublicKey) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """The statement, and who it names as its signer."""
    said = open_sealed(bundle["envelope"], key)
    if said["_type"] != STATEMENT_TYPE or not str(said["predicateType"]).startswith(KINDS):
        raise BadEnvelope("What the registry signed is no statement about a decision.")
    predicate = said["predicate"]
    signer = next(predicate[name] for name in SIGNERS if name in predicate)
    if datetime.fromisoformat(predicate["issued"]).tzinfo is None or not method_of(predicate) or not signer["id"]:
        raise BadEnvelope("The statement does not tell who signed it, when and how.")
    return said, signer


def _told(said: Mapping[str, Any]) -> str:
    """The statement in a sentence."""
    predicate, kind = said["predicate"], str(said["predicateType"]).removeprefix(KINDS).partition("/")[0]
    about = said["subject"][0]
    decision = str(predicate.get("decision", kind)).replace("_", " ")
    stage = f" for {predicate['stage']}" if "stage" in predicate else ""
    return f"{kind.replace('-', ' ').capitalize()}: {decision}, {about['name']}{stage}, sha256:{about['digest']['sha256']}."


def _confirmation(
    bundle: Mapping[str, Any], predicate: Mapping[str, Any], signer: Mapping[str, Any], key: Ed25519PublicKey
) -> Check:
    method = method_of(predicate)
    if method != "passkey":
        return Check("Confirmation", None, WORD_OF_REGISTRY.format(method=method.replace("_", " ")))
    digest, at = envelope_digest(bundle["envelope"]), datetime.fromisoformat(predicate["issued"])
    try:
        enrolled = check_signed_by(str(signer["id"]), at, digest, bundle.get("assertion"), bundle.get("enrolment"), key)
        origin = read_assertion(bundle.get("assertion")).said["origin"]
    except BadAssertion as bad:
        return Check("Passkey", False, str(bad))
    return Check(
        "Passkey",
        True,
        f"A passkey ({algorithm_of(enrolled.public_key)}) of the site {enrolled.rp_id} signed exactly this statement "
        f"(sha256:{digest}) at {origin}, after checking who was there. The registry says that it is "
        f"{enrolled.person_name}'s, enrolled {enrolled.enrolled_at.isoformat()}.",
    )


def _on_release(attestation: Mapping[str, Any], key: Ed25519PublicKey, at: datetime) -> Report:
    try:
        release = verify(attestation, key, at=at)
    except NotVerified as problem:
        return Report("release attestation", (Check("Release", False, str(problem)),))
    return Report("release attestation", (*_of_release(release, key), *_of_signers(release)))


def _of_release(release: VerifiedRelease, key: Ed25519PublicKey) -> list[Check]:
    named = f"{release.model} version {release.version} for {release.stage}, sha256:{release.digest}"
    return [
        Check("Registry's signature", True, f"The registry's key {key_id(key)} signed the release and all behind it."),
        Check("Release", True, f"{named}, {len(release.files)} files, valid until {release.valid_until.isoformat()}."),
        Check(
            "Status",
            True,
            f"Not revoked as of {release.status.issued_at.isoformat()} (snapshot {release.status.counter}).",
        ),
    ]


def _of_signers(release: VerifiedRelease) -> list[Check]:
    checks = []
    for one in release.sign_offs:
        who = f"{one.reviewer} as {one.slot}, {one.signed_at}"
        if one.method == "passkey":
            checks.append(
                Check("Signature", True, f"{who}: by passkey, over exactly this statement; the key is theirs.")
            )
        else:
            checks.append(
                Check("Signature", None, f"{who}: {WORD_OF_REGISTRY.format(method=one.method.replace('_', ' '))}")
            )
    return checks
