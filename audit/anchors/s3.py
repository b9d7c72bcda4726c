"""An S3 bucket with object lock as a sink: each checkpoint is an object that nobody can change or delete before its time.

Put create-only and in compliance mode, which not even the bucket's owner can lift. Read back with every version of an object,
since a delete marker or a newer version hides a locked one from ordinary reading. Needs boto3 (the extra `anchors`):
object_store, on which obstore stands, cannot sign the object-lock headers of a single put.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from audit.anchors.protocol import (
    TIMEOUT_SECONDS,
    Options,
    SinkDamaged,
    SinkFailed,
    SinkMisconfigured,
    required,
    seconds,
)
from audit.journal import Line

READ_BACK: Final = 200
_THERE_ALREADY: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict"})


@dataclass(frozen=True, slots=True)
class S3Sink:
    """Puts `<prefix>/<origin>/<size, 20 digits>` into a bucket, locked for `days`; credentials come from boto3's usual places."""

    name: str
    bucket: str
    prefix: str
    days: int
    endpoint: str
    region: str
    every_seconds: float

    @classmethod
    def of(cls, name: str, options: Options) -> S3Sink:
        """From `bucket`, and if wanted `prefix`, `days` (3,650), `endpoint` and `region`."""
        (bucket,) = required(options, "bucket")
        days = options.get("days", "3650")
        if not days.isdecimal() or not int(days):
            raise SinkMisconfigured(f"days of the sink {name} is a whole number above zero, not {days!r}")
        place = (options.get("endpoint", ""), options.get("region", ""))
        return cls(name, bucket, options.get("prefix", "ledger").strip("/"), int(days), *place, seconds(options, 600))

    def publish(self, line: Line) -> str:
        """Put the object and see that it is locked; its address, version and the end of the lock."""
        key = f"{self.prefix}/{line.note.partition(chr(10))[0]}/{line.size:020}"
        client = self._client()
        try:
            self._put(client, key, line)
            there = client.get_object(Bucket=self.bucket, Key=key)
            body = there["Body"].read()
        except _errors() as error:
            raise SinkFailed(f"{self.bucket}: {error}") from error
        if body != line.note.encode():
            raise SinkFailed(f"{self.bucket} holds another checkpoint over {line.size} entries under {key}")
        if there.get("ObjectLockMode") != "COMPLIANCE":
            raise SinkFailed(f"{self.bucket} took {key} without locking it: create the bucket with object lock")
        until = there["ObjectLockRetainUntilDate"].isoformat(timespec="seconds")
        return f"s3://{self.bucket}/{key} version={there.get('VersionId', '')} until={until}"

    def held(self) -> list[Line]:
        """Every version of the objects with the largest sizes, 200 of them."""
        client = self._client()
        try:
            pages = client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
            found = [version for page in pages for version in page.get("Versions", ())]
            newest = sorted(found, key=lambda version: (_size(version["Key"]), version["LastModified"]))[-READ_BACK:]
            return [self._line(client, version) for version in newest]
        except _errors() as error:
            raise SinkFailed(f"{self.bucket}: {error}") from error

    def _put(self, client: Any, key: str, line: Line) -> None:
        try:
            client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=line.note.encode(),
                ContentType="text/plain; charset=utf-8",
                ChecksumAlgorithm="SHA256",
                IfNoneMatch="*",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=datetime.now(UTC) + timedelta(days=self.days),
            )
        except _client_error() as error:
            if error.response["Error"]["Code"] not in _THERE_ALREADY:
                raise

    def _line(self, client: Any, version: dict[str, Any]) -> Line:
        key, version_id = version["Key"], version["VersionId"]
        body = client.get_object(Bucket=self.bucket, Key=key, VersionId=version_id)["Body"].read()
        try:
            note = body.decode()
        except UnicodeDecodeError as error:
            raise SinkDamaged(f"{key} in {self.bucket} is not a checkpoint") from error
        return Line(int(version["LastModified"].timestamp() * 1_000_000), _size(key), note, f"{key} {version_id}")

    def _client(self) -> Any:
        boto3 = _boto3()
        from botocore.config import Config  # type: ignore[import-untyped]  # the optional extra has no types

        limits = Config(connect_timeout=3, read_timeout=TIMEOUT_SECONDS, retries={"total_max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.endpoint or None, region_name=self.region or None, config=limits)


def _boto3() -> Any:
    try:
        import boto3  # type: ignore[import-untyped]  # the optional extra has no types
    except ImportError as error:
        raise SinkFailed("boto3 is not installed; install Countersign with its extra `anchors`") from error
    return boto3


def _client_error() -> Any:
    _boto3()
    from botocore.exceptions import ClientError  # type: ignore[import-untyped]  # as above

    return ClientError


def _errors() -> Any:
    from botocore.exceptions import BotoCoreError

    return (_client_error(), BotoCoreError)


def _size(key: str) -> int:
    last = key.rpartition("/")[2]
    return int(last) if last.isdecimal() else 0
