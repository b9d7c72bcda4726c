"""The chapters of the main job, in order. Each does one thing for real and says what happened."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.urls import reverse

from access.models import Reauthentication
from access.stepup import reauthenticate
from config import demo
from config.story import clients, data, discussion, watching, world
from config.story.telling import Teller
from countersign.proof.canonical import sha256_hex
from datasets.actions import add_recipe, add_version, register_dataset
from datasets.models import Dataset
from foundation.refusals import Refusal
from registry.actions import create_model
from registry.models import ModelVersion, RegisteredModel
from reviews.actions import request_review, sign_off
from reviews.conditions import Condition
from reviews.models import Review, SignOff
from reviews.promotion import promote
from training.actions import start_training

MODEL: Final = "employment"
DATASET: Final = "acs-employment"
RECIPE: Final = "one-hot"
DEPLOYMENT: Final = "employment"
SCORED_ROWS: Final = 4_000


class StoryError(Exception):
    """Something went otherwise than the story needs; the sentence says what."""


@dataclass(frozen=True)
class Chapter:
    """One numbered step of the main job."""

    key: str
    number: int
    title: str
    tell: Callable[[Teller], None]


def data_is_registered(teller: Teller) -> None:
    """Alice registers the dataset; a worker profiles it."""
    alice = world.person("alice")
    dataset = Dataset.objects.filter(name=DATASET).first() or register_dataset(
        DATASET,
        title="ACS employment, Massachusetts",
        description="Who is employed: answers to the American Community Survey, one row a person.",
        licence="US government work, public domain; task by folktables (MIT); file from nannyml (Apache-2.0)",
        target=data.TARGET,
        time_column=data.TIME_COLUMN,
        schema=data.schema(),
        by=alice,
    )
    version = dataset.versions.first() or add_version(
        dataset,
        data.years(2015, 2016),
        filename="employment-2015-2016.parquet",
        note="Survey years 2015 and 2016",
        by=alice,
    )
    teller.say(
        f"Alice registered the dataset {dataset.name}, version {version.number}: {version.rows:,} people, survey years 2015 and "
        f"2016, sha256:{version.digest[:12]}…, protected attributes {', '.join(dataset.protected)}."
    )
    profile = teller.wait_for("the profile", lambda: world.profile_of(version), seconds=60)
    teller.say(f"A worker profiled it: {world.profile_sentence(profile)}")
    recipe = dataset.recipes.first() or add_recipe(dataset, RECIPE, data.recipe(), by=alice)
    teller.say(f"She wrote the transformation recipe {recipe}: {len(recipe.content['steps'])} declared steps, no code.")


def version_one_is_trained(teller: Teller) -> None:
    """A worker trains on 2015, judges on 2016, and registers version 1 with its evidence."""
    alice = world.person("alice")
    dataset = Dataset.objects.get(name=DATASET)
    model = RegisteredModel.objects.filter(name=MODEL).first() or create_model(
        MODEL,
        tier=RegisteredModel.Tier.HIGH,
        description="Estimates who is employed, for planning job-centre capacity.",
        intended_use="Planning the capacity of job centres by district. Not for decisions about individual people.",
        owner=world.account_of(alice),
        by=alice,
    )
    job = model.training_jobs.first() or start_training(
        model,
        dataset_version=dataset.versions.get(number=1),
        recipe=dataset.recipes.get(name=RECIPE),
        algorithm="logistic_regression",
        parameters={},
        split={"train": [2015], "test": [2016]},
        seed=data.SEED,
        by=alice,
    )
    version = world.await_training(teller, job)
    teller.say(
        f"Registered {version}, {len(version.manifest)} files, manifest sha256:{version.digest[:12]}…, MLflow run {version.run_id[:8]}."
    )
    for sentence in world.evidence_sentences(version):
        teller.say(sentence)
    world.write_card(version, by=alice)
    teller.say("Alice wrote its model card: intended use, limits, data, evaluation, ethics, oversight, owner.")


def promotion_is_refused(teller: Teller) -> None:
    """Rita tries to promote what nobody has signed."""
    version = world.version(MODEL, 1)
    try:
        promote(version, world.production(), by=world.person("rita"))
    except Refusal as refusal:
        teller.say(f"Rita, who may promote, tried to put {version} into production. Refused:")
        teller.say(str(refusal))
    else:
        raise StoryError(f"{version} was promoted although nobody had signed it.")


def two_people_sign(teller: Teller) -> None:
    """Alice asks for a review and may not sign it; Bob and Carol do, each confirming that it is them."""
    version = world.version(MODEL, 1)
    review = version.reviews.first() or request_review(
        version,
        world.production(),
        why="First version: a logistic regression on the 2015 survey, judged on 2016. Planning use only.",
        by=world.person("alice"),
    )
    teller.say(
        f"Alice asked for a review of {version} for production, due {review.due_at:%d %b %Y}. Its subject is frozen:"
    )
    teller.say(f"sha256:{review.current_round.subject_digest}")
    try:
        _sign("alice", review, "validator", "I trained it, and I think it is fine.")
    except Refusal as refusal:
        teller.say(f"Alice tried to sign her own version. Refused: {refusal.detail}")
    else:
        raise StoryError("Alice could sign her own version.")
    for username, slot, reason, conditions in (
        ("bob", "validator", "Reproduced the metrics; calibration and slices are sound for planning use.", ()),
        (
            "carol",
            "risk",
            "The gaps between groups are disclosed and acceptable for planning; not for individual decisions.",
            (discussion.condition(),),
        ),
    ):
        signature = _sign(username, review, slot, reason, conditions)
        teller.say(
            f"{signature.person} confirmed the password and signed as {signature.slot.title}: “{signature.reason}” "
            f"Statement sha256:{signature.statement_digest[:12]}…, countersigned by the registry."
        )
    for finding in review.findings.all():
        teller.say(
            f"Carol's approval carries a condition, owed by {finding.owner} until {finding.due_at:%d %b %Y}: “{finding.title}.” "
            "If it is overdue, the approval ends."
        )
    review.refresh_from_db()
    teller.say(f"The round is {review.current_round.get_state_display().lower()}.")


def _sign(username: str, review: Review, slot: str, reason: str, conditions: tuple[Condition, ...] = ()) -> SignOff:
    """One person's approval, re-authenticated by password, as the sign dialog does it."""
    signer = world.person(username)
    proof = reauthenticate(
        world.account_of(signer), method=Reauthentication.Method.PASSWORD, secret=demo.PASSWORD, by=signer
    )
    current = review.current_round
    return sign_off(
        current,
        slot,
        decision=SignOff.Decision.APPROVE_WITH_CONDITIONS if conditions else SignOff.Decision.APPROVE,
        conditions=conditions,
        reason=reason,
        reauthentication=proof,
        expected_subject=current.subject_digest,
        idempotency_key=uuid.uuid4().hex,
        by=signer,
    )


