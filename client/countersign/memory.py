"""Decides what this machine knows of a registry: which keys it pinned, and the newest status and ledger head that it has seen.

What was seen only ever grows, so that nobody can show an older state later (rollback). It is kept for each registry's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from countersign import places
from countersign.errors import Misused, NotProven
from countersign.keys import Keys, parse_log_keys, parse_registry_key
from countersign.proof.note import NoteRefused, TreeHead
from countersign.proof.pull import Head

FILE: Final = "registry.json"
GIVEN: Final = "given"
FIRST_USE: Final = "first use"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one registry.

    `pinned`: how its keys were come by; `counter`: the highest status counter; `status`: that snapshot.
    """

    origin: str
    keys: Keys | None = None
    pinned: str = ""
    counter: int = 0
    status: Mapping[str, Any] | None = None
    head: Head | None = None


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

    def remember(self, *, counter: int, status: Mapping[str, Any], head: Head | None) -> Seen:
        """Keep a verified status and head where they are newer than what is known."""
        with self._changing():
            seen = self.read()
            if counter > seen.counter:
                seen = replace(seen, counter=counter, status=status)
            if head is not None and _is_newer(head, seen):
                seen = replace(seen, head=head)
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
    if seen.head is None or head.tree.origin == seen.head.tree.origin:
        return seen.head is None or head.tree.size > seen.head.tree.size
    names = [key.name for key in seen.keys.log] if seen.keys else []
    if seen.head.tree.origin not in names:
        return True
    return head.tree.origin in names and names.index(head.tree.origin) > names.index(seen.head.tree.origin)


def _seen(kept: Mapping[str, Any], origin: str, path: Path) -> Seen:
    try:
        keys = None
        if kept["registry_key"]:
            log = parse_log_keys("\n".join(kept["log_keys"]), str(path))
            keys = Keys(parse_registry_key(kept["registry_key"], str(path)), log)
        note = str(kept["checkpoint"])
        head = Head(TreeHead.parse(note.partition("\n\n")[0] + "\n"), note) if note else None
        return Seen(origin, keys, str(kept["pinned"]), int(kept["counter"]), kept["status"], head)
    except (KeyError, TypeError, ValueError, NoteRefused) as error:
        raise Misused(
            f"{path} was damaged. Where you know why, delete it and log in again with the registry's key.",
            reason="state",
        ) from error
