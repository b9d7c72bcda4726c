"""The chapter in which the model works: rows of a later year are scored, watched, and compared with what really happened."""

from __future__ import annotations

import time
from typing import Any, Final

import pandas as pd

from access.principal import Principal
from config.story import clients, data, world
from config.story.telling import Teller
from datasets.models import DatasetVersion
from monitoring.actions import ask_for_retraining, evaluate, feed_outcomes, set_thresholds
from monitoring.ingest import ingest
from monitoring.models import Alert, PerformanceWindow, PredictionWindow
from monitoring.outcomes import Observed
from registry.models import RegisteredModel
from serving.models import Deployment
from training.actions import retrain
from training.models import TrainingJob

LATER_YEAR: Final = 2017
YOUNGER_BY: Final = 15
SHIFTED_ROWS: Final = 1_000
WINDOW_SECONDS: Final = 10
MINIMUM_ROWS: Final = 500


def score_and_watch(teller: Teller, name: str, *, rows: int) -> None:
    """Score `rows` people of 2017, then a batch with an injected shift; feed outcomes; say what monitoring found."""
    deployment = Deployment.objects.get(name=name)
    teller.wait_for("the scoring worker", lambda: world.serving(deployment), seconds=60)
    set_thresholds(
        deployment, {"window_seconds": WINDOW_SECONDS, "minimum_rows": MINIMUM_ROWS}, by=world.person("erin")
    )
    token = world.application_token(deployment.model.name)
    people = data.people_of(LATER_YEAR, rows)
    predictions = _score(deployment, people, token=token)
    share = sum(one["score"] >= 0.5 for one in predictions) / rows
    teller.say(
        f"{rows:,} people of {LATER_YEAR} were scored through the worker; {share:.1%} are estimated to be employed."
    )
    labels = people[data.TARGET].tolist()
    fed = feed_outcomes(
        deployment,
        [Observed(one["id"], int(label)) for one, label in zip(predictions, labels, strict=True)],
        by=world.person(world.APPLICATION),
    )
    _measure(deployment)
    teller.say(f"{fed.taken:,} outcomes were fed back. {_performance(deployment)}")
    teller.say(_drift(deployment))
    shifted = data.younger(people.head(SHIFTED_ROWS), by_years=YOUNGER_BY)
    _next_window()
    _score(deployment, shifted, token=world.injector_token(deployment.model.name))
    _measure(deployment)
    alert = Alert.objects.filter(deployment=deployment, closed_at=None).order_by("-measured").first()
    teller.say(
        f"Then {SHIFTED_ROWS:,} rows with an injected shift were scored: ages lowered by {YOUNGER_BY} years, sent by an account "
        f"called {world.INJECTOR}, so that nobody takes them for real."
    )
    teller.say(f"Monitoring raised an alert: {alert}." if alert else _drift(deployment))


def _next_window() -> None:
    """Wait for the next window to begin, so that the injected rows stand in one of their own."""
    time.sleep(WINDOW_SECONDS - time.time() % WINDOW_SECONDS)


def _score(deployment: Deployment, people: pd.DataFrame, *, token: str) -> list[dict[str, Any]]:
    answers = clients.scores(deployment.address, deployment.name, data.features(people), token=token)
    return [prediction for answer in answers for prediction in answer["predictions"]]


def _measure(deployment: Deployment) -> None:
    """Count and measure now what the next tick would count and measure."""
    ingest(deployment, by=Principal.system("monitoring"))
    evaluate(deployment, by=world.person("erin"))


def _performance(deployment: Deployment) -> str:
    window = PerformanceWindow.objects.filter(deployment=deployment).order_by("starts_at").last()
    if window is None:
        return "There are not enough outcomes yet to measure performance."
    return f"AUC on them: {window.auc:.4f} ({window.auc_low:.4f} to {window.auc_high:.4f})."


def _drift(deployment: Deployment) -> str:
    measures = [
        measure
        for window in PredictionWindow.objects.filter(deployment=deployment).prefetch_related("measures")
        for measure in window.measures.all()
        if measure.feature
    ]
    if not measures:
        return "There are not enough rows in a window yet to measure drift."
    worst = max(measures, key=lambda measure: measure.psi)
    return (
        f"Drift against the training data: the highest PSI of any feature is {worst.psi:.3f} ({worst.feature}); "
        "the limits are 0.10 and 0.25."
    )


def retraining(model: str, newer: DatasetVersion, *, by: Principal) -> TrainingJob:
    """The retraining of version 1 on newer data, which the alert asks for; the one under way where there is one."""
    first = RegisteredModel.objects.get(name=model).versions.get(number=1)
    under_way = TrainingJob.objects.filter(retrain_of=first).first()
    if under_way is not None:
        return under_way
    alert = Alert.objects.filter(version=first, closed_at=None).order_by("-measured").first()
    if alert is not None:
        return ask_for_retraining(alert, by=by)
    return retrain(first, dataset_version=newer, by=by)
