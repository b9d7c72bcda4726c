"""How the parts and fields of a policy, and what a rehearsal found, are said in words: as the policy's form calls them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django import template

from foundation.refusals import RequirementStatus
from foundation.templatetags.countersign import utc
from reviews.policy_forms import HEADER_GROUPS, PARTS

register = template.Library()

NOUNS: Final = {"gates": "Gate", "slots": "Sign-off", "tiles": "Tile"}
LABELS: Final = {
    **{("", spec.name): spec.label for _, specs in HEADER_GROUPS for spec in specs},
    **{(part, spec.name): spec.label for part, specs in PARTS.items() for spec in specs},
}
STANDINGS: Final = {
    RequirementStatus.SATISFIED: "met",
    RequirementStatus.UNSATISFIED: "not met",
    RequirementStatus.NOT_APPLICABLE: "not asked of this version",
    RequirementStatus.EXCEPTED: "excepted",
    RequirementStatus.ERROR: "cannot be evaluated",
    RequirementStatus.WAITING: "waiting",
}


@register.filter
def part(name: str) -> str:
    """What one entry of a list of a policy is: `gates` is `Gate`."""
    return NOUNS.get(name, name)


@register.filter
def field_label(name: str, part: str = "") -> str:
    """The field as the policy's form calls it: `valid_months` is `Months that an approval lasts`; `part` names its list."""
    return LABELS.get((part, name)) or name.replace("_", " ").replace(".", ", ").capitalize()


@register.filter
def standing(status: str) -> str:
    """How a gate stands, as a rehearsal kept it: `unsatisfied` is `not met`."""
    return next((words for one, words in STANDINGS.items() if one == status), status)


@register.filter
def kept_moment(text: str) -> str:
    """A moment that was kept as ISO 8601, as pages write it: `23 Nov 2026, 09:14 UTC`."""
    return utc(datetime.fromisoformat(text))
