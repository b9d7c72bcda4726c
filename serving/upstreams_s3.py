"""An S3 bucket as a place that files come from: folders below the prefix that the operator configured.

Credentials come from boto3's usual places (environment, profile, the machine's role), never from a source. Needs boto3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from audit.anchors.protocol import Options, SinkMisconfigured, required
from foundation.outgoing import BadAddress, checked_url
from foundation.refusals import Forbidden, NotFound, Refusal, Unavailable
from serving.fetching import Changed, Interrupted, RemoteFile

CONNECT_SECONDS: Final = 10
SILENCE_SECONDS: Final = 30
_CHANGED: Final = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})
_MISSING: Final = frozenset({"NoSuchBucket", "NoSuchKey", "404"})
_LATER: Final = frozenset({"SlowDown", "Throttling", "RequestTimeout", "429", "408"})


@dataclass(frozen=True, slots=True)
class Bucket:
    """What may be fetched from one bucket: everything below `prefix`. `endpoint`: another service than Amazon's; `profile`: of boto3."""

    name: str
    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    profile: str = ""

    @classmethod
    def of(cls, name: str, options: Options) -> Bucket:
        """From `bucket`, and if wanted `prefix`, `endpoint`, `region` and `profile`."""
        (bucket,) = required(options, "bucket")
        endpoint = options.get("endpoint", "")
        if endpoint:
            try:
                checked_url(endpoint)
            except BadAddress as error:
                raise SinkMisconfigured(f"endpoint of the upstream {name} {error}") from error
        place = (options.get("prefix", "").strip("/"), endpoint, options.get("region", ""), options.get("profile", ""))
        return cls(name, bucket, *place)

    @property
    def address(self) -> str:
        """The bucket and prefix as an address."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def holds(self, source: str) -> bool:
        """Whether `source` (`s3://bucket/key`) is a folder of this bucket, below its prefix."""
        return f"{source.rstrip('/')}/".startswith(f"{self.address}/") and source.rstrip("/") != f"s3://{self.bucket}"

    def folder(self, source: str) -> BucketFolder:
        """The folder that `source` names."""
        return BucketFolder(self, urlsplit(source).path.strip("/"))

    def client(self) -> Any:
        """A client of the bucket's service that asks once: what is asked again, and when, is decided in `serving.fetching`."""
        import boto3  # type: ignore[import-untyped]  # the optional extra has no types
        from botocore.config import Config  # type: ignore[import-untyped]  # as above

        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SILENCE_SECONDS,
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path" if self.endpoint else "auto"},
        )
        session = boto3.session.Session(profile_name=self.profile or None)
        return session.client("s3", endpoint_url=self.endpoint or None, region_name=self.region or None, config=config)


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """A folder of a bucket."""

    bucket: Bucket
    key: str

    @property
    def origin(self) -> str:
        """Its address."""
        return f"s3://{self.bucket.bucket}/{self.key}"

    def files(self) -> Iterator[RemoteFile]:
        """Every object below it; the ETag tells contents apart."""
        prefix = f"{self.key}/"
        with _as_ours(self.origin):
            pages = self.bucket.client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket.bucket, Prefix=prefix):
                for row in page.get("Contents", ()):
                    path = row["Key"].removeprefix(prefix)
                    if path and not (path.endswith("/") and row["Size"] == 0):  # what consoles make to show a folder
                        yield RemoteFile(path, row["Size"], row["ETag"])

    def open(self, file: RemoteFile, *, offset: int, mark: str) -> Coming:
        """The object from byte `offset` on, as long as it has the ETag `mark`."""
        asked = {"Bucket": self.bucket.bucket, "Key": f"{self.key}/{file.path}", "IfMatch": mark}
        if offset:
            asked["Range"] = f"bytes={offset}-"
        with _as_ours(self.origin):
            answer = self.bucket.client().get_object(**asked)
        return Coming(self.origin, answer["Body"], mark)


class Coming:
    """An object on its way."""

    def __init__(self, origin: str, body: Any, mark: str) -> None:
        self._origin, self._body, self.mark = origin, body, mark

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, nothing at the end; raises `Interrupted`."""
        with _as_ours(self._origin):
            return bytes(self._body.read(size))

    def close(self) -> None:
        """Let go of the connection."""
        self._body.close()


@contextmanager
def _as_ours(origin: str) -> Iterator[None]:
    """What boto3 raises, as what `serving.fetching` understands."""
    try:
        from botocore.exceptions import (  # type: ignore[import-untyped]  # as above
            BotoCoreError,
            ClientError,
            NoCredentialsError,
        )
    except ImportError as error:
        raise _without_boto3() from error
    try:
        yield
    except ClientError as error:
        raise _said(origin, error.response) from error
    except NoCredentialsError as error:
        raise Forbidden(
            f"There is no credential for {origin}. Ask an administrator to set one (AWS_ACCESS_KEY_ID, …).",
            code="source-refused",
        ) from error
    except (BotoCoreError, OSError) as error:
        raise Interrupted(f"{origin} cannot be read: {error}") from error


def _said(origin: str, response: Mapping[str, Any]) -> Exception:
    code, status = str(response["Error"]["Code"]), int(response["ResponseMetadata"]["HTTPStatusCode"])
    if code in _CHANGED:
        return Changed()
    if code in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Interrupted(f"{origin} answered {status} ({code})")
    if code in _MISSING:
        return NotFound(f"There is nothing at {origin} ({code}).", code="source-missing")
    return Forbidden(f"{origin} refused the credential that is configured for it ({code}).", code="source-refused")


def _without_boto3() -> Refusal:
    return Unavailable(
        "Fetching from s3:// needs boto3. Ask an administrator to install Countersign with its extra `anchors`.",
        code="source-unavailable",
    )
