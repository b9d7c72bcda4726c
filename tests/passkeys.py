"""An authenticator in software, with real keys: it answers as a browser with a passkey does, or wrongly where a test wants that."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256, RS256, CoseKey, EdDSA
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData
from fido2.webauthn import AuthenticatorData as Data

from access import passkeys
from access.models import Passkey, User
from access.stepup import Confirmation, Rehearsal, StatementReady
from countersign.proof.canonical import sha256_hex
from countersign.proof.webauthn import decoded, encoded
from tests.conftest import as_

ORIGIN = "http://localhost:8000"
FLAG = Data.FLAG

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def private_key(algorithm: str = "ES256") -> Private:
    """A new key of one of the three kinds."""
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class SoftKey:
    """One passkey. `counts`: whether it counts its signatures (synced ones do not)."""

    algorithm: str = "ES256"
    rp_id: str = "localhost"
    counts: bool = True
    count: int = 0
    private: Private = field(init=False)
    credential: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.private = private_key(self.algorithm)

    @property
    def id(self) -> str:
        """The credential's id as the wire writes it."""
        return encoded(self.credential)

    @property
    def cose(self) -> CoseKey:
        """The public key."""
        kind: Any = {"ES256": ES256, "EdDSA": EdDSA, "RS256": RS256}[self.algorithm]
        made: CoseKey = kind.from_cryptography_key(self.private.public_key())
        return made

    def create(self, challenge: str, *, origin: str = ORIGIN, flags: Any = FLAG.UP | FLAG.UV) -> dict[str, Any]:
        """What `navigator.credentials.create` gives; `challenge` in base64url."""
        credential = AttestedCredentialData.create(Aaguid(bytes(16)), self.credential, self.cose)
        data = AuthenticatorData.create(self._rp(), flags | FLAG.AT, self.count, credential)
        response = {
            "clientDataJSON": encoded(client_data("webauthn.create", challenge, origin)),
            "attestationObject": encoded(bytes(AttestationObject.create("none", data, {}))),
        }
        return {
            "id": self.id,
            "rawId": self.id,
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }

    def get(
        self,
        options: dict[str, Any],
        *,
        origin: str = ORIGIN,
        flags: Any = FLAG.UP | FLAG.UV,
        kind: str = "webauthn.get",
        count: int | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """What `navigator.credentials.get` gives for the options of a ceremony."""
        self.count += self.counts
        data = bytes(AuthenticatorData.create(self._rp(), flags, self.count if count is None else count))
        client = client_data(kind, options["challenge"], origin, **more)
        response = {
            "authenticatorData": encoded(data),
            "clientDataJSON": encoded(client),
            "signature": encoded(self.sign(data + bytes.fromhex(sha256_hex(client)))),
        }
        return {"id": self.id, "rawId": self.id, "type": "public-key", "response": response}

    def sign(self, message: bytes) -> bytes:
        """A signature over any bytes."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(message, ec.ECDSA(SHA256()))
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        return self.private.sign(message, padding.PKCS1v15(), SHA256())

    def _rp(self) -> bytes:
        return bytes.fromhex(sha256_hex(self.rp_id.encode()))


def client_data(kind: str, challenge: str, origin: str, **more: Any) -> bytes:
    """The browser's part of a ceremony."""
    said = {"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False} | more
    return json.dumps(said).encode()


def enrolled(user: User, key: SoftKey, name: str = "Laptop") -> Passkey:
    """`key` as a passkey of `user`, as after the page that adds one."""
    authenticator = Authenticator.objects.create(
        user=user,
        type=Authenticator.Type.WEBAUTHN,
        data={"name": name, "credential": key.create(encoded(secrets.token_bytes(32)))},
    )
    return passkeys.enrol(authenticator, by=as_(user))


def ready_for(digest: str) -> StatementReady:
    """A decision rehearsed up to a statement with this digest."""
    return StatementReady(digest, Rehearsal.now())


def sign_with(key: SoftKey, user: User, act: Any) -> Any:
    """Carry out `act` (an action as a function of its confirmation), confirmed with a passkey: rehearse, sign, do."""
    try:
        act(Rehearsal.now())
    except StatementReady as ready:
        answer = key.get(passkeys.begin(user, ready))
    confirmation: Confirmation = passkeys.finish(user, answer, by=as_(user))
    return act(confirmation)


def tampered(assertion: dict[str, Any], name: str) -> dict[str, Any]:
    """The same with the last byte of one part of the response changed."""
    response = dict(assertion["response"])
    data = bytearray(decoded(response[name], name))
    data[-1] ^= 1
    response[name] = encoded(bytes(data))
    return {**assertion, "response": response}
