"""Decides how the ledger's keys are replaced: the new one signs from the next checkpoint on, the old one beside it for seven days."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
import structlog
from django.conf import settings
from django.db import transaction

from audit import keys, store
from audit.actions import append
from audit.events import Action, Actor, HasActor, Obj
from audit.keys import KeyRefused, PublicLine
from audit.leader import is_leader, lead
from audit.models import IndexRow, Pending
from countersign.proof.note import Verifier
from foundation.keys import create_key

log = structlog.get_logger(__name__)

BOTH_SIGN_FOR: Final = timedelta(days=7)
SEQUENCER: Final = Actor(kind="system", id="sequencer", via="sequencer")
LOG_KEY: Final = "log_key"
MAC_KEY: Final = "mac_key"


def record_first_key(*, by: HasActor) -> None:
    """Record, once, which keys the ledger began with, while it signs no entry yet; where none waits either, it becomes entry 0.

    A ledger that has entries already stays as it is: its first key stands in its public lines.
    """
    with transaction.atomic():
        lead()
        latest = store.latest_checkpoint()
        if latest is None or latest.size or any(map(_records_a_first_key, Pending.objects.all())):
            return
        (key, *_) = keys.trusted_verifiers()
        after = {"key": str(key), "mac_key": str(settings.AUDIT_MAC_KEY_ID)}
        append(Action.KEY_CREATE, by=by, obj=Obj(LOG_KEY, key.key_id.hex(), key.name), after=after)


def rotate_log_key(*, by: HasActor, operator: str, lost: bool = False) -> Verifier:
    """Make a new log key that signs from the next checkpoint on; the old one signs beside it for `BOTH_SIGN_FOR`.

    A sequencer that runs goes on with both at its next tick. `operator` is the person's name; the ledger holds its digest.
    Raises `KeyRefused` where a rotation is still under way, or where the private key is missing and was not said to be `lost`.
    """
    with transaction.atomic():
        lead()
        latest = store.latest_checkpoint()
        if latest is None:
            raise KeyRefused("This ledger has not been initialised. Run `manage.py audit init`.")
        *older, old = keys.public_lines()
        _check_may_rotate(lost=lost)
        new = _make_next_key(latest.size)
        append(
            Action.KEY_ROTATE,
            by=by,
            obj=Obj(LOG_KEY, new.key_id.hex(), new.name),
            before={"key": str(old.verifier), "until": latest.size},
            after={"key": str(new), "from": new.first, "lost": lost},
            private={"operator": operator},
        )
        if not lost:
            _keep_beside(old.verifier)
        ended = PublicLine(replace(old.verifier, last=latest.size), _now())
        # From here on the rotation holds: `keys.load_log_key` takes the last step where we do not get to it.
        keys.write_public_lines([*older, ended, PublicLine(new)])
        os.replace(keys.next_file(), keys.key_file())
        keys.sync_folder(keys.key_file().parent)
    return new


def destroy_replaced_keys() -> list[str]:
    """Destroy the private halves whose time of signing beside the new key is over, and record it; the ids of the keys.

    Overwritten and unlinked: a copy that a backup or the disk itself keeps is out of our hands, which is why such a key counts for
    no larger tree whatever becomes of it.
    """
    due = [line.verifier for line in keys.public_lines() if line.replaced and line.replaced + BOTH_SIGN_FOR <= _now()]
    unrecorded = [key for key in due if not _is_recorded(key)]
    if not unrecorded:
        return []
    with transaction.atomic():
        if not is_leader():
            return []
        for key in unrecorded:
            existed = _destroy(key)
            after = {"key": str(key), "until": key.last, "existed": existed}
            append(Action.KEY_DESTROY, by=SEQUENCER, obj=Obj(LOG_KEY, key.key_id.hex(), key.name), after=after)
    log.info("ledger.keys_destroyed", keys=[key.key_id.hex() for key in unrecorded])
    return [key.key_id.hex() for key in unrecorded]


def record_mac_key() -> None:
    """Record that the app's MAC key is another one than the last recorded; the first one, `1`, goes without saying."""
    last = IndexRow.objects.filter(action=Action.KEY_ROTATE, obj_kind=MAC_KEY).order_by("-seq").first()
    before, now = last.obj_id if last else "1", str(settings.AUDIT_MAC_KEY_ID)
    if now != before:
        with transaction.atomic():
            append(Action.KEY_ROTATE, by=SEQUENCER, obj=Obj(MAC_KEY, now), before={"id": before}, after={"id": now})


def _check_may_rotate(*, lost: bool) -> None:
    under_way = [
        line.verifier.key_id.hex()
        for line in keys.public_lines()
        if line.replaced and keys.replaced_file(line.verifier).exists()
    ]
    if under_way:
        raise KeyRefused(
            f"The key {under_way[0]} still signs beside the one that replaced it; it is destroyed {BOTH_SIGN_FOR.days} days after its "
            "replacement. Rotate again after that; if its file should not stay that long, delete it."
        )
    if lost and keys.key_file().exists():
        raise KeyRefused(f"{keys.key_file().name} is there: leave --lost out, so that it signs beside the new one.")
    if not lost:
        keys.load_log_key()


def _make_next_key(size: int) -> Verifier:
    path = keys.next_file()
    path.unlink(missing_ok=True)  # of a rotation that was killed before its public line was written
    create_key(path)
    return Verifier(keys.origin(), keys.public_half(path), first=size + 1)


def _keep_beside(old: Verifier) -> None:
    beside = keys.replaced_file(old)
    beside.unlink(missing_ok=True)
    os.link(keys.key_file(), beside)


def _destroy(key: Verifier) -> bool:
    """Whether there was something to destroy."""
    path = keys.replaced_file(key)
    if not path.exists():
        return False
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    keys.sync_folder(path.parent)
    return True


def _records_a_first_key(row: Pending) -> bool:
    return bool(orjson.loads(bytes(row.payload)).get("action") == Action.KEY_CREATE)


def _is_recorded(key: Verifier) -> bool:
    recorded = IndexRow.objects.filter(action=Action.KEY_DESTROY, obj_kind=LOG_KEY, obj_id=key.key_id.hex())
    return recorded.exists()


def _now() -> datetime:
    return datetime.now(UTC)
