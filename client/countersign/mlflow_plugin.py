"""Lets MLflow load what was signed off and nothing else: `mlflow.pyfunc.load_model("countersign://credit@champion")`.

MLflow finds it by the entry point `mlflow.artifact_repository` of this package. What is loaded was pulled and verified by this client; a
proof that does not hold raises before MLflow sees a byte.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from countersign.errors import Misused
from countersign.refs import Ref
from countersign.registry import Registry

PURPOSE = "mlflow"


class CountersignArtifactRepository(ArtifactRepository):
    """The files of one version, by its reference; read only. The registry is `COUNTERSIGN_URL` or the last login."""

    def __init__(self, artifact_uri: str, *arguments: Any, **more: Any) -> None:
        super().__init__(artifact_uri, *arguments, **more)
        parts = urlsplit(artifact_uri)
        self._model, self._path = parts.netloc, parts.path.strip("/")

    def download_artifacts(self, artifact_path: str, dst_path: str | None = None, **_: Any) -> str:
        """Pull the version, verify it, and answer where it (or the part of it that was asked for) lies."""
        ref, inside = self._asked(artifact_path)
        folder = Path(dst_path) if dst_path else Path(tempfile.mkdtemp(prefix="countersign-"))
        target = folder / f"{ref.model}-{ref.alias or ref.version}"
        with Registry() as registry:
            found = registry.pull(ref, target, purpose=PURPOSE)
        return str(found.folder / inside)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """The signed files below `path`, without fetching them."""
        ref, inside = self._asked(path or "")
        with Registry() as registry:
            files = registry.resolve(ref).verified.release.files
        return [
            FileInfo(file.path, False, file.size) for file in files if not inside or file.path.startswith(f"{inside}/")
        ]

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Refused: versions never change."""
        raise _read_only()

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Refused: versions never change."""
        raise _read_only()

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        """Never asked for: whole versions are pulled."""
        raise _read_only()

    def _asked(self, artifact_path: str) -> tuple[Ref, str]:
        """The reference, and the path inside the version. MLflow splits `countersign://credit/3` after the model's name."""
        words = [word for word in f"{self._path}/{artifact_path}".split("/") if word and word != "."]
        if any(word == ".." for word in words):
            raise Misused(f"“{artifact_path}” leads out of the version.", reason="ref")
        if "@" in self._model:
            return Ref.parse(self._model, whole=True), "/".join(words)
        return Ref.parse("/".join((self._model, *words[:1])), whole=True), "/".join(words[1:])


def _read_only() -> MlflowException:
    return MlflowException(
        "A version is pulled from Countersign and never changed there: register a new one with `countersign register` or "
        "mlflow.register_model.",
        error_code=INVALID_PARAMETER_VALUE,
    )
