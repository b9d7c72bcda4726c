"""Another MLflow registry, read by MLflow's own client: its models and versions in our words, and the folder of a version's files.

Whoever could write to that registry chose the sources. So files come through its own artifact server, or from the places that the
person who imports names; nothing else on this machine or in the network is read. A database is never changed: an SQLite file is copied
first, and one in PostgreSQL is only read and has to have the schema that the installed MLflow reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import uuid4

import structlog
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.prompt.constants import IS_PROMPT_TAG_KEY
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from foundation.refusals import Invalid, NotFound, Refusal, TooLarge, Unavailable
from registry.store import limits

log = structlog.get_logger(__name__)

PAGE: Final = 200
HOPS: Final = 4  # a version of a version of a logged model: more is a circle
POSTGRESQL: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"})
READ_ONLY: Final = "-c default_transaction_read_only=on"


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A registered model as the other registry describes it; `aliases` maps names to version numbers."""

    name: str
    description: str
    tags: dict[str, str]
    aliases: dict[str, int]
    is_prompt: bool = False


@dataclass(frozen=True, slots=True)
class ForeignVersion:
    """A model version as the other registry describes it."""

    name: str
    number: int
    source: str
    run_id: str
    run_link: str
    logged_model_id: str
    description: str
    tags: dict[str, str]
    stage: str
    user: str
    created_at: datetime

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"


