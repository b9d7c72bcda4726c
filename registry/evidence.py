"""How evidence is written: canonical, digested, about exactly the bytes of one version, with its producer, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from access.models import User
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from countersign.proof.canonical import canonical, sha256_hex
from foundation.refusals import Invalid, TooLarge, Unauthenticated
from registry.models import Evidence, ModelVersion
from registry.shapes import flaw_in

MAX_EVIDENCE_BYTES: Final = 4 * 1024**2
OWN_EVIDENCE: Final = frozenset({Evidence.Kind.SCAN, Evidence.Kind.SIGNATURE})
"""Kinds that only admission writes: whoever could add a scan of their own could admit themselves."""


def append_evidence(
    version: ModelVersion, kind: str, content: Mapping[str, Any], *, by: Principal, run_id: str = ""
) -> Evidence:
    """Write evidence for a caller that has locked the version, permitted and checked: `add_evidence` and admission."""
    digest = _evidence_digest(content)
    if flaw := flaw_in(kind, content):
        raise Invalid(
            f"This is not the shape of evidence of the kind {kind}: {flaw}.",
            code="evidence-content",
            errors={"content": flaw},
        )
    newest = version.evidence.filter(kind=kind, subject_digest=version.digest).order_by("-created_at", "-pk").first()
    if newest is not None and newest.digest == digest and newest.run_id == run_id:
        return newest
    evidence = Evidence.objects.create(
        version=version,
        kind=kind,
        subject_digest=version.digest,
        content=dict(content),
        digest=digest,
        producer=account_of(by),
        produced_via=by.via[:120],
        job_kind=by.job,
        run_id=run_id,
    )
    append(
        Action.EVIDENCE_ADD,
        by=by,
        obj=evidence.ledger_ref(),
        after={"kind": kind, "digest": digest, "of": str(version), "subject": version.digest},
    )
    return evidence


def account_of(by: Principal) -> User:
    """The account that acts; raises `Unauthenticated` where there is none, so that no row is without its author."""
    if by.user is None:
        raise Unauthenticated("Sign in first, so that the record can say who did this.")
    return by.user


def _evidence_digest(content: Mapping[str, Any]) -> str:
    try:
        written = canonical(dict(content))
    except ValueError as error:
        raise Invalid(f"Evidence is plain JSON with finite numbers. {error}", code="evidence-content") from error
    if len(written) > MAX_EVIDENCE_BYTES:
        raise TooLarge(
            f"One piece of evidence has at most {MAX_EVIDENCE_BYTES:,} bytes; this one has {len(written):,}."
        )
    return sha256_hex(written)
