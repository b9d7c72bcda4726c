"""What the review page shows, put together once: header, steps, news, tiles, panel, evidence sections, discussion, history.

Every table is read once: what `examine` read is passed on. The budget is 25 statements for any number of comments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils import timezone

from access.permissions import Permission
from access.principal import Principal
from audit.queries import Filter, newest
from foundation.numbers import whole_number
from foundation.refusals import NotFound, RequirementStatus
from registry import cards
from registry import queries as registry
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.banners import Banner, banners_of
from reviews.discussion import Said, discussion_of
from reviews.evaluation import Evaluation, Known, deciding, examine, rounds_of
from reviews.gates import GateOutcome
from reviews.models import Review
from reviews.panel import Panel, panel_of
from reviews.promotion import champion_before
from reviews.reading import SECTIONS, section_digests
from reviews.sections.changes import Changes, changes
from reviews.sections.fairness import Fairness, fairness
from reviews.sections.measured import Measured
from reviews.sections.performance import Performance, performance
from reviews.tiles import Tile, gates_shown, tiles_of
from reviews.told import Told, told
from reviews.visits import Kept, Since, gates_of, kept_of, news_of, note_visit

HISTORY: Final = 40
MOST_BASES: Final = 30
HISTORY_KINDS: Final = (
    *(
        "review",
        "round",
        "sign_off",
        "approval",
        "promotion",
        "revocation",
        "lapse",
        "exception",
        "break_glass",
        "finding",
    ),
)
HISTORY_ACTIONS: Final = ("version.register", "version.admit", "version.move", "card.revise")


@dataclass(frozen=True)
class Step:
    """One step of the version's way; `state` is done, now or empty."""

    title: str
    note: str
    state: str


@dataclass(frozen=True)
class Reading:
    """Whether the reader marked a section: at the digest that it shows now, or before it changed."""

    reviewed: bool
    changed: bool


@dataclass(frozen=True)
class VersionPage:
    """Everything that the page of a version shows to one reader."""

    found: Evaluation
    panel: Panel
    new: Measured
    old: Measured | None
    bases: Sequence[tuple[int, str]]
    stages: Sequence[Stage]
    steps: Sequence[Step]
    tiles: Sequence[Tile]
    performance: Performance | None
    fairness: Fairness | None
    changes: Changes
    card: Sequence[tuple[cards.Section, str, bool]]
    card_missing: int
    readings: dict[str, Reading]
    subject_digest: str
    since: Since
    banners: Sequence[Banner]
    may_compare: bool

    @property
    def gates_open(self) -> list[GateOutcome]:
        """Gates that fail, cannot be evaluated, are excepted, or warn."""
        return gates_shown(self.found.gates)

    @property
    def first_release(self) -> bool:
        """Whether nothing is live at the stage, so that gates are judged absolutely."""
        return self.found.holder is None

    @property
    def gates_passed(self) -> list[GateOutcome]:
        """Gates that pass."""
        return [one for one in self.found.gates if one.status is RequirementStatus.SATISFIED]

    @property
    def warnings_kept(self) -> int:
        """How many warnings are not raised."""
        return sum(1 for one in self.gates_passed if one.gate.warning)

    @property
    def gates_passed_count(self) -> int:
        """How many gates pass, warnings apart."""
        return len(self.gates_passed) - self.warnings_kept

    @property
    def gates_idle(self) -> list[GateOutcome]:
        """Gates that do not apply."""
        return [one for one in self.found.gates if one.status is RequirementStatus.NOT_APPLICABLE]

    @property
    def supply_chain_reading(self) -> Reading | None:
        """The reading of the section whose name a template cannot write."""
        return self.readings.get("supply-chain")

    @property
    def changed_readings(self) -> int:
        """How many sections changed since the reader marked them."""
        return sum(1 for reading in self.readings.values() if reading.changed)

    @property
    def read(self) -> int:
        """How many sections the reader has marked."""
        return sum(1 for reading in self.readings.values() if reading.reviewed)


