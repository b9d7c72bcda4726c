"""Taking the files of a new version as they are sent: every byte hashed while it is written, held against what was announced.

The bytes come with the request that registers them: naming the digest of somebody else's file does not give access to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.files.uploadedfile import UploadedFile

from countersign.proof.manifest import ManifestFile
from foundation.refusals import Invalid, TooLarge
from registry.manifest import check_tree
from registry.store import ArtifactStore, limits


def check_announced(length: int | None) -> None:
    """Refuse a request that announces more bytes than a version may have, before any of them is read."""
    most = limits().version_bytes
    if length is not None and length > most + 10 * 1024**2:
        raise TooLarge(f"A version has at most {most:,} bytes; this request announces {length:,}.")


def store_uploads(expected: Sequence[Mapping[str, Any]], sent: Mapping[str, UploadedFile[bytes]]) -> list[ManifestFile]:
    """Write the sent files (by path) into the store and return the manifest's rows.

    Raises `Invalid` where what was sent is not exactly what was expected.
    """
    paths = [str(row["path"]) for row in expected]
    _check_same(paths, sent)
    announced = [
        ManifestFile(str(row["path"]), sent[str(row["path"])].size or 0, str(row["sha256"])) for row in expected
    ]
    check_tree(announced, limits())
    store = ArtifactStore()
    files = []
    for row in expected:
        path = str(row["path"])
        try:
            stored = store.write(sent[path], expected_size=row.get("size"), expected_digest=str(row["sha256"]))
        except Invalid as refusal:
            raise Invalid(f"{path}: {refusal.detail}", code=refusal.code, errors={path: refusal.detail}) from refusal
        files.append(ManifestFile(path, stored.size, stored.digest))
    return files


def _check_same(paths: Sequence[str], sent: Mapping[str, UploadedFile[bytes]]) -> None:
    errors = {path: "The manifest names this file, and it was not sent." for path in paths if path not in sent}
    errors |= {path: "This file was sent, and the manifest does not name it." for path in sent if path not in paths}
    if errors:
        path, sentence = next(iter(errors.items()))
        raise Invalid(f"{path}: {sentence}", code="manifest-mismatch", errors=errors)
