"""Decides how a verified model gets into the folder that KServe hands its storage container: `countersign kserve-init SRC DEST`.

The folder is a mount, so it cannot be exchanged in one step as `pull` does elsewhere: everything is fetched and verified in a hidden folder
inside it, and only then moved up. KServe starts the model server when this has ended without an error, so nothing half is ever loaded.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final

from countersign import folder as folders
from countersign import places
from countersign.errors import Misused
from countersign.refs import Ref
from countersign.registry import Registry
from countersign.verifying import Pulled

SCHEME: Final = "countersign://"
INCOMING: Final = ".countersign-incoming"
PURPOSE: Final = "kserve"


def fetch(uri: str, to: str | Path, *, url: str = "", key: str = "", stage: str = "") -> Pulled:
    """Have the version that `uri` names (`countersign://credit@production`) in the folder `to`, verified against the pinned key.

    What is fetched and remembered lies inside `to` for the while, unless XDG_CACHE_HOME and XDG_STATE_HOME name volumes to keep it on; no
    other place needs to be writable. Raises `CountersignError`s; `to` is then empty, or as it was.
    """
    if not uri.startswith(SCHEME):
        raise Misused(f"“{uri}” is not of this registry; write {SCHEME}credit@production.", reason="ref")
    ref, target = Ref.parse(uri, whole=True), Path(os.path.abspath(to))
    incoming = target / INCOMING
    places.make_folder(target)
    with places.told(f"use {incoming}"):
        shutil.rmtree(incoming, ignore_errors=True)  # of a container that was killed on the way
    folders.check_target(target)
    try:
        with Registry(
            url, key=key, cache=_kept("XDG_CACHE_HOME", incoming), state=_kept("XDG_STATE_HOME", incoming)
        ) as registry:
            found = registry.pull(ref, incoming / "model", stage=stage, purpose=PURPOSE)
        _move_up(incoming / "model", target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return replace(found, folder=target)


def _kept(variable: str, incoming: Path) -> str | Path:
    """A folder to forget afterwards, unless the environment names one to keep."""
    return "" if os.environ.get(variable) else incoming / variable


def _move_up(model: Path, target: Path) -> None:
    """Put a verified model in the place of the one that an earlier start of the container left.

    The proof goes last and comes first: a folder that was left half done is known as ours, and begun again.
    """
    with places.told(f"put the model into {target}"):
        for old in sorted(target.iterdir(), key=lambda one: one.name == folders.KEPT):
            if old.name != INCOMING:
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        for new in sorted(model.iterdir(), key=lambda one: one.name != folders.KEPT):
            new.rename(target / new.name)