def version_page(
    version: ModelVersion,
    by: Principal,
    *,
    stage: str = "",
    base: str = "",
    visiting: bool = False,
    at: datetime | None = None,
) -> VersionPage:
    """The page of `version` for `by`. `stage` and `base` (a version's number) are as asked for in the address; empty: the default.

    `visiting`: the person opens the page, which is noted, and what is new since their visit before is marked. `at`: as of when, by
    default now.
    """
    holders = dict(registry.stages_with_holders(version.model))
    rounds = rounds_of(version)
    for round_ in rounds:
        round_.review.version = version
    chosen = _stage(list(holders), rounds, stage)
    known = Known([one for one in rounds if one.review.stage_id == chosen.pk], holders[chosen])
    deciding_now = deciding(known.rounds)
    discussion = discussion_of(deciding_now.review) if deciding_now else None
    found = examine(version, chosen, at=at, known=known)
    new = Measured.known(found.record, found.evidence)
    old = _base(version, found, base)
    review = found.review
    comments = discussion.comments if discussion else []
    subject = found.subject
    kept = kept_of(review, by.user)
    return VersionPage(
        found=found,
        panel=panel_of(found, by),
        new=new,
        old=old,
        bases=_bases(version, found),
        stages=list(holders),
        steps=_steps(found),
        tiles=tiles_of(found),
        performance=performance(new, old),
        fairness=fairness(new, old),
        changes=changes(new, old),
        card=_card(new, old),
        card_missing=len(cards.missing(new.card.sections if new.card else {})),
        readings=_readings(kept, new) if review and by.user else {},
        subject_digest=subject.digest if subject else (found.round.subject_digest if found.round else ""),
        since=_since(kept, found, comments, by) if visiting else Since(),
        banners=banners_of(found, known.rounds),
        may_compare=bool(found.live and old and old.version.pk == found.live.version.pk)
        and bool(version.job_uuid)
        and by.allows(Permission.REGISTER_VERSION, version.model),
    )


def _since(kept: Kept, found: Evaluation, comments: Sequence[Said], by: Principal) -> Since:
    if found.review is None or by.user is None or not by.user.is_person:
        return Since()
    visit = note_visit(kept.visit, found.review, by.user, gates_of(found), timezone.now())
    return news_of(visit, found, comments, by.user)


def _stage(stages: Sequence[Stage], rounds: Sequence[Any], asked: str) -> Stage:
    by_name = {stage.name: stage for stage in stages}
    if asked:
        if asked not in by_name:
            raise NotFound(f"There is no stage {asked}.")
        return by_name[asked]
    under_way = [one.review for one in rounds if one.review.closed_at is None]
    newest_open = max(under_way, key=lambda review: review.requested_at, default=None)
    return by_name[newest_open.stage.name] if newest_open else by_name.get("production", stages[-1])


def _base(version: ModelVersion, found: Evaluation, asked: str) -> Measured | None:
    if asked == "none":
        return None
    if asked and not (found.live and asked == str(found.live.version.number)):
        other = version.model.versions.filter(number=whole_number(asked) or 0).exclude(pk=version.pk).first()
        if other is None:
            raise NotFound(f"{version.model} has no other version {asked} to compare with.")
        other.model = version.model
        return Measured.of(other)
    if found.live is not None:
        return Measured.known(found.live, found.live_evidence)
    compared = found.round.compared_with if found.round and found.holder is None else None
    return Measured.of(compared) if compared is not None else None


def _bases(version: ModelVersion, found: Evaluation) -> list[tuple[int, str]]:
    """The newest numbers of the model, without asking which of them were admitted: choosing one that was not says so."""
    live = found.holder.number if found.holder else None
    newest = [*range(version.model.last_number, 0, -1)[:MOST_BASES], *([live] if live else [])]
    return [
        (number, f"v{number}{f', in {found.stage.title.lower()}' if number == live else ''}")
        for number in dict.fromkeys(newest)
        if number != version.number
    ]


