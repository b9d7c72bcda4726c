"""A busy registry: a review with long evidence and much talk, and a reviewer with hundreds of open reviews. For budgets and benchmarks.

What people decide is done by the product's own actions; what only has to be many is written as rows.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import Group
from django.utils import timezone

from access.models import User
from registry import actions as registry_actions
from registry.models import Evidence, ModelVersion, RegisteredModel, Stage
from reviews.actions import request_review
from reviews.models import Comment, Review, Round, Slot, Thread
from reviews.promotion import promote
from reviews.rulebook import rules_for
from tests.conftest import as_
from tests.factories import stored_tiny_model
from tests.reviews.conftest import approve, attach, sign
from tests.reviews.evidence import CARD, evidence

REMARK = (
    "The gap under 25 narrows from **24.3** to 15.8 points, but it is still over the limit.\n\n"
    "Is the shortfall driven by `bureau_score` being missing for new customers, see [the slices](#fairness)?\n\n"
    "- thin files\n- few people under 25"
)


def busy_review(
    *, author: User, validator: User, risk: User, promoter: User, evidence_items: int = 40, comments: int = 200
) -> Review:
    """The open review of a second version, compared with the live first one: 40 pieces of evidence, 200 comments, one signature."""
    production = Stage.objects.get(name="production")
    model = registry_actions.create_model(
        "busy", tier=1, description="Busy", intended_use="Budgets", owner=author, by=as_(author)
    )
    first, second = _version(model, author), _version(model, author)
    approve(request_review(first, production, why="The first one.", by=as_(author)), validator, risk)
    promote(first, production, by=as_(promoter))
    compared = evidence() | {"comparison": comparison(first.number)}
    kinds = [kind for kind in compared if kind != "signature"]
    for number in range(evidence_items - second.evidence.count()):
        attach(second, kinds[number % len(kinds)], compared[kinds[number % len(kinds)]] | {"run": number}, by=author)
    review = request_review(second, production, why="Better on young people.", by=as_(author))
    sign(review, "risk", risk)
    talk(review, [author, validator, risk], comments)
    return review


def comparison(against: int) -> dict[str, object]:
    """A paired comparison with version `against`, as training writes it."""
    return {
        "against": against,
        "auc_difference": {"value": 0.013, "low": 0.005, "high": 0.021},
        "metric_differences": {"auc": {"value": 0.013, "low": 0.005, "high": 0.021}},
        "decision_flips": {"rows": 5_000, "changed": 320, "to_positive": 200, "to_negative": 120},
    }


def talk(review: Review, people: list[User], number: int) -> None:
    """`number` comments in threads of four, in turn by everybody and on every section; half of the threads are resolved."""
    sections = ("", "gates", "fairness", "performance", "changes")
    now = timezone.now()
    threads = Thread.objects.bulk_create(
        Thread(
            review=review,
            section=sections[one % len(sections)],
            opened_by=people[one % len(people)],
            opened_at=now - timedelta(hours=number - one),
            resolved_by=people[0] if one % 2 else None,
            resolved_at=now if one % 2 else None,
        )
        for one in range(number // 4)
    )
    Comment.objects.bulk_create(
        Comment(
            review=review,
            thread=threads[one % len(threads)],
            author=people[one % len(people)],
            section=threads[one % len(threads)].section,
            body=f"{REMARK}\n\nRemark {one}.",
            at=now - timedelta(hours=number - one),
        )
        for one in range(number)
    )


def many_reviews(*, author: User, like: ModelVersion, number: int = 500) -> list[Review]:
    """`number` open reviews of copies of `like`, each with a round and its slots, due from yesterday on."""
    production = Stage.objects.get(name="production")
    rules = rules_for(like.model.tier, production)
    now = timezone.now()
    models = RegisteredModel.objects.bulk_create(
        RegisteredModel(name=f"many-{one}", tier=like.model.tier, owner=author, created_by=author)
        for one in range(number)
    )
    versions = ModelVersion.objects.bulk_create(
        ModelVersion(
            model=model,
            number=1,
            state="in_review",
            digest=f"{one:064x}",
            manifest=[],
            size_bytes=1,
            created_by=author,
        )
        for one, model in enumerate(models)
    )
    reviews = Review.objects.bulk_create(
        Review(
            version=version,
            stage=production,
            why=f"Number {one}.",
            requested_by=author,
            due_at=now + timedelta(days=one % 20 - 1),
        )
        for one, version in enumerate(versions)
    )
    rounds = Round.objects.bulk_create(
        Round(review=review, number=1, subject="{}", subject_digest=f"{one:064x}", opened_by=author)
        for one, review in enumerate(reviews)
    )
    groups = {group.name: group for group in Group.objects.all()}
    Slot.objects.bulk_create(
        Slot(
            round=round_,
            key=rule.key,
            title=rule.title,
            group=groups[rule.group],
            people=rule.people,
            facets=list(rule.answers_for),
            order=order,
        )
        for round_ in rounds
        for order, rule in enumerate(rules.slots)
    )
    return reviews


def _version(model: RegisteredModel, author: User) -> ModelVersion:
    version = registry_actions.register_version(model, stored_tiny_model(), by=as_(author), admit=False)
    version = registry_actions.admit_version(version, by=as_(author))
    for kind, content in evidence().items():
        if kind != Evidence.Kind.SIGNATURE:
            attach(version, kind, content, by=author)
    registry_actions.revise_card(version, CARD, by=as_(author))
    return version