class ForeignRegistry:
    """What is read from the registry at `address`; `origin` names it without credentials, for the record."""

    def __init__(self, address: str, origin: str, places: Sequence[str], work: Path) -> None:
        self.origin = origin
        self._server = origin if urlsplit(origin).scheme in {"http", "https"} else ""
        self._client = MlflowClient(tracking_uri=address, registry_uri=address)
        self._address = address
        self._places = [_place(place) for place in places]
        self._work = work

    def models(self, pattern: str = "*") -> Iterator[ForeignModel]:
        """Every model whose name matches the shell pattern, by name; the prompts, which MLflow keeps as models, come last."""
        for is_prompt in (False, True):
            asked = f"tag.`{IS_PROMPT_TAG_KEY}` {'=' if is_prompt else '!='} 'true'"
            for model in self._pages(self._client.search_registered_models, asked):
                if fnmatchcase(model.name, pattern):
                    aliases = {name: int(number) for name, number in model.aliases.items()}
                    yield ForeignModel(
                        model.name, model.description or "", _texts(model.tags), aliases, is_prompt=is_prompt
                    )

    def versions(self, model: ForeignModel) -> list[ForeignVersion]:
        """The model's versions, by number."""
        quote = '"' if "'" in model.name else "'"
        found = self._pages(self._client.search_model_versions, f"name={quote}{model.name}{quote}")
        return sorted((_version(one) for one in found), key=lambda one: one.number)

    @contextmanager
    def folder(self, version: ForeignVersion) -> Iterator[Path]:
        """The version's files in a folder: where they lie, when that is on this machine, else downloaded for as long as it takes.

        Raises a `Refusal` that says why they cannot be had.
        """
        found = self.find(version)
        if isinstance(found, Path):
            yield found
            return
        with TemporaryDirectory(dir=self._work) as into:
            yield self._downloaded(found, Path(into))

    def find(self, version: ForeignVersion) -> Path | str:
        """Where the version's files are: a folder of this machine, or an address to fetch from. Raises as `folder` does."""
        uri = self._located(version)
        local = _local_path(uri)
        if local is not None:
            return self._allowed_folder(local, uri)
        self._check_allowed(uri)
        return uri

    def _pages(self, search: Any, asked: str) -> Iterator[Any]:
        token: str | None = None
        while True:
            try:
                page = search(filter_string=asked, max_results=PAGE, page_token=token)
            except (MlflowException, SQLAlchemyError) as error:
                raise Unavailable(f"{self.origin} could not be read: {_first_line(error)}", code="source") from error
            yield from page
            token = page.token
            if not token:
                return

    def _located(self, version: ForeignVersion) -> str:
        """Where the files are, behind the names of runs, logged models and other versions."""
        uri = version.source
        try:
            uri = str(self._client.get_model_version_download_uri(version.name, str(version.number)) or uri)
            for _ in range(HOPS):
                behind = self._behind(uri)
                if behind is None:
                    return uri
                uri = behind
        except (MlflowException, SQLAlchemyError) as error:
            raise NotFound(f"Its source {uri} is not known there: {_first_line(error)}", code="source") from error
        raise Invalid(f"Its source {version.source} leads in a circle.", code="source")

    def _behind(self, uri: str) -> str | None:
        scheme, _, rest = uri.partition(":")
        name, _, path = rest.strip("/").partition("/")
        if scheme == "runs":
            return _join(self._client.get_run(name).info.artifact_uri, path)
        if scheme == "models" and name.startswith("m-"):
            return _join(self._client.get_logged_model(name).artifact_location, path)
        if scheme == "models":
            return str(self._client.get_model_version_download_uri(unquote(name), path))
        return None

    def _allowed_folder(self, path: Path, uri: str) -> Path:
        folder = path.resolve()
        roots = [Path(place).resolve() for place in self._places if "://" not in place]
        if not any(folder.is_relative_to(root) for root in roots):
            raise Invalid(
                f"Its files lie on this machine at {uri}. To have them read, name their folder with --files.",
                code="source",
            )
        if not folder.is_dir():
            raise NotFound(f"There is no folder at {uri}: the files are gone.", code="source-missing")
        return folder

    def _check_allowed(self, uri: str) -> None:
        """That `uri` lies on the registry's own server, or in a place that was named."""
        parts, decoded = urlsplit(uri), unquote(uri)
        if unquote(decoded) != decoded or ".." in decoded.split("/") or parts.query or parts.fragment:
            raise Invalid(f"Its source {uri} is written in a way that hides what it names.", code="source")
        if self._server and self._is_own(uri):
            return
        if parts.scheme == "mlflow-artifacts" and not self._server:
            raise Invalid(
                f"Its files lie behind a tracking server ({uri}), which a database does not give. Import from the server: --from http…",
                code="source",
            )
        if not any("://" in place and f"{uri}/".startswith(f"{place}/") for place in self._places):
            raise Invalid(
                f"Its files lie at {uri}, outside of {self.origin}. To have them read, name that place with --files.",
                code="source",
            )

    def _is_own(self, uri: str) -> bool:
        parts, own = urlsplit(uri), urlsplit(self._server)
        if parts.scheme == "mlflow-artifacts":
            return parts.netloc in {"", own.netloc}
        return (parts.scheme, parts.netloc) == (own.scheme, own.netloc)

    def _downloaded(self, uri: str, into: Path) -> Path:
        try:
            repository = get_artifact_repository(uri, tracking_uri=self._address)
            _check_announced(repository)
            return Path(repository.download_artifacts("", dst_path=str(into)))  # type: ignore[no-untyped-call]  # MLflow's
        except Refusal:
            raise
        except Exception as error:  # each kind of storage raises its own; the summary names the version and the reason
            log.warning("import_download_failed", source=uri, exc_info=error)
            raise NotFound(f"Its files could not be fetched from {uri}: {_first_line(error)}", code="source") from error


def open_registry(address: str, *, work: Path, places: Sequence[str] = ()) -> ForeignRegistry:
    """The registry at `address` (http, https, sqlite or postgresql); `places` are the folders and storage addresses to read files from.

    `work` is an empty folder for what is fetched. Raises a `Refusal` where there is no registry that can be read.
    """
    parts = urlsplit(address)
    if parts.scheme in {"http", "https"} and parts.hostname:
        return ForeignRegistry(address.rstrip("/"), _without_secrets(address), places, work)
    if parts.scheme == "sqlite":
        file = Path(address.removeprefix("sqlite:///"))
        return ForeignRegistry(_copied(file, work), f"sqlite:{file.resolve()}", places, work)
    if parts.scheme in POSTGRESQL:
        origin = _without_secrets(address).replace(parts.scheme, "postgresql", 1)
        address = _read_only(address)
        _check_schema(address)
        return ForeignRegistry(address, origin, places, work)
    raise Invalid(
        f"{parts.scheme or address!r} cannot be imported from. Name http://…, https://…, sqlite:///… or postgresql://…",
        code="import-from",
    )


