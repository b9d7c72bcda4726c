"""The client's Python API: one registry, what it is asked for, and what of its answers is believed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

from countersign import folder as folders
from countersign import places, trust, uploads
from countersign.cache import Cache
from countersign.credentials import find_access
from countersign.errors import BLOCKING, LocalTrouble, Misused, NotProven
from countersign.fetching import WORKERS, Tell, fetch_all
from countersign.keys import Keys, parse_log_keys, parse_registry_key, read_keys
from countersign.memory import FIRST_USE, GIVEN, Memory, Seen
from countersign.proof.model_sig import BadModelSig, check_bundle
from countersign.proof.pull import VerifiedPull
from countersign.refs import Ref
from countersign.session import Session
from countersign.verifying import Pulled, check_named, pulled, verify_with
from countersign.watching import Event, Watch

KEY: Final = "COUNTERSIGN_KEY"
ADMISSION_SECONDS: Final = 600.0
AGAIN_SECONDS: Final[Mapping[str, Sequence[float]]] = {"rollback": (1.0,), "pending": (0.5, 1.0, 2.0, 4.0)}
"""How long to wait before the registry is asked once more: one of several servers may lag behind the others for a moment, and a promotion
is signed into the ledger about a second after it happened."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A version that may be pulled now: its document as it came, and what was verified of it."""

    document: Mapping[str, Any]
    content: bytes
    verified: VerifiedPull


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that a stage asks of a version; `blocks` says whether it stands in the way."""

    key: str
    title: str
    status: str
    measured: str = ""
    required: str = ""
    explanation: str = ""
    cleared_by: str = ""
    link: str = ""

    @property
    def blocks(self) -> bool:
        """Whether the promotion has to wait for it."""
        return self.status in BLOCKING


class Registry:
    """One registry, spoken to with one token; a context manager.

    `url` and `token` come from the environment or from `countersign login` where they are left out. `key` is the file of the registry's
    public key (and of the ledger's), which is pinned from then on; without it the pinned one counts, and without that nothing is believed,
    unless `trust_on_first_use` says to pin what the registry shows now. Raises `CountersignError`s only.
    """

    def __init__(
        self,
        url: str = "",
        *,
        token: str = "",
        key: str | Path = "",
        trust_on_first_use: bool = False,
        cache: str | Path = "",
        state: str | Path = "",
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        access = find_access(url, token)
        self.url = access.url
        self._session = Session(access, connections=WORKERS)
        self._memory = Memory(access.url, Path(state) if state else None)
        self._cache = Cache(Path(cache) if cache else None)
        self._key = Path(key or os.environ.get(KEY, "")) if key or os.environ.get(KEY) else None
        self._first_use = trust_on_first_use
        self._now = now

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def whoami(self) -> dict[str, Any]:
        """Whose token it is, and what they may do."""
        found: dict[str, Any] = self._session.get_json("/api/v1/me/")
        return found

    def seen(self) -> Seen:
        """What is pinned and known of the registry; pins the given key, or what the registry shows where it is trusted on first use."""
        seen = self._memory.read()
        if self._key is not None:
            keys = read_keys(self._key)
            return seen if _same(seen.keys, keys) else self._memory.pin(keys, GIVEN)
        if seen.keys is None and self._first_use:
            return self._memory.pin(self._shown_keys(), FIRST_USE)
        return seen

    def resolve(self, ref: str | Ref, *, stage: str = "", held_to: str = "") -> Resolved:
        """The version that `ref` stands for now, verified; raises `Refused` where it may not be pulled, `NotProven` where proof fails.

        A stage's name stands for the stage's alias: `credit@production` is `credit@champion`. What was proven to stand behind an alias is
        remembered, and an older promotion refused from then on; so is a version by its number where `held_to` names the alias or stage
        from which it is taken.
        """
        asked = Ref.parse(ref, whole=True) if isinstance(ref, str) else ref
        waits = {reason: list(seconds) for reason, seconds in AGAIN_SECONDS.items()}
        while True:
            seen = self.seen()
            try:
                return self._resolved(asked, stage, held_to or asked.alias, seen)
            except NotProven as error:
                if not waits.get(error.reason):
                    raise
                self._session.sleep(waits[error.reason].pop(0))

    def _resolved(self, asked: Ref, stage: str, name: str, seen: Seen) -> Resolved:
        trust.keys_of(seen)
        content = self._session.get(asked.address, {"stage": stage} if stage else None)
        document = _document(content)
        verified = trust.check_answer(
            document,
            seen,
            at=self._now(),
            model=asked.model,
            stage=stage,
            version=asked.version,
            ask=self._ask_consistency,
        )
        if asked.alias:
            check_named(verified, asked.alias)
        elif verified.alias:
            raise NotProven(
                f"The registry answered for the alias “{verified.alias}”, and {asked} was asked for.",
                reason="other-release",
            )
        if name:
            trust.check_place(verified, seen, name=name)
        self._memory.remember(verified, document["attestation"]["status"])
        return Resolved(document, content, verified)

    def pull(
        self,
        ref: str | Ref,
        to: str | Path,
        *,
        stage: str = "",
        held_to: str = "",
        purpose: str = "",
        require_ledger: bool = False,
        model_sig: bool = False,
        workers: int = WORKERS,
        tell: Callable[[int], Tell] | None = None,
    ) -> Pulled:
        """Have the version that `ref` stands for in the folder `to`, verified; files that are there already are not fetched again.

        `held_to`: see `resolve`. `purpose` goes with every request from here on: access policies may
        ask for it, and it is kept in the registry's ledger. `require_ledger` refuses a promotion that the ledger has not
        signed yet. `model_sig` puts the bundle for the OpenSSF model-signing tool beside the proof. `tell` is called with the number of
        bytes to come, and what it returns with each advance. Raises `CountersignError`s; the folder is then as it was before.
        """
        target = Path(os.path.abspath(to))
        folders.check_target(target)
        self._session.declare(purpose)
        resolved = self.resolve(ref, stage=stage, held_to=held_to)
        found = pulled(target, resolved.verified)
        if require_ledger and found.entry is None:
            raise NotProven(
                "The promotion is not proven to be in the registry's ledger: no key of the ledger is pinned, or it is not signed yet.",
                reason="ledger",
            )
        files = resolved.verified.release.files
        bundle = self._model_sig(resolved) if model_sig else None
        if folders.document_path(target).is_file() and folders.holds(target, files):
            _keep_proof(target, resolved, bundle)
            return found
        advance: Tell = tell(sum(file.size for file in files)) if tell else _silent
        urls = {str(row["sha256"]): str(row["url"]) for row in resolved.document["files"]}
        for attempt in (1, 2):
            fetch_all(
                files, urls, session=self._session, cache=self._cache, tell=advance, purpose=purpose, workers=workers
            )
            try:
                self._place(target, resolved, bundle)
            except _DamagedCache:  # known only when it is used; what was damaged is dropped by then, and fetched again
                if attempt == 2:
                    raise
            else:
                break
        return found

    def verify(self, folder: str | Path, *, at: datetime | None = None, ref: str | Ref | None = None) -> Pulled:
        """As `countersign.verify`, with the keys that are pinned for this registry."""
        where, seen = Path(folder), self.seen()
        return verify_with(where, folders.read_document(where), trust.keys_of(seen), seen, at=at, ref=ref)

    def refresh(self, folder: str | Path, *, ref: str | Ref | None = None) -> Pulled:
        """Ask anew whether a pulled folder may still be used, and put the new proof beside its files; raises where it may not.

        Whether the alias by which it was pulled has moved on is not asked: only where a later promotion was proven here before, it is
        refused. `ref`: what the folder has to hold, see `countersign.verify`.
        """
        where = Path(folder)
        told = folders.read_document(where)
        meant = Ref.parse(ref) if isinstance(ref, str) else ref or Ref("")
        alias = str(told.get("alias") or "")
        version = Ref(meant.model or str(told.get("model")), "", meant.version or int(told.get("version") or 0))
        resolved = self.resolve(version, stage=str(told.get("stage") or ""), held_to=meant.alias or alias)
        if meant.alias:
            check_named(replace(resolved.verified, alias=alias), meant.alias)
        folders.check_files(where, resolved.verified.release.files)
        folders.write_document(where, places.as_json({**resolved.document, "alias": alias or None}))
        return pulled(where, replace(resolved.verified, alias=alias))

    def why(self, ref: str | Ref, *, stage: str = "production") -> list[Requirement]:
        """Everything that `stage` asks of a version, met or not; a model's name alone means its newest version."""
        asked = Ref.parse(ref) if isinstance(ref, str) else ref
        rows = self._session.get_json(f"{self._version_address(asked)}requirements/", {"stage": stage})
        names = Requirement.__dataclass_fields__
        return [Requirement(**{name: str(row.get(name) or "") for name in names}) for row in rows]

    def version(self, ref: str | Ref) -> dict[str, Any]:
        """What the registry says about a version: its state, digest, files. Not signed, so nothing to rely on."""
        asked = Ref.parse(ref) if isinstance(ref, str) else ref
        found: dict[str, Any] = self._session.get_json(self._version_address(asked))
        return found

    def register(
        self,
        model: str,
        folder: str | Path,
        *,
        description: str = "",
        run_id: str = "",
        source: str = "",
        code_reference: str = "",
        wait_seconds: float = ADMISSION_SECONDS,
        tell: Callable[[int], Tell] | None = None,
    ) -> dict[str, Any]:
        """Register the files of a folder as a new version and wait until it is admitted (0 seconds: do not wait); raises `Refused`."""
        where = Path(folder)
        files = uploads.manifest_of(where)
        given = {"description": description, "run_id": run_id, "source": source, "code_reference": code_reference}
        advance: Tell = tell(sum(file.size for file in files)) if tell else _silent
        version = uploads.send(
            self._session,
            model,
            where,
            files,
            fields={name: value for name, value in given.items() if value},
            tell=advance,
        )
        if wait_seconds <= 0:
            return version
        return uploads.await_admission(self._session, model, version["number"], seconds=wait_seconds)

    def watch(self, *refs: str, seconds: float | None = None) -> Generator[Event, None, None]:
        """What happens to these references, from now on, without end or for so many `seconds`; the first event says how it is now.

        Goes on by itself where the connection breaks, without missing a change. Raises `Refused` when the registry ends it. Events are
        not signed: pull what they announce before it is used.
        """
        return iter(Watch(self._session, [str(Ref.parse(one, whole=True)) for one in refs], seconds=seconds))

    def _model_sig(self, resolved: Resolved) -> bytes:
        """The `model.sig` of a version; raises `NotProven` where it is not about the files that were verified."""
        release = resolved.verified.release
        address = Ref(release.model, "", release.version).address
        content = self._session.get(f"{address}/model.sig", {"stage": release.stage})
        try:
            check_bundle(content, release.files)
        except BadModelSig as error:
            raise NotProven(str(error), reason="model-sig") from error
        return content

    def _place(self, target: Path, resolved: Resolved, bundle: bytes | None) -> None:
        """Put the cached files into `target`; raises `_DamagedCache`, with the damaged one dropped, where the cache has other bytes."""
        with folders.staging(target) as fresh:
            for file in resolved.verified.release.files:
                path = fresh / file.path
                places.make_folder(path.parent)
                if not self._cache.copy(file, path):
                    self._cache.drop(file.sha256)
                    raise _DamagedCache(
                        f"{file.path}: the bytes in the cache {places.cache_folder()} keep changing; is the disk sound?",
                        reason="cache",
                    )
            _keep_proof(fresh, resolved, bundle)

    def _version_address(self, ref: Ref) -> str:
        number = ref.version
        if number is None and ref.alias:
            number = self._aliased(ref)
        if number is None:
            page = self._session.get_json(f"/api/v1/models/{quote(ref.model, safe='')}/versions/")
            rows = page["results"] if isinstance(page, dict) else page
            if not rows:
                raise Misused(f"{ref.model} has no versions yet.", reason="no-version")
            number = int(rows[0]["number"])
        return f"/api/v1/models/{quote(ref.model, safe='')}/versions/{number}/"

    def _aliased(self, ref: Ref) -> int:
        found = {str(row["name"]): int(row["version"]) for row in self._aliases(ref.model)}
        alias = ref.alias if ref.alias in found else self._alias_of_stage(ref)
        if alias not in found:
            raise Misused(
                f"{ref.model} has no alias “{ref.alias}”. Its aliases: {', '.join(found) or 'none yet'}.",
                reason="alias-unknown",
            )
        return found[alias]

    def _alias_of_stage(self, ref: Ref) -> str:
        """The alias of the stage whose name stands in place of an alias; empty where no version is there."""
        rows = [row for row in self._aliases(ref.model) if row.get("stage") == ref.alias]
        return str(rows[0]["name"]) if rows and ref.alias else ""

    def _aliases(self, model: str) -> list[dict[str, Any]]:
        page = self._session.get_json(f"/api/v1/models/{quote(model, safe='')}/aliases/")
        return list(page["results"] if isinstance(page, dict) else page)

    def _ask_consistency(self, old: int, new: int) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._session.get_json(
            "/api/v1/ledger/consistency", {"old": str(old), "new": str(new)}
        )
        return found

    def _shown_keys(self) -> Keys:
        """The keys that the registry shows to everybody now."""
        registry = self._session.get("/verify/registry.pub").decode(errors="replace")
        log = self._session.get("/verify/ledger.pub").decode(errors="replace")
        return Keys(parse_registry_key(registry, f"{self.url}/verify/registry.pub"), parse_log_keys(log, self.url))


class _DamagedCache(LocalTrouble):
    """A blob in the cache is not what it was when it was put there."""


def _keep_proof(folder: Path, resolved: Resolved, bundle: bytes | None) -> None:
    """Put the pull document into a folder, and `model.sig` where it was asked for."""
    folders.write_document(folder, resolved.content)
    if bundle is not None:
        folders.write_model_sig(folder, bundle)


def _document(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotProven("The registry's answer is not JSON.", reason="malformed") from error
    if not isinstance(value, dict):
        raise NotProven("The registry's answer is no pull document.", reason="malformed")
    return value


def _same(pinned: Keys | None, given: Keys) -> bool:
    """Whether what was given is pinned already."""
    return pinned is not None and pinned.id == given.id and (not given.log or pinned.lines == given.lines)


def _silent(advance: int) -> None:
    """Nobody looks on."""
