"""Decides what we hand out with one signature, so that anyone can check it offline: see `serving.bundles`."""

from __future__ import annotations

from typing import Any

from countersign.proof.dsse import key_id
from foundation.keys import public_pem, registry_signer
from foundation.refusals import NotFound
from registry.models import ModelVersion
from reviews.models import SignOff
from serving.bundles import BUNDLE_TYPE


def bundle_of(version: ModelVersion, digest: str) -> dict[str, Any]:
    """The sign-off of `version` whose statement has this SHA-256, with all that proves it; plain JSON."""
    rows = SignOff.objects.filter(round__review__version=version, statement_digest=digest)
    given = rows.select_related("reauthentication").first()
    if given is None:
        raise NotFound(f"No sign-off of {version} has this digest.")
    public = registry_signer().public
    return {
        "type": BUNDLE_TYPE,
        "envelope": given.statement,
        "assertion": given.reauthentication.assertion,
        "enrolment": given.reauthentication.enrolment,
        "key": {"id": key_id(public), "pem": public_pem(public)},
    }
