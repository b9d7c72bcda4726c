"""Everything that changes what is watched: limits, evaluation, outcomes, alerts and the retraining they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from access.permissions import Permission, permit
from access.principal import Principal
from audit.actions import append
from audit.events import Action
from audit.governed import governed
from datasets.drift import Bins
from datasets.models import DatasetVersion
from foundation.refusals import Conflict, Invalid
from jobs.actions import enqueue
from jobs.models import Job
from monitoring import alerts, archive
from monitoring.drift import Level, Shifted, bins_from, measure, worst
from monitoring.ingest import ingest
from monitoring.models import Alert, Measure, Outcome, PredictionWindow, Reference, Thresholds
from monitoring.outcomes import Observed, measure_all, start_of
from monitoring.outcomes import measure as measure_performance
from monitoring.permissions import permit_care
from registry.models import ModelVersion
from serving.models import Deployment
from training.actions import retrain
from training.models import TrainingJob

TICK: Final = "monitoring.tick"
LONGEST_WINDOW_SECONDS: Final = 31 * 24 * 3600


@dataclass(frozen=True)
class Fed:
    """What became of outcomes: taken now, known already, contradicting a known one, or about predictions nobody knows."""

    taken: int
    repeated: int
    contradicting: tuple[str, ...]
    unknown: tuple[str, ...]


@governed(Action.THRESHOLDS_SET)
def set_thresholds(deployment: Deployment, limits: Mapping[str, float], *, by: Principal) -> Thresholds:
    """Change a deployment's limits (any of `Thresholds`' numbers by name); every window is judged anew by the new ones.

    A new window length holds for predictions that are counted from now on; outcomes are grouped by it at once.
    """
    deployment = _locked(deployment)
    permit_care(by, deployment)
    thresholds = Thresholds.objects.of(deployment)
    before = {name: f"{getattr(thresholds, name):g}" for name in limits}
    for name, value in limits.items():
        setattr(thresholds, name, value)
    _check(thresholds)
    thresholds.updated_at, thresholds.updated_by = timezone.now(), by.user
    thresholds.save()
    windows = _judge(PredictionWindow.objects.filter(deployment=deployment), deployment, thresholds)
    outcomes = measure_all(deployment, thresholds)
    findings = [finding for window in windows for finding in alerts.of_drift(window, thresholds)]
    findings += [finding for window in outcomes for finding in alerts.of_performance(window, thresholds)]
    alerts.review(alerts.newest(findings), by=by)
    append(
        Action.THRESHOLDS_SET,
        by=by,
        obj=thresholds.ledger_ref(),
        before=before,
        after={name: f"{value:g}" for name, value in limits.items()},
    )
    return thresholds


@governed(Action.WINDOW_MEASURE)
def evaluate(deployment: Deployment, *, by: Principal) -> int:
    """Measure the windows that have grown since they were last measured, and hold them against the limits; returns how many."""
    deployment = _locked(deployment)
    permit(by, Permission.SEE_MONITORING)
    thresholds = Thresholds.objects.of(deployment)
    windows = _judge(PredictionWindow.objects.filter(deployment=deployment).grown(), deployment, thresholds)
    alerts.review([finding for window in windows for finding in alerts.of_drift(window, thresholds)], by=by)
    newest = PredictionWindow.objects.filter(deployment=deployment).select_related("version__model").last()
    if newest is not None:
        alerts.supersede(deployment, newest.version, by=by)
    if windows:
        append(Action.WINDOW_MEASURE, by=by, obj=deployment.ledger_ref(), after={"windows": len(windows)})
    return len(windows)


@governed(Action.WINDOW_MEASURE)
def ask_for_evaluation(deployment: Deployment, *, by: Principal) -> Job:
    """Have a worker count and measure what has come in, now instead of at the next tick."""
    permit(by, Permission.SEE_MONITORING)
    return enqueue(TICK, {"deployment": deployment.pk}, by=by)


def feed_outcomes(deployment: Deployment, rows: Sequence[Observed], *, by: Principal) -> Fed:
    """Keep what really happened after predictions of this deployment, and measure the windows concerned.

    Predictions that were answered a moment ago are counted first, so that their ids are known. Unknown ids are named, not kept.
    """
    permit(by, Permission.FEED_OUTCOMES)
    ingest(deployment, by=Principal.system("monitoring"))
    return _feed(deployment, rows, by=by)


@governed(Action.OUTCOMES_FEED)
def _feed(deployment: Deployment, rows: Sequence[Observed], *, by: Principal) -> Fed:
    deployment = _locked(deployment)
    permit(by, Permission.FEED_OUTCOMES)
    if by.user is None:
        raise Invalid("Outcomes are kept with the name of whoever feeds them; sign in or send a token.", code="nobody")
    wanted = {row.prediction_id: row.label for row in rows}
    known = dict(
        Outcome.objects.filter(deployment=deployment, prediction_id__in=list(wanted)).values_list(
            "prediction_id", "label"
        )
    )
    answered = archive.find(deployment, wanted.keys() - known.keys())
    if not all(0 <= one.score <= 1 for one in answered.values()):
        raise Conflict(
            "These scores are no probabilities; performance is measured for yes-or-no models only.",
            code="not-binary",
        )
    versions = _versions(deployment, {one.version for one in answered.values()})
    Outcome.objects.bulk_create(
        [
            Outcome(
                deployment=deployment,
                version=versions[one.version],
                prediction_id=name,
                label=wanted[name],
                score=one.score,
                predicted_at=one.at,
                fed_by=by.user,
            )
            for name, one in answered.items()
        ],
        batch_size=500,
    )
    _judge_outcomes(deployment, answered, versions, by=by)
    fed = Fed(
        taken=len(answered),
        repeated=sum(known[name] == wanted[name] for name in known),
        contradicting=tuple(sorted(name for name in known if known[name] != wanted[name])),
        unknown=tuple(sorted(wanted.keys() - known.keys() - answered.keys())),
    )
    after = {
        "taken": fed.taken,
        "repeated": fed.repeated,
        "contradicting": len(fed.contradicting),
        "unknown": len(fed.unknown),
    }
    append(Action.OUTCOMES_FEED, by=by, obj=deployment.ledger_ref(), after=after)
    return fed


@governed(Action.ALERT_ACKNOWLEDGE)
def acknowledge_alert(alert: Alert, *, note: str, by: Principal) -> Alert:
    """Say that somebody has taken notice, and what they make of it; the alert stays open until its cause is gone."""
    alert = Alert.objects.locked(alert.pk)
    permit_care(by, alert.deployment)
    if not note.strip():
        raise Invalid(
            "Say in a sentence what you make of it.", code="no-note", errors={"note": "Say what you make of it."}
        )
    if alert.closed_at is not None:
        raise Conflict("This alert is resolved; there is nothing to acknowledge.", code="alert-resolved")
    if alert.acknowledged_at is not None:
        raise Conflict(f"{alert.acknowledged_by} has acknowledged this alert already.", code="alert-acknowledged")
    alert.acknowledged_by, alert.acknowledged_at, alert.note = by.user, timezone.now(), note.strip()
    alert.save(update_fields=["acknowledged_by", "acknowledged_at", "note"])
    append(
        Action.ALERT_ACKNOWLEDGE,
        by=by,
        obj=alert.ledger_ref(),
        after={"acknowledged": True},
        private={"note": alert.note},
    )
    return alert


@governed(Action.RETRAINING_REQUEST)
def ask_for_retraining(alert: Alert, *, by: Principal) -> TrainingJob:
    """Train the alert's version again on the newest version of its data; what comes of it needs a review like any other version."""
    alert = Alert.objects.locked(alert.pk)
    permit(by, Permission.SEE_MONITORING)
    permit(by, Permission.RUN_TRAINING)
    if alert.closed_at is not None:
        raise Conflict(
            "This alert is resolved; start a training yourself if you want one all the same.",
            code="alert-resolved",
        )
    if alert.retraining is not None and alert.retraining.job.state not in {Job.State.FAILED, Job.State.CANCELLED}:
        raise Conflict(
            "A retraining has been asked for already.", code="retraining-asked", link=_training_link(alert.retraining)
        )
    data = alert.version.dataset_version
    if data is None:
        raise Conflict(
            f"{alert.version} was registered without training data, so it cannot be trained again here.", code="no-data"
        )
    newest = DatasetVersion.objects.filter(dataset=data.dataset_id).order_by("-number")[0]
    alert.retraining = retrain(alert.version, dataset_version=newest, reason=f"Asked for by an alert: {alert}.", by=by)
    alert.save(update_fields=["retraining"])
    after = {"training": str(alert.retraining.job.uuid), "data": str(newest)}
    append(Action.RETRAINING_REQUEST, by=by, obj=alert.ledger_ref(), after=after)
    return alert.retraining


