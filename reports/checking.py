"""Decides what the page /verify/ says about an attestation or a digest that somebody brings along."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from access.models import User
from access.permissions import Permission, visible_to
from access.principal import Principal
from countersign.proof.attestation import NotVerified, VerifiedRelease, check_standing, verify, verify_status
from countersign.proof.dsse import key_id
from foundation.keys import registry_signer
from foundation.refusals import Invalid
from registry.models import ModelVersion
from reports.certificate import Holds, certificate_of
from reviews.models import Approval, Slot
from reviews.policies import METHOD_WORDS
from serving.attestations import current_status
from serving.bundles import BUNDLE_TYPE, Check, report_on

LARGEST_BYTES: Final = 5 * 1024**2
DEEPEST: Final = 64
DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True)
class Signer:
    """One signature inside an attestation, with the names behind its ids where person and slot are known here."""

    name: str
    slot: str
    signed_at: datetime
    method: str


@dataclass(frozen=True)
class Checked:
    """The answer: whether it holds, in a sentence, and what was found."""

    good: bool
    sentence: str
    key: str = ""
    release: VerifiedRelease | None = None
    signers: tuple[Signer, ...] = ()
    versions: tuple[tuple[ModelVersion, str], ...] = ()
    checks: tuple[Check, ...] = ()


def check(text: str, *, by: Principal, at: datetime) -> Checked:
    """What `text` is worth: a release attestation or a sign-off bundle (JSON), or the SHA-256 of a version's manifest.

    Raises `Invalid` for anything else.
    """
    text = text.strip()
    if not text:
        raise Invalid(
            "Paste an attestation or a digest, or choose a file.", errors={"text": "There is nothing to check."}
        )
    if found := DIGEST.fullmatch(text.lower()):
        return _digest(found.group(1), by=by, at=at)
    value = _parsed(text)
    return _bundle(value, at=at) if value.get("type") == BUNDLE_TYPE else _attestation(value, at=at)


def _parsed(text: str) -> dict[str, object]:
    if text.startswith("%PDF"):
        raise Invalid(
            "A certificate in PDF is for reading. To check it, paste the digest that it prints, or upload the release attestation (JSON).",
            errors={"text": "This is a PDF, not an attestation."},
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(
            "This is neither readable JSON nor a SHA-256 digest of 64 hexadecimal digits.",
            errors={"text": "It cannot be read."},
        ) from error
    if not isinstance(value, dict):
        raise Invalid("An attestation is a JSON object.", errors={"text": "This JSON is no object."})
    return value


def _bundle(value: dict[str, object], *, at: datetime) -> Checked:
    key = registry_signer().public
    report = report_on(value, key, at=at)
    sentence = "This signature holds." if report.holds else "This signature does not hold."
    return Checked(report.holds, sentence, key=key_id(key), checks=report.checks)


def _attestation(value: dict[str, object], *, at: datetime) -> Checked:
    key = registry_signer().public
    try:
        release = verify(value, key, at=at)
        # The attestation's own status may be older than what this registry knows today.
        check_standing(release, verify_status(current_status(), key, at=at), at=at)
    except NotVerified as problem:
        return Checked(False, f"This attestation does not hold. {problem}", key=key_id(key))
    except RecursionError:
        return Checked(False, "This attestation does not hold. It is nested too deeply to be one.", key=key_id(key))
    names = {
        str(user.uuid): str(user) for user in User.objects.filter(uuid__in=[one.reviewer for one in release.sign_offs])
    }
    slots = dict(Slot.objects.filter(round__review__version__digest=release.digest).values_list("key", "title"))
    return Checked(
        True,
        f"This attestation holds: {release.model} version {release.version} may be used for {release.stage} "
        f"until {release.valid_until:%d %b %Y, %H:%M} UTC.",
        key=key_id(key),
        release=release,
        signers=tuple(
            Signer(
                names.get(one.reviewer, one.reviewer),
                slots.get(one.slot, one.slot),
                datetime.fromisoformat(one.signed_at),
                METHOD_WORDS.get(one.method, one.method),
            )
            for one in release.sign_offs
        ),
    )


def _digest(digest: str, *, by: Principal, at: datetime) -> Checked:
    """The versions with these bytes that one may see, each with how its approval stands."""
    if by.is_anonymous:
        return Checked(False, "Sign in to look up a digest; attestations can be checked without.")
    found = visible_to(ModelVersion.objects.filter(digest=digest), by, Permission.SEE_MODEL, through="model")
    lines = [(version, _said(version, at)) for version in found.select_related("model").order_by("-pk")[:20]]
    if not lines:
        return Checked(False, "No version with this digest is known here, or you may not see it.")
    good = any(holds is Holds.IN_FORCE for _, (holds, _) in lines)
    sentence = (
        "A version with exactly these bytes is approved and released."
        if good
        else "No approval of these bytes is in force."
    )
    return Checked(good, sentence, versions=tuple((version, words) for version, (_, words) in lines))


def _said(version: ModelVersion, at: datetime) -> tuple[Holds | None, str]:
    if not Approval.objects.filter(version=version).exists():
        return None, "was never approved"
    certificate = certificate_of(version, at=at)
    until = f"until {certificate.approval.valid_until:%d %b %Y}"
    return certificate.holds, f"{certificate.holds.heading}, for {certificate.stage.title.lower()} {until}"
