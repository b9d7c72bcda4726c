"""Decides whose passkey is whose, and whether one has signed the statement that it was asked to sign.

Enrolling: the registry seals a statement that binds the public key to the person, so that others can check without asking us.
Signing: the decision is rehearsed up to its statement, whose SHA-256 becomes the challenge; the assertion over it is kept.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from fido2 import cbor

from access.models import Passkey, PasskeyCeremony, Reauthentication, User
from access.principal import Principal
from access.stepup import FRESH, StatementReady, attempt, be_oneself, record
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from countersign.proof.canonical import sha256_hex
from countersign.proof.dsse import seal, statement
from countersign.proof.webauthn import (
    PASSKEY_TYPE,
    Assertion,
    BadAssertion,
    EnrolledKey,
    algorithm_of,
    check_assertion,
    decoded,
    encoded,
    read_assertion,
)
from foundation.keys import registry_signer
from foundation.refusals import Conflict, Invalid, Refusal

KEPT: Final = timedelta(
    days=1
)  # how long a ceremony is remembered, so that a late answer is told what is wrong with it


def rp_id() -> str:
    """The site that passkeys are bound to: the host of the portal's address."""
    return urlsplit(settings.PORTAL_URL).hostname or "localhost"


def origin() -> str:
    """The one address at which passkeys are used."""
    parts = urlsplit(settings.PORTAL_URL)
    return f"{parts.scheme}://{parts.netloc}"


@governed(Action.AUTHENTICATOR_ADD)
def enrol(authenticator: Authenticator, *, by: Principal) -> Passkey:
    """Keep the public key of a passkey that the login has just accepted, with the registry's statement whose it is."""
    user: User = authenticator.user
    be_oneself(user, by)
    data = authenticator.wrap().authenticator_data
    key, credential = cbor.encode(dict(data.credential_data.public_key)), encoded(data.credential_data.credential_id)
    now = timezone.now()
    passkey = Passkey.objects.create(
        user=user,
        authenticator_pk=authenticator.pk,
        name=authenticator.wrap().name[:100],
        credential_id=credential,
        public_key=encoded(key),
        rp_id=rp_id(),
        sign_count=data.counter,
        statement=dict(
            seal(
                statement(
                    subject_name=f"passkey of {user.username}",
                    subject_sha256=sha256_hex(key),
                    predicate_type=PASSKEY_TYPE,
                    predicate={
                        "person": {"id": str(user.uuid), "name": str(user), "username": user.username},
                        "credential_id": credential,
                        "public_key": encoded(key),
                        "algorithm": algorithm_of(key),
                        "rp_id": rp_id(),
                        "at": now.isoformat(),
                    },
                ),
                registry_signer(),
            )
        ),
        enrolled_at=now,
    )
    append(
        Action.AUTHENTICATOR_ADD,
        by=by,
        obj=user.ledger_ref(),
        after={"type": str(authenticator.type), "passkey": str(passkey.uuid)},
    )
    return passkey


@governed(Action.AUTHENTICATOR_RENAME)
def rename(authenticator: Authenticator, name: str, *, by: Principal) -> None:
    """Call one's passkey what allauth calls it now. The name is the person's own words, and erasable."""
    user: User = authenticator.user
    be_oneself(user, by)
    Passkey.objects.filter(authenticator_pk=authenticator.pk).update(name=name)
    append(Action.AUTHENTICATOR_RENAME, by=by, obj=user.ledger_ref(), private={"name": name})


@governed(Action.AUTHENTICATOR_REMOVE)
def retire(user: User, credential_id: str, *, by: Principal) -> None:
    """Let a passkey sign nothing more; what it signed stays provable."""
    be_oneself(user, by)
    passkey = (
        Passkey.objects.select_for_update().filter(user=user, credential_id=credential_id, removed_at=None).first()
    )
    if passkey is not None:
        passkey.removed_at = timezone.now()
        passkey.save(update_fields=["removed_at"])
    after = {"type": "webauthn", "passkey": str(passkey.uuid) if passkey else ""}
    append(Action.AUTHENTICATOR_REMOVE, by=by, obj=user.ledger_ref(), after=after)


