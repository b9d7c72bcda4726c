"""Datasets to stand on, made through the actions."""

from __future__ import annotations

import pytest

from access.models import User
from datasets.models import Dataset
from tests.datasets.made import registered


@pytest.fixture
def dataset(alice: User) -> Dataset:
    """`loans`, declared and without a version, owned by alice."""
    return registered(alice)
