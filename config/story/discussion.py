"""What the reviewers of the story ask for and talk about: a condition on version 1, a question about version 2."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.utils import timezone

from config.story import world
from registry.models import ModelVersion
from registry.queries import evidence_of
from reviews.actions import open_thread, reply
from reviews.conditions import Condition
from reviews.models import Finding, Review

CONDITION_DAYS: Final = 60
ENOUGH_PEOPLE: Final = 200


def condition() -> Condition:
    """What Carol's approval of version 1 asks of Alice."""
    return Condition(
        title="Compare the estimates with registered unemployment by district",
        detail="After the first quarter in use. Say for which districts and age groups the estimates are off, and by how much.",
        severity=Finding.Severity.MAJOR,
        owner="alice",
        due_at=timezone.now() + timedelta(days=CONDITION_DAYS),
        verifying_slot="risk",
    )


def asked_and_answered(review: Review) -> str:
    """Carol asks under Changes, Alice answers from the evidence, and Bob is mentioned; once. Returns the sentence for it."""
    if not review.threads.exists():
        thread = open_thread(
            review,
            "@alice Who gets another decision than with version 1? @bob please look at the same groups before you sign.",
            section="changes",
            by=world.person("carol"),
        )
        reply(thread, _answer(review.version), by=world.person("alice"))
    return "Carol asked beside the changes who gets another decision, and Alice answered there; Bob was told."


def _answer(version: ModelVersion) -> str:
    found = evidence_of(version).get("comparison")
    if found is None:
        return "No worker has compared the two versions yet."
    flips: dict[str, Any] = found.content["decision_flips"]
    said = f"{flips['changed']:,} of {flips['rows']:,} held-out people, {flips['changed'] / flips['rows']:.1%}."
    groups = [one for one in found.content["flips_by_group"] if one["rows"] >= ENOUGH_PEOPLE]
    if groups:
        most = max(groups, key=_share)
        said += f" Most in the group {most['attribute']} {most['group']}: {_share(most):.1%}. All groups are in the table above."
    return said


def _share(group: Mapping[str, Any]) -> float:
    changed: int = group["to_positive"] + group["to_negative"]
    return changed / float(group["rows"])
