"""The inbox: what needs you, what waits on others, what came back to you, what is done; filtered, by due date, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from access.permissions import Permission, visible_to
from access.principal import Principal
from foundation.refusals import RequirementStatus
from registry.models import RegisteredModel
from reviews.models import APPROVED, APPROVING, GateResult, Review, Round, SignOff, Slot, Thread, Visit
from reviews.turns import Turn, changed_since, stale_signatures, turns_of

DONE_DAYS: Final = 30
PER_PAGE: Final = 25
VIEWS: Final = (
    ("needs-you", "Needs you", "inbox"),
    ("promote", "Ready to promote", "rocket"),
    ("waiting", "Waiting on others", "clock"),
    ("back", "Back with changes", "refresh"),
    ("done", "Done", "check"),
)
SHOWN_GATES: Final = ("auc-floor", "calibration", "widest-gap", "decision-flips")
GROUPS: Final = ("Overdue", "Due today", "This week", "Later")
DONE: Final = f"In the last {DONE_DAYS} days"


@dataclass(frozen=True)
class Narrowing:
    """What the list is narrowed to; empty: not at all. `text` is part of a model's name, `mine`: what the reader asked for."""

    stage: str = ""
    tier: int | None = None
    text: str = ""
    mine: bool = False

    def __bool__(self) -> bool:
        """Whether anything is narrowed."""
        return bool(self.stage or self.tier or self.text or self.mine)

    def condition(self, by: Principal) -> Q:
        """As a condition on rounds."""
        found = Q(review__stage__name=self.stage) if self.stage else Q()
        found &= Q(review__version__model__tier=self.tier) if self.tier else Q()
        found &= Q(review__version__model__name__icontains=self.text) if self.text else Q()
        return found & (Q(review__requested_by=by.user) if self.mine else Q())


@dataclass(frozen=True)
class Line:
    """One slot in the preview: `mark` ok, you or wait."""

    title: str
    mark: str
    who: str
    for_whom: str = ""


@dataclass(frozen=True)
class Item:
    """One review in the list. `unread`: never opened; `open_threads`: what is still being discussed."""

    review: Review
    round: Round
    gates: Sequence[GateResult]
    slots: Sequence[Line]
    unread: bool
    open_threads: int

    @property
    def yours(self) -> str:
        """The title of the slot that waits for the reader, with whom they stand in for; empty: none does."""
        turn = next((slot for slot in self.slots if slot.mark == "you"), None)
        return (f"{turn.title} for {turn.for_whom}" if turn.for_whom else turn.title) if turn else ""

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
        return [gate for gate in self.gates if gate.key in SHOWN_GATES and gate.measured]


@dataclass(frozen=True)
class Group:
    """Items that fall due together; `number` counts those on other pages too."""

    title: str
    items: Sequence[Item]
    number: int


@dataclass(frozen=True)
class Inbox:
    """One page of one view of the inbox, with how many stand in each view, whatever the list is narrowed to, and the stages in use."""

    view: str
    counts: Mapping[str, int]
    narrowing: Narrowing
    groups: Sequence[Group] = ()
    selected: Item | None = None
    first_due: datetime | None = None
    total: int = 0
    page: int = 1
    pages: int = 1
    stages: Sequence[tuple[str, str]] = ()

    @property
    def previous(self) -> int:
        """The number of the page before."""
        return self.page - 1

    @property
    def next(self) -> int:
        """The number of the page after."""
        return self.page + 1