def _steps(found: Evaluation) -> list[Step]:
    version, round_ = found.version, found.round
    considered = [
        one for one in found.gates if one.status is not RequirementStatus.NOT_APPLICABLE and not one.gate.warning
    ]
    passed = sum(1 for one in considered if not one.blocks)
    signed = sum(min(slot.signed, slot.slot.people) for slot in found.standing.slots) if found.standing else 0
    asked = sum(slot.people for slot in found.rules.slots)
    approved = found.approval is not None and not found.approval.revocation_id
    live = found.holder == version
    done = [
        version.state not in {"quarantined", "rejected"},
        passed == len(considered),
        asked > 0 and signed >= asked,
        approved,
        live,
    ]
    notes = [
        f"{version.created_at:%d %b %Y}, by {version.created_by}",
        f"{passed} of {len(considered)} pass",
        f"{signed} of {asked} collected" if round_ else "not requested yet",
        f"until {found.approval.valid_until:%d %b %Y}"
        if approved and found.approval
        else f"lasts {found.rules.valid_months} months",
        "live now" if live else f"replaces v{found.holder.number}" if found.holder else "the first one",
    ]
    titles = ["Registered", "Gates", "Sign-off", "Approved", f"In {found.stage.title.lower()}"]
    now = next((number for number, finished in enumerate(done) if not finished), len(done))
    return [
        Step(title, note, "done" if done[i] else "now" if i == now else "")
        for i, (title, note) in enumerate(zip(titles, notes, strict=True))
    ]


def _card(new: Measured, old: Measured | None) -> list[tuple[cards.Section, str, bool]]:
    own: dict[str, Any] = new.card.sections if new.card else {}
    before: dict[str, Any] = old.card.sections if old and old.card else {}
    return [
        (
            section,
            str(own.get(section.key, "")),
            bool(old and old.card and own.get(section.key, "") != before.get(section.key, "")),
        )
        for section in cards.SECTIONS
    ]


def _readings(kept: Kept, new: Measured) -> dict[str, Reading]:
    marked = kept.read
    digests = section_digests(new.evidence, new.card)
    return {
        section: Reading(
            marked.get(section) == digests[section], section in marked and marked[section] != digests[section]
        )
        for section in SECTIONS
    }


def history_of(version: ModelVersion) -> list[Told]:
    """What was decided and done about the version, newest first; pulls and downloads are in the audit log."""
    name, number, pk = version.model.name, str(version.number), str(version.pk)
    wanted = [Filter(obj=name, obj_kind=kind) for kind in HISTORY_KINDS]
    wanted += [Filter(action=action, obj_kind="version", obj_id=pk) for action in HISTORY_ACTIONS]
    logged = [entry for entry in newest(wanted, 4 * HISTORY) if entry.entry.obj_version == number]
    return [told(one) for one in sorted(logged, key=lambda one: one.entry.t, reverse=True)[:HISTORY]]


@dataclass(frozen=True)
class StageRow:
    """What one stage of a model holds, and what comes next for it."""

    stage: Stage
    holder: ModelVersion | None
    since: Any
    approved_until: Any
    previous: ModelVersion | None
    coming: Review | None


def stage_rows(model: RegisteredModel) -> list[StageRow]:
    """One row a stage, last stage first."""
    rows = []
    aliases = {
        alias.stage_id: alias
        for alias in model.aliases.filter(stage__isnull=False).select_related("version", "promotion__previous")
    }
    coming = {
        review.stage_id: review
        for review in Review.objects.open()
        .filter(version__model=model)
        .select_related("version")
        .order_by("requested_at")
    }
    for stage in Stage.objects.order_by("-order"):
        alias = aliases.get(stage.pk)
        promotion = alias.promotion if alias else None
        approval = getattr(promotion, "approval", None) if promotion else None
        rows.append(
            StageRow(
                stage,
                alias.version if alias else None,
                promotion.at if promotion else None,
                approval.valid_until if approval else None,
                champion_before(alias) if alias else None,
                coming.get(stage.pk),
            )
        )
    return rows