def version_one_goes_live(teller: Teller) -> None:
    """Promotion; an MLflow client and curl pull it; the scoring worker starts to serve it."""
    version = world.version(MODEL, 1)
    if version.state != ModelVersion.State.LIVE:
        promote(version, world.production(), by=world.person("rita"))
    teller.say(f"Rita promoted {version}: models:/{MODEL}@champion now points at it.")
    secret = world.application_token(MODEL)
    rows = json.dumps(data.features(data.people_of(2017, 5)))
    teller.say("An unmodified MLflow client, which knows only our address and a service token, loads it and predicts:")
    teller.show(clients.MLFLOW_SCRIPT.format(name=MODEL))
    teller.show(clients.mlflow_predicts(MODEL, rows, token=secret))
    largest = max(version.manifest, key=lambda file: int(file["size"]))
    command, pulled = clients.curl_pulls(f"/api/v1/models/{MODEL}/versions/1/files/{largest['path']}", token=secret)
    teller.show(command)
    if sha256_hex(pulled) != largest["sha256"]:
        raise StoryError(f"curl pulled other bytes than were signed: sha256:{sha256_hex(pulled)}.")
    teller.say(
        f"curl pulled the same {len(pulled):,} bytes: sha256:{largest['sha256'][:12]}… as the signed manifest says."
    )
    deployment = world.deployment(DEPLOYMENT, MODEL)
    served = teller.wait_for("the scoring worker", lambda: world.serving(deployment), seconds=60)
    teller.say(
        f"The scoring worker verified attestation and digests, loaded the model and serves {served.version} at {served.address}."
    )


