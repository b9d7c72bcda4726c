"""Decides whether the person whom a statement names really confirmed it: by a passkey whose assertion is kept, or in an accepted way.

The registry's key alone makes no decision of a person: where the rules ask for passkeys, every kind of statement needs its assertion.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from access.models import Reauthentication
from countersign.proof.dsse import envelope_digest, open_sealed
from countersign.proof.webauthn import BadAssertion, check_signed_by, method_of
from foundation.keys import registry_signer


def why_unproven(
    envelope: Mapping[str, Any],
    signer: str,
    kept: Reauthentication | None,
    *,
    accepted: Collection[str] | None = None,
) -> str:
    """Why the statement in `envelope`, whose form was checked, is not proven to be that of the person under `signer`, or nothing.

    `kept` is the confirmation that was used up for it; `accepted` are the methods that its rules accept, None: all.
    """
    said = open_sealed(envelope, registry_signer().public)["predicate"]
    method = method_of(said)
    if accepted is not None and method not in accepted:
        return f"It was confirmed by {method}, which the policy does not accept."
    if method != Reauthentication.Method.PASSKEY:
        return ""
    try:
        check_signed_by(
            str(said[signer]["id"]),
            datetime.fromisoformat(said["issued"]),
            envelope_digest(envelope),
            kept.assertion if kept else None,
            kept.enrolment if kept else None,
            registry_signer().public,
        )
    except BadAssertion as bad:
        return str(bad)
    return ""
