"""What the review page shows, put together once: header, steps, tiles, panel, evidence sections, discussion, history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from access.principal import Principal
from audit.queries import Filter, LoggedEntry, entries
from foundation.numbers import whole_number
from foundation.refusals import NotFound, RequirementStatus
from registry import cards
from registry.models import ModelVersion, RegisteredModel, Stage
from reviews.evaluation import Evaluation, current_subject, examine
from reviews.facts import estimate
from reviews.gates import GateOutcome
from reviews.models import Comment, EvidenceReading, Review
from reviews.panel import Panel, panel_of
from reviews.reading import SECTIONS, section_digests
from reviews.sections.changes import Changes, changes
from reviews.sections.differences import Change
from reviews.sections.fairness import Fairness, fairness
from reviews.sections.measured import Measured
from reviews.sections.performance import Performance, metric_change, performance

HISTORY: Final = 40
HISTORY_KINDS: Final = ("review", "round", "sign_off", "promotion", "revocation")
HISTORY_ACTIONS: Final = ("version.register", "version.admit", "version.move", "card.revise")


@dataclass(frozen=True)
class Step:
    """One step of the version's way; `state` is done, now or empty."""

    title: str
    note: str
    state: str


@dataclass(frozen=True)
class Tile:
    """One number of the decision's summary."""

    label: str
    value: str
    unit: str
    mark: str
    status: str
    href: str
    change: Change | None = None
    digits: int = 3
    against: str = ""
    limit: str = ""
    note: str = ""


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
    comments: Sequence[Comment]
    history: Sequence[LoggedEntry]
    subject_digest: str

    @property
    def gates_open(self) -> list[GateOutcome]:
        """Gates that fail, cannot be evaluated, or warn."""
        return [one for one in self.found.gates if one.blocks or one.warns]

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
    def read(self) -> int:
        """How many sections the reader has marked."""
        return sum(1 for reading in self.readings.values() if reading.reviewed)


def version_page(version: ModelVersion, by: Principal, *, stage: str = "", base: str = "") -> VersionPage:
    """The page of `version` for `by`. `stage` and `base` (a version's number) are as asked for in the address; empty: the default."""
    stages = list(Stage.objects.all())
    found = examine(version, _stage(version, stages, stage))
    new = Measured.of(version)
    old = _base(version, found, base)
    review = found.review
    is_open = found.round is not None and found.round.is_open
    return VersionPage(
        found=found,
        panel=panel_of(found, by),
        new=new,
        old=old,
        bases=_bases(version, found),
        stages=stages,
        steps=_steps(found),
        tiles=list(_tiles(found, new, old)),
        performance=performance(new, old),
        fairness=fairness(new, old),
        changes=changes(new, old),
        card=_card(new, old),
        card_missing=len(cards.missing(new.card.sections if new.card else {})),
        readings=_readings(review, new, by),
        comments=list(review.comments.select_related("author")) if review else [],
        history=_history(found),
        subject_digest=current_subject(found.round).digest
        if found.round and is_open
        else (found.round.subject_digest if found.round else ""),
    )


def _stage(version: ModelVersion, stages: Sequence[Stage], asked: str) -> Stage:
    by_name = {stage.name: stage for stage in stages}
    if asked:
        if asked not in by_name:
            raise NotFound(f"There is no stage {asked}.")
        return by_name[asked]
    open_review = version.reviews.filter(closed_at=None).select_related("stage").order_by("-requested_at").first()
    return open_review.stage if open_review else by_name.get("production", stages[-1])


def _base(version: ModelVersion, found: Evaluation, asked: str) -> Measured | None:
    if asked == "none":
        return None
    if asked:
        other = version.model.versions.filter(number=whole_number(asked) or 0).exclude(pk=version.pk).first()
        if other is None:
            raise NotFound(f"{version.model} has no other version {asked} to compare with.")
        other.model = version.model
        return Measured.of(other)
    default = found.holder if found.holder != version else None
    default = default or (found.round.compared_with if found.round else None)
    return Measured.of(default) if default is not None else None


