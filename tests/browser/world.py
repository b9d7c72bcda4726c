"""One populated installation for the browser tests: the cast, data, versions in every state of their life, work in progress.

Everything is made by the product's own actions, as the people whose work it is.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import Group
from django.utils import timezone

from access import actions as access
from access.models import Reauthentication, Role, ServiceToken, User
from access.permissions import Permission
from access.principal import Principal
from access.stepup import reauthenticate
from config.celery import app
from datasets import actions as datasets
from datasets.models import Dataset, DatasetVersion, Recipe
from jobs.models import Job
from jobs.work import perform
from notices.models import Delivery, Webhook
from notices.webhooks.actions import create_webhook
from notices.webhooks.events import Event
from registry import actions as registry
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.store import ArtifactStore
from reviews import break_glass
from reviews.actions import (
    draft_policy,
    edit_comment,
    give_delegation,
    open_thread,
    propose_policy,
    raise_finding,
    reply,
    request_review,
    resolve_thread,
    sign_off,
)
from reviews.envelopes import propose_envelope, sign_envelope
from reviews.models import PolicyVersion, Review, Round
from reviews.promotion import promote
from serving.actions import create_deployment
from serving.models import Deployment
from serving.tracking_actions import Known, open_experiment, record_experiment, share_experiment
from serving.tracking_models import Level, Others
from tests.browser import evidence
from tests.conftest import PASSWORD, as_, as_worker
from tests.factories import stored_tiny_model
from training.actions import start_training
from training.models import TrainingJob

CAST = (
    ("alice", "Alice Moreau", "Data scientist", ""),
    ("bob", "Bob Lindqvist", "Reviewer", "Model validation"),
    ("carol", "Carol Adeyemi", "Reviewer", "Risk officers"),
    ("dave", "Dave Novak", "Auditor", ""),
    ("erin", "Erin Osei", "Administrator", ""),
    ("rita", "Rita Fernandes", "Release manager", ""),
    ("pia", "Pia Sørensen", "Policy author", ""),
)


@dataclass(frozen=True)
class World:
    """What the tests name in addresses."""

    people: dict[str, User]
    model: RegisteredModel
    live: ModelVersion
    waiting: ModelVersion
    review: Review
    fresh: ModelVersion
    dataset: Dataset
    data: DatasetVersion
    training: TrainingJob
    deployment: Deployment
    account: User
    token: ServiceToken
    webhook: Webhook
    proposed_policy: PolicyVersion


def build() -> World:
    """Everything, in the order in which it would happen."""
    people = {username: person(username, *rest) for username, *rest in CAST}
    account, token = _account(people["erin"])
    webhook = _webhook(people["erin"])
    dataset, data, recipe = _dataset(people["alice"])
    model = _model(people["alice"], "credit")
    production = Stage.objects.get(name="production")
    live = _version(model, data, people["alice"], auc=0.871)
    _approve(live, production, people)
    waiting = _version(model, data, people["alice"], auc=0.884, worst=0.24, against=live.number)
    review = _ask(waiting, production, people["alice"])
    _discuss(review, people)
    fresh = _version(model, data, people["alice"], auc=0.86)
    training = start_training(model, dataset_version=data, recipe=recipe, by=as_(people["alice"]), reason="Newer data")
    deployment = create_deployment("credit-eu", model=model, stage=production, by=as_(people["erin"]))
    _experiments(people["alice"], account)
    policy = _proposed_policy(people["pia"])
    _governance(waiting, data, production, people)
    now = timezone.now()
    give_delegation(
        people["rita"],
        group="Risk officers",
        starts_at=now,
        ends_at=now + timedelta(days=14),
        reason="On holiday until the end of the month.",
        by=as_(people["carol"]),
    )
    _envelope(live, production, people)
    return World(
        people,
        model,
        live,
        waiting,
        review,
        fresh,
        dataset,
        data,
        training,
        deployment,
        account,
        token,
        webhook,
        policy,
    )


def _discuss(review: Review, people: dict[str, User]) -> None:
    """A question with an answer, an edit, advice, and a thread that is settled."""
    alice, bob, carol = (as_(people[name]) for name in ("alice", "bob", "carol"))
    question = open_thread(review, "Is the gap explained?", section="fairness", feedback="major", by=bob)
    edit_comment(question.comments.get(), "Is the gap under 25 explained by thin files?", by=bob)
    reply(question, "Mostly: nine of the **eleven** points. @bob, see the slices.", "minor", by=alice)
    settled = open_thread(review, "Which cut-off is this?", section="gates", path="/gates/widest-gap", by=carol)
    resolve_thread(settled, by=carol)
    open_thread(review, "A clear improvement over what is live.", feedback="ok", by=carol)


def _proposed_policy(author: User) -> PolicyVersion:
    """A stricter text for tier 1 that waits for its signatures, and whose rehearsal finds something."""
    content = PolicyVersion.objects.get(policy__name="production-tier-1", number=1).content
    gates = [
        {**gate, "passes": "metrics.auc_low >= 0.88"} if gate["key"] == "auc-floor" else gate
        for gate in content["gates"]
    ]
    slots = [{**content["slots"][0], "people": 2}, *content["slots"][1:]]
    draft = draft_policy(
        "production-tier-1",
        {**content, "gates": gates, "slots": slots, "valid_months": 9},
        note="Stricter after the incident in spring",
        by=as_(author),
    )
    return propose_policy(draft, by=as_(author))


def _governance(waiting: ModelVersion, data: DatasetVersion, stage: Stage, people: dict[str, User]) -> None:
    """Something for the reports: a finding, and a version that is live ahead of its review."""
    raise_finding(
        waiting,
        title="Explain the gap under 25",
        detail="By slice, with intervals.",
        severity="major",
        owner=people["alice"],
        due_at=timezone.now() + timedelta(days=10),
        verifying_group=Group.objects.get(name="Model validation"),
        by=as_(people["bob"]),
    )
    urgent = _version(_model(people["alice"], "fraud"), data, people["alice"], auc=0.87)
    asked = break_glass.ask(
        urgent,
        stage,
        reason="outage",
        text="The live version answers every request with an error since nine.",
        hours=6,
        reauthentication=_confirmed(people["rita"]),
        by=as_(people["rita"]),
    )
    break_glass.second(asked, reauthentication=_confirmed(people["carol"]), by=as_(people["carol"]))
    _waiting_for_a_second(data, stage, people)


def _waiting_for_a_second(data: DatasetVersion, stage: Stage, people: dict[str, User]) -> None:
    """An emergency that nobody has seconded yet."""
    urgent = _version(_model(people["alice"], "payments"), data, people["alice"], auc=0.86)
    break_glass.ask(
        urgent,
        stage,
        reason="harm",
        text="The live version blocks payments to hospitals since this morning.",
        hours=4,
        reauthentication=_confirmed(people["rita"]),
        by=as_(people["rita"]),
    )


def _envelope(live: ModelVersion, stage: Stage, people: dict[str, User]) -> None:
    """Bounds for retraining, signed by one of two."""
    bounds = {
        "dataset": "census",
        "recipe": "9d" * 32,
        "features": ["age", "sex", "schooling"],
        "algorithm": "gradient_boosting",
        "settings": {"learning_rate": {"low": 0.05, "high": 0.2}, "max_iter": {"allowed": [100, 200]}},
        "metrics": [{"metric": "auc", "margin": 0.005}, {"metric": "ece", "margin": 0.01, "better": "lower"}],
        "worst_gap_at_most": 0.12,
        "max_uses": 4,
    }
    envelope = propose_envelope(
        live.model,
        stage,
        base=live,
        bounds=bounds,
        why="A new year of data every quarter; nothing else changes.",
        valid_until=timezone.now() + timedelta(days=180),
        by=as_(people["alice"]),
    )
    sign_envelope(
        envelope,
        "risk",
        reason="Narrow enough, and it ends in half a year.",
        reauthentication=_confirmed(people["carol"]),
        by=as_(people["carol"]),
    )


def _confirmed(somebody: User) -> Reauthentication:
    return reauthenticate(somebody, method="password", secret=PASSWORD, by=as_(somebody))


def another_review(world: World, name: str) -> Review:
    """A review of a version of a model of its own, for a test that changes something."""
    alice = world.people["alice"]
    version = _version(_model(alice, name), world.dataset.versions.latest("number"), alice, auc=0.88)
    return _ask(version, Stage.objects.get(name="production"), alice)


def sign(round_: Round, slot: str, person: User, *, decision: str = "approve", key: str = "") -> None:
    """One person's signature, with the password typed again."""
    proof = reauthenticate(person, method="password", secret=PASSWORD, by=as_(person))
    sign_off(
        round_,
        slot,
        decision=decision,
        reason="I have read the evidence and accept the residual risk for the intended use.",
        reauthentication=proof,
        expected_subject=round_.subject_digest,
        idempotency_key=key or f"{round_.pk}-{slot}-{person.username}",
        by=as_(person),
    )


