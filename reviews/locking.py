"""The one order in which rows are locked: model, version, review. Two decisions about one version queue here."""

from __future__ import annotations

from registry.models import ModelVersion, RegisteredModel
from reviews.models import Review


def locked_version(version: ModelVersion) -> ModelVersion:
    """The version, read anew, with its model and itself locked until the transaction ends."""
    model = RegisteredModel.objects.locked(version.model_id)
    fresh = ModelVersion.objects.locked(version.pk)
    fresh.model = model
    return fresh


def locked_review(review: Review) -> Review:
    """The review, read anew, with its model, its version and itself locked until the transaction ends."""
    version = locked_version(ModelVersion.objects.get(pk=review.version_id))
    fresh = Review.objects.select_related("stage", "requested_by__owner").locked(review.pk)
    fresh.version = version
    return fresh
