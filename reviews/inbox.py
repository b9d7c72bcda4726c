"""The inbox: what needs you, what waits on others, what came back to you, what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from access.permissions import Permission, visible_to
from access.principal import Principal
from foundation.refusals import RequirementStatus
from reviews.models import APPROVED, APPROVING, GateResult, Review, Round, SignOff, Slot
from reviews.queries import waiting_for

DONE_DAYS: Final = 30
MOST: Final = 200
VIEWS: Final = (
    ("needs-you", "Needs you", "inbox"),
    ("promote", "Ready to promote", "rocket"),
    ("waiting", "Waiting on others", "clock"),
    ("back", "Back with changes", "refresh"),
    ("done", "Done", "check"),
)


@dataclass(frozen=True)
class Line:
    """One slot in the preview: `mark` ok, you or wait."""

    title: str
    mark: str
    who: str


@dataclass(frozen=True)
class Item:
    """One review in the list."""

    review: Review
    round: Round
    gates: Sequence[GateResult]
    slots: Sequence[Line]
    yours: str

    @property
    def failing(self) -> list[GateResult]:
        """Gates that block, as they stood when the round was opened or last signed."""
        return [gate for gate in self.gates if not gate.warning_only and gate.status in {"unsatisfied", "error"}]

    @property
    def considered(self) -> int:
        """How many gates apply."""
        return sum(
            1 for gate in self.gates if not gate.warning_only and gate.status != RequirementStatus.NOT_APPLICABLE
        )

    @property
    def signed(self) -> int:
        """How many slots are filled."""
        return sum(1 for slot in self.slots if slot.mark == "ok")

    @property
    def measures(self) -> list[GateResult]:
        """The gates whose numbers the preview shows."""
        wanted = ("auc-floor", "calibration", "widest-gap", "decision-flips")
        return [gate for gate in self.gates if gate.key in wanted and gate.measured]


@dataclass(frozen=True)
class Group:
    """Items that fall due together."""

    title: str
    items: Sequence[Item]


@dataclass(frozen=True)
class Inbox:
    """One view of the inbox, with how many stand in each."""

    view: str
    counts: dict[str, int]
    groups: Sequence[Group]
    selected: Item | None


def inbox(by: Principal, *, view: str = "", selected: str = "") -> Inbox:
    """The inbox of `by`. `selected` is the id (uuid) of the review to preview; by default the first.

    Without `view`, what there is to promote is shown to who has nothing to sign.
    """
    querysets = _views(by)
    counts = {name: queryset.count() for name, queryset in querysets.items()}
    if view not in querysets:
        view = "promote" if counts["promote"] and not counts["needs-you"] else "needs-you"
    yours = set(querysets["needs-you"].values_list("pk", flat=True))
    groups = set(by.user.groups.values_list("pk", flat=True)) if by.user else set()
    rounds = Round.objects.order_by("-number").prefetch_related(
        Prefetch("slots", queryset=Slot.objects.select_related("group")),
        Prefetch("sign_offs", queryset=SignOff.objects.filter(withdrawn_at=None).select_related("person", "slot")),
        "gate_results",
    )
    reviews = (
        querysets[view]
        .select_related("version__model", "stage", "requested_by")
        .prefetch_related(Prefetch("rounds", queryset=rounds))
    )
    items = [_item(review, groups, review.pk in yours) for review in reviews.order_by("due_at")[:MOST]]
    chosen = next((item for item in items if str(item.review.uuid) == selected), items[0] if items else None)
    return Inbox(view, counts, _groups(items, view), chosen)


def _views(by: Principal) -> dict[str, QuerySet[Review]]:
    seen = visible_to(Review.objects.all(), by, Permission.SEE_MODEL, through="version__model")
    under_way = seen.filter(closed_at=None)
    needs_you = waiting_for(by)
    back = under_way.filter(
        requested_by=by.user,
        rounds__sign_offs__decision=SignOff.Decision.REQUEST_CHANGES,
        rounds__sign_offs__withdrawn_at=None,
        rounds__state="open",
    )
    promote = visible_to(
        under_way.filter(rounds__state__in=APPROVED), by, Permission.PROMOTE_VERSION, through="version__model"
    ).distinct()
    waiting = under_way
    for own in (needs_you, back, promote):
        waiting = waiting.exclude(pk__in=own.values("pk"))
    done = seen.filter(closed_at__gte=timezone.now() - timedelta(days=DONE_DAYS))
    return {"needs-you": needs_you, "promote": promote, "waiting": waiting, "back": back.distinct(), "done": done}


def _item(review: Review, groups: set[int], needs_you: bool) -> Item:
    round_ = next(iter(review.rounds.all()))
    given = [one for one in round_.sign_offs.all() if one.decision in APPROVING]
    lines, yours = [], ""
    for slot in round_.slots.all():
        names = [str(one.person) for one in given if one.slot_id == slot.pk]
        full = len(names) >= slot.people
        turn = needs_you and not full and (slot.group_id in groups or slot.alternates_id in groups)
        yours = yours or (slot.title if turn else "")
        lines.append(Line(slot.title, "ok" if full else "you" if turn else "wait", ", ".join(names)))
    return Item(review, round_, list(round_.gate_results.all()), lines, yours)


def _groups(items: Sequence[Item], view: str) -> list[Group]:
    if view == "done":
        return [Group("In the last 30 days", items)] if items else []
    now = timezone.now()
    today = now.replace(hour=23, minute=59, second=59)
    parts: dict[str, list[Item]] = {"Overdue": [], "Due today": [], "This week": [], "Later": []}
    for item in items:
        due = item.review.due_at
        name = (
            "Overdue"
            if due < now
            else "Due today"
            if due <= today
            else "This week"
            if due <= now + timedelta(days=7)
            else "Later"
        )
        parts[name].append(item)
    return [Group(name, found) for name, found in parts.items() if found]