def person(username: str, display_name: str, role: str, group: str) -> User:
    operator = Principal.system("operator")
    user = access.create_person(
        username, display_name=display_name, email=f"{username}@example.org", password=PASSWORD, by=operator
    )
    access.assign_role(Role.objects.get(name=role), to=user, by=operator)
    if group:
        access.add_to_group(Group.objects.get(name=group), user, by=operator)
    return user


def _account(owner: User) -> tuple[User, ServiceToken]:
    operator = Principal.system("operator")
    account = access.create_service_account(
        "scorer", owner=owner, description="Pulls approved versions for the loan desk", by=operator
    )
    access.assign_role(Role.objects.get(name="Service: pull"), to=account, by=operator)
    issued = access.issue_token(
        account, name="loan desk", scopes=[Permission.PULL_VERSION], models=[], days=30, by=operator
    )
    return account, issued.token


def _experiments(by: User, service: User) -> None:
    """Two of MLflow's, one of them shared with a service and open to all who read runs."""
    record_experiment(Known(1, "credit limits", "1"), by=as_(by))
    shared = record_experiment(Known(2, "credit limits, nightly", "2"), by=as_(by))
    share_experiment(shared, Level.WRITE, to=service, by=as_(by))
    open_experiment(shared, Others.READ, by=as_(by))


