"""Decides what `model.sig` says of an approved version, for those who check with the OpenSSF model-signing tool.

It names the release that allowed the version when it was fetched. That it was revoked since, it cannot say: the status in the release
attestation does (`serving.attestations`). The format is in `countersign.proof.model_sig`.
"""

from __future__ import annotations

from countersign.proof.model_sig import model_statement, sign_bundle
from foundation.keys import model_signing_key
from serving.queries import Resolved


def model_sig(resolved: Resolved) -> bytes:
    """The bundle for a version that may be pulled now; raises `Unavailable` where there is no key for it yet."""
    version = resolved.version
    about = {
        "model": version.model.name,
        "version": version.number,
        "stage": resolved.stage.name,
        "digest": version.digest,
        "release": resolved.release_digest,
    }
    return sign_bundle(
        model_statement(f"{version.model.name}/{version.number}", version.files, about), model_signing_key()
    )
