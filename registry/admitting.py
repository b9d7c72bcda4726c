"""Letting a version out of quarantine: run the scan in a process of its own, then record its verdict and move the version."""

from __future__ import annotations

from typing import Final

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from foundation.refusals import Conflict
from notices.webhooks.emitting import emit
from notices.webhooks.events import Event
from registry.admission import Examination
from registry.evidence import append_evidence
from registry.lifecycle import move
from registry.models import Evidence, ModelVersion, RegisteredModel
from registry.scanning import scan_files
from registry.store import ArtifactStore, limits

ADMISSION_JOB: Final = "registry.admit"


def admit_version(version: ModelVersion, *, by: Principal) -> ModelVersion:
    """Scan a quarantined version and record the verdict: it becomes registered, or rejected with the reasons.

    The scan takes seconds and runs before the transaction, so that no lock waits for it.
    """
    return record_admission(version, scan(version), by=by)


def scan(version: ModelVersion) -> Examination:
    """What the scan says of the version's files; a scan that crashes or takes too long is a refusal."""
    return scan_files(version.files, ArtifactStore(), limits())


@governed(Action.VERSION_ADMIT)
def record_admission(version: ModelVersion, examination: Examination, *, by: Principal) -> ModelVersion:
    """Record what the scan said as evidence and move the version accordingly. A version that was scanned before is left alone."""
    model = RegisteredModel.objects.locked(version.model_id)
    version = ModelVersion.objects.locked(version.pk)
    version.model = model
    permit(by, Permission.REGISTER_VERSION, model)
    if version.state != ModelVersion.State.QUARANTINED:
        return version
    if examination.manifest_digest != version.digest:
        raise Conflict(f"The files of {version} changed while they were scanned. Scan again.", code="scan-stale")
    evidence = append_evidence(version, Evidence.Kind.SCAN, examination.content(), by=by)
    if examination.signature is not None:
        append_evidence(version, Evidence.Kind.SIGNATURE, examination.signature, by=by)
    version.flavour = examination.flavour
    version.status_message = examination.summary
    version.save(update_fields=["flavour", "status_message"])
    version = move(version, "admit" if examination.admitted else "refuse", by=by, decision=evidence)
    append(
        Action.VERSION_ADMIT,
        by=by,
        obj=version.ledger_ref(),
        after={"verdict": examination.verdict, "servable": examination.servable, "reasons": [*examination.codes]},
    )
    emit(
        Event.VERSION_ADMITTED if examination.admitted else Event.VERSION_REJECTED,
        model,
        {
            "name": model.name,
            "version": str(version.number),
            "digest": version.digest,
            "verdict": str(examination.verdict),
            "reasons": [*examination.codes],
        },
    )
    return version
