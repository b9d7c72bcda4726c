"""What the other rooms ask of the registry: a version by alias or number, its newest evidence, its facets, its card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet

from access.permissions import Permission, absent_or_kept_out, visible_to
from access.principal import Principal
from countersign.proof.canonical import digest_of
from foundation.refusals import NotFound
from registry import cards
from registry.models import Alias, Evidence, ModelCardRevision, ModelVersion, RegisteredModel, Stage
from registry.releases import verified_release

EVALUATION_KINDS: Final = (
    Evidence.Kind.METRICS,
    Evidence.Kind.CURVES,
    Evidence.Kind.SLICES,
    Evidence.Kind.FAIRNESS,
    Evidence.Kind.CALIBRATION,
    Evidence.Kind.IMPORTANCE,
    Evidence.Kind.COMPARISON,
)
HANDS: Final = ("created_by", "trained_by", "dataset_version__prepared_by", "recipe__created_by")
"""The relations of a version to those who had a hand in it, for `select_related`."""
LOCK_FILES: Final = ("requirements.txt", "conda.yaml", "python_env.yaml")


def models_visible_to(by: Principal, permission: Permission = Permission.SEE_MODEL) -> QuerySet[RegisteredModel]:
    """The registered models on which `by` may use `permission`."""
    return visible_to(RegisteredModel.objects.select_related("owner"), by, permission)


def find_model(name: str, by: Principal, permission: Permission = Permission.SEE_MODEL) -> RegisteredModel:
    """The model of this name; raises `NotFound` when there is none or `by` may not see it: the two look the same."""
    model = models_visible_to(by, permission).filter(name=name).first()
    if model is None:
        absent = NotFound(f"There is no registered model named “{name}” that you may see.", code="model-unknown")
        raise absent_or_kept_out(RegisteredModel.objects.filter(name=name).first(), by, permission, absent)
    return model


def find_version(name: str, number: int, by: Principal, permission: Permission = Permission.SEE_MODEL) -> ModelVersion:
    """One version of a model; raises `NotFound` likewise."""
    versions = ModelVersion.objects.filter(model__name=name, number=number).select_related("model__owner", *HANDS)
    version = visible_to(versions, by, permission, through="model").first()
    if version is None:
        find_model(name, by, permission)
        raise NotFound(f"{name} has no version {number}.", code="version-unknown")
    return version


def find_number(model: RegisteredModel, number: int) -> ModelVersion:
    """One version of a model that was found for somebody, by itself; raises `NotFound` when there is none of this number."""
    version = model.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"{model.name} has no version {number}.", code="version-unknown")
    version.model = model
    return version


def find_evidence(version: ModelVersion, pk: int) -> Evidence:
    """One piece of evidence about a version that was found for somebody; raises `NotFound` when it has none of this key."""
    found = version.evidence.select_related("producer").filter(pk=pk).first()
    if found is None:
        raise NotFound(f"{version} has no such evidence.", code="evidence-unknown")
    return found


def resolve_alias(
    model_name: str, alias: str, by: Principal, permission: Permission = Permission.SEE_MODEL
) -> ModelVersion:
    """The version that an alias points at; a stage's alias only while its release's signature and content hold.

    Raises `NotFound` for an unknown model or alias, `Conflict` for a protected alias that no valid release put there.
    """
    model = find_model(model_name, by, permission)
    row = (
        Alias.objects.filter(model=model, name=alias)
        .select_related("version", "version__model", "stage", "promotion", "promotion__stage", "promotion__version")
        .first()
    )
    if row is None:
        names = ", ".join(model.aliases.values_list("name", flat=True)) or "none yet"
        raise NotFound(f"{model_name} has no alias “{alias}”. Its aliases: {names}.", code="alias-unknown")
    if row.protected:
        verified_release(row)
    return row.version


def stages_with_holders(model: RegisteredModel) -> list[tuple[Stage, ModelVersion | None]]:
    """Every stage, in order, with the version of `model` that its alias points at now; in one statement."""
    own = FilteredRelation("aliases", condition=Q(aliases__model=model))
    related = ["own__version__model", *(f"own__version__{hand}" for hand in HANDS)]
    stages = Stage.objects.annotate(own=own).select_related(*related)
    return [(stage, holder.version if (holder := getattr(stage, "own", None)) else None) for stage in stages]


def find_stage(name: str) -> Stage:
    """The stage of this name; raises `NotFound` when there is none."""
    stage = Stage.objects.filter(name=name).first()
    if stage is None:
        raise NotFound(f"There is no stage {name}.")
    return stage


def stage_holder(model: RegisteredModel, stage: Stage) -> ModelVersion | None:
    """The version that the stage's alias points at now."""
    row = model.aliases.filter(stage=stage).select_related("version", "version__model").first()
    return row.version if row else None


