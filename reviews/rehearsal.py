"""Decides what a policy would change: its rules asked about every open review, and replayed over past promotions on the evidence of then.

Nothing is written here. The gates are judged by the same functions as in a decision (`facts`, `gates`), on facts that are read for
all cases at once. A rehearsed text is treated as if it had been in force long enough for every piece of evidence.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from django.db.models import F, Q
from django.utils import timezone

from access.principal import Principal
from countersign.proof.canonical import digest_of
from registry.models import Alias, ModelVersion, Promotion
from registry.queries import Record, models_visible_to, records_of
from reviews.counting import Memberships, counted
from reviews.evaluation import version_facts
from reviews.facts import Facts, facts_for
from reviews.gates import GateOutcome, evaluate
from reviews.histories import History, histories_of
from reviews.models import APPROVING, PolicyVersion, Review, SignOff
from reviews.policies import PolicyDocument, PolicyRef, Rules, SlotRule
from reviews.rulebook import applying, covers, document_of, in_force

AT_ONCE: Final = 200
"""So many cases are rehearsed while the page waits; more are a job."""
MOST_PROMOTIONS: Final = 1_000
"""The newest so many promotions are replayed."""
BATCH: Final = 50
"""Cases whose evidence is held in memory at a time."""

HOLDS: Final = "holds"
FAILS: Final = "fails"
UNGOVERNED: Final = "no policy"

Progress = Callable[[int, int], None]
T = TypeVar("T")
_MAKERS: Final = ("created_by", "trained_by")
"""Whose evidence by hand is the author's own: read with the versions."""


class GateChange(msgspec.Struct, frozen=True):
    """One gate as it stood and as it would stand; empty where it is not asked."""

    key: str
    title: str
    before: str
    after: str
    measured: str = ""
    required: str = ""
    explanation: str = ""
    warning: bool = False


class ReviewCase(msgspec.Struct, frozen=True):
    """One open review: how its gates come out now and under the rehearsed text, and the sign-offs that come or go."""

    review: str
    model: str
    version: int
    stage: str
    tier: int
    before: str
    after: str
    gates: tuple[GateChange, ...] = ()
    sign_offs: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is different."""
        return bool(self.gates or self.sign_offs or self.before != self.after)


class PromotionCase(msgspec.Struct, frozen=True):
    """One promotion that happened: whether it would have passed on the evidence of that moment, and what would have failed."""

    promotion: str
    model: str
    version: int
    stage: str
    tier: int
    at: str
    outcome: str
    gates: tuple[GateChange, ...] = ()
    sign_offs: tuple[str, ...] = ()


class Rehearsed(msgspec.Struct, frozen=True):
    """What one text would do. `against`: the number of the version in force that it was compared with; `left_out`: older promotions."""

    policy: str
    number: int
    digest: str
    against: int | None
    at: str
    reviews: tuple[ReviewCase, ...]
    promotions: tuple[PromotionCase, ...]
    left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    @property
    def result_digest(self) -> str:
        """The SHA-256 of the canonical result."""
        return digest_of(self.as_dict())

    @property
    def stopped(self) -> tuple[ReviewCase, ...]:
        """Open reviews whose gates hold now and would fail."""
        return tuple(case for case in self.reviews if case.before != FAILS and case.after == FAILS)

    @property
    def freed(self) -> tuple[ReviewCase, ...]:
        """Open reviews of which a gate fails now and none would."""
        return tuple(case for case in self.reviews if case.before == FAILS and case.after != FAILS)

    @property
    def failed(self) -> tuple[PromotionCase, ...]:
        """Promotions that would have failed."""
        return tuple(case for case in self.promotions if case.outcome == FAILS)


def read_result(result: Mapping[str, Any]) -> Rehearsed:
    """A stored result, typed again."""
    return msgspec.convert(result, Rehearsed)


class Shown(msgspec.Struct, frozen=True):
    """The part of a result that somebody may see; `hidden` counts the cases of models that they may not."""

    found: Rehearsed
    hidden: int


def visible_part(found: Rehearsed, by: Principal) -> Shown:
    """Only the cases of models that `by` may see: a policy's author needs no access to what it governs."""
    names = set(models_visible_to(by).values_list("name", flat=True))
    reviews = tuple(case for case in found.reviews if case.model in names)
    promotions = tuple(case for case in found.promotions if case.model in names)
    hidden = len(found.reviews) + len(found.promotions) - len(reviews) - len(promotions)
    return Shown(msgspec.structs.replace(found, reviews=reviews, promotions=promotions), hidden)


