"""Measuring windows, judging them, alerts, outcomes, limits, and the retraining an alert asks for."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from access import actions as access
from access.models import Role, User
from access.principal import Principal
from foundation.refusals import Conflict, Forbidden, Invalid
from monitoring import actions
from monitoring.ingest import ingest
from monitoring.models import Alert, Measure, Outcome, PerformanceWindow, PredictionWindow, Reference
from monitoring.outcomes import Observed, parse
from registry.models import RegisteredModel
from serving.models import Deployment
from tests.conftest import as_
from tests.monitoring.conftest import NOON, Worker, people, trained

TIMER = Principal.system("monitoring")
HOUR = timedelta(hours=1)


def count_and_measure(deployment: Deployment) -> int:
    ingest(deployment, by=TIMER)
    return actions.evaluate(deployment, by=TIMER)


@pytest.fixture
def feeder(erin: User) -> User:
    """A service that learns what really happened."""
    setup = Principal.system("operator")
    account = access.create_service_account("outcome-feed", owner=erin, description="Reports outcomes", by=setup)
    access.assign_role(Role.objects.get(name="Service: score"), to=account, by=setup)
    return account


def test_the_reference_is_the_rows_that_the_version_was_trained_on(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(300, seed=1))

    count_and_measure(deployment)

    trained_on = people(4_000).query("year == 2015 and age >= 16")
    reference = Reference.objects.get()
    assert reference.rows == len(trained_on)
    assert sum(reference.features["age"]["counts"]) == len(trained_on)
    assert set(reference.features) == {"age", "sex"}
    assert "2015" in reference.source


def test_rows_like_the_training_rows_raise_no_alert(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(1_000, seed=1).query("age >= 16"))

    count_and_measure(deployment)

    assert PredictionWindow.objects.get().level == "ok"
    assert not Alert.objects.exists()


def test_a_shift_opens_one_alert_and_its_end_resolves_it(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(1_000, seed=1, older=20).query("age >= 16"), at=NOON, caller="drift-demo")
    count_and_measure(deployment)
    worker.answer(people(1_000, seed=2, older=20).query("age >= 16"), at=NOON + HOUR, caller="drift-demo")
    count_and_measure(deployment)
    alert = Alert.objects.get()
    assert (alert.feature, alert.severity, alert.closed_at) == ("age", "fail", None)
    assert alert.window_at == NOON + HOUR

    worker.answer(people(1_000, seed=3).query("age >= 16"), at=NOON + 2 * HOUR)
    count_and_measure(deployment)

    alert.refresh_from_db()
    assert alert.closed_because == "Back within the limits."


def test_too_few_rows_neither_open_nor_resolve_an_alert(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(100, seed=1, older=20))
    count_and_measure(deployment)
    assert not Alert.objects.exists()
    assert PredictionWindow.objects.get().level == "insufficient"

    worker.answer(people(900, seed=2, older=20))
    count_and_measure(deployment)
    worker.answer(people(50, seed=3), at=NOON + HOUR)
    count_and_measure(deployment)

    assert Alert.objects.open().count() == 1


def test_a_window_is_measured_again_only_when_it_has_grown(deployment: Deployment, worker: Worker) -> None:
    worker.answer(people(300))
    assert count_and_measure(deployment) == 1
    assert count_and_measure(deployment) == 0

    worker.answer(people(10, seed=4))

    assert count_and_measure(deployment) == 1
    assert Measure.objects.count() == 3


def test_a_version_without_training_rows_is_counted_but_not_judged(
    deployment: Deployment, worker: Worker, model: RegisteredModel, alice: User
) -> None:
    from registry.actions import register_version
    from tests.factories import store_files

    stranger = register_version(model, store_files({"other.txt": b"other"}), by=as_(alice), admit=False)
    worker.answer(people(300), version=stranger.number, digest=stranger.digest)

    assert count_and_measure(deployment) == 0

    assert PredictionWindow.objects.get().rows == 300
    assert not Reference.objects.exists()


def test_evidence_that_cannot_be_used_does_not_stop_the_counting(
    deployment: Deployment, worker: Worker, model: RegisteredModel, table, alice: User
) -> None:
    from registry.actions import add_evidence

    strange = trained(model, table, alice, content=b"strange")
    add_evidence(strange, "data", {"features": ["no such column"], "schema": [], "target": "x"}, by=as_(alice))
    worker.answer(people(300), version=strange.number, digest=strange.digest)

    count_and_measure(deployment)

    assert PredictionWindow.objects.get().rows == 300


def test_a_new_version_closes_the_alerts_of_the_one_before(
    deployment: Deployment, worker: Worker, model: RegisteredModel, table, alice: User
) -> None:
    worker.answer(people(1_000, older=20), at=NOON)
    count_and_measure(deployment)
    second = trained(model, table, alice, content=b"second")

    worker.answer(people(300), at=NOON + HOUR, version=second.number, digest=second.digest)
    count_and_measure(deployment)

    assert Alert.objects.get().closed_because == "credit v2 serves now."


def outcomes(worker: Worker, deployment: Deployment, n: int, *, gap: float, seed: int = 0) -> list[Observed]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    scores = 1 / (1 + np.exp(-(rng.normal(0, 1, n) + gap * labels - gap / 2)))
    first = worker.written + 1
    worker.answer(people(n, seed=seed), scores=list(scores))
    return [Observed(f"p{first + i}", int(label)) for i, label in enumerate(labels)]


def test_outcomes_are_joined_to_the_scores_that_were_answered(
    deployment: Deployment, worker: Worker, feeder: User
) -> None:
    rows = outcomes(worker, deployment, 400, gap=1.5)

    fed = actions.feed_outcomes(deployment, rows, by=as_(feeder))

    assert (fed.taken, fed.unknown) == (400, ())
    window = PerformanceWindow.objects.get()
    kept = list(Outcome.objects.values_list("label", "score"))
    assert window.auc == pytest.approx(roc_auc_score(*zip(*kept, strict=True)))
    assert window.released_auc == 0.9
    assert (window.starts_at, window.outcomes) == (NOON, 400)


def test_a_real_fall_of_auc_raises_an_alert(deployment: Deployment, worker: Worker, feeder: User) -> None:
    actions.feed_outcomes(deployment, outcomes(worker, deployment, 600, gap=1.0), by=as_(feeder))

    alert = Alert.objects.get(kind="performance")

    assert alert.severity == "fail"
    assert "AUC fell" in str(alert)


def test_outcomes_may_come_in_parts_and_repeatedly(deployment: Deployment, worker: Worker, feeder: User) -> None:
    rows = outcomes(worker, deployment, 300, gap=2.5)
    actions.feed_outcomes(deployment, rows[:200], by=as_(feeder))

    fed = actions.feed_outcomes(deployment, rows[100:], by=as_(feeder))

    assert (fed.taken, fed.repeated) == (100, 100)
    assert PerformanceWindow.objects.get().outcomes == 300


def test_unknown_and_contradicting_outcomes_are_named_and_not_kept(
    deployment: Deployment, worker: Worker, feeder: User
) -> None:
    worker.answer(people(2), scores=[0.1, 0.9])
    actions.feed_outcomes(deployment, [Observed("p1", 0)], by=as_(feeder))

    fed = actions.feed_outcomes(deployment, [Observed("p1", 1), Observed("ghost", 1)], by=as_(feeder))

    assert fed == actions.Fed(taken=0, repeated=0, contradicting=("p1",), unknown=("ghost",))
    assert Outcome.objects.get().label == 0


def test_outcomes_are_not_for_everybody(deployment: Deployment, worker: Worker, alice: User) -> None:
    worker.answer(people(1))

    with pytest.raises(Forbidden, match=r"outcomes\.feed"):
        actions.feed_outcomes(deployment, [Observed("p1", 1)], by=as_(alice))


@pytest.mark.parametrize(
    "sent",
    [
        b"id,label\np1,1\np2,0\n",
        b"\xef\xbb\xbfID, Label\np1,TRUE\np2,false\n",
        b'[{"id": "p1", "label": 1}, {"id": "p2", "label": 0}]',
        b'{"outcomes": [{"id": "p1", "label": true}, {"id": "p2", "label": "0"}]}',
    ],
)
def test_outcomes_are_read_from_csv_and_json(sent: bytes) -> None:
    assert parse(sent) == [Observed("p1", 1), Observed("p2", 0)]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "needs id and label"),
        (b"id,label\n", "no outcomes"),
        (b"name,label\nx,1\n", "needs id and label"),
        (b"id,label\np1,maybe\n", "row 1: the label is 'maybe'"),
        (b"id,label\np1,1\n,0\n", "row 2"),
        (b"[1, 2]", "row 1"),
        (b"[{", "not readable JSON"),
        (b'{"a": 1}', "no list of outcomes"),
        (b"\xff\xfe\x00", "not a readable CSV"),
    ],
)
def test_a_bad_file_of_outcomes_is_refused_with_the_row_that_is_wrong(sent: bytes, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        parse(sent)


def test_limits_are_judged_and_every_window_is_judged_by_them(
    deployment: Deployment, worker: Worker, erin: User
) -> None:
    worker.answer(people(1_000, seed=1, older=3).query("age >= 16"))
    count_and_measure(deployment)
    assert not Alert.objects.exists()
    psi = Measure.objects.get(feature="age").psi

    actions.set_thresholds(deployment, {"psi_warn": psi / 2, "psi_fail": psi * 2}, by=as_(erin))

    assert Alert.objects.get(feature="age").severity == "warn"
    assert PredictionWindow.objects.get().level == "warn"


@pytest.mark.parametrize(
    "limits", [{"psi_warn": 0.3}, {"psi_warn": 0.0}, {"window_seconds": 0}, {"minimum_rows": 0}, {"psi_fail": 0.05}]
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, float], deployment: Deployment, erin: User) -> None:
    with pytest.raises(Invalid):
        actions.set_thresholds(deployment, limits, by=as_(erin))


def test_limits_are_not_for_those_who_only_look(deployment: Deployment, bob: User) -> None:
    with pytest.raises(Forbidden):
        actions.set_thresholds(deployment, {"psi_warn": 0.2}, by=as_(bob))


@pytest.fixture
def alert(deployment: Deployment, worker: Worker) -> Alert:
    worker.answer(people(1_000, seed=1, older=20))
    count_and_measure(deployment)
    return Alert.objects.get()


def test_the_models_owner_acknowledges_an_alert_once_with_a_note(alert: Alert, alice: User) -> None:
    with pytest.raises(Invalid):
        actions.acknowledge_alert(alert, note="  ", by=as_(alice))

    actions.acknowledge_alert(alert, note="A campaign for older people.", by=as_(alice))

    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.state) == (alice, "acknowledged")
    with pytest.raises(Conflict, match="already"):
        actions.acknowledge_alert(alert, note="Again.", by=as_(alice))


def test_whoever_only_looks_cannot_silence_an_alert(alert: Alert, bob: User) -> None:
    with pytest.raises(Forbidden):
        actions.acknowledge_alert(alert, note="Fine.", by=as_(bob))


def test_a_version_that_was_not_trained_here_cannot_be_retrained(alert: Alert, alice: User) -> None:
    with pytest.raises(Conflict, match="was not trained here"):
        actions.ask_for_retraining(alert, by=as_(alice))

    alert.refresh_from_db()
    assert alert.retraining is None


def test_an_alert_asks_for_one_retraining_on_the_newest_data(alert: Alert, table, alice: User) -> None:
    from datasets.actions import add_recipe
    from jobs.models import Job
    from tests.monitoring.conftest import RECIPE
    from training.models import TrainingJob

    recipe = add_recipe(table.dataset, "basic", RECIPE, by=as_(alice))
    job = Job.objects.create(kind="training.train", requested_by=alice)
    TrainingJob.objects.create(
        job=job,
        model=alert.version.model,
        dataset_version=table,
        recipe=recipe,
        algorithm="logistic_regression",
        split={"test_fraction": 0.25},
        version=alert.version,
        requested_by=alice,
    )

    training = actions.ask_for_retraining(alert, by=as_(alice))

    assert training.retrain_of == alert.version
    assert "age drifted" in training.reason
    with pytest.raises(Conflict, match="already"):
        actions.ask_for_retraining(alert, by=as_(alice))


def test_a_retraining_takes_the_permission_to_train(alert: Alert, bob: User) -> None:
    with pytest.raises(Forbidden, match=r"training\.run"):
        actions.ask_for_retraining(alert, by=as_(bob))
