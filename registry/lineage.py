"""Where a version came from and where it went: data, recipe, run, the version itself, what replaced it, who points at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from django.urls import NoReverseMatch, reverse

from registry.models import Evidence, ModelVersion


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the lineage: what it is, its name, its digest, who made it and when, and where to look at it."""

    kind: str
    icon: str
    name: str
    digest: str = ""
    who: str = ""
    when: datetime | None = None
    link: str = ""
    note: str = ""


def steps(version: ModelVersion, *, sees_data: bool) -> list[Step]:
    """The lineage in order, from the data to the aliases; what is not known is left out, and `gaps` says so.

    `sees_data`: whether the reader may open the pages of datasets; for others the data has its name and no link.
    """
    data = _data(version) if sees_data else (replace(step, link="") for step in _data(version))
    return [*data, *_training(version), *_version(version), *_after(version)]


def gaps(version: ModelVersion) -> list[str]:
    """What the record does not say, as sentences."""
    missing = {
        "which data it was trained on": version.dataset_version_id is None,
        "how the data was prepared": version.recipe_id is None,
        "which run made it": not (version.run_id or version.job_uuid),
        "which code made it": not version.code_reference,
    }
    return [what for what, absent in missing.items() if absent]


def _data(version: ModelVersion) -> Iterator[Step]:
    if version.dataset_version is not None:
        data = version.dataset_version
        yield Step(
            "Dataset",
            "database",
            str(data),
            data.digest,
            str(data.prepared_by),
            data.created_at,
            _link("datasets:detail", data.dataset.name),
            f"{data.rows:,} rows",
        )
    if version.recipe is not None:
        recipe = version.recipe
        yield Step(
            "Recipe",
            "list",
            str(recipe),
            recipe.digest,
            str(recipe.created_by),
            recipe.created_at,
            _link("datasets:recipe", recipe.dataset.name, recipe.name, recipe.number),
        )


def _training(version: ModelVersion) -> Iterator[Step]:
    if version.code_reference:
        yield Step("Code", "code", version.code_reference)
    if version.job_uuid is not None:
        link = _link("training:detail", version.job_uuid)
        yield Step("Training job", "cpu", str(version.job_uuid), who=str(version.trained_by or ""), link=link)
    yield from _mitigation(version)
    if version.run_id:
        yield Step("Run", "activity", version.run_id, note=version.run_link or version.source)
    elif version.source:
        yield Step("Source", "link", version.source)
    if version.retrain_of is not None:
        yield _other("Retraining of", version.retrain_of)


def _mitigation(version: ModelVersion) -> Iterator[Step]:
    """What training did against unequal treatment, as the newest fairness evidence of a worker records it."""
    rows = version.evidence.filter(kind=Evidence.Kind.FAIRNESS, subject_digest=version.digest).exclude(job_kind="")
    newest = rows.select_related("producer").order_by("-created_at", "-pk").first()
    found = (newest.content.get("mitigation") or {}) if newest else {}
    if newest is None or found.get("method", "none") == "none":
        return
    note = f"for {', '.join(found.get('attributes') or [])}"
    if threshold := found.get("threshold"):
        note += f"; cut-off {threshold.get('chosen')} instead of {threshold.get('asked')}"
    link = _link("registry:evidence", version.model.name, version.number, newest.pk)
    yield Step(
        "Mitigation", "users", str(found["method"]), newest.digest, str(newest.producer), newest.created_at, link, note
    )


def _version(version: ModelVersion) -> Iterator[Step]:
    yield Step(
        "Version",
        "box",
        str(version),
        version.digest,
        str(version.created_by),
        version.created_at,
        _link("reviews:version", version.model.name, version.number),
        version.get_state_display(),
    )


def _after(version: ModelVersion) -> Iterator[Step]:
    for later in version.retrained_as.select_related("model", "created_by").order_by("number"):
        yield _other("Retrained as", later)
    for promotion in version.promotions.select_related("stage", "by").order_by("at"):
        kind = "Rolled back to" if promotion.rollback else "Promoted to"
        yield Step(
            kind,
            "rocket",
            str(promotion.stage),
            promotion.release_digest,
            str(promotion.by or "the clock"),
            promotion.at,
        )
    for alias in version.aliases.select_related("stage", "updated_by").order_by("name"):
        note = f"alias of {alias.stage}" if alias.stage else "free alias"
        yield Step(
            "Alias", "pin", alias.name, who=str(alias.updated_by or "the clock"), when=alias.updated_at, note=note
        )


def _other(kind: str, version: ModelVersion) -> Step:
    link = _link("registry:lineage", version.model.name, version.number)
    return Step(kind, "refresh", str(version), version.digest, str(version.created_by), version.created_at, link)


def _link(name: str, *arguments: object) -> str:
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:  # the room that owns the page is not part of this process
        return ""
