"""Who else these tests need."""

from __future__ import annotations

import pytest

from access import actions as access_actions
from access.models import User
from access.principal import Principal
from tests.conftest import PASSWORD


@pytest.fixture
def outsider(db: None) -> User:
    """Somebody who can sign in and holds no role, group or grant."""
    return access_actions.create_person(
        "mallory",
        display_name="Mallory Quist",
        email="mallory@example.org",
        password=PASSWORD,
        by=Principal.system("operator"),
    )
