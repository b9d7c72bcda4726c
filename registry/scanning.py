"""Running the scan in a process of its own, with bounds on time, memory and files: what crashes it or makes it wait is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from countersign.proof.manifest import ManifestFile, Problem
from registry.admission import Examination, refusal
from registry.manifest import Limits
from registry.store import ArtifactStore

log = structlog.get_logger(__name__)

SECONDS: Final = 120
MEMORY_BYTES: Final = 2 * 1024**3
_HOUSE: Final = Path(__file__).resolve().parent.parent


def scan_files(
    files: Sequence[ManifestFile],
    store: ArtifactStore,
    limits: Limits,
    *,
    seconds: float = SECONDS,
    memory: int = MEMORY_BYTES,
) -> Examination:
    """The scan's verdict on files in `store`. A scan that dies, takes longer than `seconds` or needs more than `memory` bytes refuses."""
    request = {
        "files": [file.row() | {"stored": str(store.path(file.sha256))} for file in files],
        "limits": {"file_bytes": limits.file_bytes, "version_bytes": limits.version_bytes, "files": limits.files},
        "memory": memory,
        "seconds": max(1, round(seconds)),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-s", "-m", "registry.scanner"],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=seconds,
            cwd=_HOUSE,
            env={"PATH": os.defpath, "PYTHONPATH": str(_HOUSE), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return refusal(files, limits, [Problem("scan-timeout", "", f"The scan took longer than {seconds:g} seconds.")])
    if done.returncode != 0:
        log.warning("scan_failed", returncode=done.returncode, tail=done.stderr.decode(errors="replace")[-500:])
        return refusal(
            files,
            limits,
            [Problem("scan-crashed", "", f"The scan did not survive these files ({_how(done.returncode)}).")],
        )
    return _answer(done.stdout, files, limits)


def _answer(output: bytes, files: Sequence[ManifestFile], limits: Limits) -> Examination:
    try:
        value: Any = json.loads(output)
        return Examination.from_wire(value)
    except (ValueError, KeyError, TypeError):
        return refusal(files, limits, [Problem("scan-crashed", "", "The scan gave no readable answer.")])


def _how(returncode: int) -> str:
    return f"ended by signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
