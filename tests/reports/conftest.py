"""A version that was reviewed, signed and released, through the actions."""

from __future__ import annotations

import pytest

from access.models import User
from registry.models import ModelVersion, Stage
from reviews.models import Review
from reviews.promotion import promote
from tests.conftest import as_
from tests.reviews.conftest import approved, candidate, make_candidate, review

__all__ = ["approved", "candidate", "make_candidate", "released", "review"]


@pytest.fixture
def released(approved: Review, production: Stage, rita: User) -> ModelVersion:
    promote(approved.version, production, by=as_(rita))
    return ModelVersion.objects.get(pk=approved.version_id)
