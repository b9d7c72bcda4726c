"""Opens, raises and resolves alerts as windows are measured. For the actions of this room, inside their transactions.

A window is compared with the alerts that stand: outside a limit opens one (or raises it from warning to failure), back inside
resolves it. A window with too few rows says nothing, so it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from access.principal import Principal
from audit.actions import append
from audit.events import Action
from monitoring.drift import Level
from monitoring.models import Alert, PerformanceWindow, PredictionWindow, Thresholds
from registry.models import ModelVersion
from serving.models import Deployment


@dataclass(frozen=True)
class Finding:
    """One judged value: what it is about, how it stands, and the two limits that judged it."""

    deployment: Deployment
    version: ModelVersion
    kind: Alert.Kind
    feature: str
    level: Level
    measured: float
    limits: tuple[float, float]
    window_at: datetime

    @property
    def limit(self) -> float:
        """The limit that was passed; the warning's while none is."""
        return self.limits[1] if self.level is Level.FAIL else self.limits[0]


def of_drift(window: PredictionWindow, thresholds: Thresholds) -> list[Finding]:
    """Every measure of one window."""
    return [
        Finding(
            deployment=window.deployment,
            version=window.version,
            kind=Alert.Kind.FEATURE_DRIFT if measure.feature else Alert.Kind.SCORE_DRIFT,
            feature=measure.feature,
            level=Level(measure.level),
            measured=measure.psi,
            limits=(thresholds.psi_warn, thresholds.psi_fail),
            window_at=window.starts_at,
        )
        for measure in window.measures.all()
    ]


def of_performance(window: PerformanceWindow, thresholds: Thresholds) -> list[Finding]:
    """The fall of AUC in one window; nothing where there is nothing to compare."""
    if window.auc is None or window.released_auc is None:
        return []
    return [
        Finding(
            deployment=window.deployment,
            version=window.version,
            kind=Alert.Kind.PERFORMANCE,
            feature="",
            level=Level(window.level),
            measured=window.released_auc - window.auc,
            limits=(thresholds.auc_drop_warn, thresholds.auc_drop_fail),
            window_at=window.starts_at,
        )
    ]


def newest(findings: list[Finding]) -> list[Finding]:
    """Of each thing that was judged the newest finding that says something."""
    telling = sorted((one for one in findings if one.level is not Level.INSUFFICIENT), key=lambda one: one.window_at)
    return list({(one.version.pk, one.kind, one.feature): one for one in telling}.values())


def review(findings: list[Finding], *, by: Principal) -> None:
    """Hold the findings, oldest window first, against the alerts that stand."""
    for finding in sorted(findings, key=lambda one: one.window_at):
        if finding.level is Level.INSUFFICIENT:
            continue
        standing = (
            Alert.objects.open()
            .select_for_update(of=("self",))
            .filter(deployment=finding.deployment, version=finding.version, kind=finding.kind, feature=finding.feature)
            .first()
        )
        if finding.level.alarming:
            _raise(finding, standing, by=by)
        elif standing is not None and standing.window_at <= finding.window_at:
            _resolve(standing, "Back within the limits.", by=by)


def supersede(deployment: Deployment, version: ModelVersion, *, by: Principal) -> None:
    """Resolve the alerts of versions that this deployment no longer serves."""
    stale = Alert.objects.open().select_for_update(of=("self",)).filter(deployment=deployment)
    for alert in stale.exclude(version=version):
        _resolve(alert, f"{version} serves now.", by=by)


def _raise(finding: Finding, standing: Alert | None, *, by: Principal) -> None:
    if standing is not None and standing.window_at > finding.window_at:
        return
    alert = standing or Alert(
        deployment=finding.deployment, version=finding.version, kind=finding.kind, feature=finding.feature
    )
    news = standing is None or standing.severity != finding.level.value
    alert.severity, alert.measured = finding.level.value, finding.measured
    alert.limit, alert.window_at = finding.limit, finding.window_at
    alert.save()
    if news:
        after = {
            "kind": alert.kind,
            "feature": alert.feature,
            "severity": alert.severity,
            "measured": f"{alert.measured:.6f}",
        }
        append(Action.ALERT_RAISE, by=by, obj=alert.ledger_ref(), after=after | {"limit": f"{alert.limit:.6f}"})


def _resolve(alert: Alert, because: str, *, by: Principal) -> None:
    alert.closed_at, alert.closed_because = timezone.now(), because
    alert.save(update_fields=["closed_at", "closed_because"])
    append(Action.ALERT_RESOLVE, by=by, obj=alert.ledger_ref(), after={"because": because})