def _training_link(training: TrainingJob) -> str:
    return reverse("training:detail", args=[training.job.uuid])


def _locked(deployment: Deployment) -> Deployment:
    return Deployment.objects.select_for_update(of=("self",)).select_related("model").get(pk=deployment.pk)


def _check(thresholds: Thresholds) -> None:
    errors: dict[str, str] = {}
    for low, high, name in (("psi_warn", "psi_fail", "PSI"), ("auc_drop_warn", "auc_drop_fail", "the fall of AUC")):
        warn, fail = getattr(thresholds, low), getattr(thresholds, high)
        if not 0 < warn < fail <= 10:
            errors[high] = f"The failure limit of {name} must lie above its warning limit, and both above 0."
    if not 1 <= thresholds.window_seconds <= LONGEST_WINDOW_SECONDS:
        errors["window_seconds"] = "A window lasts from 1 second to 31 days."
    if thresholds.minimum_rows < 1:
        errors["minimum_rows"] = "A window needs at least one row to be judged."
    if thresholds.minimum_outcomes < 2:
        errors["minimum_outcomes"] = "It takes at least two outcomes to judge performance."
    if errors:
        raise Invalid(" ".join(errors.values()), code="bad-thresholds", errors=errors)


def _versions(deployment: Deployment, numbers: set[int]) -> dict[int, ModelVersion]:
    found = ModelVersion.objects.filter(model=deployment.model_id, number__in=numbers).select_related("model")
    return {version.number: version for version in found}


