"""Where MLflow's own tracking server keeps its runs and their artifacts, and how a source is found there.

A source is followed only into that artifact folder: no `file:`, no other host, no `..` in whatever encoding.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracing.constant import TraceTagKey

from foundation.refusals import Invalid, NotFound
from serving.caller import caller
from serving.tracking_access import check_path
from serving.tracking_models import Level

SCHEME: Final = "mlflow-artifacts"
ALLOWED: Final = (
    "Register a model that was logged to this server: runs:/<run>/<path>, models:/<logged model id>, mlflow-artifacts:/<path>, or "
    "models:/<name>/<version> for a version that is registered here already."
)


def home() -> Path:
    """The folder of MLflow's database and artifacts."""
    return Path(settings.VAR_DIR) / "mlflow"


def artifact_root() -> Path:
    """Where MLflow's server keeps the files that runs log."""
    return home() / "artifacts"


def backend_uri() -> str:
    """MLflow's own database: a file of its own beside SQLite, a schema of its own inside PostgreSQL."""
    database: dict[str, Any] = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        return f"sqlite:///{home() / 'tracking.sqlite3'}"
    from sqlalchemy import URL

    address = URL.create(
        "postgresql+psycopg",
        username=database["USER"] or None,
        password=database["PASSWORD"] or None,
        host=database["HOST"] or None,
        port=int(database["PORT"]) if database["PORT"] else None,
        database=database["NAME"],
        query={"options": "-csearch_path=mlflow"},
    )
    return address.render_as_string(hide_password=False)


def folder_in(location: str) -> str | None:
    """The folder of our artifact store that an artifact location means, without a slash around it; None where it lies elsewhere."""
    parts = urlsplit(location)
    return parts.path.strip("/") if parts.scheme == SCHEME else None


def folder_of(source: str, *, run_id: str = "", model_id: str = "") -> Path:
    """The folder in our artifact root that holds the files of `source`, of an experiment that the caller reads.

    Raises `Invalid` or `NotFound` with what to send instead.
    """
    uri = _artifact_uri(_plain(source), run_id, model_id)
    parts = urlsplit(uri)
    if parts.scheme != SCHEME or parts.netloc:
        raise Invalid(f"The source {source!r} does not lie on this server. {ALLOWED}", code="source")
    root = artifact_root().resolve()
    folder = (root / _relative(parts.path)).resolve()
    if not folder.is_relative_to(root) or folder == root:
        raise Invalid(f"The source {source!r} points out of the artifact store. {ALLOWED}", code="source")
    if not folder.is_dir() or not _reads(folder.relative_to(root).as_posix()):
        raise NotFound(
            f"There are no files at {source!r}; log the model first, then register it.", code="source-missing"
        )
    return folder


def _reads(path: str) -> bool:
    try:
        check_path(path, caller(), Level.READ)
    except NotFound:
        return False
    return True


def refuse_archives() -> None:
    """From now on, in this process, no trace says that its spans lie in an archive; raises `MlflowException` where one would.

    MLflow's server reads, and deletes, what a trace's tag calls its archive, and takes that tag from whoever starts a trace or sends
    spans: any file's or host's address. Nothing is archived here, so nobody needs it.
    """
    from mlflow.store.tracking.dbmodels.models import SqlTraceTag
    from sqlalchemy import event

    for moment in ("before_insert", "before_update"):
        if not event.contains(SqlTraceTag, moment, _refuse_archive):
            event.listen(SqlTraceTag, moment, _refuse_archive)


def _refuse_archive(_mapper: Any, _connection: Any, tag: Any) -> None:
    if tag.key == TraceTagKey.ARCHIVE_LOCATION:
        raise MlflowException.invalid_parameter_value(
            f"The tag {TraceTagKey.ARCHIVE_LOCATION} names where a server archives traces; this one does not. Leave it out."
        )


def _plain(source: str) -> str:
    """`source`, when it hides nothing: no second encoding, no control characters, no steps upwards."""
    decoded = unquote(source)
    if unquote(decoded) != decoded or not decoded.isprintable() or "\\" in decoded:
        raise Invalid(f"The source {source!r} is written in a way that hides what it names. {ALLOWED}", code="source")
    if ".." in PurePosixPath(urlsplit(decoded).path).parts or "?" in decoded or "#" in decoded:
        raise Invalid(f"The source {source!r} may not contain “..”, queries or fragments. {ALLOWED}", code="source")
    return decoded


def _artifact_uri(source: str, run_id: str, model_id: str) -> str:
    """The `mlflow-artifacts:` address behind a run's or a logged model's; anything else as it is."""
    scheme, _, rest = source.partition(":")
    names = rest.strip("/").split("/", 1)
    try:
        if scheme == "runs":
            run = MlflowClient(tracking_uri=backend_uri()).get_run(names[0])
            return _join(run.info.artifact_uri, names[1] if len(names) > 1 else "")
        if scheme == "models" and names[0] == (model_id or names[0]) and names[0].startswith("m-"):
            model = MlflowClient(tracking_uri=backend_uri()).get_logged_model(names[0])
            return _join(model.artifact_location, names[1] if len(names) > 1 else "")
    except MlflowException as error:
        raise NotFound(
            f"The source {source!r} is not known to this server: {error.message}", code="source-missing"
        ) from error
    return source


def _join(root: str | None, path: str) -> str:
    return f"{(root or '').rstrip('/')}/{path}".rstrip("/")


def _relative(path: str) -> PurePosixPath:
    return PurePosixPath(path.lstrip("/"))