@transaction.atomic
def begin(user: User, ready: StatementReady) -> dict[str, Any]:
    """What the browser asks the passkey for (PublicKeyCredentialRequestOptions in JSON), to sign the statement that is ready."""
    keys = list(Passkey.objects.usable().filter(user=user))
    if not keys:
        raise Conflict(
            "You have no passkey yet. Add one on your own page, then come back.", code="no-passkey", link="/me/"
        )
    PasskeyCeremony.objects.filter(user=user, at__lt=timezone.now() - KEPT).delete()
    PasskeyCeremony.objects.create(
        user=user, challenge=ready.digest, nonce=ready.rehearsal.nonce, at=ready.rehearsal.at
    )
    return {
        "challenge": encoded(bytes.fromhex(ready.digest)),
        "rpId": rp_id(),
        "timeout": round(FRESH.total_seconds() * 1000),
        "userVerification": "required",
        "allowCredentials": [{"type": "public-key", "id": key.credential_id} for key in keys],
    }


def finish(user: User, assertion: object, *, by: Principal) -> Reauthentication:
    """Proof that `user` signed, with a passkey of theirs, the statement of a ceremony of theirs; good for that statement alone.

    `assertion`: the browser's answer (`PublicKeyCredential.toJSON()`). Raises `Invalid` with the reason where it does not hold,
    `Conflict` after too many wrong ones. Runs in no transaction of the caller: failures stay counted, successes stay used.
    """
    be_oneself(user, by)
    held: list[Reauthentication] = []

    def check(current: User) -> Refusal | None:
        try:
            held.append(_checked(current, read_assertion(assertion)))
        except BadAssertion as bad:
            return Invalid(f"{bad} Nothing was signed.", code=f"passkey-{bad.reason}")
        return None

    return record(user, attempt(user, check, by=by), lambda: held[0], by=by)


def _checked(user: User, assertion: Assertion) -> Reauthentication:
    """The confirmation that the assertion is worth, its ceremony used up and its key's counter moved on."""
    ceremony = _ceremony(user, assertion.challenge)
    passkey = Passkey.objects.usable().select_for_update().filter(credential_id=assertion.credential_id).first()
    if passkey is None:
        raise BadAssertion("unknown", "This passkey is not enrolled here, or was removed.")
    if passkey.user_id != user.pk:
        raise BadAssertion("other-person", "This passkey belongs to somebody else.")
    check_assertion(assertion, challenge=ceremony.challenge, key=key_of(passkey), origins={origin()})
    _count(passkey, assertion.sign_count)
    ceremony.used_at = passkey.last_used_at
    ceremony.save(update_fields=["used_at"])
    return Reauthentication(
        user=user,
        method=Reauthentication.Method.PASSKEY,
        challenge=ceremony.challenge,
        nonce=ceremony.nonce,
        assertion=assertion.as_json(),
        enrolment=passkey.statement,
        at=ceremony.at,
    )


def _ceremony(user: User, challenge: str) -> PasskeyCeremony:
    ceremony = PasskeyCeremony.objects.select_for_update().filter(challenge=challenge).first()
    if ceremony is None:
        raise BadAssertion("other-statement", "The passkey signed something that nobody here asked it to sign.")
    if ceremony.user_id != user.pk:
        raise BadAssertion("other-person", "The passkey signed a statement that was prepared for somebody else.")
    if ceremony.used_at is not None:
        raise BadAssertion("replayed", "This answer of the passkey was used already; each counts once.")
    if not timedelta(0) <= timezone.now() - ceremony.at <= FRESH:
        raise BadAssertion("stale", "It took more than 5 minutes to sign. Sign again.")
    return ceremony


def _count(passkey: Passkey, count: int) -> None:
    """Move the counter on; one that stands still or goes back is the mark of a copied key. Synced passkeys do not count: 0 stays 0."""
    if (count or passkey.sign_count) and count <= passkey.sign_count:
        raise BadAssertion(
            "copied",
            "The passkey's counter did not move on, as if there were a copy of it. Remove it on your own page and add another.",
        )
    passkey.sign_count, passkey.last_used_at = count, timezone.now()
    passkey.save(update_fields=["sign_count", "last_used_at"])


def key_of(passkey: Passkey) -> EnrolledKey:
    """The key as the pure checks want it."""
    return EnrolledKey(
        person=str(passkey.user.uuid),
        person_name=str(passkey.user),
        credential_id=passkey.credential_id,
        public_key=decoded(passkey.public_key, "public key"),
        rp_id=passkey.rp_id,
        enrolled_at=passkey.enrolled_at,
    )