def inbox(
    by: Principal, *, view: str = "", narrowing: Narrowing | None = None, page: int = 1, selected: str = ""
) -> Inbox:
    """The inbox of `by`. `selected` is the id (uuid) of the review to preview; by default the first.

    Without `view`, what there is to promote is shown to who has nothing to sign.
    """
    narrowing = narrowing or Narrowing()
    now = timezone.now()
    turns = {turn.review: turn for turn in reversed(turns_of(by))}
    rounds = _newest_rounds(by)
    views = _views(by, turns, now)
    due = _due_groups(now)
    asked = view if view in views else "needs-you" if turns else "promote"
    numbers_by_stage = list(
        rounds.order_by("review__stage__order")
        .values("review__stage__name", "review__stage__title")
        .annotate(**_counts(views, views[asked] & narrowing.condition(by), due))
    )
    names = [f"view_{number}" for number in range(len(views))] + [f"group_{number}" for number in range(len(due))]
    found = {name: sum(row[name] for row in numbers_by_stage) for name in names}  # type: ignore[literal-required]  # names annotated above
    counts = {name: found[f"view_{number}"] for number, name in enumerate(views)}
    view = "needs-you" if asked != view and not counts[asked] else asked
    numbers = _group_numbers(found, view)
    total = sum(numbers.values())
    pages = max(1, -(-total // PER_PAGE))
    page = min(max(1, page), pages)
    chosen = rounds.filter(views[view], narrowing.condition(by))
    shown = _items(by, chosen[(page - 1) * PER_PAGE : page * PER_PAGE], turns)
    first = next(iter(shown), None)
    return Inbox(
        view,
        counts,
        narrowing,
        groups=list(_grouped(shown, numbers, view, due)),
        selected=next((item for item in shown if str(item.review.uuid) == selected), first),
        first_due=first.review.due_at if first and page == 1 else None,
        total=total,
        page=page,
        pages=pages,
        stages=[(row["review__stage__name"], row["review__stage__title"]) for row in numbers_by_stage],
    )


def preview(by: Principal, uuid: str) -> Item | None:
    """One item for the preview, or nothing where there is none that `by` may see."""
    rounds = _newest_rounds(by).filter(review__uuid=uuid)
    turns = {turn.review: turn for turn in reversed(turns_of(by))}
    return next(iter(_items(by, rounds, turns)), None)


def _newest_rounds(by: Principal) -> QuerySet[Round]:
    newer = Round.objects.filter(review=OuterRef("review"), number__gt=OuterRef("number"))
    rounds = Round.objects.filter(~Exists(newer)).order_by("review__due_at", "pk")
    return visible_to(rounds, by, Permission.SEE_MODEL, through="review__version__model")


def _views(by: Principal, turns: Mapping[int, Turn], now: datetime) -> dict[str, Q]:
    """The condition of each view; the first that holds has it."""
    under_way = Q(review__closed_at=None)
    promotable = visible_to(RegisteredModel.objects.all(), by, Permission.PROMOTE_VERSION).values("pk")
    objected = SignOff.objects.filter(
        round=OuterRef("pk"), decision=SignOff.Decision.REQUEST_CHANGES, withdrawn_at=None
    )
    needs_you = Q(review__in=list(turns))
    promote = under_way & Q(state__in=APPROVED, review__version__model__in=promotable)
    back = under_way & Q(Exists(objected), review__requested_by=by.user, state=Round.State.OPEN)
    return {
        "needs-you": needs_you,
        "promote": promote,
        "waiting": under_way & ~needs_you & ~promote & ~back,
        "back": back,
        "done": Q(review__closed_at__gte=now - timedelta(days=DONE_DAYS)),
    }


def _due_groups(now: datetime) -> dict[str, Q]:
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    week = max(tomorrow, now + timedelta(days=7))
    return {
        "Overdue": Q(review__due_at__lt=now),
        "Due today": Q(review__due_at__gte=now, review__due_at__lt=tomorrow),
        "This week": Q(review__due_at__gte=tomorrow, review__due_at__lt=week),
        "Later": Q(review__due_at__gte=week),
    }


def _counts(views: Mapping[str, Q], chosen: Q, due: Mapping[str, Q]) -> dict[str, Count]:
    """Every number of the page in one statement: of each view, and of each group by due date within the chosen one."""
    found = {f"view_{number}": Count("pk", filter=condition) for number, condition in enumerate(views.values())}
    return found | {
        f"group_{number}": Count("pk", filter=chosen & condition) for number, condition in enumerate(due.values())
    }


def _group_numbers(found: Mapping[str, int], view: str) -> dict[str, int]:
    numbers = {title: found[f"group_{number}"] for number, title in enumerate(GROUPS)}
    return {DONE: sum(numbers.values())} if view == "done" else numbers


def _grouped(items: Sequence[Item], numbers: Mapping[str, int], view: str, due: Mapping[str, Q]) -> Iterable[Group]:
    ends: dict[str, dict[str, Any]] = {title: dict(condition.children) for title, condition in due.items()}  # type: ignore[arg-type]  # each child is a pair
    for title, number in numbers.items():
        members = items if view == "done" else [item for item in items if _within(item.review.due_at, ends[title])]
        if members:
            yield Group(title, members, number)


def _within(moment: datetime, ends: Mapping[str, datetime]) -> bool:
    low, high = ends.get("review__due_at__gte"), ends.get("review__due_at__lt")
    return (low is None or low <= moment) and (high is None or moment < high)


def _items(by: Principal, rounds: QuerySet[Round], turns: Mapping[int, Turn]) -> list[Item]:
    threads = Thread.objects.filter(review=OuterRef("review"), resolved_at=None).order_by().values("review")
    found = list(
        rounds.annotate(
            seen=Exists(Visit.objects.filter(review=OuterRef("review"), person=by.user)),
            open_threads=Coalesce(Subquery(threads.annotate(number=Count("pk")).values("number")), 0),
            moved=Exists(SignOff.objects.filter(changed_since(), round=OuterRef("pk"), withdrawn_at=None)),
        )
        .select_related("review__version__model", "review__stage", "review__requested_by")
        .prefetch_related("gate_results")
    )
    lines = _lines(found, turns)
    return [
        Item(
            round_.review,
            round_,
            list(round_.gate_results.all()),
            lines[round_.pk],
            not round_.seen,
            round_.open_threads,
        )
        for round_ in found
    ]


def _lines(rounds: Sequence[Round], turns: Mapping[int, Turn]) -> dict[int, list[Line]]:
    """The slots of the rounds with who filled them, in one statement; signatures that went stale fill nothing."""
    moved = {one.pk for one in rounds if one.moved and one.is_open}  # type: ignore[attr-defined]  # annotated by `_items`
    stale = stale_signatures(moved) if moved else set()
    rows = Slot.objects.filter(round__in=[one.pk for one in rounds]).values(
        *("pk", "round", "title", "people", "sign_offs", "sign_offs__decision", "sign_offs__withdrawn_at"),
        *("sign_offs__person__display_name", "sign_offs__person__username"),
    )
    slots: dict[int, dict[str, Any]] = {}
    for row in rows.order_by("round", "order", "pk", "sign_offs__signed_at"):
        slot = slots.setdefault(row["pk"], {**row, "names": []})
        counts = row["sign_offs__decision"] in APPROVING and row["sign_offs__withdrawn_at"] is None
        if counts and row["sign_offs"] not in stale:
            slot["names"].append(row["sign_offs__person__display_name"] or row["sign_offs__person__username"])
    yours = {turn.slot: turn for turn in turns.values()}
    lines: dict[int, list[Line]] = {one.pk: [] for one in rounds}
    for pk, slot in slots.items():
        full = len(slot["names"]) >= slot["people"]
        turn = yours.get(pk)
        mark = "ok" if full else "you" if turn else "wait"
        lines[slot["round"]].append(
            Line(slot["title"], mark, ", ".join(slot["names"]), turn.on_behalf_of if turn else "")
        )
    return lines
