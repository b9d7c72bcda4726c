"""The scanning process: reads from standard input which stored files to examine, writes the examination to standard output.

No Django, no database, no network; bounded in memory, time and files before it looks at a single byte.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from countersign.proof.manifest import ManifestFile
from registry.admission import Examination, examine
from registry.manifest import Limits


def confine(*, memory: int, seconds: int) -> None:
    """Give up what the scan does not need: memory beyond `memory` bytes, processor time, writing files, core dumps."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def answer(request: dict[str, Any]) -> Examination:
    """The examination of the files that the request names."""
    stored = {row["path"]: Path(row["stored"]) for row in request["files"]}
    files = [ManifestFile(row["path"], row["size"], row["sha256"]) for row in request["files"]]

    def open_stored(file: ManifestFile) -> BinaryIO:
        return stored[file.path].open("rb")

    return examine(files, open_stored, Limits(**request["limits"]))


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin.buffer)
    confine(memory=request["memory"], seconds=request["seconds"])
    json.dump(answer(request).wire(), sys.stdout)


if __name__ == "__main__":
    main()
