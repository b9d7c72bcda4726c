"""The worker's part of registering from elsewhere: fetch the files, or say why they cannot be had."""

from __future__ import annotations

from access.permissions import Permission, permit
from access.principal import Principal
from foundation.refusals import Conflict
from jobs.models import Job
from jobs.work import Work, handles, when_over
from registry.arriving import FETCH_JOB, give_up, record_arrival
from registry.models import ModelVersion
from registry.store import ArtifactStore
from serving.fetching import Patience, fetch
from serving.upstreams import locate


@handles(FETCH_JOB)
def fetch_files(work: Work) -> None:
    """Fetch what a version was registered from; the scan follows as a job of its own."""
    ArtifactStore().clear_abandoned()
    version = ModelVersion.objects.select_related("model").get(pk=work.payload["version"])
    if not version.awaits_files:
        raise Conflict(f"{version} does not wait for files any more. Register it again.", code="state")
    permit(work.principal, Permission.REGISTER_VERSION, version.model)
    work.progress(f"Looking for {version.source}", 0, 1)
    patience = Patience(work.check)
    folder, run_id = patience.insist(
        lambda: locate(version.source, run_id=version.run_id, model_id=version.logged_model_id)
    )
    files = fetch(folder, work, patience)
    with work.finishing():
        record_arrival(version, files, origin=folder.origin, run_id=run_id, by=work.principal)


@when_over
def give_up_unfetched(job: Job) -> None:
    """Whatever ended the job without its files ends the version too: it exists, stays unusable, and says why."""
    if job.kind != FETCH_JOB or job.state == Job.State.SUCCEEDED:
        return
    version = ModelVersion.objects.select_related("model").get(pk=job.payload["version"])
    why = f"Its files could not be fetched: {job.error}"
    give_up(version, why, decision=job, by=Principal.of(job.requested_by, via=f"job:{job.uuid}"))