def _copied(file: Path, work: Path) -> str:
    """A copy of an SQLite database with the schema that the installed MLflow reads; the original is only read."""
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    if not file.is_file():
        raise NotFound(f"There is no file {file}.", code="import-from")
    copy = work / f"{uuid4().hex}.sqlite3"  # a name of its own: MLflow keeps what it opened by address
    try:
        with (
            closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as original,
            closing(sqlite3.connect(copy)) as target,
        ):
            if not original.execute("SELECT 1 FROM sqlite_master WHERE name = 'registered_models'").fetchone():
                raise Invalid(f"{file} is no database of MLflow's: it has no registered models.", code="import-from")
            original.backup(target)
        engine = create_sqlalchemy_engine(f"sqlite:///{copy}")  # type: ignore[no-untyped-call]  # MLflow's
        try:
            _upgrade_db(engine)  # type: ignore[no-untyped-call]  # MLflow's
        finally:
            engine.dispose()
    except (sqlite3.Error, SQLAlchemyError) as error:
        raise Invalid(f"{file} could not be read: {_first_line(error)}", code="import-from") from error
    return f"sqlite:///{copy}"


def _read_only(address: str) -> str:
    """The same database through our driver, in transactions that cannot write: MLflow would make what it misses."""
    url = make_url(address).set(drivername="postgresql+psycopg")
    options = " ".join([*url.normalized_query.get("options", ()), READ_ONLY])
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _check_schema(address: str) -> None:
    """Opening an older database with MLflow's store would alter it, and it is somebody else's."""
    from mlflow.store.db.utils import _verify_schema, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(address)  # type: ignore[no-untyped-call]  # MLflow's
    try:
        _verify_schema(engine)  # type: ignore[no-untyped-call]  # MLflow's
    except MlflowException as error:
        raise Invalid(
            "That database has another schema than the installed MLflow reads, and an import changes nothing there. Import from its "
            "server (--from http…), or from a restored copy after `mlflow db upgrade`.",
            code="import-from",
        ) from error
    except SQLAlchemyError as error:
        raise Unavailable(f"The database could not be opened: {_first_line(error)}", code="import-from") from error
    finally:
        engine.dispose()


def _check_announced(repository: Any) -> None:
    """That what the storage lists fits the limits on a version, before it is fetched; the copy is measured again."""
    most, files, size, folders = limits(), 0, 0, [""]
    while folders:
        for entry in repository.list_artifacts(folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
            files, size = files + 1, size + (entry.file_size or 0)
            if files > 2 * most.files or size > most.version_bytes:
                raise TooLarge(
                    f"A version has at most {most.files:,} files and {most.version_bytes:,} bytes; this one has more.",
                    code="too-large",
                )
    if not files:
        raise NotFound("There are no files at its source.", code="source-missing")


def _version(found: Any) -> ForeignVersion:
    return ForeignVersion(
        name=found.name,
        number=int(found.version),
        source=found.source or "",
        run_id=found.run_id or "",
        run_link=found.run_link or "",
        logged_model_id=found.model_id or "",
        description=found.description or "",
        tags=_texts(found.tags),
        stage=found.current_stage or "None",
        user=found.user_id or "",
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1_000, UTC),
    )


def _texts(tags: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in tags.items()}


def _local_path(uri: str) -> Path | None:
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"}:
        return Path(unquote(parts.path))
    return Path(uri) if parts.scheme == "" else None


def _place(place: str) -> str:
    return place.rstrip("/") if "://" in place and not place.startswith("file:") else place.removeprefix("file://")


def _join(root: str | None, path: str) -> str:
    return f"{(root or '').rstrip('/')}/{path}".rstrip("/")


def _without_secrets(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
