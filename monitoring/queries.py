"""What the pages and the API show of a deployment's monitoring, read in a fixed number of statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from django.db.models import Max, Prefetch, Q, Sum

from access.principal import Principal
from datasets.drift import Bins
from monitoring.drift import WORST_FIRST, Level
from monitoring.models import Alert, Ingested, Measure, PerformanceWindow, PredictionWindow, Reference, Thresholds
from monitoring.permissions import deployments_for
from registry.models import ModelVersion
from reviews.models import Approval, Review
from serving.models import Deployment

WINDOWS_SHOWN: Final = 48
MOST_WINDOWS: Final = 1_000
TABLE_ROWS: Final = 24
ALERTS_SHOWN: Final = 50


@dataclass(frozen=True)
class Quality:
    """What was wrong with the rows themselves in the windows shown. Shares are of the newest judged window."""

    incomplete_rows: int
    unreadable: int
    missing_more: tuple[str, ...]
    unseen: tuple[tuple[str, float], ...]

    @property
    def problems(self) -> int:
        """How many kinds of trouble there are."""
        return bool(self.incomplete_rows) + bool(self.unreadable) + len(self.missing_more) + len(self.unseen)


@dataclass(frozen=True)
class Health:
    """How a deployment is, in a word for the badge and a sentence for people."""

    level: Level
    sentence: str


@dataclass(frozen=True)
class Picture:
    """Everything on one deployment's page. `windows` and `performance` are oldest first."""

    deployment: Deployment
    thresholds: Thresholds
    version: ModelVersion | None
    windows: tuple[PredictionWindow, ...]
    performance: tuple[PerformanceWindow, ...]
    alerts: tuple[Alert, ...]
    reference: Reference | None
    unreadable: int
    last_counted: datetime | None
    predictions: int
    approved_until: datetime | None
    successor: Review | None

    @cached_property
    def judged(self) -> PredictionWindow | None:
        """The newest window of the version now served that has enough rows."""
        mine = [one for one in self.windows if self.version is not None and one.version_id == self.version.pk]
        return next((one for one in reversed(mine) if one.level != Level.INSUFFICIENT.value), None)

    @property
    def newest(self) -> PredictionWindow | None:
        """The newest window, whether judged or not."""
        return self.windows[-1] if self.windows else None

    @property
    def recent(self) -> tuple[PredictionWindow, ...]:
        """The newest windows first, as many as a table can be read."""
        return self.windows[::-1][:TABLE_ROWS]

    @cached_property
    def features(self) -> list[Measure]:
        """The features of the newest judged window, worst first."""
        return [one for one in _measures(self.judged) if one.feature]

    @property
    def score(self) -> Measure | None:
        """The score of the newest judged window."""
        return next((one for one in _measures(self.judged) if not one.feature), None)

    @property
    def outcome(self) -> PerformanceWindow | None:
        """The newest window with enough outcomes of the version now served."""
        mine = [one for one in self.performance if self.version is not None and one.version_id == self.version.pk]
        return next((one for one in reversed(mine) if one.level != Level.INSUFFICIENT.value), None)

    @property
    def open_alerts(self) -> list[Alert]:
        """Alerts whose cause stands, gravest first."""
        return sorted((one for one in self.alerts if one.closed_at is None), key=lambda one: one.severity != "fail")

    @property
    def bins(self) -> dict[str, Bins]:
        """The reference's bins by feature, the score's under the empty name."""
        if self.reference is None:
            return {}
        kept = {name: Bins.from_dict(content) for name, content in self.reference.features.items()}
        return kept | ({"": Bins.from_dict(self.reference.score)} if self.reference.score else {})

    @cached_property
    def quality(self) -> Quality:
        """Rows that lacked columns, lines that could not be read, more missing values or unseen categories than in training."""
        return Quality(
            incomplete_rows=sum(one.incomplete_rows for one in self.windows),
            unreadable=self.unreadable,
            missing_more=tuple(one.feature for one in self.features if one.missing > one.missing_reference + 0.01),
            unseen=tuple((one.feature, one.unseen) for one in self.features if one.unseen > 0.001),
        )

    @property
    def health(self) -> Health:
        """The deployment's state in a sentence that names what to look at."""
        return health(self.open_alerts, self.judged, self.newest, self.thresholds)


@dataclass(frozen=True)
class Overview:
    """One deployment's line on the list."""

    deployment: Deployment
    newest: PredictionWindow | None
    judged: PredictionWindow | None
    score_psi: float | None
    worst: Measure | None
    alerts: tuple[Alert, ...]
    health: Health


def overview(by: Principal) -> list[Overview]:
    """Every deployment that `by` may watch, those that need somebody first."""
    deployments = list(deployments_for(by).order_by("name"))
    newest, judged = _newest_windows(deployments), _newest_windows(deployments, judged=True)
    thresholds = {one.deployment_id: one for one in Thresholds.objects.filter(deployment__in=deployments)}
    alerts: dict[int, list[Alert]] = {}
    for alert in Alert.objects.open().filter(deployment__in=deployments).select_related("version__model"):
        alerts.setdefault(alert.deployment_id, []).append(alert)
    lines = [
        _line(
            one,
            newest.get(one.pk),
            judged.get(one.pk),
            alerts.get(one.pk, []),
            thresholds.get(one.pk, Thresholds(deployment=one)),
        )
        for one in deployments
    ]
    return sorted(lines, key=lambda line: (WORST_FIRST.index(line.health.level), line.deployment.name))


