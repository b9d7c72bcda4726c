"""Decides where the files of a version may come from besides this server: tracking servers and buckets that the operator configured.

Whoever registers chooses a source, so a source names a place only by what the settings (`COUNTERSIGN_UPSTREAMS`) hold: a run or a logged
model that a configured tracking server knows by its id, or a folder of a configured bucket. No address of a source is ever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from django.conf import settings

from audit.anchors.protocol import Options, build_all, tell_apart
from foundation.refusals import Invalid, NotFound
from serving.fetching import Folder, Interrupted
from serving.mlflow_runs import knows_logged_model, knows_run
from serving.upstreams_mlflow import TrackingServer
from serving.upstreams_s3 import Bucket
from serving.wire_rules import plain_path

Upstream = TrackingServer | Bucket
_KINDS: Final[Mapping[str, Callable[[str, Options], Upstream]]] = {"mlflow": TrackingServer.of, "s3": Bucket.of}


def configured() -> list[Upstream]:
    """The upstreams, in order; raises `SinkMisconfigured`. Each is `{"upstream": kind, "name": …, …}`."""
    found = build_all(settings.UPSTREAMS, "COUNTERSIGN_UPSTREAMS", "upstream", _KINDS)
    tell_apart([one.name for one in found], "upstream")
    return found


def is_elsewhere(source: str, *, run_id: str = "", model_id: str = "") -> bool:
    """Whether a worker has to fetch `source` from an upstream: this server does not know the run or logged model, and one may.

    Raises `Invalid` for what no upstream will ever give. False also where there is no upstream for such a source.
    """
    upstreams = configured()
    scheme = urlsplit(source).scheme
    if scheme == "s3":
        buckets = [one for one in upstreams if isinstance(one, Bucket)]
        if buckets:
            _bucket_of(source, buckets)
        return bool(buckets)
    servers = [one for one in upstreams if isinstance(one, TrackingServer)]
    named = _named(source, run_id, model_id) if servers else None
    if named is None or named.is_known_here():
        return False
    _check_plain(source)
    return True


def locate(source: str, *, run_id: str = "", model_id: str = "") -> tuple[Folder, str]:
    """The folder that `source` names, and the run that made it where an upstream says so; asks the tracking servers in order.

    Raises a `Refusal` that says why there is none, `Interrupted` where a server that may know it cannot be asked now.
    """
    upstreams = configured()
    buckets = [one for one in upstreams if isinstance(one, Bucket)]
    if urlsplit(source).scheme == "s3":
        return _bucket_of(source, buckets).folder(source), run_id
    silent: Interrupted | None = None
    servers = [one for one in upstreams if isinstance(one, TrackingServer)]
    for server in servers:
        try:
            found = server.located(source, run_id=run_id, model_id=model_id)
        except Interrupted as error:
            silent = silent or error
            continue
        if found is None:
            continue
        if urlsplit(found.uri).scheme == "s3":
            return _bucket_of(found.uri, buckets).folder(found.uri), found.run_id
        return server.folder(found.uri), found.run_id
    if silent is not None:
        raise silent
    names = ", ".join(one.name for one in servers) or "none is configured"
    raise NotFound(
        f"No tracking server here knows what {source} names (asked: this one, {names}). Register from the server where it was logged.",
        code="source-missing",
    )


class _Named:
    """The run or the logged model that a registration names."""

    def __init__(self, run_id: str = "", model_id: str = "") -> None:
        self.run_id, self.model_id = run_id, model_id

    def is_known_here(self) -> bool:
        """Whether it was logged to this server."""
        return knows_logged_model(self.model_id) if self.model_id else knows_run(self.run_id)


def _named(source: str, run_id: str, model_id: str) -> _Named | None:
    parts = urlsplit(source)
    first = parts.path.strip("/").split("/", 1)[0]
    if parts.scheme == "models":
        return _Named(model_id=first) if first.startswith("m-") and "/" not in parts.path.strip("/") else None
    if parts.scheme == "runs":
        return _Named(run_id=first)
    if parts.scheme in {"mlflow-artifacts", "http", "https"} and (run_id or model_id):
        return _Named(run_id, model_id)
    return None


def _check_plain(source: str) -> None:
    parts = urlsplit(source)
    if plain_path(parts.path) is None or parts.query or parts.fragment or unquote(source) != source:
        raise Invalid(f"The source {source!r} is written in a way that hides what it names.", code="source")


def _bucket_of(source: str, buckets: list[Bucket]) -> Bucket:
    _check_plain(source)
    for bucket in buckets:
        if bucket.holds(source):
            return bucket
    places = ", ".join(bucket.address for bucket in buckets) or "none is configured"
    raise Invalid(f"{source} lies in no bucket that files are fetched from here ({places}).", code="source")
