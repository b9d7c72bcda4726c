"""Decides whether what a registry answered, or a folder holds, may be used: by pinned keys, and by what was seen of the registry before."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

from countersign.errors import Misused, NotProven
from countersign.keys import Keys
from countersign.memory import Seen, is_later
from countersign.proof.attestation import NotVerified, verify_status
from countersign.proof.merkle import verify_consistency
from countersign.proof.pull import Head, VerifiedPull, verify_pull

NAMES: Final = {"status-expired": "freeze"}
"""How the client calls what the verification calls otherwise: an expired status is what a registry looks like that was frozen in time."""

_EARLY: Final = datetime.min.replace(
    tzinfo=timezone.utc
)  # a moment at which no snapshot has expired: only the counters are compared
AskConsistency = Callable[[int, int], Mapping[str, Any]]


def check_answer(
    document: Mapping[str, Any],
    seen: Seen,
    *,
    at: datetime,
    model: str = "",
    stage: str = "",
    version: int | None = None,
    ask: AskConsistency,
) -> VerifiedPull:
    """What a registry's answer proves now; raises `NotProven`, also where it is older than what was `seen` before (rollback).

    `ask` fetches the proof that the ledger of so many entries is the beginning of the one with so many more.
    """
    keys = keys_of(seen)
    try:
        found = verify_pull(
            document,
            keys.registry,
            at=at,
            log_keys=keys.log,
            model=model,
            stage=stage,
            version=version,
            seen_counter=seen.counter,
        )
    except NotVerified as problem:
        raise not_proven(problem) from problem
    if found.head is None and keys.log and seen.head is not None:
        raise NotProven("The registry shows no ledger any more, and one was seen before.", reason="rollback")
    if found.head is not None and seen.head is not None:
        check_head(seen.head, found.head, names=[key.name for key in keys.log], ask=ask)
    return found


def check_head(known: Head, new: Head, *, names: Sequence[str], ask: AskConsistency) -> None:
    """That `new` continues the ledger whose head is `known`; raises `NotProven`. `names`: of the pinned logs, oldest first."""
    if (
        known.tree.origin != new.tree.origin
    ):  # after a recovery a ledger goes on under another name, whose key was pinned by a person
        if known.tree.origin in names and names.index(known.tree.origin) > names.index(new.tree.origin):
            raise NotProven(f"The registry shows its ledger {new.tree.origin}, which was given up.", reason="rollback")
        return
    if new.tree.size < known.tree.size:
        raise NotProven(
            f"The registry's ledger has {new.tree.size:,} entries, and {known.tree.size:,} were seen before: it was cut short, or you are "
            "shown an old state.",
            reason="rollback",
        )
    if new.tree.size == known.tree.size:
        proof: list[bytes] = []
    else:
        proof = _hashes(ask(known.tree.size, new.tree.size))
    if not verify_consistency(known.tree.size, new.tree.size, known.tree.root, new.tree.root, proof):
        raise NotProven(
            f"The registry's ledger is not the one that was seen before: its first {known.tree.size:,} entries are others.",
            reason="rollback",
        )


def check_place(found: VerifiedPull, seen: Seen, *, name: str) -> None:
    """That what stands behind `name` (an alias, or a stage's name) is no older than what was proven of it before; raises `NotProven`.

    Each promotion, and each rollback, writes an entry of its own, so the latest entry says what the alias of a stage stands for. Other
    aliases move without one: nothing is known of them.
    """
    release, placed = found.release, found.placed
    known = seen.promotion_as(release.model, name)
    if known is None and placed is not None and name in (placed.alias, release.stage):
        known = seen.promotion(release.model, release.stage)
    if known is None:
        return
    if release.stage != known.stage:
        raise NotProven(
            f"“{name}” was proven before to stand for {known.stage}, and version {release.version} was promoted to {release.stage}.",
            reason="other-release",
        )
    if release.version == known.version:
        return
    here = f"{release.model} version {release.version}"
    before = f"“{name}” was proven before to stand for version {known.version} (entry {known.entry:,} of the ledger)"
    if placed is None:
        raise NotProven(
            f"{before}, and that {here} took its place since is not proven: no signed entry of the ledger says so yet. Try again in a few "
            "seconds; where it stays so, tell the registry's administrators.",
            reason="pending",
        )
    if not is_later((placed.log, placed.seq), (known.log, known.entry), seen.logs):
        raise NotProven(
            f"{before}, and {here} was promoted before that (entry {placed.seq:,}): this is an old state. Do not go back to it; pull "
            "again, and where it stays so, tell the registry's administrators.",
            reason="rollback",
        )


def check_kept(
    document: Mapping[str, Any],
    keys: Keys,
    *,
    at: datetime,
    model: str = "",
    version: int | None = None,
    newest: Mapping[str, Any] | None = None,
) -> VerifiedPull:
    """What a kept pull document proves at a moment, under the `newest` status that is known where that is newer than its own.

    `model` and `version` are what it has to be of; empty ones are not compared.
    """
    try:
        if newest is not None:
            document = _under(document, keys, newest)
        return verify_pull(document, keys.registry, at=at, log_keys=keys.log, model=model, version=version)
    except NotVerified as problem:
        raise not_proven(problem) from problem


def keys_of(seen: Seen) -> Keys:
    """The pinned keys; raises `Misused` where there are none."""
    if seen.keys is None:
        raise Misused(
            f"No key is pinned for {seen.origin}, so nothing that it says can be checked. Get registry.pub over a channel that you trust "
            f"and run `countersign login {seen.origin} --key registry.pub`, or trust what it shows now: --trust-on-first-use.",
            reason="no-key",
        )
    return seen.keys


def not_proven(problem: NotVerified) -> NotProven:
    """The client's error for a proof that does not hold."""
    hint = (
        " It is what a registry that was stopped in time looks like; ask it again." if problem.reason in NAMES else ""
    )
    return NotProven(f"{problem}{hint}", reason=NAMES.get(problem.reason, problem.reason))


def _under(document: Mapping[str, Any], keys: Keys, newest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with the newer of the two status snapshots; the registry's signature is checked on both before they are compared."""
    attestation = document.get("attestation")
    if not isinstance(attestation, Mapping) or not isinstance(attestation.get("status"), Mapping):
        return document
    own, known = (verify_status(one, keys.registry, at=_EARLY) for one in (attestation["status"], newest))
    if known.counter <= own.counter:
        return document
    return {**document, "attestation": {**attestation, "status": newest}}


def _hashes(answer: Mapping[str, Any]) -> list[bytes]:
    try:
        return [b64decode(one, validate=True) for one in answer["proof"]]
    except (KeyError, TypeError, ValueError) as error:
        raise NotProven("The registry's proof about its ledger cannot be read.", reason="malformed") from error
