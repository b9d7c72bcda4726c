"""Decides what a pull says about a version: everything that somebody needs who wants to check it later, offline, without asking us again.

One document joins the release attestation (`serving.attestations`), where each file is, and the ledger's word: the newest signed
checkpoint with the proof that it covers the entry by which this release moved its stage's alias.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

import orjson
from django.urls import reverse

from audit import keys
from audit.events import Action
from audit.models import IndexRow
from audit.receipts import NotProvable, issue_receipt
from audit.store import latest_checkpoint, read_entry
from countersign.proof.receipts import EntryReceipt
from registry.models import ModelVersion, Promotion
from serving.attestations import current_snapshot, release_attestation
from serving.queries import Resolved

PULL_TYPE: Final = "https://countersign.dev/pull/v1"
_CLOCKS: Final = timedelta(days=1)
"""How far the clocks of two machines may be apart for the entry of a promotion to be found by its time."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides whether a document that somebody holds is still the newest one: which release, and what was revoked since."""

    resolved: Resolved
    counter: int
    entry: int | None
    """The position in the ledger of the entry that moved the alias; None while it is not logged."""

    @property
    def etag(self) -> str:
        """The strong validator (RFC 9110, section 8.8): another one after each promotion, status snapshot and new proof."""
        release, proven = self.resolved.release_digest, "-p" if self.entry is not None else ""
        return f'"{self.resolved.version.digest[:32]}-{release[:32]}-{self.counter}{proven}"'


def standing(resolved: Resolved) -> Standing:
    """How it stands with a release now; signs a status snapshot anew where the last one does not say what was revoked since."""
    return Standing(resolved, current_snapshot().counter, entry_of(resolved.approval.promotion))


def pull_document(now: Standing) -> dict[str, Any]:
    """The document for who pulls what was resolved; plain JSON. Raises `Unavailable` where records are missing."""
    resolved = now.resolved
    version = resolved.version
    here = {"name": version.model.name, "number": version.number}
    return {
        "type": PULL_TYPE,
        "model": version.model.name,
        "alias": resolved.alias or None,
        "version": version.number,
        "stage": resolved.stage.name,
        "digest": version.digest,
        "size": version.size_bytes,
        "approved_until": resolved.approval.valid_until.isoformat(),
        "files": [file.row() | {"url": blob_address(version, file.sha256)} for file in version.files],
        "download": reverse("serving-api:download", kwargs=here),
        "attestation_url": f"{reverse('serving-api:attestation', kwargs=here)}?stage={resolved.stage.name}",
        "attestation": release_attestation(version, resolved.stage, resolved.release),
        "ledger": ledger_part(now.entry),
    }


def blob_address(version: ModelVersion, sha256: str) -> str:
    """Where the bytes with this digest are had, while the version is approved."""
    return reverse("serving-api:blob", kwargs={"name": version.model.name, "number": version.number, "sha256": sha256})


def entry_of(promotion: Promotion | None) -> int | None:
    """The position of the entry by which the promotion moved its stage's alias, or None while it is not logged.

    Every promotion writes it (`registry.releases.place_stage_alias`), whatever it rests on: a review, an envelope, a break-glass.
    """
    return None if promotion is None else _entry_of(promotion)


_found: Final[dict[str, int]] = {}
_MOST_FOUND: Final = 10_000


def _entry_of(promotion: Promotion) -> int | None:
    known = _found.get(promotion.release_digest)
    if known is not None and _moves(read_entry(known), promotion):
        return known
    at = int(promotion.at.timestamp() * 1_000_000)
    margin = _CLOCKS // timedelta(microseconds=1)
    rows = IndexRow.objects.filter(
        obj_kind="model", obj_id=str(promotion.model_id), action=Action.ALIAS_SET, t__range=(at - margin, at + margin)
    )
    for seq in rows.order_by("seq").values_list("seq", flat=True):
        if _moves(read_entry(seq), promotion):
            if len(_found) >= _MOST_FOUND:
                _found.clear()
            _found[promotion.release_digest] = seq
            return seq
    return None


def _moves(payload: bytes | None, promotion: Promotion) -> bool:
    """Whether an entry is the one by which this promotion moved the alias."""
    if payload is None:
        return False
    said = orjson.loads(payload)
    after = (said.get("d") or {}).get("after") or {}
    return said.get("action") == Action.ALIAS_SET and after.get("release") == promotion.release_digest


def ledger_part(entry: int | None) -> dict[str, Any]:
    """The ledger's key and newest checkpoint, and under it the proof of the entry; `pending` while that is not logged or signed."""
    latest = latest_checkpoint()
    note = latest.note if latest else ""
    receipt = _receipt(entry, note) if latest is not None and entry is not None else None
    return {
        "log_key": _log_key(),
        "checkpoint": note or None,
        "promotion": {
            "payload": b64encode(receipt.payload).decode(),
            "receipt": receipt.encode().decode(),
        }
        if receipt
        else None,
        "pending": receipt is None,
    }


@lru_cache(maxsize=256)
def _receipt(entry: int, note: str) -> EntryReceipt | None:
    """The proof under this checkpoint; None where the checkpoint is older than the entry, or the ledger does not bear it out."""
    try:
        return issue_receipt(entry, note)
    except NotProvable:
        return None


def _log_key() -> str | None:
    """The verifier key by which checkpoints of today are checked, as C2SP signed notes write it; None before there is a ledger."""
    try:
        trusted = keys.trusted_verifiers()
    except keys.KeyRefused:
        return None
    return next((str(key) for key in reversed(trusted) if key.last is None), None)
