"""What the chapters look up and wait for: the people, the version, the worker, and what there is to say about each."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from access import tokens
from access.actions import assign_role, create_service_account
from access.models import Role, User
from access.permissions import Permission
from access.principal import Principal
from audit.models import Pending
from audit.queries import latest_checkpoint
from config.story.telling import Teller
from datasets.models import DatasetProfile, DatasetVersion
from jobs.models import Job
from registry.actions import revise_card
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.queries import evidence_of
from serving.actions import create_deployment
from serving.models import Deployment
from training.models import TrainingJob

TRAINING_SECONDS: Final = 600.0
HEARTBEAT_IS_FRESH: Final = timedelta(seconds=5)
APPLICATION: Final = "job-centre-planner"
INJECTOR: Final = "injected-shift"


def person(username: str) -> Principal:
    """One of the demo's people, or a service account, acting for itself."""
    return Principal.of(User.objects.get(username=username), via="story")


def account_of(principal: Principal) -> User:
    """The account behind a principal of the story: there always is one."""
    if principal.user is None:
        raise LookupError(f"{principal.name} has no account.")
    return principal.user


def production() -> Stage:
    """The stage whose alias is `champion`."""
    return Stage.objects.get(name="production")


def version(model: str, number: int) -> ModelVersion:
    """One version as it stands now."""
    return ModelVersion.objects.select_related("model").get(model__name=model, number=number)


def profile_of(version: DatasetVersion) -> DatasetProfile | None:
    """The version's profile, once a worker has made it."""
    return DatasetProfile.objects.filter(version=version).first()


def profile_sentence(profile: DatasetProfile) -> str:
    """What is in the data, in one sentence."""
    content = profile.content
    missing = sum(column["missing"] for column in content["columns"])
    attributes = ", ".join(
        f"{attribute['name']} ({len(attribute['groups'])} groups)" for attribute in content["protected"]
    )
    said = (
        f"{len(content['columns'])} columns, {missing:,} missing values, {content['duplicates']:,} repeated rows, "
        f"{content['label_rate']:.1%} {content['label'] or 'positive'}; groups by {attributes}."
    )
    if content["drift"]:
        worst = max(content["drift"], key=lambda column: column["psi"])
        said += f" Against the version before, the column that moved most is {worst['column']}, PSI {worst['psi']:.3f}."
    return said


def await_training(teller: Teller, training: TrainingJob) -> ModelVersion:
    """The version that a training job registers, once it was admitted; says each step as the worker reaches it."""

    def step() -> str:
        job = Job.objects.get(pk=training.job_id)
        return f"{job.step} ({job.done} of {job.total})" if job.step else job.get_state_display().lower()

    def registered() -> ModelVersion | None:
        fresh = TrainingJob.objects.select_related("job", "version__model").get(pk=training.pk)
        if fresh.job.state in {Job.State.FAILED, Job.State.CANCELLED}:
            raise TimeoutError(f"Training ended as {fresh.job.get_state_display().lower()}: {fresh.job.error}")
        made = fresh.version
        if made is None or not fresh.job.is_finished or made.state == ModelVersion.State.QUARANTINED:
            return None
        if made.state == ModelVersion.State.REJECTED:
            raise TimeoutError(f"Admission refused {made}: {made.status_message}")
        return made

    return teller.wait_for("the training", registered, seconds=TRAINING_SECONDS, progress=step)


def evidence_sentences(version: ModelVersion) -> list[str]:
    """What the evidence of a version says, a sentence for each kind that a reader asks for first."""
    found = evidence_of(version)
    metrics, fairness, data = (found[kind].content for kind in ("metrics", "fairness", "data"))
    auc, ece = metrics["metrics"]["auc"], metrics["metrics"]["ece"]
    worst = fairness["worst"]
    gap = worst["equal_opportunity_gap"]
    sentences = [
        f"Evidence on {metrics['holdout']['rows']:,} held-out rows of {_years(data['test_years'])}, "
        f"trained on {_years(data['train_years'])}: "
        f"AUC {auc['value']:.4f} (95% interval {auc['low']:.4f} to {auc['high']:.4f}), calibration error {ece['value']:.4f}.",
        f"Fairness by {', '.join(fairness['attributes'])}: the widest gap in equal opportunity is {100 * gap['value']:.1f} points "
        f"({100 * gap['low']:.1f} to {100 * gap['high']:.1f}) for {worst['attribute']} {worst['group']}; reviewers weigh it.",
        f"Also kept: {', '.join(sorted(evidence.get_kind_display().lower() for evidence in found.values()))}.",
    ]
    if "comparison" in found:
        comparison = found["comparison"].content
        change, flips = comparison["auc_difference"], comparison["decision_flips"]
        sentences.append(
            f"Against version {comparison['against']} on the same rows: AUC {change['value']:+.4f} "
            f"({change['low']:+.4f} to {change['high']:+.4f}), {flips['changed']:,} of {flips['rows']:,} decisions change."
        )
    return sentences


