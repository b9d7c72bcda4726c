"""What may be written to the registry, by whom, and what the refusals say."""

from __future__ import annotations

import pytest

from foundation.refusals import Forbidden
from registry.actions import create_model
from registry.models import ModelVersion
from tests.conftest import as_

pytestmark = pytest.mark.django_db


def test_a_version_is_admitted_and_numbered(model, make_version):
    version = make_version(model)

    assert version.number == 1
    assert version.state == ModelVersion.State.REGISTERED
    assert version.flavour == "sklearn"


def test_a_reviewer_may_not_create_models(bob):
    with pytest.raises(Forbidden):
        create_model("new", by=as_(bob))
