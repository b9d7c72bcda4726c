"""Where the bytes of model versions lie, and how many of them the product takes: a content store in `settings.ARTIFACT_DIR`."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from foundation.content_store import ContentStore, Readable, Stored
from registry.manifest import Limits


class ArtifactStore(ContentStore):
    """Files under their SHA-256 in one folder (`settings.ARTIFACT_DIR` unless told otherwise)."""

    name = "artifact store"
    damaged_code = "artifact-damaged"

    def __init__(self, root: Path | None = None) -> None:
        super().__init__(Path(root or settings.ARTIFACT_DIR))

    def write(
        self,
        stream: Readable,
        *,
        limit: int | None = None,
        expected_size: int | None = None,
        expected_digest: str | None = None,
    ) -> Stored:
        """As `ContentStore.write`; `limit` is in bytes, by default the product's limit for one file."""
        return super().write(
            stream,
            limit=settings.MAX_FILE_BYTES if limit is None else limit,
            expected_size=expected_size,
            expected_digest=expected_digest,
        )


def limits() -> Limits:
    """The product's limits on one version, from the settings."""
    return Limits(
        file_bytes=settings.MAX_FILE_BYTES, version_bytes=settings.MAX_VERSION_BYTES, files=settings.MAX_VERSION_FILES
    )
