"""Decides what this machine knows of a registry: its pinned keys, the newest status and ledger head, and where each stage's alias was.

What was seen only ever grows, so that nobody can show an older state later (rollback). It is kept for each registry's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from countersign import places
from countersign.errors import Misused, NotProven
from countersign.keys import Keys, parse_log_keys, parse_registry_key
from countersign.proof.note import NoteRefused, TreeHead
from countersign.proof.pull import Head, VerifiedPull

FILE: Final = "registry.json"
GIVEN: Final = "given"
FIRST_USE: Final = "first use"


@dataclass(frozen=True, slots=True)
class LastPromotion:
    """The newest promotion of a model to a stage that was proven here: entry `entry` of the ledger `log` moved `alias` to `version`."""

    model: str
    stage: str
    alias: str
    log: str
    entry: int
    version: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one registry.

    `pinned`: how its keys were come by; `counter`: the highest status counter; `status`: that snapshot; `promotions`: one for each stage of
    a model from which anything was pulled.
    """

    origin: str
    keys: Keys | None = None
    pinned: str = ""
    counter: int = 0
    status: Mapping[str, Any] | None = None
    head: Head | None = None
    promotions: tuple[LastPromotion, ...] = ()

    @property
    def logs(self) -> list[str]:
        """The names of the pinned ledgers, oldest first."""
        return [key.name for key in self.keys.log] if self.keys else []

    def promotion(self, model: str, stage: str) -> LastPromotion | None:
        """What is known of one stage of a model."""
        return next((one for one in self.promotions if (one.model, one.stage) == (model, stage)), None)

    def promotion_as(self, model: str, name: str) -> LastPromotion | None:
        """What is known of the stage that has this name or this alias."""
        return next((one for one in self.promotions if one.model == model and name in (one.stage, one.alias)), None)

    def with_promotions(self, found: Iterable[LastPromotion]) -> Seen:
        """This, and of each stage's promotions the later one."""
        kept = {(one.model, one.stage): one for one in self.promotions}
        for one in found:
            known = kept.get((one.model, one.stage))
            if known is None or is_later((one.log, one.entry), (known.log, known.entry), self.logs):
                kept[one.model, one.stage] = one
        return replace(self, promotions=tuple(kept[key] for key in sorted(kept)))


def is_later(one: tuple[str, int], known: tuple[str, int], logs: Sequence[str]) -> bool:
    """Whether an entry `(log, place)` is later than a known one; a ledger that took another's place goes on after it."""
    if one[0] == known[0]:
        return one[1] > known[1]
    return known[0] not in logs or (one[0] in logs and logs.index(one[0]) > logs.index(known[0]))


class Memory:
    """What is known of the registry at `origin`, in a file of its own."""

    def __init__(self, origin: str, folder: Path | None = None) -> None:
        self.origin = origin
        slug = re.sub(r"[^A-Za-z0-9.-]+", "_", origin)
        self._path = (folder or places.state_folder()) / slug / FILE

    def read(self) -> Seen:
        """What is known now; raises `Misused` where the file was damaged."""
        kept = places.read_object(self._path)
        return Seen(self.origin) if kept is None else _seen(kept, self.origin, self._path)

    def pin(self, keys: Keys, how: str) -> Seen:
        """Trust these keys from now on; raises `NotProven` where another registry key is pinned: keys do not change by themselves."""
        with self._changing():
            seen = self.read()
            if seen.keys is not None and seen.keys.id != keys.id:
                raise NotProven(
                    f"Another key is pinned for {self.origin}: {seen.keys.id}, not {keys.id}. Ask the registry's administrators over "
                    f"another channel which is theirs; to trust the new one, delete {self._path} first.",
                    reason="other-key",
                )
            log = keys.log or (seen.keys.log if seen.keys else ())
            kept = seen.pinned if seen.keys is not None and how == FIRST_USE else how
            return self._write(replace(seen, keys=Keys(keys.registry, log), pinned=kept))

    def remember(self, found: VerifiedPull, status: Mapping[str, Any]) -> Seen:
        """Keep what a verified pull and its `status` say where that is newer than what is known."""
        with self._changing():
            seen = self.read()
            release, placed, head = found.release, found.placed, found.head
            if release.status.counter > seen.counter:
                seen = replace(seen, counter=release.status.counter, status=status)
            if head is not None and _is_newer(head, seen):
                seen = replace(seen, head=head)
            if placed is not None:
                last = LastPromotion(
                    release.model, release.stage, placed.alias, placed.log, placed.seq, release.version
                )
                seen = seen.with_promotions([last])
            return self._write(seen)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        places.make_folder(self._path.parent, 0o700)
        with places.locked(self._path.parent):
            yield

    def _write(self, seen: Seen) -> Seen:
        keys = seen.keys
        kept = {
            "origin": seen.origin,
            "pinned": seen.pinned,
            "registry_key": keys.pem if keys else "",
            "log_keys": keys.lines if keys else [],
            "counter": seen.counter,
            "status": seen.status,
            "checkpoint": seen.head.note if seen.head else "",
            "promotions": [asdict(one) for one in seen.promotions],
        }
        places.write_whole(self._path, places.as_json(kept), mode=0o600)
        return seen


def known_registries(folder: Path | None = None) -> list[Seen]:
    """Everything that is known of any registry, for folders whose origin nobody tells."""
    found = sorted((folder or places.state_folder()).glob(f"*/{FILE}"))
    kept = [(path, places.read_object(path) or {}) for path in found]
    return [_seen(one, str(one.get("origin", "")), path) for path, one in kept]


def _is_newer(head: Head, seen: Seen) -> bool:
    """Whether a verified head says more than the one that is known: of a longer ledger, or of the one that took its place."""
    known = seen.head
    return known is None or is_later(
        (head.tree.origin, head.tree.size), (known.tree.origin, known.tree.size), seen.logs
    )


def _seen(kept: Mapping[str, Any], origin: str, path: Path) -> Seen:
    try:
        keys = None
        if kept["registry_key"]:
            log = parse_log_keys("\n".join(kept["log_keys"]), str(path))
            keys = Keys(parse_registry_key(kept["registry_key"], str(path)), log)
        note = str(kept["checkpoint"])
        head = Head(TreeHead.parse(note.partition("\n\n")[0] + "\n"), note) if note else None
        promotions = tuple(
            _promotion(one) for one in kept.get("promotions", [])
        )  # a file of before they were kept has none
        return Seen(origin, keys, str(kept["pinned"]), int(kept["counter"]), kept["status"], head, promotions)
    except (KeyError, TypeError, ValueError, NoteRefused) as error:
        raise Misused(
            f"{path} was damaged. Where you know why, delete it and log in again with the registry's key.",
            reason="state",
        ) from error


def _promotion(kept: Mapping[str, Any]) -> LastPromotion:
    model, stage, alias, log = (str(kept[name]) for name in ("model", "stage", "alias", "log"))
    return LastPromotion(model, stage, alias, log, int(kept["entry"]), int(kept["version"]))