def _webhook(by: User) -> Webhook:
    """One whose receiver is not there: what happens from now on waits for it, and one delivery was given up."""
    webhook = create_webhook(
        "deploy-pipeline",
        "https://pipeline.example.org/hooks/countersign",
        [*Event],
        description="Rolls out what was promoted",
        secret="the browser tests' own",
        by=as_(by),
    )
    Delivery.objects.create(
        webhook=webhook,
        event=Event.TAG_SET,
        body='{"entity": "model_version_tag", "action": "set", "data": {"name": "credit", "version": "1"}}',
        test=True,
        state=Delivery.State.FAILED,
        attempts=1,
        last_status=503,
        last_error="answered 503",
        last_milliseconds=12,
    )
    return webhook


def _dataset(by: User) -> tuple[Dataset, DatasetVersion, Recipe]:
    dataset = datasets.register_dataset(
        "census",
        title="Census microdata",
        description="People of working age, by **year**.",
        licence="Public domain",
        target="employed",
        time_column="year",
        protected=["sex", "age"],
        by=as_(by),
    )
    rows = ["age,sex,schooling,year,employed"]
    rows += [
        f"{18 + i * 7 % 60},{'female' if i % 2 else 'male'},{i % 12},{2015 + i % 3},{int(i % 5 > 1)}"
        for i in range(600)
    ]
    version = datasets.add_version(
        dataset, io.BytesIO("\n".join(rows).encode()), filename="census.csv", note="First three years", by=as_(by)
    )
    _work()
    dataset.refresh_from_db()
    recipe = datasets.add_recipe(
        dataset,
        "plain",
        {
            "recipe": 1,
            "target": "employed",
            "steps": [
                {"step": "hold_back", "columns": ["sex"]},
                {"step": "bin", "columns": ["age"], "bins": 6},
                {"step": "one_hot", "columns": ["schooling"]},
            ],
        },
        by=as_(by),
    )
    return dataset, version, recipe


def _work() -> None:
    """What waits for a worker is done, as a worker does it."""
    app.loader.import_default_modules()  # the handlers in every room's tasks.py
    for job in Job.objects.filter(state=Job.State.QUEUED).order_by("created_at"):
        perform(job.uuid, worker="tests")


def _model(owner: User, name: str) -> RegisteredModel:
    return registry.create_model(
        name,
        tier=1,
        description="Chance that a customer repays.",
        intended_use="Limits for existing customers",
        owner=owner,
        by=as_(owner),
    )


def _version(
    model: RegisteredModel,
    data: DatasetVersion,
    by: User,
    *,
    auc: float,
    worst: float = 0.08,
    against: int | None = None,
) -> ModelVersion:
    """Registered, admitted, with all evidence and a whole card."""
    principal = as_(by)
    version = registry.register_version(
        model,
        stored_tiny_model(ArtifactStore()),
        dataset_version=data,
        trained_by=by,
        code_reference="8c1f0d2",
        description="Trained on the census rows",
        by=principal,
        admit=False,
    )
    version = registry.admit_version(version, by=principal)
    fingerprint = {
        "dataset": data.dataset.name,
        "version": data.number,
        "digest": data.digest,
        "rows": data.rows,
        "train_years": evidence.YEARS[0],
        "test_years": evidence.YEARS[1],
        "columns": ["age", "sex", "schooling", "year", "employed"],
        "schema": [],
        "protected": ["sex", "race", "age"],
        "target": "employed",
    }
    for kind, content in evidence.contents(auc=auc, worst=worst, data=fingerprint).items():
        registry.add_evidence(version, kind, content, by=as_worker(by))
    if against is not None:
        registry.add_evidence(version, "comparison", evidence.comparison(against, 0.013), by=as_worker(by))
    registry.revise_card(version, evidence.CARD, by=principal)
    version.refresh_from_db()
    return version


def _ask(version: ModelVersion, stage: Stage, by: User) -> Review:
    return request_review(
        version,
        stage,
        why="Trained on a newer year; same intended use and no change to the cut-off.",
        due_at=timezone.now() + timedelta(days=3),
        by=as_(by),
    )


def _approve(version: ModelVersion, stage: Stage, people: dict[str, User]) -> None:
    review = _ask(version, stage, people["alice"])
    sign(review.current_round, "validator", people["bob"])
    sign(review.current_round, "risk", people["carol"])
    promote(version, stage, by=as_(people["rita"]))
