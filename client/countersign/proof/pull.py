"""Decides, offline, whether a pull document proves that its files may be used now: by the people, the registry, the ledger.

For whoever pulls, and for whoever is handed a folder that somebody else pulled. Nothing of the document is believed that a signed
statement behind it does not say; its addresses are not part of the proof.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from countersign.proof.attestation import NotVerified, VerifiedRelease, verify
from countersign.proof.dsse import envelope_digest
from countersign.proof.manifest import name_problems
from countersign.proof.note import NoteRefused, TreeHead, Verifier, open_checkpoint
from countersign.proof.receipts import ReceiptRefused, verify_receipt

PULL_TYPE: Final = "https://countersign.dev/pull/v1"
PROMOTING: Final = "alias.set"
"""The action of the entry that moves a stage's alias, whatever the promotion rests on; a rollback writes one too."""


@dataclass(frozen=True, slots=True)
class Head:
    """The ledger as a signed checkpoint has it: how many entries under which root, and the note itself."""

    tree: TreeHead
    note: str


@dataclass(frozen=True, slots=True)
class Placed:
    """The entry `seq` of the ledger `log` by which a version went to its stage: the later one says where the stage's `alias` points."""

    log: str
    seq: int
    alias: str


@dataclass(frozen=True, slots=True)
class VerifiedPull:
    """A pull that may be used. `alias`: as which it was asked for; `head`: the ledger as it was shown, `placed`: the promotion in it.

    Both are None where no key of the ledger was given; `placed` also while the promotion is too new to be signed.
    """

    release: VerifiedRelease
    alias: str
    head: Head | None
    placed: Placed | None

    @property
    def entry(self) -> int | None:
        """The place of the promotion in the ledger."""
        return None if self.placed is None else self.placed.seq


def verify_pull(
    document: Mapping[str, Any],
    key: Ed25519PublicKey,
    *,
    at: datetime,
    log_keys: Sequence[Verifier] = (),
    model: str = "",
    stage: str = "",
    version: int | None = None,
    seen_counter: int = 0,
) -> VerifiedPull:
    """What `document` proves at the moment `at` under the registry's `key` and the ledger's `log_keys`; raises `NotVerified`.

    `model`, `stage` and `version` are what was asked for, `seen_counter` the highest status counter that was seen (see `verify`).
    """
    try:
        if document["type"] != PULL_TYPE:
            raise NotVerified("malformed", f"This is not a pull document but {document['type']!r}.")
        release = verify(
            document["attestation"],
            key,
            at=at,
            model=model,
            stage=stage,
            version=version,
            seen_counter=seen_counter,
        )
        _check_told(document, release)
        head, placed = _ledger(
            document["ledger"], log_keys, release, envelope_digest(document["attestation"]["release"])
        )
        return VerifiedPull(release, str(document["alias"] or ""), head, placed)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, NotVerified):
            raise
        raise NotVerified("malformed", f"The pull document is not complete or not readable: {error!r}.") from error


def _check_told(document: Mapping[str, Any], release: VerifiedRelease) -> None:
    """That what the document says in the clear is what was signed, and that its files can be written under their names."""
    for name in ("model", "version", "stage", "digest"):
        if document[name] != getattr(release, name):
            raise NotVerified(
                "document", f"The pull document says {name} {document[name]}, and {getattr(release, name)} was signed."
            )
    told = sorted((row["path"], row["size"], row["sha256"]) for row in document["files"])
    if told != sorted((file.path, file.size, file.sha256) for file in release.files):
        raise NotVerified("document", "The pull document lists other files than those that were signed.")
    if problems := name_problems(release.files):
        raise NotVerified("manifest", f"{problems[0].path}: {problems[0].detail}")


def _ledger(
    ledger: Mapping[str, Any], log_keys: Sequence[Verifier], release: VerifiedRelease, release_digest: str
) -> tuple[Head | None, Placed | None]:
    """The signed head of the ledger, and the promotion's entry in it; nothing where no key is trusted."""
    if not log_keys:
        return None, None
    said = ledger["promotion"]
    if ledger["checkpoint"] is None and said is None:  # nothing of this ledger has been signed yet
        return None, None
    try:
        head = Head(_opened(ledger["checkpoint"], log_keys), ledger["checkpoint"])
        if said is None:
            return head, None
        payload = b64decode(said["payload"], validate=True)
        proven = verify_receipt(said["receipt"].encode(), log_keys, payload)
    except NoteRefused as error:
        raise NotVerified("ledger", f"The ledger's checkpoint is not to be believed: {error}.") from error
    except ReceiptRefused as error:
        raise NotVerified("ledger", f"The receipt of the promotion does not hold: {error}.") from error
    if proven.head.size == head.tree.size and proven.head.root != head.tree.root:
        raise NotVerified("ledger", f"The ledger shows two different states of its first {head.tree.size:,} entries.")
    if (
        proven.head != head.tree
    ):  # the head is held to what was seen before, so nothing is believed that another one proves
        raise NotVerified(
            "ledger", "The receipt of the promotion is under another checkpoint than the one that is shown."
        )
    entry = json.loads(payload)
    if entry["action"] != PROMOTING or entry["outcome"] != "ok" or entry["d"]["after"].get("release") != release_digest:
        raise NotVerified("ledger", f"Entry {proven.seq:,} of the ledger is not the promotion by this release.")
    return head, Placed(head.tree.origin, proven.seq, _alias_moved(entry, proven.seq, release))


def _alias_moved(entry: Mapping[str, Any], seq: int, release: VerifiedRelease) -> str:
    """The stage's alias that the entry moved; it has to say the model, version and stage that were signed."""
    after = entry["d"]["after"]
    said = {"model": entry["obj"]["name"], "version": after["version"], "stage": after["stage"]}
    for name, value in said.items():
        if value != getattr(release, name):
            raise NotVerified(
                "ledger",
                f"Entry {seq:,} of the ledger promoted {name} {value}, and {name} {getattr(release, name)} was signed.",
            )
    if entry["obj"]["kind"] != "model" or not isinstance(after["alias"], str) or not after["alias"]:
        raise NotVerified("ledger", f"Entry {seq:,} of the ledger does not say which alias it moved.")
    return after["alias"]


def _opened(note: str, log_keys: Sequence[Verifier]) -> TreeHead:
    """The tree head of a checkpoint that a trusted key signed in the name of its own log."""
    origin = note.partition("\n")[0]
    named = [key for key in log_keys if key.name == origin]
    if not named:
        raise NoteRefused(f"it is of the log {origin}, whose key is not pinned")
    return open_checkpoint(note, origin, named)
