"""Every hand in a version, found from both sides: who may not sign it, and which versions somebody may not sign."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from access import actions as access_actions
from access.models import Role, User
from access.permissions import Permission, grant
from access.principal import Principal
from datasets import actions as dataset_actions
from datasets.models import DatasetVersion, Recipe
from foundation.refusals import Conflict, Forbidden
from jobs.actions import enqueue, retry
from jobs.models import Job
from registry import actions as registry_actions
from registry.models import ModelVersion, RegisteredModel, Stage
from registry.store import ArtifactStore
from reviews.actions import open_round, withdraw_review
from reviews.evaluation import deadlocks, examine
from reviews.models import Review
from reviews.people import deeds_of, made_by
from reviews.promotion import promote
from reviews.queries import approval_in_force
from reviews.standing import Standing
from tests.conftest import as_
from tests.factories import stored_tiny_model
from tests.reviews.conftest import approve, ask, sign
from tests.reviews.evidence import fairness

pytestmark = pytest.mark.django_db

OPERATOR = Principal.system("operator")
Made = Callable[[User, ModelVersion], object]


def may(user: User, model: RegisteredModel, *permissions: Permission) -> None:
    for permission in (Permission.SEE_MODEL, *permissions):
        grant(model, permission, to=user, by=OPERATOR)


def role(user: User, name: str) -> None:
    access_actions.assign_role(Role.objects.get(name=name), to=user, by=OPERATOR)


def register(by: User, model: RegisteredModel, **more: object) -> ModelVersion:
    """Admitted, and with files of its own unless `files` are given."""
    files = more.pop("files", None) or stored_tiny_model(ArtifactStore())
    version = registry_actions.register_version(model, files, admit=False, by=as_(by), **more)  # type: ignore[arg-type]  # passed on
    return registry_actions.admit_version(version, by=as_(by))


def data_of(by: User, name: str, rows: int = 40) -> DatasetVersion:
    if by.username != "alice":
        role(by, "Data scientist")
    dataset = dataset_actions.register_dataset(
        name, title=name, description="", licence="", target="employed", time_column="", protected=[], by=as_(by)
    )
    text = "age,employed\n" + "\n".join(f"{18 + i % 50},{i % 2}" for i in range(rows))
    return dataset_actions.add_version(dataset, io.BytesIO(text.encode()), filename="rows.csv", by=as_(by))


def trained(bob: User, version: ModelVersion) -> ModelVersion:
    may(bob, version.model)
    return register(version.created_by, version.model, trained_by=bob)


def had_it_run_again(bob: User, version: ModelVersion) -> ModelVersion:
    job = enqueue("training.train", {}, by=as_(version.created_by))
    Job.objects.filter(pk=job.pk).update(state="failed", finished_at=timezone.now())
    retry(job, by=as_(bob))
    return register(version.created_by, version.model, trained_by=version.created_by, job_uuid=job.uuid)


def prepared_its_data(bob: User, version: ModelVersion) -> ModelVersion:
    return register(version.created_by, version.model, dataset_version=data_of(bob, "census"))


def prepared_the_same_data_under_another_name(bob: User, version: ModelVersion) -> ModelVersion:
    data_of(bob, "census")
    return register(version.created_by, version.model, dataset_version=data_of(version.created_by, "census-again"))


def wrote_its_recipe(bob: User, version: ModelVersion) -> ModelVersion:
    data = data_of(version.created_by, "census")
    recipe = Recipe.objects.create(
        dataset=data.dataset, name="plain", number=1, content={}, digest="c" * 64, created_by=bob
    )
    return register(version.created_by, version.model, dataset_version=data, recipe=recipe)


def attached_evidence(bob: User, version: ModelVersion) -> ModelVersion:
    may(bob, version.model, Permission.REGISTER_VERSION)
    registry_actions.add_evidence(version, "fairness", fairness(sex=0.01), by=as_(bob))
    return version


def registered_the_same_bytes(bob: User, version: ModelVersion) -> ModelVersion:
    may(bob, version.model, Permission.REGISTER_VERSION)
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        register(bob, version.model, files=version.files)
    return version


HANDS: dict[str, tuple[Callable[[User, ModelVersion], ModelVersion], str]] = {
    "trained": (trained, "ran the training of this version"),
    "retried": (had_it_run_again, "had the training of this version run again"),
    "data": (prepared_its_data, "prepared the data that this version learned from"),
    "same-data": (prepared_the_same_data_under_another_name, "prepared the data that this version learned from"),
    "recipe": (wrote_its_recipe, "wrote the transformation recipe of this version"),
    "evidence": (attached_evidence, "attached evidence to this version by hand"),
    "same-bytes": (registered_the_same_bytes, "had a hand in another version with the same bytes"),
}


@pytest.mark.parametrize("hand", HANDS)
def test_whoever_had_a_hand_in_it_may_not_sign_it(
    hand: str, candidate: ModelVersion, production: Stage, alice: User, bob: User
) -> None:
    done, words = HANDS[hand]
    version = done(bob, candidate)
    with time_machine.travel(timezone.now() + timedelta(minutes=12)):
        review = ask(version, production, alice)

        with pytest.raises(Forbidden, match=f"You {words}"):
            sign(review, "validator", bob)


@pytest.mark.parametrize("hand", HANDS)
def test_the_same_is_found_from_the_persons_side(hand: str, candidate: ModelVersion, bob: User, carol: User) -> None:
    done, _ = HANDS[hand]
    version = done(bob, candidate)
    digests = set(made_by(bob).values_list("digest", flat=True))

    with time_machine.travel(timezone.now() + timedelta(minutes=12)):
        assert bob.pk in {deed.account for deed in deeds_of(version)}
    assert version.digest in digests
    assert version.digest not in set(made_by(carol).values_list("digest", flat=True))


def test_owner_of_the_account_that_measured_it_may_not_sign(
    candidate: ModelVersion, production: Stage, alice: User, bob: User
) -> None:
    robot = access_actions.create_service_account("meter", owner=bob, description="Measures", by=OPERATOR)
    role(robot, "Service: register")
    may(robot, candidate.model, Permission.REGISTER_VERSION)
    registry_actions.add_evidence(candidate, "fairness", fairness(sex=0.01), by=as_(robot))

    with pytest.raises(Forbidden, match="You own the service account meter, which attached evidence"):
        sign(ask(candidate, production, alice), "validator", bob)


def test_what_our_own_workers_measured_makes_nobody_an_author(
    candidate: ModelVersion, production: Stage, alice: User, bob: User, carol: User
) -> None:
    may(bob, candidate.model, Permission.REGISTER_VERSION)
    worker = Principal.of(bob, via="job:7f3f")
    registry_actions.add_evidence(candidate, "fairness", fairness(sex=0.01), by=worker)

    assert sign(ask(candidate, production, alice), "validator", bob)


def test_whoever_asked_for_an_earlier_review_may_not_sign_a_later_one(
    candidate: ModelVersion, production: Stage, alice: User, bob: User
) -> None:
    may(bob, candidate.model, Permission.REQUEST_REVIEW)
    withdraw_review(ask(candidate, production, bob), by=as_(bob))

    with pytest.raises(Forbidden, match="You asked for an earlier review of this version"):
        sign(ask(candidate, production, alice), "validator", bob)


def test_whoever_signs_and_then_takes_part_counts_no_more(
    review: Review, production: Stage, bob: User, carol: User, rita: User
) -> None:
    approve(review, bob, carol)
    may(carol, review.version.model, Permission.REGISTER_VERSION)
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        register(carol, review.version.model, files=review.version.files)

        with pytest.raises(Conflict) as caught:
            promote(review.version, production, by=as_(rita))

        standing = examine(review.version, production).standing
        assert standing is not None
        assert [one.standing for one in standing.signatures] == [Standing.COUNTS, Standing.CONFLICTED]
    (unmet,) = caught.value.unmet
    assert unmet.key == "slot-risk"
    assert "is not independent any more: Carol Adeyemi had a hand in another version" in unmet.explanation


def test_what_somebody_does_after_the_promotion_ends_no_approval(
    approved: Review, production: Stage, carol: User, rita: User
) -> None:
    promote(approved.version, production, by=as_(rita))
    may(carol, approved.version.model, Permission.REGISTER_VERSION)
    later = timezone.now() + timedelta(minutes=11)
    with time_machine.travel(later):
        register(carol, approved.version.model, files=approved.version.files)

        assert approval_in_force(ModelVersion.objects.get(pk=approved.version_id), production, later) is not None


def test_a_slot_that_nobody_can_fill_is_named_with_the_alternates_of_the_policy(
    candidate: ModelVersion, production: Stage, alice: User, bob: User
) -> None:
    attached_evidence(bob, candidate)

    found = dict(deadlocks(examine(candidate, production)))

    assert found["Model validator"] == (
        "Nobody eligible: no member of Model validation, nor of the alternates that the policy names, Risk officers, "
        "is independent of this version."
    )
    assert "Legal and compliance" in found["Risk officer"]


def test_one_person_for_two_slots_is_said(candidate: ModelVersion, production: Stage, carol: User) -> None:
    found = deadlocks(examine(candidate, production))

    assert found == (
        ("Risk officer", "Everybody eligible is needed for another sign-off too, and one person fills one slot."),
    )


def test_with_enough_people_nothing_is_said(candidate: ModelVersion, production: Stage, bob: User, carol: User) -> None:
    assert deadlocks(examine(candidate, production)) == ()


def test_a_new_round_gives_reviewers_their_time_again(review: Review, alice: User) -> None:
    with time_machine.travel(review.due_at + timedelta(days=3)):
        open_round(review, by=as_(alice))

        review.refresh_from_db()
        assert review.due_at > timezone.now() + timedelta(days=6)
