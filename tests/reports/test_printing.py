"""Paper on a host that cannot draw: the page says what to install, and nothing is on record as handed out."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from django.test import Client

from access.models import User
from audit.models import Pending
from registry.models import ModelVersion

ClientFor = Callable[[User], Client]


class WithoutPango:
    """An import system that finds WeasyPrint and not the library under it, as on a host without Pango."""

    def find_spec(self, name: str, *_: object) -> None:
        """Fails as cffi does."""
        if name == "weasyprint":
            raise OSError("cannot load library 'libpangoft2-1.0-0'")


@pytest.fixture
def _no_pango(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "reports.pdf" or name.split(".")[0] == "weasyprint"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("reports.pdf", raising=False)
    monkeypatch.setattr(sys, "meta_path", [WithoutPango(), *sys.meta_path])


@pytest.mark.usefixtures("_no_pango")
@pytest.mark.parametrize("paper", ["certificate.pdf", "review-pack.pdf"])
def test_a_host_without_pango_says_what_to_install(
    client_for: ClientFor, dave: User, released: ModelVersion, paper: str
) -> None:
    response = client_for(dave).get(f"/models/credit/v/{released.number}/{paper}")

    assert response.status_code == 503
    assert "libpangoft2-1.0-0" in response.content.decode()
    assert not any(b".issue" in bytes(entry.payload) for entry in Pending.objects.all())