def picture(deployment: Deployment, *, windows: int = WINDOWS_SHOWN) -> Picture:
    """One deployment with its newest `windows` windows (at most 1,000)."""
    shown = min(max(windows, 1), MOST_WINDOWS)
    rows = PredictionWindow.objects.filter(deployment=deployment).select_related("version__model")
    newest = rows.prefetch_related("measures").order_by("-starts_at", "-pk")[:shown]
    kept = tuple(reversed(newest))
    outcomes = PerformanceWindow.objects.filter(deployment=deployment).select_related("version__model")
    version = deployment.version or (kept[-1].version if kept else None)
    counted = Ingested.objects.filter(deployment=deployment).aggregate(
        rows=Sum("rows"), unreadable=Sum("unreadable"), at=Max("at")
    )
    alerts = Alert.objects.filter(deployment=deployment).select_related(
        "version__model", "acknowledged_by", "retraining__job", "retraining__version"
    )
    return Picture(
        deployment=deployment,
        thresholds=Thresholds.objects.select_related("updated_by").of(deployment),
        version=version,
        windows=kept,
        performance=tuple(reversed(outcomes.order_by("-starts_at", "-pk")[:shown])),
        alerts=tuple(alerts.order_by("closed_at", "-opened_at")[:ALERTS_SHOWN]),
        reference=Reference.objects.filter(deployment=deployment, version=version).first() if version else None,
        unreadable=counted["unreadable"] or 0,
        last_counted=counted["at"],
        predictions=counted["rows"] or 0,
        approved_until=_approved_until(deployment, version),
        successor=_successor(deployment, version),
    )


def health(
    alerts: Sequence[Alert], judged: PredictionWindow | None, newest: PredictionWindow | None, thresholds: Thresholds
) -> Health:
    """The state in a sentence: what is outside its limits, or why nothing can be said, or that all is well."""
    if alerts:
        gravest = sorted(alerts, key=lambda one: one.severity != "fail")[0]
        more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
        taken = "" if all(one.acknowledged_at for one in alerts) else " Not all of it has been acknowledged."
        return Health(Level(gravest.severity), f"{gravest}{more}.{taken}")
    if newest is None:
        return Health(Level.INSUFFICIENT, "No prediction has been counted yet.")
    if judged is None:
        if newest.measured_rows == 0:
            return Health(Level.INSUFFICIENT, "The predictions have not been compared with training.")
        return Health(
            Level.INSUFFICIENT,
            f"No window has had the {thresholds.minimum_rows:,} rows that it takes to judge drift; the newest has {newest.rows:,}.",
        )
    return Health(Level.OK, "Everything that was measured is within its limits.")


def _line(
    deployment: Deployment,
    newest: PredictionWindow | None,
    judged: PredictionWindow | None,
    alerts: list[Alert],
    thresholds: Thresholds,
) -> Overview:
    measures = _measures(judged)
    return Overview(
        deployment=deployment,
        newest=newest,
        judged=judged,
        score_psi=next((one.psi for one in measures if not one.feature), None),
        worst=next((one for one in measures if one.feature), None),
        alerts=tuple(alerts),
        health=health(alerts, judged, newest, thresholds),
    )


def _newest_windows(deployments: Iterable[Deployment], *, judged: bool = False) -> dict[int, PredictionWindow]:
    rows = PredictionWindow.objects.filter(deployment__in=deployments)
    rows = rows.exclude(level=Level.INSUFFICIENT.value) if judged else rows
    newest = rows.values("deployment").annotate(at=Max("starts_at"))
    wanted = Q(pk__in=[])
    for one in newest:
        wanted |= Q(deployment=one["deployment"], starts_at=one["at"])
    found = (
        rows.filter(wanted)
        .select_related("version__model")
        .prefetch_related(Prefetch("measures", queryset=Measure.objects.order_by("-psi", "feature")))
    )
    return {window.deployment_id: window for window in found.order_by("pk")}


def _measures(window: PredictionWindow | None) -> list[Measure]:
    return list(window.measures.all()) if window is not None else []


def _approved_until(deployment: Deployment, version: ModelVersion | None) -> datetime | None:
    """When the approval of the version now served ends; for showing only, since serving asks for itself."""
    standing = Approval.objects.filter(version=version, stage=deployment.stage, revocation=None)
    return standing.values_list("valid_until", flat=True).order_by("-approved_at").first() if version else None


def _successor(deployment: Deployment, version: ModelVersion | None) -> Review | None:
    """The open review of a newer version of the same model, if there is one."""
    newer = version.number if version is not None else 0
    reviews = Review.objects.open().filter(version__model=deployment.model_id, version__number__gt=newer)
    return reviews.select_related("version__model", "stage").order_by("-version__number").first()
