"""Waits, for a pipeline, until people have signed a version off and promoted it; ends at once where that cannot happen any more."""

from __future__ import annotations

import time
from typing import Final

from countersign.errors import Misused, NotReached, Refused
from countersign.refs import Ref
from countersign.registry import Registry, Resolved

LOOK_EVERY: Final = 300.0
"""Seconds after which the version's state is read even if no event came: a rejection is none."""
OVER: Final = {
    "rejected": "was rejected",
    "revoked": "was revoked",
    "retired": "is retired",
    "expired": "was approved, but the approval has expired",
}
"""States out of which a version does not go live by waiting, and how to say so."""
HOPEFUL: Final = frozenset({"approved", "live"})


def await_release(registry: Registry, ref: Ref, *, stage: str, seconds: float, every: float = LOOK_EVERY) -> Resolved:
    """The release of a version for a stage, verified, as soon as there is one.

    Raises `Refused` where there will be none, `NotReached` when the time (`seconds`) is over.
    """
    if ref.version is None:
        raise Misused(f"Name the version to wait for by its number: {ref.model}/3.", reason="ref")
    deadline = time.monotonic() + seconds
    while True:
        found = _look(registry, ref, stage)
        if found is not None:
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotReached(
                f"{ref} is not released for {stage} yet, and the time given is over. What it waits for: countersign why {ref} --stage "
                f"{stage}",
                reason="not-released-yet",
            )
        for event in registry.watch(str(ref), seconds=min(every, left)):
            if event.kind == "release" and (found := _released(registry, ref, stage)) is not None:
                return found


def _look(registry: Registry, ref: Ref, stage: str) -> Resolved | None:
    """The release, or None while there may still be one."""
    state = str(registry.version(ref).get("state"))
    if state in OVER:
        raise Refused(f"{ref} {OVER[state]}, so it will not be released for {stage}.", reason=state)
    return _released(registry, ref, stage) if state in HOPEFUL else None


def _released(registry: Registry, ref: Ref, stage: str) -> Resolved | None:
    try:
        return registry.resolve(ref, stage=stage)
    except Refused as refusal:
        if refusal.reason == "not-approved":  # for this stage; it may be live at another one
            return None
        raise