def cases_of(version: PolicyVersion) -> int:
    """How many cases a rehearsal of `version` has."""
    plan = _plan(version)
    return len(plan.reviews) + len(plan.promotions)


class _Plan(msgspec.Struct, frozen=True):
    version: PolicyVersion
    document: PolicyDocument
    now: tuple[tuple[PolicyVersion, PolicyDocument], ...]
    then: tuple[tuple[PolicyVersion, PolicyDocument], ...]
    against: PolicyVersion | None
    reviews: tuple[Review, ...]
    promotions: tuple[Promotion, ...]
    left_out: int
    memberships: Memberships = msgspec.field(default_factory=Memberships)


def _plan(version: PolicyVersion) -> _Plan:
    document = document_of(version)
    now = tuple(in_force())
    replaced = next((pair for pair in now if pair[0].policy_id == version.policy_id), None)
    then = (*(pair for pair in now if pair is not replaced), (version, document))
    texts = [document, *([replaced[1]] if replaced else [])]
    reviews = (
        Review.objects.open()
        .select_related("version__model", *(f"version__{one}" for one in _MAKERS), "stage")
        .order_by("requested_at", "pk")
    )
    promotions = (
        Promotion.objects.filter(rollback=False, stage__name=document.applies_to.stage)
        .filter(model__tier__in=document.applies_to.tiers)
        .select_related(
            "model",
            "version__model",
            "previous__model",
            "stage",
            *(f"{end}__{one}" for end in ("version", "previous") for one in _MAKERS),
        )
    )
    return _Plan(
        version,
        document,
        now,
        then,
        replaced[0] if replaced else None,
        tuple(one for one in reviews if any(covers(text, one.version.model.tier, one.stage.name) for text in texts)),
        tuple(promotions[:MOST_PROMOTIONS]),
        max(0, promotions.count() - MOST_PROMOTIONS),
    )


def rehearse(version: PolicyVersion, *, progress: Progress | None = None) -> Rehearsed:
    """Ask the text of `version` about every open review that it or its predecessor governs, and replay it over past promotions."""
    plan = _plan(version)
    total = len(plan.reviews) + len(plan.promotions)
    reviews: list[ReviewCase] = []
    promotions: list[PromotionCase] = []
    for reviewed in _batches(plan.reviews):
        reviews += _review_cases(plan, reviewed)
        _tell(progress, len(reviews), total)
    for promoted in _batches(plan.promotions):
        promotions += _promotion_cases(plan, promoted)
        _tell(progress, len(reviews) + len(promotions), total)
    return Rehearsed(
        policy=version.policy.name,
        number=version.number,
        digest=version.digest,
        against=plan.against.number if plan.against else None,
        at=timezone.now().isoformat(),
        reviews=tuple(reviews),
        promotions=tuple(promotions),
        left_out=plan.left_out,
    )


def _review_cases(plan: _Plan, reviews: Sequence[Review]) -> list[ReviewCase]:
    holders = {
        (alias.model_id, alias.stage_id): alias.version
        for alias in Alias.objects.filter(
            model__in={one.version.model_id for one in reviews}, stage__isnull=False
        ).select_related("version__model", *(f"version__{one}" for one in _MAKERS))
    }
    live = [holders.get((one.version.model_id, one.stage_id)) for one in reviews]
    records = records_of([*(one.version for one in reviews), *(one for one in live if one is not None)])
    return [_review_case(plan, review, holder, records) for review, holder in zip(reviews, live, strict=True)]


def _review_case(plan: _Plan, review: Review, holder: ModelVersion | None, records: Mapping[int, Record]) -> ReviewCase:
    tier, stage = review.version.model.tier, review.stage.name
    production = holder if holder is not None and holder.pk != review.version_id else None
    rules = [applying(texts, tier, stage) for texts in (plan.now, plan.then)]
    record, live = records[review.version_id], records[production.pk] if production else None
    before, after = (evaluate(one.gates, _facts(one, record, live, plan.memberships)) for one in rules)
    return ReviewCase(
        review=str(review.uuid),
        model=review.version.model.name,
        version=review.version.number,
        stage=stage,
        tier=tier,
        before=_verdict(rules[0], before),
        after=_verdict(rules[1], after),
        gates=_gate_changes(before, after),
        sign_offs=_slot_changes(rules[0].slots, rules[1].slots),
    )


def _promotion_cases(plan: _Plan, promotions: Sequence[Promotion]) -> list[PromotionCase]:
    versions = [one.version for one in promotions] + [one.previous for one in promotions if one.previous is not None]
    histories = histories_of(versions)
    signed = _signatures_behind(promotions)
    return [_promotion_case(plan, one, histories, signed[one.pk]) for one in promotions]


