"""What a scoring worker asks the portal, over HTTP with its service token: what to serve, the proof, the bytes, who may ask.

Answers are not believed here: `verification` checks the signed ones, and every file is hashed while it arrives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from countersign.proof.manifest import ManifestFile
from foundation.refusals import Forbidden, Refusal, Unauthenticated, Unavailable

TIMEOUT_SECONDS: Final = 5.0


class Unreachable(Exception):
    """The portal did not answer, or not with anything that can be read; what was known before still counts for a while."""


class WrongBytes(ValueError):
    """A file is not what the signed manifest says; it must not be loaded."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the portal says this deployment should do now. `version` is None when nothing may be served; `reason` says why."""

    model: str
    stage: str
    version: int | None
    paused: bool
    reason: str
    status: dict[str, Any]


class Portal:
    """One worker's connection to the portal."""

    def __init__(
        self, address: str, token: str, deployment: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._deployment = deployment
        self._authorization = f"Bearer {token}"
        self._client = httpx.AsyncClient(
            base_url=f"{address.rstrip('/')}/api/v1", timeout=TIMEOUT_SECONDS, transport=transport
        )

    async def heartbeat(self, *, state: str, detail: str, version: int | None) -> Assignment:
        """Report how the worker is, and learn what it should do; raises `Unreachable`, or the portal's refusal."""
        answer = await self._json(
            "POST",
            f"/serving/deployments/{quote(self._deployment, safe='')}/heartbeat",
            authorization=self._authorization,
            body={"state": state, "detail": detail, "version": version},
        )
        try:
            return Assignment(
                model=answer["model"],
                stage=answer["stage"],
                version=answer["version"],
                paused=answer["paused"],
                reason=answer["reason"],
                status=answer["status"],
            )
        except KeyError as error:
            raise Unreachable(f"The portal's answer lacks {error}.") from error

    async def attestation(self, model: str, version: int, stage: str) -> dict[str, Any]:
        """The release attestation of one version for one stage, still to be verified."""
        return await self._json(
            "GET", f"{_version(model, version)}/attestation?stage={quote(stage)}", authorization=self._authorization
        )

    async def fetch(
        self, model: str, version: int, files: Iterable[ManifestFile], *, keep: str = "MLmodel"
    ) -> dict[str, bytes]:
        """Download every one of `files`, compare size and SHA-256 with the manifest, and return the bytes of the one at `keep`.

        Raises `WrongBytes` at the first file that differs, before anything of it is used.
        """
        kept = {}
        for file in files:
            content = await self._file(model, version, file, keep=file.path == keep)
            if content is not None:
                kept[file.path] = content
        return kept

    async def authorise(self, authorization: str) -> str:
        """The name of the caller whose Authorization header this is, when they may ask this deployment; else raises a refusal."""
        answer = await self._json(
            "POST", "/serving/authorize", authorization=authorization, body={"deployment": self._deployment}
        )
        return str(answer.get("caller", ""))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def _file(self, model: str, version: int, file: ManifestFile, *, keep: bool) -> bytes | None:
        digest, chunks, size = hashlib.sha256(), [], 0
        url = f"{_version(model, version)}/files/{quote(file.path)}"
        headers = {"Authorization": self._authorization, "Accept-Encoding": "identity"}
        try:
            async with self._client.stream("GET", url, headers=headers) as answer:
                if answer.status_code != httpx.codes.OK:
                    await answer.aread()
                    raise _refusal(answer)
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                    if size > file.size:
                        break
                    digest.update(chunk)
                    if keep:
                        chunks.append(chunk)
        except httpx.HTTPError as error:
            raise Unreachable(f"{file.path} could not be fetched: {error!r}.") from error
        if size != file.size:
            raise WrongBytes(
                f"{file.path} has {'more' if size > file.size else 'fewer'} bytes than the {file.size} that were signed."
            )
        if digest.hexdigest() != file.sha256:
            raise WrongBytes(
                f"{file.path} has the SHA-256 {digest.hexdigest()[:12]}…, but {file.sha256[:12]}… was signed."
            )
        return b"".join(chunks) if keep else None

    async def _json(
        self, method: str, url: str, *, authorization: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, url, json=body, headers={"Authorization": authorization})
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise Unreachable(f"The portal answered {answer.status_code}.")
            if answer.status_code != httpx.codes.OK:
                raise _refusal(answer)
            value = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"The portal cannot be reached: {error!r}.") from error
        if not isinstance(value, dict):
            raise Unreachable("The portal's answer is not an object.")
        return value


def _version(model: str, version: int) -> str:
    return f"/models/{quote(model, safe='')}/versions/{version}"


def _refusal(answer: httpx.Response) -> Refusal:
    """The portal's refusal as ours, with its sentence."""
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        detail = f"The portal answered {answer.status_code}."
    kinds: dict[int, type[Refusal]] = {401: Unauthenticated, 403: Forbidden, 503: Unavailable}
    kind = kinds.get(answer.status_code)
    return kind(detail) if kind else Refusal(detail, status=answer.status_code)