def later_rows_are_scored(teller: Teller) -> None:
    """Rows of 2017 go through the worker; drift and, with outcomes, performance can be seen."""
    watching.score_and_watch(teller, DEPLOYMENT, rows=SCORED_ROWS)


def version_two_waits(teller: Teller) -> None:
    """A retraining on newer data makes version 2, whose review stays open."""
    alice = world.person("alice")
    dataset = Dataset.objects.get(name=DATASET)
    newer = dataset.versions.filter(number=2).first() or add_version(
        dataset,
        data.years(2016, 2018),
        filename="employment-2016-2018.parquet",
        note="Survey years 2016 to 2018",
        by=alice,
    )
    teller.say(f"Alice added {newer}: {newer.rows:,} people, survey years 2016 to 2018.")
    profile = teller.wait_for("the profile", lambda: world.profile_of(newer), seconds=60)
    teller.say(f"Its profile: {world.profile_sentence(profile)}")
    job = watching.retraining(MODEL, newer, by=alice)
    teller.say(
        "From the alert she asked for a retraining: same recipe, settings and seed, newer data, the newest year held out."
    )
    version = world.await_training(teller, job)
    for sentence in world.evidence_sentences(version):
        teller.say(sentence)
    world.write_card(version, by=alice)
    review = version.reviews.first() or request_review(
        version,
        world.production(),
        why="Retrained on the surveys of 2016 and 2017 after the drift alert, judged on 2018. Same recipe, same use.",
        by=alice,
    )
    teller.say(
        f"Alice asked for a review of {version}. It stays open: Bob and Carol have it in their inboxes, "
        "and nothing goes live until both have signed."
    )
    teller.say(discussion.asked_and_answered(review))


def ledger_is_verified(teller: Teller) -> None:
    """Everything that happened is recomputed from the ledger."""
    world.await_ledger(teller)
    answer = StringIO()
    call_command("audit", "verify", stdout=answer)
    teller.say(answer.getvalue().strip())
    teller.say("The signed checkpoint, as an outsider would keep it:")
    teller.show(world.checkpoint())


CHAPTERS: Final = (
    Chapter("data", 1, "Data", data_is_registered),
    Chapter("training", 2, "Training", version_one_is_trained),
    Chapter("refusal", 3, "Blocked", promotion_is_refused),
    Chapter("signatures", 4, "Signed", two_people_sign),
    Chapter("live", 5, "Promoted, pulled, served", version_one_goes_live),
    Chapter("scored", 6, "Scored and watched", later_rows_are_scored),
    Chapter("retraining", 7, "Retrained", version_two_waits),
    Chapter("ledger", 8, "Proved", ledger_is_verified),
)


def farewell(teller: Teller, *, told_now: bool) -> None:
    """Where everything is, who the people are, and what to click."""
    if not told_now:
        teller.say("\nThe story has been told already; the portal is up with everything that came of it.")
    lines = [
        "",
        f"Portal          {settings.PORTAL_URL}",
        f"MLflow clients  {settings.MLFLOW_URL}   (MLFLOW_TRACKING_URI)",
        f"API             {settings.PORTAL_URL}{reverse('api-docs')}",
        f"Monitoring      {settings.PORTAL_URL}{reverse('monitoring:detail', args=[DEPLOYMENT])}",
        "",
        f"People, all with the password {demo.PASSWORD}:",
        *(f"  {person.username:<6} {person.display_name:<16} {person.purpose}" for person in demo.PEOPLE),
        "",
        "What to do now: log in as bob, open the inbox, read and sign version 2 as model validator; then as carol,",
        "sign it as risk officer; then as rita, promote it, and watch the deployment switch over. As alice, answer the",
        "condition under Findings; as nina, draft a stricter policy and see in a rehearsal what it would have stopped.",
        "Ctrl-C stops everything; the next `make run` starts in seconds.",
    ]
    teller.out.write("\n".join(lines) + "\n")
    teller.out.flush()