def _bases(version: ModelVersion, found: Evaluation) -> list[tuple[int, str]]:
    live = found.holder.pk if found.holder else None
    others = version.model.versions.exclude(pk=version.pk).exclude(state="quarantined").order_by("-number")[:30]
    return [
        (one.number, f"v{one.number}{f', in {found.stage.title.lower()}' if one.pk == live else ''}") for one in others
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


def _tiles(found: Evaluation, new: Measured, old: Measured | None) -> Iterable[Tile]:
    considered = [
        one for one in found.gates if one.status is not RequirementStatus.NOT_APPLICABLE and not one.gate.warning
    ]
    failing = [one for one in considered if one.blocks]
    warnings = sum(1 for one in found.gates if one.warns)
    note = f"{len(failing)} {'fails' if len(failing) == 1 else 'fail'}: {failing[0].gate.title}" if failing else ""
    note = note or (f"{warnings} warning{'s' if warnings > 1 else ''} to weigh" if warnings else "nothing blocks")
    mark = "bad" if failing else "ok"
    yield Tile(
        "Policy gates",
        str(len(considered) - len(failing)),
        f"of {len(considered)} pass",
        mark,
        "failing" if failing else "pass",
        "#gates",
        note=note,
    )
    for key, label, gate_key in (("auc", "AUC", "auc-floor"), ("ece", "Calibration error", "calibration")):
        value = estimate(new.content("metrics").get("metrics") or {}, key).get("value")
        if value is None:
            continue
        tile_change = metric_change(new, old, key)
        yield _measured(
            found,
            gate_key,
            label,
            f"{value:.3f}" if key == "auc" else f"{value:.4f}",
            "#performance",
            tile_change,
            old,
            4,
        )
    gap = found.facts.get("fairness.worst_gap")
    if gap is not None:
        before = found.facts.get("production.fairness.worst_gap")
        against = f"{100 * before:.1f} in production" if before is not None else ""
        outcome = next((one for one in found.gates if one.gate.key == "widest-gap"), None)
        mark = _mark(outcome)
        yield Tile(
            "Widest group gap",
            f"{100 * gap:.1f}",
            "pts",
            mark,
            _status(mark),
            "#fairness",
            note=str(found.facts.get("fairness.worst_group", "")),
            against=against,
            limit=outcome.required if outcome else "",
        )
    yield from _last_tile(found, new)


def _last_tile(found: Evaluation, new: Measured) -> Iterable[Tile]:
    share = found.facts.get("comparison.flip_share")
    if share is not None:
        outcome = next((one for one in found.gates if one.gate.key == "decision-flips"), None)
        mark = _mark(outcome)
        against = found.facts.get("comparison.against")
        yield Tile(
            "Decisions that change",
            f"{100 * share:.1f}",
            "%",
            mark,
            _status(mark),
            "#changes",
            note=f"of held-out rows, against v{against}",
        )
    elif (rows := found.facts.get("metrics.holdout_rows")) is not None:
        yield Tile("Held-out rows", f"{rows:,}", "", "", "", "#performance", note="never used in training")


def _measured(
    found: Evaluation,
    gate_key: str,
    label: str,
    value: str,
    href: str,
    tile_change: Change | None,
    old: Measured | None,
    digits: int,
) -> Tile:
    outcome = next((one for one in found.gates if one.gate.key == gate_key), None)
    mark = _mark(outcome)
    return Tile(
        label,
        value,
        "",
        mark,
        _status(mark),
        href,
        tile_change,
        digits,
        f"on {old.name}" if old else "first release",
        outcome.required if outcome else "",
    )


def _mark(outcome: GateOutcome | None) -> str:
    if outcome is None or outcome.status is RequirementStatus.NOT_APPLICABLE:
        return ""
    return "bad" if outcome.blocks else "warn" if outcome.warns else "ok"


def _status(mark: str) -> str:
    return {"bad": "fails", "warn": "warning", "ok": "passes"}.get(mark, "")


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


def _readings(review: Review | None, new: Measured, by: Principal) -> dict[str, Reading]:
    if review is None or by.user is None:
        return {}
    marked = dict(EvidenceReading.objects.filter(review=review, person=by.user).values_list("section", "digest"))
    digests = section_digests(new.evidence, new.version)
    return {
        section: Reading(
            marked.get(section) == digests[section], section in marked and marked[section] != digests[section]
        )
        for section in SECTIONS
    }


def _history(found: Evaluation) -> list[LoggedEntry]:
    """What was decided and done about the version, newest first; pulls and downloads are in the audit log."""
    name, number, pk = found.version.model.name, str(found.version.number), str(found.version.pk)
    wanted = [Filter(obj=name, obj_kind=kind) for kind in HISTORY_KINDS]
    wanted += [Filter(action=action, obj_kind="version", obj_id=pk) for action in HISTORY_ACTIONS]
    logged = [entry for one in wanted for entry in entries(one)[:HISTORY] if entry.entry.obj_version == number]
    return sorted(logged, key=lambda entry: entry.entry.t, reverse=True)[:HISTORY]


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
                promotion.previous if promotion else None,
                coming.get(stage.pk),
            )
        )
    return rows