def _years(years: list[object]) -> str:
    return " and ".join(str(year) for year in years)


def write_card(version: ModelVersion, *, by: Principal) -> None:
    """Alice's model card for a version, from what its evidence says; nothing where one stands already."""
    if version.card_revisions.filter(author=by.user).exists():
        return
    found = evidence_of(version)
    metrics, data, fairness = (found[kind].content for kind in ("metrics", "data", "fairness"))
    auc, worst = metrics["metrics"]["auc"], fairness["worst"]
    sections = {
        "intended_use": "Estimates the share of employed people by district, to plan the capacity of job centres. Read by planners.",
        "not_for": "Decisions about individual people: hiring, benefits, credit. Not tested outside Massachusetts.",
        "data": f"American Community Survey, Massachusetts, {_years(data['train_years'])} for training, "
        f"{_years(data['test_years'])} held out. People under 16 are left out. Sex and race are held back from the features.",
        "evaluation": f"AUC {auc['value']:.3f} on {metrics['holdout']['rows']:,} held-out people; by group under Fairness.",
        "limitations": "Survey answers, not records. It is wrong more often for people near retirement and for students.",
        "ethics": f"The widest gap in equal opportunity is for {worst['attribute']} = {worst['group']}. Disability is a feature, because "
        "planning needs it; this is one reason why the model must not judge individuals.",
        "oversight": "The planning office compares estimates with registered unemployment each quarter and can pause the deployment.",
        "owner": "Alice Moreau, labour-market analytics",
    }
    revise_card(version, sections, by=by)


def application_token(model: str) -> str:
    """A fresh token of the application that uses the model."""
    return _token(APPLICATION, "Plans job-centre capacity", model)


def injector_token(model: str) -> str:
    """A fresh token of the account that sends shifted rows on purpose, so that monitoring has something to find."""
    return _token(INJECTOR, "Demo: sends rows with a shift that was put in on purpose", model)


def _token(name: str, description: str, model: str) -> str:
    """To see, pull and score one model only, for a week."""
    erin = person("erin")
    account = User.objects.services().filter(username=name).first()
    if account is None:
        account = create_service_account(name, owner=account_of(erin), description=description, by=erin)
        for role in ("Service: pull", "Service: score"):
            assign_role(Role.objects.get(name=role), to=account, by=erin)
    scopes = [Permission.SEE_MODEL, Permission.PULL_VERSION, Permission.SCORE_MODEL]
    return tokens.issue_token(account, name="story", scopes=scopes, models=[model], days=7, by=erin).secret


def deployment(name: str, model: str) -> Deployment:
    """The deployment of a model's production stage; Erin creates it where there is none."""
    return Deployment.objects.filter(name=name).first() or create_deployment(
        name,
        model=RegisteredModel.objects.get(name=model),
        stage=production(),
        address=settings.SCORING_URL,
        by=person("erin"),
    )


def serving(deployment: Deployment) -> Deployment | None:
    """The deployment as its worker reported it a moment ago, if it serves."""
    fresh = timezone.now() - HEARTBEAT_IS_FRESH
    rows = Deployment.objects.select_related("version__model")
    return rows.filter(pk=deployment.pk, state=Deployment.State.SERVING, heartbeat_at__gt=fresh).first()


def await_ledger(teller: Teller) -> None:
    """Until the sequencer has taken every entry that was waiting."""
    last = Pending.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    teller.wait_for(
        "the sequencer", lambda: None if Pending.objects.filter(pk__lte=last).exists() else True, seconds=30
    )
    time.sleep(1.1)  # the sequencer signs at most once a second


def checkpoint() -> str:
    """The newest signed checkpoint, as text."""
    head = latest_checkpoint()
    return head.note if head else "There is no checkpoint yet."