@dataclass(frozen=True)
class Record:
    """What is known of one version, read once: the newest evidence of each kind about exactly its bytes, and the newest card.

    `results`: by kind, the newest of each producer (an account, and whether its worker or it itself did it), newest first.
    """

    version: ModelVersion
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    card: ModelCardRevision | None = None
    results: Mapping[str, Sequence[Evidence]] = field(default_factory=dict)


def records_of(versions: Iterable[ModelVersion]) -> dict[int, Record]:
    """The records of several versions by primary key, in two statements."""
    wanted = {version.pk: version for version in versions}
    results: dict[int, dict[str, list[Evidence]]] = {pk: {} for pk in wanted}
    for row in _newest_evidence(wanted):
        results[row.version_id].setdefault(row.kind, []).insert(0, row)
    newer = ModelCardRevision.objects.filter(version=OuterRef("version"), number__gt=OuterRef("number"))
    revisions = ModelCardRevision.objects.filter(~Exists(newer), version__in=wanted).select_related("author")
    cards = {card.version_id: card for card in revisions}
    return {
        pk: Record(version, {kind: rows[0] for kind, rows in results[pk].items()}, cards.get(pk), results[pk])
        for pk, version in wanted.items()
    }


def evidence_of(version: ModelVersion) -> dict[str, Evidence]:
    """The newest evidence of each kind about exactly these bytes."""
    return {row.kind: row for row in _newest_evidence([version.pk])}


def measured_by_workers(version: ModelVersion, kind: str) -> dict[str, Any]:
    """The content of the newest evidence of this kind that a worker of ours measured about exactly these bytes; empty without one."""
    found = _newest_evidence([version.pk]).filter(kind=kind).exclude(job_kind="").last()
    return dict(found.content) if found else {}


def _newest_evidence(versions: Iterable[int]) -> QuerySet[Evidence]:
    """The newest of each kind and producer, oldest first."""
    same = Evidence.objects.filter(
        version=OuterRef("version"),
        kind=OuterRef("kind"),
        subject_digest=OuterRef("subject_digest"),
        producer=OuterRef("producer"),
        job_kind=OuterRef("job_kind"),
    )
    newer = same.filter(
        Q(created_at__gt=OuterRef("created_at")) | Q(created_at=OuterRef("created_at"), pk__gt=OuterRef("pk"))
    )
    return (
        Evidence.objects.filter(~Exists(newer), version__in=list(versions), subject_digest=F("version__digest"))
        .select_related("producer")
        .order_by("created_at", "pk")
    )


def latest_card(version: ModelVersion) -> ModelCardRevision | None:
    """The card's newest revision."""
    return version.card_revisions.order_by("-number").first()


def card_completeness(version: ModelVersion) -> float:
    """The share of the card's sections that say something, from 0 to 1."""
    card = latest_card(version)
    return cards.completeness(card.sections) if card else 0.0


def facets(version: ModelVersion, record: Record | None = None) -> dict[str, str]:
    """The digest of each part of what is signed: artifact, data, environment, evaluation, card. (The policy's is the review's.)"""
    record = record or records_of([version])[version.pk]
    newest, card = record.evidence, record.card
    return {
        "artifact": version.digest,
        "data": digest_of(_data_facet(version, newest)),
        "environment": digest_of(_environment_facet(version, newest)),
        "evaluation": digest_of({kind: newest[kind].digest for kind in EVALUATION_KINDS if kind in newest}),
        "card": card.digest if card else digest_of({}),
    }


def servable(version: ModelVersion) -> bool:
    """Whether the admission scan says that our workers can load it; a version that is not can still be registered and pulled."""
    scan = evidence_of(version).get(Evidence.Kind.SCAN)
    return bool(scan and scan.content.get("verdict") == "admitted" and scan.content.get("servable"))


def _data_facet(version: ModelVersion, newest: Mapping[str, Evidence]) -> dict[str, Any]:
    return {
        "dataset": version.dataset_version.digest if version.dataset_version else None,
        "recipe": version.recipe.digest if version.recipe else None,
        "evidence": _digest(newest, Evidence.Kind.DATA),
    }


def _environment_facet(version: ModelVersion, newest: Mapping[str, Evidence]) -> dict[str, Any]:
    locks = {name: file.sha256 for name in LOCK_FILES if (file := version.file(name))}
    return {"evidence": _digest(newest, Evidence.Kind.ENVIRONMENT), "files": locks, "code": version.code_reference}


def _digest(newest: Mapping[str, Evidence], kind: str) -> str | None:
    return newest[kind].digest if kind in newest else None