def _judge_outcomes(
    deployment: Deployment,
    answered: Mapping[str, archive.Answered],
    versions: Mapping[int, ModelVersion],
    *,
    by: Principal,
) -> None:
    thresholds = Thresholds.objects.of(deployment)
    for number, version in versions.items():
        starts = [start_of(one.at, thresholds.window_seconds) for one in answered.values() if one.version == number]
        windows = measure_performance(deployment, version, starts, thresholds)
        alerts.review([finding for window in windows for finding in alerts.of_performance(window, thresholds)], by=by)


def _judge(
    windows: QuerySet[PredictionWindow], deployment: Deployment, thresholds: Thresholds
) -> list[PredictionWindow]:
    """Measure the windows that have a reference, oldest first, and return them."""
    references = {one.version_id: one for one in Reference.objects.filter(deployment=deployment)}
    found = windows.filter(version__in=references).select_related("deployment", "version__model").order_by("starts_at")
    judged = list(found)
    for window in judged:
        _measure(window, references[window.version_id], thresholds)
    return judged


def _measure(window: PredictionWindow, reference: Reference, thresholds: Thresholds) -> None:
    found: dict[str, Shifted] = {
        name: measure(bins, window.features[name], thresholds.drift)
        for name, bins in bins_from(reference.features).items()
        if name in window.features
    }
    if reference.score and window.score:
        found[""] = measure(Bins.from_dict(reference.score), window.score, thresholds.drift)
    window.measures.all().delete()
    Measure.objects.bulk_create(
        [
            Measure(
                window=window,
                feature=name,
                psi=one.psi,
                ks=one.ks,
                missing=one.missing,
                missing_reference=one.missing_reference,
                unseen=one.unseen,
                level=one.level.value,
            )
            for name, one in found.items()
        ]
    )
    window.level = worst([one.level for one in found.values()]).value if found else Level.INSUFFICIENT.value
    window.measured_rows = window.rows
    window.save(update_fields=["level", "measured_rows"])
