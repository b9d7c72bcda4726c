"""What other rooms and pages ask about datasets: find one, and who uses it."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db.models import Count, Max, QuerySet

from access.permissions import Permission, permit, visible_to
from access.principal import Principal
from datasets.models import Dataset, DatasetVersion, Recipe
from foundation.refusals import NotFound


def datasets_for(by: Principal) -> QuerySet[Dataset]:
    """All datasets with `version_count`, `newest_number` and owner; raises `Forbidden` for who may not see any."""
    permit(by, Permission.SEE_DATASETS)
    return (
        Dataset.objects.select_related("owner")
        .annotate(version_count=Count("versions", distinct=True), newest_number=Max("versions__number"))
        .order_by("name")
    )


def find_dataset(name: str, by: Principal) -> Dataset:
    """The dataset called `name`; asks for the permission first, so that who lacks it cannot tell what exists."""
    dataset = datasets_for(by).filter(name=name).first()
    if dataset is None:
        raise NotFound(f"There is no dataset called {name[:63]}.")
    return dataset


def find_version(dataset: Dataset, number: int | None = None) -> DatasetVersion | None:
    """Version `number` of `dataset` with its profile, or the newest; None when there is no version yet."""
    versions = DatasetVersion.objects.filter(dataset=dataset).select_related("profile", "prepared_by", "dataset")
    if number is None:
        return versions.order_by("-number").first()
    found = versions.filter(number=number).first()
    if found is None:
        raise NotFound(f"{dataset.name} has no version {number}.")
    return found


def find_recipe(dataset: Dataset, name: str, number: int) -> Recipe:
    """One recipe of `dataset`; raises `NotFound`."""
    found = dataset.recipes.filter(name=name, number=number).select_related("created_by").first()
    if found is None:
        raise NotFound(f"{dataset.name} has no recipe {name[:63]} #{number}.")
    return found


def used_by(dataset: Dataset, by: Principal) -> list[Any]:
    """The model versions trained on `dataset` that `by` may see, newest first, at most 50.

    The registry is a floor above, so its tables are reached through the app registry and not imported.
    """
    models = visible_to(apps.get_model("registry", "RegisteredModel").objects.all(), by, Permission.SEE_MODEL)
    versions = apps.get_model("registry", "ModelVersion").objects.filter(
        dataset_version__dataset=dataset, model__in=models
    )
    return list(versions.select_related("model", "dataset_version", "recipe").order_by("-created_at")[:50])
