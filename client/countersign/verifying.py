"""Decides, offline, whether a folder that anybody pulled holds exactly what was signed, and whether it may still be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from countersign import folder as folders
from countersign import trust
from countersign.errors import Misused, NotProven
from countersign.keys import Keys, read_keys
from countersign.memory import Seen, known_registries
from countersign.proof.attestation import VerifiedRelease
from countersign.proof.pull import VerifiedPull
from countersign.refs import Ref


@dataclass(frozen=True, slots=True)
class Pulled:
    """A folder whose files were verified. `entry`: the promotion's place in the ledger, None where it was not proven."""

    folder: Path
    release: VerifiedRelease
    alias: str = ""
    entry: int | None = None
    ledger_size: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What was verified, for machines."""
        release, status = self.release, self.release.status
        return {
            "folder": str(self.folder),
            "model": release.model,
            "version": release.version,
            "stage": release.stage,
            "alias": self.alias or None,
            "digest": release.digest,
            "files": len(release.files),
            "basis": release.basis,
            "valid_until": release.valid_until.isoformat(),
            "pulls_until": release.pulls_until.isoformat(),
            "sign_offs": [
                {"slot": one.slot, "reviewer": one.reviewer, "signed_at": one.signed_at, "method": one.method}
                for one in release.sign_offs
            ],
            "status": {
                "counter": status.counter,
                "issued_at": status.issued_at.isoformat(),
                "expires_at": status.expires_at.isoformat(),
            },
            "ledger": {"entry": self.entry, "size": self.ledger_size},
        }


def verify(
    folder: str | Path, *, key: str | Path = "", at: datetime | None = None, ref: str | Ref | None = None
) -> Pulled:
    """What a pulled folder proves, without a network: who signed it, and that its files are those; raises `NotProven` or `Misused`.

    `key`: the file of the registry's public key (and of the ledger's); without it, a key that is pinned on this machine. `at`: the moment
    to judge by, now where it is left out; now, the newest status and promotion count that this machine has seen. `ref`: what the folder
    has to hold, for example `credit@production`; the document alone says as which alias it was pulled, and nobody signed that.
    """
    where = Path(folder)
    document = folders.read_document(where)
    given = read_keys(Path(key)) if key else None
    seen = _known(given.id if given else _signing_key(document))
    if given is None and seen is None:
        raise Misused(
            f"The model in {where} was signed by the key {_signing_key(document) or 'of nobody'}, which is not pinned here. Give the "
            "registry's public key, from a channel that you trust: --key registry.pub.",
            reason="no-key",
        )
    return verify_with(where, document, given, seen, at=at, ref=ref)


def verify_with(
    where: Path,
    document: Mapping[str, Any],
    given: Keys | None,
    seen: Seen | None,
    *,
    at: datetime | None,
    ref: str | Ref | None = None,
) -> Pulled:
    """As `verify`, with the keys that were `given`, or else those that are pinned in what was `seen`."""
    meant = Ref.parse(ref) if isinstance(ref, str) else ref or Ref("")
    pinned = seen.keys if seen else None
    keys = given or pinned
    if keys is None:
        raise Misused("No key is pinned, so nothing can be checked.", reason="no-key")
    if not keys.log and pinned is not None and pinned.id == keys.id:
        keys = pinned
    newest = seen.status if seen is not None and at is None else None
    found = trust.check_kept(
        document,
        keys,
        at=at or datetime.now(timezone.utc),
        model=meant.model,
        version=meant.version,
        newest=newest,
    )
    if meant.alias:
        check_named(found, meant.alias)
    if (name := meant.alias or found.alias) and seen is not None and at is None:
        trust.check_place(found, seen, name=name)
    folders.check_files(where, found.release.files)
    return pulled(where, found)


def pulled(where: Path, found: VerifiedPull) -> Pulled:
    """What was verified, together with where it lies."""
    size = found.head.tree.size if found.head else None
    return Pulled(where, found.release, found.alias, found.entry, size)


def check_named(found: VerifiedPull, name: str) -> None:
    """That a version was pulled as the alias, or promoted to the stage, of this name; raises `NotProven`."""
    placed = found.placed.alias if found.placed else found.alias
    stands = found.alias in ("", placed) and name in (placed, found.release.stage)
    if found.alias != name and not stands:
        told = f"as the alias “{found.alias}”" if found.alias else "by its number"
        raise NotProven(
            f"{found.release.model} version {found.release.version} was answered {told}, for {found.release.stage}; that it is “{name}” "
            "is not proven.",
            reason="other-release",
        )


def _known(key_id: str) -> Seen | None:
    """What this machine knows of the registry with this key; the newest where several addresses show it."""
    found = [one for one in known_registries() if one.keys is not None and one.keys.id == key_id]
    newest = max(found, key=lambda one: one.counter, default=None)
    return newest and newest.with_promotions(last for one in found for last in one.promotions)


def _signing_key(document: Mapping[str, Any]) -> str:
    """The id of the key that the release claims to be signed by; tells only where to look for it."""
    try:
        return str(document["attestation"]["release"]["signatures"][0]["keyid"])
    except (KeyError, TypeError, IndexError) as error:
        raise NotProven("The pull document was damaged: no release is in it.", reason="malformed") from error
