"""The worker's part of the registry: scan what was registered, and admit or refuse it."""

from __future__ import annotations

from jobs.work import Work, handles
from registry.admitting import ADMISSION_JOB, record_admission, scan
from registry.models import ModelVersion
from registry.store import ArtifactStore


@handles(ADMISSION_JOB)
def admit(work: Work) -> None:
    """Scan one version's files and record the verdict; a refusal by the scan is a result, not a failed job.

    What was scanned meanwhile, by an import that waits for no worker, is not scanned again.
    """
    ArtifactStore().clear_abandoned()
    version = ModelVersion.objects.select_related("model").get(pk=work.payload["version"])
    work.progress(f"Scanning {len(version.manifest)} files of {version}", 0, 1)
    examination = scan(version) if version.state == ModelVersion.State.QUARANTINED else None
    with work.finishing() as job:
        if examination is not None:
            version = record_admission(version, examination, by=work.principal)
        job.result = {"version": version.pk, "state": version.state}