def _promotion_case(
    plan: _Plan, promotion: Promotion, histories: Mapping[int, History], signed: Counter[str]
) -> PromotionCase:
    version = plan.version
    rules = Rules(((PolicyRef(version.policy.name, version.number, version.digest), plan.document),))
    previous = promotion.previous if promotion.previous_id != promotion.version_id else None
    record = histories[promotion.version_id].at(promotion.at)
    live = histories[previous.pk].at(promotion.at) if previous else None
    outcomes = evaluate(rules.gates, _facts(rules, record, live, plan.memberships))
    gates = tuple(_change("", outcome) for outcome in outcomes if outcome.blocks)
    lacking = tuple(_lacking(rules.slots, signed))
    return PromotionCase(
        promotion=str(promotion.uuid),
        model=promotion.model.name,
        version=promotion.version.number,
        stage=promotion.stage.name,
        tier=promotion.model.tier,
        at=promotion.at.isoformat(),
        outcome=FAILS if gates or lacking else HOLDS,
        gates=gates,
        sign_offs=lacking,
    )


def _facts(rules: Rules, record: Record, live: Record | None, memberships: Memberships) -> Facts:
    return facts_for(
        version_facts(record, counted(record, rules, memberships)),
        version_facts(live, counted(live, rules, memberships)) if live else None,
    )


def _verdict(rules: Rules, outcomes: Iterable[GateOutcome]) -> str:
    if not rules.slots:
        return UNGOVERNED
    return FAILS if any(outcome.blocks for outcome in outcomes) else HOLDS


def _gate_changes(before: Sequence[GateOutcome], after: Sequence[GateOutcome]) -> tuple[GateChange, ...]:
    """The gates that come out otherwise, that are new, or that are gone."""
    was = {outcome.gate.key: outcome for outcome in before}
    will = {outcome.gate.key: outcome for outcome in after}
    changed = [
        _change(str(was[key].status) if key in was else "", outcome)
        for key, outcome in will.items()
        if key not in was or (was[key].status, was[key].blocks) != (outcome.status, outcome.blocks)
    ]
    gone = [
        GateChange(key, outcome.gate.title, str(outcome.status), "", warning=outcome.gate.warning)
        for key, outcome in was.items()
        if key not in will
    ]
    return (*changed, *gone)


def _change(before: str, outcome: GateOutcome) -> GateChange:
    return GateChange(
        outcome.gate.key,
        outcome.gate.title,
        before,
        str(outcome.status),
        outcome.measured,
        outcome.required,
        outcome.explanation,
        outcome.gate.warning,
    )


def _slot_changes(before: Sequence[SlotRule], after: Sequence[SlotRule]) -> tuple[str, ...]:
    was, will = ({(slot.title, slot.group): slot.people for slot in slots} for slots in (before, after))
    sentences = [
        f"{title}: {_people(people)} of {group}, new"
        for (title, group), people in will.items()
        if (title, group) not in was
    ]
    sentences += [f"{title} of {group}: no longer asked" for title, group in was if (title, group) not in will]
    sentences += [
        f"{title} of {group}: {_people(people)} instead of {was[title, group]}"
        for (title, group), people in will.items()
        if was.get((title, group), people) != people
    ]
    return tuple(sentences)


def _signatures_behind(promotions: Sequence[Promotion]) -> dict[int, Counter[str]]:
    """How many people of which group had approved by the moment of each promotion, in the round behind it.

    What went live ahead of its review has a round that went on: what was signed or taken back there later plays no part.
    """
    found: dict[int, Counter[str]] = defaultdict(Counter)
    moment = F("round__approvals__promotion__at")
    rows = (
        SignOff.objects.filter(
            Q(withdrawn_at=None) | Q(withdrawn_at__gt=moment),
            round__approvals__promotion__in=promotions,
            signed_at__lte=moment,
            decision__in=APPROVING,
        )
        .values_list("round__approvals__promotion", "slot__group__name", "person")
        .distinct()
    )
    for promotion, group, _ in rows:
        found[promotion][group] += 1
    return found


def _lacking(slots: Sequence[SlotRule], signed: Counter[str]) -> Iterable[str]:
    needed: Counter[str] = Counter()
    for slot in slots:
        needed[slot.group] += slot.people
    for group, people in needed.items():
        if signed[group] < people:
            yield f"{_people(people)} of {group} had to sign; {signed[group] or 'nobody'} had"


def _people(number: int) -> str:
    return "one person" if number == 1 else f"{number} people"


def _batches(rows: Sequence[T]) -> Iterable[Sequence[T]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
