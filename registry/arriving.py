"""Versions that are registered before their files are here: what a worker fetched becomes theirs, or they are given up with the reason.

Where files may be fetched from, and how, is decided above (`serving.upstreams`). Until they are here a version has no digest, and
nothing can be scanned, downloaded or reviewed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action, Outcome
from audit.governed import governed
from countersign.proof.manifest import ManifestFile, manifest_digest, rows
from foundation.refusals import Conflict, Invalid
from jobs.actions import enqueue
from jobs.models import Job
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from registry.admitting import ADMISSION_JOB
from registry.lifecycle import move
from registry.manifest import check_tree
from registry.models import Blob, ModelVersion, RegisteredModel
from registry.store import ArtifactStore, limits

FETCH_JOB: Final = "serving.fetch"
NOT_FETCHED: Final = "not-fetched"


@governed(Action.VERSION_FETCH)
def record_arrival(
    version: ModelVersion, files: Sequence[ManifestFile], *, origin: str, run_id: str = "", by: Principal
) -> ModelVersion:
    """Give a version the files that were fetched for it from `origin`; a worker scans them after the commit.

    `run_id`: the run that made the files, where the origin says it and whoever registered did not.
    """
    version = _locked(version)
    permit(by, Permission.REGISTER_VERSION, version.model)
    if not version.awaits_files:
        raise Conflict(f"{version} does not wait for files: it is {version.get_state_display().lower()}.", code="state")
    check_tree(files, limits())
    check_stored(files)
    version.manifest, version.digest = rows(files), manifest_digest(files)
    version.size_bytes = sum(file.size for file in files)
    version.run_id = version.run_id or run_id
    version.status_message = "Waiting for the admission scan."
    version.save(update_fields=["manifest", "digest", "size_bytes", "run_id", "status_message"])
    record_blobs(files)
    append(
        Action.VERSION_FETCH,
        by=by,
        obj=version.ledger_ref(),
        after={
            "digest": version.digest,
            "files": len(files),
            "bytes": version.size_bytes,
            "run": version.run_id,
            "from": origin,
        },
    )
    enqueue(ADMISSION_JOB, {"version": version.pk}, by=by)
    return version


@governed(Action.VERSION_FETCH)
def give_up(version: ModelVersion, why: str, *, decision: Job, by: Principal) -> ModelVersion:
    """Reject a version whose files could not be fetched, with the sentence that says why; one that has its files is left alone.

    It follows from the end of the job, whatever whoever registered the version may do by then.
    """
    version = _locked(version)
    if not version.awaits_files:
        return version
    version.status_message = why
    version.save(update_fields=["status_message"])
    version = move(version, "give_up", by=by, decision=decision)
    append(
        Action.VERSION_FETCH,
        by=by,
        obj=version.ledger_ref(),
        outcome=Outcome.ERROR,
        why=NOT_FETCHED,
        after={"source": version.source, "reason": why},
    )
    emit(
        Event.VERSION_REJECTED,
        version.model,
        {
            "name": version.model.name,
            "version": str(version.number),
            "digest": "",
            "verdict": NOT_FETCHED,
            "reasons": [NOT_FETCHED],
        },
    )
    return version


def check_stored(files: Sequence[ManifestFile]) -> None:
    """Raise `Invalid` where a file is not in the store with the size that the manifest says."""
    store = ArtifactStore()
    errors = {}
    for file in files:
        size = store.size(file.sha256)
        if size is None:
            errors[file.path] = "No such bytes are in the store; upload the file first."
        elif size != file.size:
            errors[file.path] = f"The stored file has {size:,} bytes; the manifest says {file.size:,}."
    if errors:
        path, sentence = next(iter(errors.items()))
        raise Invalid(f"{path}: {sentence}", code="not-stored", errors=errors)


def record_blobs(files: Sequence[ManifestFile]) -> None:
    """Keep a row for each stored file; inside the transaction of what names them."""
    sizes = {file.sha256: file.size for file in files}
    known = set(Blob.objects.filter(digest__in=sizes).values_list("digest", flat=True))
    for digest in sorted(sizes.keys() - known):
        Blob.objects.get_or_create(digest=digest, defaults={"size_bytes": sizes[digest]})


def _locked(version: ModelVersion) -> ModelVersion:
    model = RegisteredModel.objects.locked(version.model_id)
    locked = ModelVersion.objects.locked(version.pk)
    locked.model = model
    return locked
